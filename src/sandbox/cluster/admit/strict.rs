//! Fields that a client sent and its kind does not have, for `fieldValidation`.
//!
//! It must not refuse an object. Invariant: a field that admission kept is never called unknown.

use serde_json::Value;

/// The most that are named.
const MOST: usize = 20;

/// The fields of `sent` that are not in `admitted`: `spec.replica`, `spec.template.spec.containers[0].imag`.
pub(crate) fn unknown_fields(sent: &Value, admitted: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", sent, admitted, &mut found);
    found
}

fn compare(path: &str, sent: &Value, admitted: &Value, found: &mut Vec<String>) {
    if found.len() >= MOST {
        return;
    }
    match (sent, admitted) {
        (Value::Object(sent), Value::Object(admitted)) => {
            for (name, value) in sent {
                let at = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match admitted.get(name) {
                    Some(kept) => compare(&at, value, kept, found),
                    // A type leaves out what is empty.
                    None if is_empty(value) => {}
                    None => found.push(at),
                }
            }
        }
        (Value::Array(sent), Value::Array(admitted)) => {
            for (nth, (sent, admitted)) in sent.iter().zip(admitted).enumerate() {
                compare(&format!("{path}[{nth}]"), sent, admitted, found);
            }
        }
        _ => {}
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(elements) => elements.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_field_that_was_dropped_is_named() {
        let sent = json!({ "spec": { "replica": 2, "paused": null, "list": [{ "name": "a", "imag": "x" }] } });
        let admitted = json!({ "spec": { "replicas": 1, "list": [{ "name": "a" }] } });
        assert_eq!(unknown_fields(&sent, &admitted), ["spec.replica", "spec.list[0].imag"]);
    }
}
