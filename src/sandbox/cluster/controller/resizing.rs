//! In-place resizing: a kubelet gives running containers the resources of their Pod's `spec`, where its node has them.
//!
//! It must not restart anything. Invariant: what is allocated to the Pods of a node never exceeds what the node has to give; the Pod says
//! by `PodResizePending` why it waits, and by `PodResizeInProgress` that it does not run with its resources yet.

use serde_json::{Value, json};

use super::Cluster;
use super::pods::Life;
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::quantity;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

const RESIZED_AFTER: f64 = 1000.0;
const PENDING: &str = "PodResizePending";
const WORKING: &str = "PodResizeInProgress";

/// Goes on with the resizing of a Pod, a step at a time; whether the Pod was stored.
pub(super) fn run(cluster: &mut Cluster<'_>, entry: &Entry, life: &mut Life) -> bool {
    let pod = &entry.object;
    if !differs(pod) {
        life.resized_at = None;
        return condition(pod, PENDING).or(condition(pod, WORKING)).is_some() && store(cluster, entry, life, None, |_| {});
    }
    let now = cluster.moment.now;
    match life.resized_at {
        Some(due) if due > now => {
            cluster.at(due);
            false
        }
        Some(_) => {
            life.resized_at = None;
            store(cluster, entry, life, None, |pod| each(pod, |status, container| status["resources"] = container["resources"].clone()))
        }
        None => match refusal(cluster, pod) {
            Some((reason, message)) => {
                let known = condition(pod, PENDING);
                let same = known.is_some_and(|known| known["reason"] == reason && known["message"] == message.as_str());
                !same && store(cluster, entry, life, Some((PENDING, reason, message)), |_| {})
            }
            None => {
                let due = cluster.moment.after(RESIZED_AFTER);
                life.resized_at = Some(due);
                cluster.at(due);
                store(cluster, entry, life, Some((WORKING, "", String::new())), |pod| {
                    each(pod, |status, container| status["allocatedResources"] = container["resources"]["requests"].clone());
                })
            }
        },
    }
}

fn differs(pod: &Value) -> bool {
    let containers = pod["spec"]["containers"].as_array();
    containers.into_iter().flatten().enumerate().any(|(nth, container)| {
        let shown = &pod["status"]["containerStatuses"][nth];
        shown["state"]["running"].is_object() && shown["resources"] != container["resources"]
    })
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == kind)
}

/// Calls `act` with the status of each container and the container.
fn each(pod: &mut Value, act: impl Fn(&mut Value, &Value)) {
    let containers = pod["spec"]["containers"].clone();
    let statuses = pod["status"]["containerStatuses"].as_array_mut();
    for (status, container) in statuses.into_iter().flatten().zip(containers.as_array().into_iter().flatten()) {
        act(status, container);
    }
}

/// Stores the Pod with this condition of its resizing: its type, reason and message.
fn store(cluster: &mut Cluster<'_>, entry: &Entry, life: &Life, said: Option<(&str, &str, String)>, act: impl FnOnce(&mut Value)) -> bool {
    let mut object = Value::clone(&entry.object);
    act(&mut object);
    if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
        conditions.retain(|condition| condition["type"] != PENDING && condition["type"] != WORKING);
        if let Some((kind, reason, message)) = said {
            let mut condition =
                json!({ "type": kind, "status": "True", "lastProbeTime": null, "lastTransitionTime": cluster.moment.stamp() });
            if !reason.is_empty() {
                condition["reason"] = json!(reason);
                condition["message"] = json!(message);
            }
            conditions.push(condition);
        }
    }
    cluster.put(Resource::Pods, object, Some(life.clone()));
    true
}

/// What a Pod holds of its node: what was allocated to its containers, and until then what they ask for.
fn held(pod: &Value, resource: &str) -> i128 {
    let containers = pod["spec"]["containers"].as_array();
    let amount = |(nth, container): (usize, &Value)| {
        let allocated = &pod["status"]["containerStatuses"][nth]["allocatedResources"][resource];
        quantity::milli(allocated).or_else(|| quantity::milli(&container["resources"]["requests"][resource]))
    };
    containers.into_iter().flatten().enumerate().filter_map(amount).sum()
}

/// Why the node cannot give what the Pod asks for: the reason and the message.
fn refusal(cluster: &Cluster<'_>, pod: &Value) -> Option<(&'static str, String)> {
    let node = text(pod, "/spec/nodeName");
    let given = cluster.store.get(Resource::Nodes, "", node)?;
    for resource in ["cpu", "memory"] {
        let capacity = quantity::milli(&given.object["status"]["allocatable"][resource]).unwrap_or(0);
        let asked = quantity::of_pod(&pod["spec"], "requests", resource);
        // The kubelet counts CPUs in thousandths and memory in bytes.
        let shown = |amount: i128| if resource == "cpu" { amount } else { amount / 1000 };
        if asked > capacity {
            let message =
                format!("Node didn't have enough capacity: {resource}, requested: {}, capacity: {}", shown(asked), shown(capacity));
            return Some(("Infeasible", message));
        }
        let others = cluster.store.list(Resource::Pods, None).filter(|other| {
            text(&other.object, "/spec/nodeName") == node
                && text(&other.object, "/metadata/uid") != text(pod, "/metadata/uid")
                && pod::stage(&other.object) != Stage::Ended
        });
        let used: i128 = others.map(|other| held(&other.object, resource)).sum();
        if used + asked > capacity && asked > held(pod, resource) {
            let message = format!(
                "Node didn't have enough resource: {resource}, requested: {}, used: {}, capacity: {}",
                shown(asked),
                shown(used),
                shown(capacity)
            );
            return Some(("Deferred", message));
        }
    }
    None
}
