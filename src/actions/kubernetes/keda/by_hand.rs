//! A ScaledObject by a person's hands.
//!
//! Invariant: made of the inputs alone.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::given;
use crate::actions::kubernetes::scaled_object::{PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN};
use crate::actions::kubernetes::scaler::Kind;
use crate::actions::kubernetes::scaler_step::{self, Hands};
use crate::model::by_hand::ByHand;
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| given(inputs, key);
    let mut spec = Map::new();
    for (input, field) in [("min", "minReplicaCount"), ("max", "maxReplicaCount"), ("triggers", "triggers")] {
        if let Some(value) = given(input) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(behavior) = given("behavior") {
        spec.insert("advanced".to_owned(), json!({ "horizontalPodAutoscalerConfig": { "behavior": behavior } }));
    }
    scaler_step::lines(Hands { kind: Kind::ScaledObject, annotations: annotations(given), spec }, inputs, target)
}

/// The annotations that the inputs set, and those that they take away (`null`).
fn annotations<'a>(given: impl Fn(&str) -> Option<&'a Value>) -> Map<String, Value> {
    let mut annotations = Map::new();
    let text = |value: &Value| json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    match given("paused") {
        Some(Value::Bool(false)) => {
            annotations.insert(PAUSED.to_owned(), Value::Null);
            annotations.insert(PAUSED_REPLICAS.to_owned(), Value::Null);
        }
        Some(value) => drop(annotations.insert(PAUSED.to_owned(), text(value))),
        None => {}
    }
    if let Some(count) = given("paused_replicas") {
        annotations.insert(PAUSED_REPLICAS.to_owned(), text(count));
    }
    match given("paused_scale_in") {
        Some(Value::Bool(false)) => drop(annotations.insert(PAUSED_SCALE_IN.to_owned(), Value::Null)),
        Some(value) => drop(annotations.insert(PAUSED_SCALE_IN.to_owned(), text(value))),
        None => {}
    }
    annotations
}
