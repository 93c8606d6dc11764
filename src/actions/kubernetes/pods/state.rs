//! How a pod stands, and what is wrong with it, from its object as the API gives it.
//!
//! Must not ask anything. Invariant: pure: the same object at the same time gives the same answer; no shape of an object makes it fail.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actions::support::at_most;

/// The longest message that is kept, in bytes.
const LONGEST: usize = 200;
/// How long after its grace period a pod may still be there, in seconds.
const LINGERING: i64 = 30;

/// Something that is wrong with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Problem {
    /// The API's own word where it has one: `ImagePullBackOff`, `Unschedulable`.
    pub(super) reason: String,
    /// For people.
    pub(super) message: String,
}

/// How a pod stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PodState {
    pub(super) name: String,
    pub(super) phase: String,
    /// Its `Ready` condition holds, and it is not on its way out.
    pub(super) ready: bool,
    pub(super) restarts: i64,
    pub(super) node: Option<String>,
    pub(super) zone: Option<String>,
    /// In seconds.
    pub(super) age: i64,
    /// It has a deletion timestamp.
    pub(super) terminating: bool,
    /// It has ended for good: completed, failed, evicted.
    pub(super) finished: bool,
    /// `replicaset/ticket-service-5d8f`
    pub(super) owner: Option<String>,
    /// What it waits for, where that is no problem: `ContainerCreating`.
    waits: Option<String>,
    pub(super) problems: Vec<Problem>,
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Seconds from a time in the object until now; negative where it is still to come.
fn since(value: &Value, pointer: &str, now: Timestamp) -> Option<i64> {
    let at: Timestamp = text(value, pointer)?.parse().ok()?;
    Some(now.as_second() - at.as_second())
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    list(pod, "/status/conditions").iter().find(|condition| text(condition, "/type") == Some(kind))
}

impl PodState {
    /// From the object.
    pub(super) fn of(pod: &Value, now: Timestamp) -> Self {
        let owned = |pointer: &str| text(pod, pointer).map(str::to_owned);
        let phase = owned("/status/phase").unwrap_or_else(|| "Unknown".to_owned());
        let terminating = text(pod, "/metadata/deletionTimestamp").is_some();
        let owner = list(pod, "/metadata/ownerReferences").iter().find(|owner| owner["controller"] == true);
        let containers = || list(pod, "/status/initContainerStatuses").iter().chain(list(pod, "/status/containerStatuses"));
        Self {
            name: owned("/metadata/name").unwrap_or_default(),
            ready: !terminating && condition(pod, "Ready").and_then(|ready| text(ready, "/status")) == Some("True"),
            restarts: containers().filter_map(|status| status["restartCount"].as_i64()).fold(0, i64::saturating_add),
            node: owned("/spec/nodeName"),
            zone: pod
                .pointer("/metadata/labels")
                .and_then(|labels| labels.get("topology.kubernetes.io/zone"))
                .and_then(Value::as_str)
                .map(str::to_owned),
            age: since(pod, "/metadata/creationTimestamp", now).unwrap_or(0).max(0),
            terminating,
            finished: matches!(phase.as_str(), "Succeeded" | "Failed"),
            owner: owner.and_then(|owner| Some(format!("{}/{}", text(owner, "/kind")?.to_lowercase(), text(owner, "/name")?))),
            waits: containers()
                .find_map(|status| text(status, "/state/waiting/reason").filter(|reason| is_start(reason)))
                .map(str::to_owned),
            problems: problems(pod, &phase, terminating, now),
            phase,
        }
    }

    /// What `kubectl get pods` shows as its status, as far as it says more than the phase.
    pub(super) fn reason(&self) -> Option<&str> {
        match self.problems.first() {
            Some(problem) => Some(&problem.reason),
            None if self.terminating => Some("Terminating"),
            None => self.waits.as_deref(),
        }
    }

    /// Whether it is to be ready and is not.
    pub(super) fn is_missed(&self) -> bool {
        !self.ready && !self.terminating && !self.finished
    }

    /// As an output.
    pub(super) fn to_value(&self) -> Value {
        json!({
            "name": self.name,
            "phase": self.phase,
            "ready": self.ready,
            "restarts": self.restarts,
            "node": self.node,
            "zone": self.zone,
            "age_s": self.age,
            "reason": self.reason(),
            "message": self.problems.first().map(|problem| &problem.message),
            "terminating": self.terminating,
            "owner": self.owner,
        })
    }
}

/// What a container waits for while it starts as it should.
fn is_start(reason: &str) -> bool {
    matches!(reason, "ContainerCreating" | "PodInitializing")
}

fn problem(reason: &str, message: impl AsRef<str>) -> Problem {
    Problem { reason: at_most(reason, 60).to_owned(), message: at_most(message.as_ref().trim(), LONGEST).to_owned() }
}

