//! An autoscaler by a person's hands.
//!
//! Invariant: made of the inputs alone.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::given;
use crate::actions::kubernetes::scaler::Kind;
use crate::actions::kubernetes::scaler_step::{self, Hands};
use crate::model::by_hand::ByHand;
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let mut spec = Map::new();
    for (input, field) in [("min", "minReplicas"), ("max", "maxReplicas"), ("behavior", "behavior")] {
        if let Some(value) = given(inputs, input) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(metrics) = given(inputs, "metrics") {
        spec.insert("metrics".to_owned(), metrics_of(metrics));
    }
    scaler_step::lines(Hands { kind: Kind::Horizontal, annotations: Map::new(), spec }, inputs, target)
}

fn metrics_of(given: &Value) -> Value {
    let Some(map) = given.as_object() else { return given.clone() };
    let metric = |(name, percent): (&String, &Value)| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": percent } } });
    map.iter().map(metric).collect()
}
