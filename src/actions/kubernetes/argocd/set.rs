//! The ApplicationSet that makes an Application: whether it would put back how the Application syncs.
//!
//! Must not change anything. Invariant: what of it may not be read is as if it kept the Application.

use serde_json::Value;

use super::application::Application;
use super::place;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::Trouble;
use crate::actions::kubernetes::swap_fields::Place;
use crate::model::outcome::Failure;

/// The fields of which one has to be ignored, so that automated sync may be taken away.
const COVERING: [&str; 3] = ["/spec", "/spec/syncPolicy", "/spec/syncPolicy/automated"];
/// The same as paths of jq.
const COVERING_JQ: [&str; 3] = [".spec", ".spec.syncPolicy", ".spec.syncPolicy.automated"];

/// The name of the ApplicationSet that would put it back; `None` where none would.
///
/// # Errors
/// A read that failed for another reason than that this account may not do it, or that there is no such thing.
pub(super) async fn of(api: &Api, application: &Application, namespace: &str) -> Result<Option<String>, Failure> {
    let Some(name) = application.set() else { return Ok(None) };
    let place = place(namespace, "applicationsets", "applicationset", name);
    match api.get(&place.path).await {
        Ok(set) if leaves(&set, application.name()) => Ok(None),
        // It is gone, and what it made is not cleared away yet; or this cluster has nobody who makes anything of one.
        Err(Trouble::Refused { status: 404, .. }) => Ok(None),
        Ok(_) | Err(Trouble::Refused { status: 403, .. }) => Ok(Some(name.to_owned())),
        Err(trouble) => Err(trouble.failure(place.asked("get"))),
    }
}

/// Whether it leaves alone what is changed in an Application's sync policy.
fn leaves(set: &Value, application: &str) -> bool {
    let policy = set.pointer("/spec/syncPolicy/applicationsSync").and_then(Value::as_str);
    if matches!(policy, Some("create-only" | "create-delete")) {
        return true;
    }
    let rules = set.pointer("/spec/ignoreApplicationDifferences").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let has = |rule: &Value, key: &str, covering: &[&str]| {
        let all = rule.get(key).and_then(Value::as_array);
        all.into_iter().flatten().filter_map(Value::as_str).any(|one| covering.contains(&one.trim()))
    };
    rules.iter().any(|rule| {
        let named = rule.get("name").and_then(Value::as_str).is_none_or(|name| name.is_empty() || name == application);
        named && (has(rule, "jsonPointers", &COVERING) || has(rule, "jqPathExpressions", &COVERING_JQ))
    })
}

/// What is refused then.
pub(super) fn refusal(place: &Place, set: &str) -> Failure {
    Failure::permanent(format!(
        "{} in namespace {} is made by the ApplicationSet {set}, which would give it back its automated sync",
        place.name, place.namespace
    ))
    .hint(format!(
        "have {set} leave it alone (`ignoreApplicationDifferences` with `jsonPointers: [/spec/syncPolicy/automated]`), or freeze its project for a time: `argocd.sync_window`"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_set_leaves_alone_what_it_was_told_to() {
        for (spec, leaves_it) in [
            (json!({}), false),
            (json!({ "syncPolicy": { "applicationsSync": "create-only" } }), true),
            (json!({ "syncPolicy": { "applicationsSync": "create-update" } }), false),
            (json!({ "ignoreApplicationDifferences": [{ "jsonPointers": ["/spec/syncPolicy"] }] }), true),
            (json!({ "ignoreApplicationDifferences": [{ "jqPathExpressions": [".spec.syncPolicy.automated"] }] }), true),
            (json!({ "ignoreApplicationDifferences": [{ "name": "other", "jsonPointers": ["/spec/syncPolicy"] }] }), false),
            (json!({ "ignoreApplicationDifferences": [{ "name": "shop", "jsonPointers": ["/spec/source/targetRevision"] }] }), false),
        ] {
            assert_eq!(leaves(&json!({ "spec": spec }), "shop"), leaves_it, "{spec}");
        }
    }
}
