//! Pods: how one looks while it is pending, running, ready, terminating and after its end.
//!
//! It must not decide when a Pod changes (the controllers do). Invariant: a Pod is ready only by its `Ready` condition, and one with a
//! deletion timestamp is never ready again.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::admit::defaults;
use super::qos;
use super::resource::Resource;
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
    /// It had to wait for a node.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) waited: bool,
    /// How often its containers were started again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) restarts: u32,
    /// Its containers have crashed and wait to be started again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) crashed: bool,
    /// When its trouble goes on: the next crash, restart or attempt to pull the image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble_at: Option<u64>,
    /// When its containers get the resources of its `spec`, where they were changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resized_at: Option<u64>,
    /// How long its work takes once it runs; none for a Pod that is to go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) works_for: Option<u64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where a Pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Pending,
    Running,
    Ready,
    Terminating,
    /// Its containers have ended and are not started again.
    Ended,
}

/// The stage that the object shows.
pub(crate) fn stage(pod: &Value) -> Stage {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return Stage::Terminating;
    }
    match pod["status"]["phase"].as_str().unwrap_or_default() {
        "Running" if is_ready(pod) => Stage::Ready,
        "Running" => Stage::Running,
        "Succeeded" | "Failed" => Stage::Ended,
        _ => Stage::Pending,
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// Why the containers of a Pod wait, as their status says: `ImagePullBackOff`, say; empty where they do not.
pub(crate) fn waits_for(pod: &Value) -> &str {
    pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"].as_str().unwrap_or_default()
}

/// What a new Pod needs to be named.
#[derive(Debug)]
pub(crate) struct Birth<'a> {
    /// The ReplicaSet, StatefulSet or Job, whose template it takes.
    pub(crate) owner: &'a Value,
    pub(crate) name: &'a str,
    pub(crate) generate_name: &'a str,
    /// Labels beside those of the template.
    pub(crate) labels: &'a [(&'a str, &'a str)],
    pub(crate) uid: &'a str,
    pub(crate) now: &'a str,
}

/// A new, pending Pod.
pub(crate) fn create(birth: &Birth<'_>) -> Value {
    let owner = birth.owner;
    let template = &owner["spec"]["template"];
    let mut metadata = json!({
        "name": birth.name, "namespace": owner["metadata"]["namespace"], "uid": birth.uid, "creationTimestamp": birth.now, "generation": 1,
        "labels": template["metadata"]["labels"],
        "ownerReferences": [reference(owner)],
    });
    if !birth.generate_name.is_empty() {
        metadata["generateName"] = json!(birth.generate_name);
    }
    for (name, value) in birth.labels {
        metadata["labels"][*name] = json!(value);
    }
    if template["metadata"]["annotations"].is_object() {
        metadata["annotations"] = template["metadata"]["annotations"].clone();
    }
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"] });
    defaults::fill(Resource::Pods, &mut pod);
    pod
}

/// The reference of a dependent to the object that controls it.
pub(crate) fn reference(owner: &Value) -> Value {
    json!({
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"],
        "controller": true, "blockOwnerDeletion": true,
    })
}

