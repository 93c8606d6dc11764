//! The columns of Pods and of what makes and counts them.
//!
//! It must not change objects. Invariant: as many cells as columns, in their order.

use serde_json::{Value, json};

use super::age::between;
use super::columns::{Column, age, count, name, number, of_containers, shown, text, wide};
use crate::sandbox::cluster::selector::label_selector_text;

pub(super) const POD: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Status"),
    text("Restarts"),
    text("Age"),
    wide("IP"),
    wide("Node"),
    wide("Nominated Node"),
    wide("Readiness Gates"),
];

pub(super) fn pod(pod: &Value, now: u64) -> Vec<Value> {
    let statuses = pod["status"]["containerStatuses"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ready = statuses.iter().filter(|status| status["ready"] == true).count();
    let restarts: i64 = statuses.iter().map(|status| count(status, "/restartCount")).sum();
    let all = pod["spec"]["containers"].as_array().map_or(0, Vec::len);
    vec![
        name(pod),
        json!(format!("{ready}/{all}")),
        json!(pod_status(pod, statuses)),
        json!(restarts.to_string()),
        age(pod, now),
        shown(pod, "/status/podIP"),
        shown(pod, "/spec/nodeName"),
        shown(pod, "/status/nominatedNodeName"),
        json!("<none>"),
    ]
}

/// What the Pod is held up by, else its phase.
fn pod_status(pod: &Value, statuses: &[Value]) -> String {
    if pod["metadata"]["deletionTimestamp"].is_string() {
        return "Terminating".to_owned();
    }
    let mut reasons = statuses.iter().filter_map(|status| {
        let state = &status["state"];
        let reason = state["waiting"]["reason"].as_str().or_else(|| state["terminated"]["reason"].as_str());
        reason.filter(|reason| !reason.is_empty())
    });
    if let Some(reason) = reasons.next_back() {
        return reason.to_owned();
    }
    let status = &pod["status"];
    status["reason"].as_str().or_else(|| status["phase"].as_str()).unwrap_or("Unknown").to_owned()
}

pub(super) const DEPLOYMENT: &[Column] = &[
    text("Name"),
    text("Ready"),
    text("Up-to-date"),
    text("Available"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn deployment(object: &Value, now: u64) -> Vec<Value> {
    vec![
        name(object),
        json!(format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas"))),
        json!(count(object, "/status/updatedReplicas")),
        json!(count(object, "/status/availableReplicas")),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object),
    ]
}

fn containers(object: &Value, member: &str) -> Value {
    of_containers(&object["spec"]["template"]["spec"], member)
}

fn selector(object: &Value) -> Value {
    match label_selector_text(&object["spec"]["selector"]) {
        text if text.is_empty() => json!("<none>"),
        text => json!(text),
    }
}

pub(super) const REPLICA_SET: &[Column] = &[
    text("Name"),
    number("Desired"),
    number("Current"),
    number("Ready"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn replica_set(object: &Value, now: u64) -> Vec<Value> {
    vec![
        name(object),
        json!(count(object, "/spec/replicas")),
        json!(count(object, "/status/replicas")),
        json!(count(object, "/status/readyReplicas")),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object),
    ]
}

pub(super) const STATEFUL_SET: &[Column] = &[text("Name"), text("Ready"), text("Age"), wide("Containers"), wide("Images")];

pub(super) fn stateful_set(object: &Value, now: u64) -> Vec<Value> {
    vec![
        name(object),
        json!(format!("{}/{}", count(object, "/status/readyReplicas"), count(object, "/spec/replicas"))),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
    ]
}

pub(super) const JOB: &[Column] = &[
    text("Name"),
    text("Status"),
    text("Completions"),
    text("Duration"),
    text("Age"),
    wide("Containers"),
    wide("Images"),
    wide("Selector"),
];

pub(super) fn job(object: &Value, now: u64) -> Vec<Value> {
    let status = &object["status"];
    let is =
        |kind: &str| status["conditions"].as_array().into_iter().flatten().any(|found| found["type"] == kind && found["status"] == "True");
    let state = match () {
        () if is("Complete") => "Complete",
        () if is("Failed") => "Failed",
        () if object["metadata"]["deletionTimestamp"].is_string() => "Terminating",
        () if is("Suspended") => "Suspended",
        () if is("FailureTarget") => "FailureTarget",
        () => "Running",
    };
    let succeeded = count(status, "/succeeded");
    let completions = match object["spec"]["completions"].as_i64() {
        Some(all) => format!("{succeeded}/{all}"),
        None if count(object, "/spec/parallelism") > 1 => format!("{succeeded}/1 of {}", count(object, "/spec/parallelism")),
        None => format!("{succeeded}/1"),
    };
    let duration = between(status["startTime"].as_str(), status["completionTime"].as_str(), now).unwrap_or_default();
    vec![
        name(object),
        json!(state),
        json!(completions),
        json!(duration),
        age(object, now),
        containers(object, "name"),
        containers(object, "image"),
        selector(object),
    ]
}

pub(super) const AUTOSCALER: &[Column] =
    &[text("Name"), text("Reference"), text("Targets"), text("MinPods"), text("MaxPods"), text("Replicas"), text("Age")];

pub(super) fn autoscaler(object: &Value, now: u64) -> Vec<Value> {
    let target = &object["spec"]["scaleTargetRef"];
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    vec![
        name(object),
        json!(format!("{}/{}", word(&target["kind"]), word(&target["name"]))),
        json!(targets(object)),
        json!(object["spec"]["minReplicas"].as_i64().map_or_else(|| "<unset>".to_owned(), |least| least.to_string())),
        json!(count(object, "/spec/maxReplicas").to_string()),
        json!(count(object, "/status/currentReplicas")),
        age(object, now),
    ]
}

/// `cpu: 45%/70%, memory: 78%/80%`
fn targets(object: &Value) -> String {
    let metrics = object["spec"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default();
    let current = object["status"]["currentMetrics"].as_array();
    let shown: Vec<String> = metrics
        .iter()
        .take(2)
        .enumerate()
        .map(|(nth, metric)| {
            let kind = metric["type"].as_str().unwrap_or_default();
            let member = format!("{}{}", kind.chars().next().unwrap_or_default().to_lowercase(), kind.get(1..).unwrap_or_default());
            let wanted = &metric[member.as_str()];
            let found = current.and_then(|list| list.get(nth)).map_or(&Value::Null, |found| &found[member.as_str()]["current"]);
            let label = wanted["name"].as_str().or_else(|| wanted["metric"]["name"].as_str()).unwrap_or_default();
            let value = |place: &Value| {
                if let Some(percent) = place["averageUtilization"].as_i64() {
                    Some(format!("{percent}%"))
                } else if let Some(average) = place["averageValue"].as_str() {
                    Some(format!("{average}{}", if kind == "Resource" { "" } else { " (avg)" }))
                } else {
                    place["value"].as_str().map(str::to_owned)
                }
            };
            let pair = format!(
                "{}/{}",
                value(found).unwrap_or_else(|| "<unknown>".to_owned()),
                value(&wanted["target"]).unwrap_or_else(|| "<auto>".to_owned())
            );
            if kind == "Resource" || kind == "ContainerResource" { format!("{label}: {pair}") } else { pair }
        })
        .collect();
    match (shown.is_empty(), metrics.len().saturating_sub(2)) {
        (true, _) => "<none>".to_owned(),
        (false, 0) => shown.join(", "),
        (false, more) => format!("{} + {more} more...", shown.join(", ")),
    }
}
