//! Pods: how one looks while it is pending, running, ready and terminating.
//!
//! It must not decide when a Pod changes (the controller does). Invariant: a Pod is ready only by its `Ready` condition, and one with a
//! deletion timestamp is never ready again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::store::text;

/// What the cluster has in mind for a Pod. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Life {
    pub(crate) runs_at: u64,
    pub(crate) ready_at: u64,
    /// Set once the Pod is to go away.
    pub(crate) gone_at: Option<u64>,
    /// A fault keeps this Pod from getting ready.
    #[serde(default)]
    pub(crate) held: bool,
    /// Its database connections are open, as a request to `/health/ready` leaves them.
    #[serde(default)]
    pub(crate) warm: bool,
}

/// Where a Pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Running,
    Ready,
    Terminating,
}

/// The stage that the object shows.
pub(crate) fn stage(pod: &Value) -> Stage {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        Stage::Terminating
    } else if text(pod, "/status/phase") != "Running" {
        Stage::Pending
    } else if is_ready(pod) {
        Stage::Ready
    } else {
        Stage::Running
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// What a new Pod of a Deployment needs to be named.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    pub(crate) deployment: &'a Value,
    pub(crate) template_hash: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) suffix: &'a str,
    pub(crate) now: &'a str,
}

/// A new, pending Pod.
pub(crate) fn create(birth: &Birth<'_>) -> Value {
    let deployment = birth.deployment;
    let template = &deployment["spec"]["template"];
    let mut metadata = json!({
        "name": format!("{}-{}-{}", text(deployment, "/metadata/name"), birth.template_hash, birth.suffix),
        "generateName": format!("{}-{}-", text(deployment, "/metadata/name"), birth.template_hash),
        "namespace": deployment["metadata"]["namespace"], "uid": birth.uid, "creationTimestamp": birth.now,
        "labels": template["metadata"]["labels"],
        "ownerReferences": [{
            "apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"], "uid": deployment["metadata"]["uid"],
            "controller": true, "blockOwnerDeletion": true,
        }],
    });
    metadata["labels"]["pod-template-hash"] = json!(birth.template_hash);
    if template["metadata"]["annotations"].is_object() {
        metadata["annotations"] = template["metadata"]["annotations"].clone();
    }
    let mut spec = template["spec"].clone();
    spec["nodeName"] = json!("sandbox-node");
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": {} });
    show(&mut pod, Stage::Pending, birth.now);
    pod
}

/// Makes the object show `stage`; `now` stamps what changes.
pub(crate) fn show(pod: &mut Value, stage: Stage, now: &str) {
    let (phase, ready) = match stage {
        Stage::Pending => ("Pending", false),
        Stage::Running => ("Running", false),
        Stage::Ready => ("Running", true),
        Stage::Terminating => {
            pod["metadata"]["deletionTimestamp"] = json!(now);
            pod["metadata"]["deletionGracePeriodSeconds"] = pod["spec"]["terminationGracePeriodSeconds"].clone();
            (if text(pod, "/status/phase") == "Running" { "Running" } else { "Pending" }, false)
        }
    };
    let former = pod["status"].clone();
    let condition = |kind: &str, holds: bool, reason: &str| {
        let value = if holds { "True" } else { "False" };
        let before = former["conditions"].as_array().into_iter().flatten().find(|found| found["type"] == kind && found["status"] == value);
        let since = before.map_or_else(|| json!(now), |before| before["lastTransitionTime"].clone());
        let mut condition = json!({ "type": kind, "status": value, "lastProbeTime": null, "lastTransitionTime": since });
        if !holds {
            condition["reason"] = json!(reason);
        }
        condition
    };
    let running = phase == "Running";
    let conditions = vec![
        condition("PodScheduled", true, ""),
        condition("Initialized", true, ""),
        condition("ContainersReady", ready, "ContainersNotReady"),
        condition("Ready", ready, "ContainersNotReady"),
    ];
    let started = if running && !former["startTime"].is_string() { json!(now) } else { former["startTime"].clone() };
    let state =
        if running { json!({ "running": { "startedAt": started } }) } else { json!({ "waiting": { "reason": "ContainerCreating" } }) };
    let containers: Vec<Value> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|container| {
            json!({
                "name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "started": running,
                "restartCount": 0, "state": state, "lastState": {},
            })
        })
        .collect();
    pod["status"] = json!({ "phase": phase, "conditions": conditions, "containerStatuses": containers, "hostIP": "127.0.0.1", "qosClass": "Burstable" });
    if started.is_string() {
        pod["status"]["startTime"] = started;
    }
}