/// What the containers of a Pod show beside its stage.
#[derive(Debug, Default)]
pub(crate) struct Containers {
    /// The reason and the message of their waiting.
    pub(crate) waiting: Option<(&'static str, String)>,
    /// The exit code of an end that is final.
    pub(crate) exit: Option<i64>,
    pub(crate) restarts: u32,
}

/// Makes the object show `stage`; `now` stamps what changes.
pub(crate) fn show(pod: &mut Value, stage: Stage, now: &str) {
    let restarts = pod.pointer("/status/containerStatuses/0/restartCount").and_then(Value::as_u64).unwrap_or(0);
    let restarts = u32::try_from(restarts).unwrap_or(u32::MAX);
    show_with(pod, stage, &Containers { restarts, ..Containers::default() }, now);
}

/// Makes the object show `stage` and the state of its containers; `now` stamps what changes.
pub(crate) fn show_with(pod: &mut Value, stage: Stage, containers: &Containers, now: &str) {
    let ended = containers.exit.is_some();
    let (phase, ready) = match stage {
        Stage::Pending => ("Pending", false),
        Stage::Running => ("Running", false),
        Stage::Ready => ("Running", true),
        Stage::Ended => (if containers.exit == Some(0) { "Succeeded" } else { "Failed" }, false),
        Stage::Terminating => {
            pod["metadata"]["deletionTimestamp"] = json!(now);
            pod["metadata"]["generation"] = json!(pod["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
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
        if !reason.is_empty() {
            condition["reason"] = json!(reason);
            if reason == "ContainersNotReady" {
                condition["message"] = json!(format!("containers with unready status: [{}]", names(&pod["spec"])));
            }
        }
        condition
    };
    let unready = match (ready, ended) {
        (true, _) => "",
        (false, true) if phase == "Succeeded" => "PodCompleted",
        (false, true) => "PodFailed",
        (false, false) => "ContainersNotReady",
    };
    let running = phase == "Running";
    let conditions = vec![
        condition("PodReadyToStartContainers", running, ""),
        condition("Initialized", true, if phase == "Succeeded" { "PodCompleted" } else { "" }),
        condition("Ready", ready, unready),
        condition("ContainersReady", ready, unready),
        condition("PodScheduled", true, ""),
    ];
    let started = if former["startTime"].is_string() { former["startTime"].clone() } else { json!(now) };
    let statuses: Vec<Value> = pod["spec"]["containers"]
        .as_array()
        .into_iter()
        .flatten()
        .enumerate()
        .map(|(nth, container)| container_status(container, &former["containerStatuses"][nth], containers, phase, ready, now))
        .collect();
    let class = qos::class(&pod["spec"]);
    let status = &mut pod["status"];
    if !status.is_object() {
        *status = json!({});
    }
    status["phase"] = json!(phase);
    status["conditions"] = Value::Array(conditions);
    status["containerStatuses"] = Value::Array(statuses);
    status["qosClass"] = json!(class);
    status["startTime"] = started;
}

fn names(spec: &Value) -> String {
    let containers = spec["containers"].as_array();
    let names: Vec<&str> = containers.into_iter().flatten().filter_map(|container| container["name"].as_str()).collect();
    names.join(" ")
}

fn container_status(container: &Value, former: &Value, containers: &Containers, phase: &str, ready: bool, now: &str) -> Value {
    let crashed = containers.waiting.as_ref().is_some_and(|(reason, _)| *reason == "CrashLoopBackOff");
    let runs = phase == "Running" && containers.waiting.is_none();
    let since = match former["state"]["running"]["startedAt"].as_str() {
        Some(since) => json!(since),
        None => json!(now),
    };
    let state = if let Some(code) = containers.exit {
        let reason = if code == 0 { "Completed" } else { "Error" };
        json!({ "terminated": { "exitCode": code, "reason": reason, "startedAt": since, "finishedAt": now } })
    } else if let Some((reason, message)) = &containers.waiting {
        json!({ "waiting": { "reason": reason, "message": message } })
    } else if runs {
        json!({ "running": { "startedAt": since } })
    } else {
        json!({ "waiting": { "reason": "ContainerCreating" } })
    };
    let last = if crashed && former["state"]["running"].is_object() {
        json!({ "terminated": { "exitCode": 1, "reason": "Error", "startedAt": since, "finishedAt": now } })
    } else if former["lastState"].is_object() {
        former["lastState"].clone()
    } else {
        json!({})
    };
    let mut status = json!({
        "name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "started": runs,
        "restartCount": containers.restarts, "state": state, "lastState": last,
    });
    if runs {
        let allotted = &former["resources"];
        status["resources"] = if allotted.is_object() { allotted.clone() } else { container["resources"].clone() };
        let allocated = &former["allocatedResources"];
        let requests = if allocated.is_object() { allocated } else { &container["resources"]["requests"] };
        if requests.is_object() {
            status["allocatedResources"] = requests.clone();
        }
    }
    status
}

/// Shows that no node has room, with the scheduler's words.
pub(crate) fn show_unschedulable(pod: &mut Value, message: &str, now: &str) {
    let former = pod.pointer("/status/conditions/0").cloned().unwrap_or(Value::Null);
    let since = if former["status"] == "False" { former["lastTransitionTime"].clone() } else { json!(now) };
    let condition = json!({
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message, "lastProbeTime": null,
        "lastTransitionTime": since,
    });
    pod["status"] = json!({ "phase": "Pending", "conditions": [condition], "qosClass": qos::class(&pod["spec"]) });
}
