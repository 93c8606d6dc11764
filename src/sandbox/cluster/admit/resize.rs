//! The `resize` subresource of Pods: other requests and limits for containers that run.
//!
//! It must not change anything else of a Pod. Invariant: a resized Pod is of the class it was of, and has an amount wherever it had one.

use serde_json::{Map, Value, json};

use super::problems::Problems;
use super::update::same_version;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::cluster::store::text;
use crate::sandbox::cluster::{qos, quantity};

/// What can be resized.
const RESIZABLE: [&str; 2] = ["cpu", "memory"];

/// The stored Pod with the resources of the admitted `sent`. As in the real one, what else differs is passed over.
///
/// # Errors
/// 409 for another version; 422 for an amount that is taken away, for another class and for another resource than CPU and memory.
pub(crate) fn resize(stored: &Value, sent: &Value) -> Result<Value, ApiError> {
    same_version(Resource::Pods, stored, sent)?;
    let mut wanted = stored.clone();
    let before = wanted["spec"].clone();
    let mut problems = Problems::default();
    let sent: Vec<&Value> = sent["spec"]["containers"].as_array().into_iter().flatten().collect();
    for (nth, container) in wanted["spec"]["containers"].as_array_mut().into_iter().flatten().enumerate() {
        let Some(given) = sent.iter().find(|given| given["name"] == container["name"]) else { continue };
        let place = format!("spec.containers[{nth}].resources");
        for side in ["requests", "limits"] {
            let (old, new) = (amounts(container, side), amounts(given, side));
            if old.keys().any(|name| !new.contains_key(name)) {
                problems.forbidden(format!("{place}.{side}"), &format!("resource {side} cannot be removed"));
            }
            if others(&old) != others(&new) {
                problems.forbidden("spec", "only cpu and memory resources are mutable");
            }
        }
        container["resources"] = given["resources"].clone();
    }
    if qos::class(&before) != qos::class(&wanted["spec"]) {
        let class = wanted["status"]["qosClass"].clone();
        problems.invalid("spec", &class, "Pod QOS Class may not change as a result of resizing");
    }
    if matches!(text(stored, "/status/phase"), "Succeeded" | "Failed") {
        problems.forbidden("spec", "Pod running on node without support for resize");
    }
    problems.into_result(Resource::Pods, stored)?;
    if wanted["spec"] != before {
        wanted["metadata"]["generation"] = json!(stored["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    Ok(wanted)
}

/// Whether a resized Pod asks for more of anything, or may use more.
pub(crate) fn grows(stored: &Value, wanted: &Value) -> bool {
    let amount = |pod: &Value, side: &str, name: &str| quantity::of_pod(&pod["spec"], side, name);
    ["requests", "limits"].into_iter().any(|side| RESIZABLE.into_iter().any(|name| amount(wanted, side, name) > amount(stored, side, name)))
}

fn amounts(container: &Value, side: &str) -> Map<String, Value> {
    container["resources"][side].as_object().cloned().unwrap_or_default()
}

fn others(amounts: &Map<String, Value>) -> Vec<(&String, &Value)> {
    amounts.iter().filter(|(name, _)| !RESIZABLE.contains(&name.as_str())).collect()
}
