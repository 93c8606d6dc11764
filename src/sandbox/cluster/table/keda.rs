//! The columns of ScaledObjects, as their definition names them.
//!
//! It must not change objects. Invariant: as many cells as columns, in their order; what is not there is nothing at all.

use serde_json::{Value, json};

use super::columns::{Column, age, name, number, text};

pub(super) const SCALED_OBJECT: &[Column] = &[
    text("Name"),
    text("ScaleTargetKind"),
    text("ScaleTargetName"),
    number("Min"),
    number("Max"),
    text("Ready"),
    text("Active"),
    text("Fallback"),
    text("Paused"),
    text("Triggers"),
    text("Authentications"),
    text("Age"),
];

pub(super) fn scaled_object(object: &Value, now: u64) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let condition = |kind: &str| {
        let found = status["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind);
        found.map_or(Value::Null, |condition| condition["status"].clone())
    };
    vec![
        name(object),
        status["scaleTargetKind"].clone(),
        spec["scaleTargetRef"]["name"].clone(),
        json!(spec["minReplicaCount"]),
        json!(spec["maxReplicaCount"]),
        condition("Ready"),
        condition("Active"),
        condition("Fallback"),
        condition("Paused"),
        status["triggersTypes"].clone(),
        status["authenticationsTypes"].clone(),
        age(object, now),
    ]
}
