//! Who set a field, as the API server records it (`metadata.managedFields`).
//!
//! Must not be taken for more than it is: it says who wrote a field last, and never whether they will write it again.

use serde_json::Value;

use super::field_path::FieldPath;
use super::swap_fields::MANAGER;
use crate::model::intent::Intent;
use crate::ports::action::Context;

/// The key under which an intent's note keeps a [warning].
pub(super) const WARNS: &str = "warns";

/// Those who set the field to what it is now.
pub(super) fn set_by(object: &Value, field: &FieldPath) -> Vec<String> {
    managers(object, field, |_| true)
}

/// Those who write the object's status: its controllers.
pub(super) fn writers_of_status(object: &Value) -> Vec<String> {
    named(object, |entry| entry["subresource"] == "status")
}

/// Those other than this tool who keep the field by server-side apply: GitOps controllers, `kubectl apply --server-side`.
pub(super) fn applied_by<'a>(object: &Value, fields: impl IntoIterator<Item = &'a FieldPath>) -> Vec<String> {
    let mut all: Vec<String> =
        fields.into_iter().flat_map(|field| managers(object, field, |entry| entry["operation"] == "Apply")).collect();
    all.retain(|manager| manager != MANAGER);
    all.sort();
    all.dedup();
    all
}

/// Those who keep any field of the object by server-side apply.
pub(super) fn appliers(object: &Value) -> Vec<String> {
    named(object, |entry| entry["operation"] == "Apply")
}

/// What a plan says of those who [apply](applied_by) what it changes.
pub(super) fn warning(what: &str, observed: &Value) -> Option<String> {
    let names: Vec<&str> = observed.as_array()?.iter().filter_map(Value::as_str).collect();
    (!names.is_empty()).then(|| {
        format!(
            "{what} was applied by {}: it goes back to what is kept there when that is applied again, by a person or by a controller",
            names.join(", ")
        )
    })
}

/// Tells the operator what the plan [says](warning) of others, when it is carried out.
pub(super) fn warn(cx: &Context, intent: &Intent) {
    if let Some(text) = intent.note.get(WARNS).and_then(Value::as_str) {
        cx.log.line(text);
    }
}

fn managers(object: &Value, field: &FieldPath, picked: impl Fn(&Value) -> bool) -> Vec<String> {
    named(object, |entry| picked(entry) && entry.get("fieldsV1").is_some_and(|set| holds(set, field.parts())))
}

/// The managers of these entries.
fn named(object: &Value, picked: impl Fn(&Value) -> bool) -> Vec<String> {
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let theirs = entries.iter().filter(|entry| picked(entry));
    theirs.filter_map(|entry| entry["manager"].as_str()).map(str::to_owned).collect()
}

/// Whether a set of fields holds this one, or anything in it.
fn holds(set: &Value, parts: &[String]) -> bool {
    let Some((part, rest)) = parts.split_first() else { return true };
    let Some(set) = set.as_object() else { return false };
    let named = |key: &String| {
        let Some(json) = key.strip_prefix("k:") else { return key.strip_prefix("f:") == Some(part) };
        serde_json::from_str::<Value>(json).is_ok_and(|key| key["name"] == part.as_str())
    };
    set.iter().any(|(key, inner)| named(key) && holds(inner, rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_has_those_who_set_it() {
        let entry = |manager: &str, operation: &str, set: Value| json!({ "manager": manager, "operation": operation, "fieldsV1": set });
        let env = json!({ "f:spec": { "f:containers": { "k:{\"name\":\"app\"}": { "f:env": { "k:{\"name\":\"A\"}": { ".": {}, "f:value": {} } } } } } });
        let object = json!({ "metadata": { "managedFields": [
            entry("argocd-controller", "Apply", json!({ "f:spec": { "f:replicas": {} } })),
            entry("kubectl", "Update", json!({ "f:spec": { "f:replicas": {}, "f:paused": {} } })),
            entry("runsheet", "Apply", env),
        ] } });
        let of = |field: &str| set_by(&object, &field.parse().unwrap());
        assert_eq!(of("spec.replicas"), ["argocd-controller", "kubectl"]);
        assert_eq!(of("spec.containers[app].env[A]"), ["runsheet"]);
        assert!(of("spec.containers[app].env[B]").is_empty() && of("spec.replica").is_empty());
        let fields: Vec<FieldPath> =
            ["spec.replicas", "spec.paused", "spec.containers[app].env[A]"].map(|field| field.parse().unwrap()).into();
        assert_eq!(applied_by(&object, &fields), ["argocd-controller"]);
        assert!(warning("x", &json!(["argocd-controller"])).is_some_and(|text| text.contains("argocd-controller")));
        assert_eq!(warning("x", &json!([])), None);
        assert!(set_by(&json!({ "metadata": { "managedFields": 7 } }), &fields[0]).is_empty());
    }
}
