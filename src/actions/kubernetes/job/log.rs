//! The end of what a Job's pod said, and what keeps a pod from starting.
//!
//! Must not fail the step: where it cannot be read, that is said. Invariant: bounded in lines, bytes and time, and without any secret's value.

use crate::actions::kubernetes::errors::{Asked, Trouble};
use crate::actions::kubernetes::{pages, pod_log};
use serde_json::Value;

use crate::actions::kubernetes::api::Api;

/// How many bytes of a log are read.
const READ: usize = 64 * 1024;
/// How many bytes of it are an output.
const TAIL: usize = 4 * 1024;

/// The last lines of the newest pod of a Job; else why there are none.
pub(super) async fn tail(api: &Api, namespace: &str, job: &str) -> Result<String, String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let asked = Asked { verb: "list", resource: "pods", name: "", namespace };
    let mut newest: Option<Value> = None;
    let born = |pod: &Value| pod.pointer("/metadata/creationTimestamp").and_then(Value::as_str).unwrap_or_default().to_owned();
    pages::list(api, &path, &[("labelSelector", &format!("job-name={job}"))], asked, |pod| -> Option<()> {
        if newest.as_ref().is_none_or(|so_far| born(so_far) <= born(pod)) {
            newest = Some(pod.clone());
        }
        None
    })
    .await
    .map_err(|failure| failure.message)?;
    let pod = newest.ok_or_else(|| "it has no pod".to_owned())?;
    if let Some(why) = waiting(&pod) {
        return Err(why);
    }
    let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
    let unread = |trouble: Trouble| trouble.failure(Asked { verb: "get", resource: "pods/log", name, namespace }).message;
    let log = pod_log::read(api, namespace, name, "?tailLines=100", READ).await.map_err(unread)?;
    // Where it was too long, its last line is a part of one, in which half a secret would not be known.
    let whole = if log.truncated { log.text.rsplit_once('\n').map_or("", |(whole, _)| whole) } else { &log.text };
    Ok(last_bytes(whole.trim_end(), TAIL).to_owned())
}

/// What keeps the pod from starting: it cannot be scheduled, its image cannot be had.
fn waiting(pod: &Value) -> Option<String> {
    let list = |path: &str| pod.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let told = |kind: &str, reason: &Value| {
        let text = |key: &str| reason.get(key).and_then(Value::as_str).unwrap_or_default();
        format!("{kind}: {}: {}", text("reason"), crate::actions::support::at_most(text("message"), 300))
    };
    if let Some(condition) = list("/status/conditions").iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False") {
        return Some(told("its pod is not scheduled", condition));
    }
    let held = list("/status/containerStatuses").iter().find_map(|status| status.pointer("/state/waiting"))?;
    Some(told("its pod does not start", held))
}

fn last_bytes(text: &str, most: usize) -> &str {
    let mut start = text.len().saturating_sub(most);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_end_is_cut_between_characters() {
        assert_eq!(last_bytes("aüb", 2), "b");
        assert_eq!(last_bytes("ab", 9), "ab");
    }

    #[test]
    fn what_keeps_a_pod_from_starting_is_told() {
        let image = json!({ "status": { "containerStatuses": [{ "state": { "waiting": { "reason": "ErrImagePull", "message": "no such image" } } }] } });
        assert_eq!(waiting(&image).unwrap(), "its pod does not start: ErrImagePull: no such image");
        let node = json!({ "status": { "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes" }] } });
        assert_eq!(waiting(&node).unwrap(), "its pod is not scheduled: Unschedulable: 0/3 nodes");
        assert_eq!(waiting(&json!({ "status": { "containerStatuses": [{ "state": { "terminated": {} } }] } })), None);
    }
}
