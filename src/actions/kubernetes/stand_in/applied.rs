//! What server-side apply makes of an object in a stand-in: maps are merged, lists whose elements have names too. Owners are as a test says.

use serde_json::{Value, json};

use crate::actions::kubernetes::field_path::FieldPath;

/// Merges a manifest into an object.
pub(super) fn merge(object: &mut Value, sent: &Value) {
    match (object, sent) {
        (Value::Object(object), Value::Object(sent)) => {
            for (key, value) in sent {
                merge(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
        (Value::Array(list), Value::Array(sent)) if sent.iter().all(|element| element["name"].is_string()) => {
            for element in sent {
                match list.iter_mut().find(|other| other["name"] == element["name"]) {
                    Some(other) => merge(other, element),
                    None => list.push(element.clone()),
                }
            }
        }
        (object, sent) => *object = sent.clone(),
    }
}

/// The answer to a manifest that changes what others own: field and manager.
pub(super) fn conflict(object: &Value, sent: &Value, owned: &[(&str, &str)]) -> Option<Value> {
    let mut merged = object.clone();
    merge(&mut merged, sent);
    let differs = |field: &str| {
        let path: FieldPath = field.parse().unwrap();
        path.get(object) != path.get(&merged)
    };
    let causes: Vec<Value> = owned
        .iter()
        .filter(|(field, _)| differs(field))
        .map(|(field, manager)| {
            json!({ "reason": "FieldManagerConflict", "message": format!("conflict with \"{manager}\" using apps/v1"), "field": format!(".{field}") })
        })
        .collect();
    (!causes.is_empty()).then(|| {
        let message = format!("Apply failed with {} conflict(s)", causes.len());
        json!({ "kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": message, "details": { "causes": causes } })
    })
}