fn problems(pod: &Value, phase: &str, terminating: bool, now: Timestamp) -> Vec<Problem> {
    let mut found = Vec::new();
    if phase == "Failed" {
        let ended = list(pod, "/status/containerStatuses").iter().find_map(ended);
        found.push(match (text(pod, "/status/reason"), ended) {
            (Some(reason), _) => problem(reason, text(pod, "/status/message").unwrap_or("the pod failed")),
            (None, Some(ended)) => ended,
            (None, None) => problem("Failed", text(pod, "/status/message").unwrap_or("the pod failed, and does not say why")),
        });
        return found;
    }
    if phase == "Succeeded" {
        return found;
    }
    if let Some(scheduled) = condition(pod, "PodScheduled").filter(|condition| text(condition, "/status") == Some("False")) {
        found.push(problem(
            text(scheduled, "/reason").unwrap_or("Unschedulable"),
            text(scheduled, "/message").unwrap_or("no node takes it"),
        ));
    }
    for status in list(pod, "/status/initContainerStatuses").iter().chain(list(pod, "/status/containerStatuses")) {
        of_container(pod, status, &mut found);
    }
    if terminating {
        let over = since(pod, "/metadata/deletionTimestamp", now).unwrap_or(0);
        if over > LINGERING {
            let finalizers: Vec<&str> = list(pod, "/metadata/finalizers").iter().filter_map(Value::as_str).collect();
            let held = if finalizers.is_empty() { String::new() } else { format!("; held by the finalizers {}", finalizers.join(", ")) };
            found.push(problem("StuckTerminating", format!("should have been gone {over} s ago{held}")));
        }
    } else if phase == "Unknown" || text(pod, "/status/reason") == Some("NodeLost") {
        found.push(problem("NodeLost", text(pod, "/status/message").unwrap_or("its node does not answer")));
    } else if phase == "Running"
        && found.iter().all(|problem| problem.reason == "OOMKilled")
        && let Some(ready) = condition(pod, "Ready").filter(|condition| text(condition, "/status") == Some("False"))
    {
        let lasting = since(ready, "/lastTransitionTime", now).map(|seconds| format!(" for {} s", seconds.max(0))).unwrap_or_default();
        let said = text(ready, "/message").map(|message| format!(": {message}")).unwrap_or_default();
        let reason = text(ready, "/reason").unwrap_or("ContainersNotReady");
        found.insert(0, problem(reason, format!("running, but not ready{lasting}{said}")));
    }
    found
}

fn of_container(pod: &Value, status: &Value, found: &mut Vec<Problem>) {
    let name = text(status, "/name").unwrap_or("?");
    if let Some(reason) = text(status, "/state/waiting/reason").filter(|reason| !is_start(reason)) {
        let mut message = format!("container {name}");
        if let Some(said) = text(status, "/state/waiting/message") {
            message.push_str(&format!(": {said}"));
        }
        if let (Some(code), "CrashLoopBackOff") = (status.pointer("/lastState/terminated/exitCode").and_then(Value::as_i64), reason) {
            // The exit comes first: the back-off says the same for every cause.
            let why = text(status, "/lastState/terminated/reason").map(|reason| format!(" ({reason})")).unwrap_or_default();
            message = format!("container {name} ended with exit code {code}{why} and is started again and again");
        }
        found.push(problem(reason, message));
    } else if let Some(ended) = ended(status) {
        found.push(ended);
    }
    if text(status, "/lastState/terminated/reason") == Some("OOMKilled") {
        let at = text(status, "/lastState/terminated/finishedAt").map(|at| format!(", last at {at}")).unwrap_or_default();
        let spec = list(pod, "/spec/containers").iter().find(|container| text(container, "/name") == Some(name));
        let limit = spec.and_then(|container| text(container, "/resources/limits/memory"));
        let limit = limit.map(|limit| format!(" (its limit is {limit})")).unwrap_or_default();
        let times = status["restartCount"].as_i64().unwrap_or(1);
        found.push(problem("OOMKilled", format!("container {name} was out of memory{limit}: {times} restarts{at}")));
    }
}

/// A container that has ended badly and is not started again (yet).
fn ended(status: &Value) -> Option<Problem> {
    let terminated = status.pointer("/state/terminated")?;
    let code = terminated["exitCode"].as_i64().filter(|code| *code != 0)?;
    let name = text(status, "/name").unwrap_or("?");
    let said = text(terminated, "/message").map(|message| format!(": {message}")).unwrap_or_default();
    Some(problem(text(terminated, "/reason").unwrap_or("Error"), format!("container {name} ended with exit code {code}{said}")))
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
