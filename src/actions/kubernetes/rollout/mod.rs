//! How far a rollout has got, read from the workload's own object as `kubectl rollout status` reads it.
//!
//! Must not ask anything. Invariant: a status that its controller wrote before it saw the latest change never counts as complete.

use serde_json::{Value, json};

use super::workload::Kind;
use crate::model::catalogue::OutputField;

/// A rollout as its workload's status tells it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rollout {
    /// Every pod that is to have the latest template has it and is available, and no other is left.
    pub(super) complete: bool,
    /// In words, for people.
    pub(super) message: String,
    /// Wanted.
    pub(super) replicas: i64,
    pub(super) updated: i64,
    pub(super) ready: i64,
    pub(super) available: i64,
    /// Wanted and not available.
    pub(super) unavailable: i64,
    /// A Deployment's revision number, a StatefulSet's update revision.
    pub(super) revision: Option<String>,
    pub(super) paused: bool,
    pub(super) deadline_exceeded: bool,
    /// As the object holds them.
    pub(super) conditions: Vec<Value>,
}

impl Rollout {
    /// From the object.
    pub(super) fn of(kind: Kind, object: &Value) -> Self {
        let status = |key: &str| object.pointer(&format!("/status/{key}")).and_then(Value::as_i64).unwrap_or(0);
        let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let conditions = object.pointer("/status/conditions").and_then(Value::as_array).cloned().unwrap_or_default();
        // The API fills in 1 where a manifest leaves it out.
        let replicas = object.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1);
        let available = status("availableReplicas");
        let deadline = condition(&conditions, "Progressing").filter(|condition| condition["reason"] == "ProgressDeadlineExceeded");
        let mut rollout = Self {
            complete: false,
            message: String::new(),
            replicas,
            updated: status("updatedReplicas"),
            ready: status("readyReplicas"),
            available,
            unavailable: replicas.saturating_sub(available).max(0),
            revision: match kind {
                Kind::Deployment => object
                    .pointer("/metadata/annotations")
                    .and_then(|all| all.get("deployment.kubernetes.io/revision"))
                    .and_then(Value::as_str)
                    .map(str::to_owned),
                Kind::StatefulSet => text("/status/updateRevision"),
                Kind::ReplicaSet => None,
            },
            paused: object.pointer("/spec/paused").and_then(Value::as_bool).unwrap_or(false),
            deadline_exceeded: deadline.is_some(),
            conditions: conditions.clone(),
        };
        let generation = object.pointer("/metadata/generation").and_then(Value::as_i64).unwrap_or(0);
        let seen = status("observedGeneration");
        let waits = if seen < generation || (kind == Kind::StatefulSet && seen == 0) {
            // What the status says is of an earlier change.
            rollout.deadline_exceeded = false;
            Some("its controller has not taken up the latest change yet".to_owned())
        } else {
            match kind {
                Kind::Deployment => rollout.deployment_waits(status("replicas"), deadline),
                Kind::StatefulSet => rollout.statefulset_waits(object),
                Kind::ReplicaSet => (rollout.ready < replicas).then(|| format!("{} of {replicas} pods are ready", rollout.ready)),
            }
        };
        rollout.complete = waits.is_none();
        rollout.message = match waits {
            None if rollout.updated < replicas && kind == Kind::StatefulSet => {
                format!("rolled out up to its partition: {} of {replicas} pods have the new template", rollout.updated)
            }
            None => format!("rolled out: {available} of {replicas} pods are available"),
            Some(mut waits) => {
                if rollout.paused {
                    waits.push_str("; the rollout is paused (`kubectl rollout resume`)");
                }
                // A quota, an admission webhook: why no pod comes.
                let failing = condition(&conditions, "ReplicaFailure").filter(|condition| condition["status"] == "True");
                if let Some(why) = failing.and_then(|condition| condition["message"].as_str()) {
                    waits.push_str(&format!("; pods cannot be created: {why}"));
                }
                waits
            }
        };
        rollout
    }

    fn deployment_waits(&self, there: i64, deadline: Option<&Value>) -> Option<String> {
        if let Some(condition) = deadline {
            let said = condition["message"].as_str().map(|said| format!(": {said}")).unwrap_or_default();
            return Some(format!("the rollout exceeded its progress deadline{said}"));
        }
        if self.updated < self.replicas {
            return Some(format!("{} of {} pods have the new template", self.updated, self.replicas));
        }
        if there > self.updated {
            return Some(format!("{} pods with the old template are still there", there - self.updated));
        }
        (self.available < self.updated).then(|| format!("{} of {} updated pods are available", self.available, self.updated))
    }

    fn statefulset_waits(&self, object: &Value) -> Option<String> {
        let strategy = object.pointer("/spec/updateStrategy/type").and_then(Value::as_str).unwrap_or("RollingUpdate");
        let revision = |key: &str| object.pointer(&format!("/status/{key}")).and_then(Value::as_str);
        if strategy != "RollingUpdate" {
            let same = revision("updateRevision").is_some() && revision("updateRevision") == revision("currentRevision");
            // It does not roll: complete only where nothing is left to be rolled.
            return (!same || self.ready < self.replicas)
                .then(|| format!("its update strategy is {strategy}: a pod takes the new template only when somebody deletes it"));
        }
        if self.ready < self.replicas {
            return Some(format!("{} of {} pods are ready", self.ready, self.replicas));
        }
        let rolling = object.pointer("/spec/updateStrategy/rollingUpdate").filter(|rolling| !rolling.is_null());
        if let Some(rolling) = rolling {
            let partition = rolling.get("partition").and_then(Value::as_i64).unwrap_or(0);
            let wanted = self.replicas.saturating_sub(partition).max(0);
            return (self.updated < wanted).then(|| format!("{} of {wanted} pods have the new template", self.updated));
        }
        (revision("updateRevision") != revision("currentRevision"))
            .then(|| format!("{} of {} pods have the new template", self.updated, self.replicas))
    }

    /// As `k8s.rollout_status` gives it.
    pub(super) fn outputs(&self) -> Value {
        json!({
            "complete": self.complete,
            "message": self.message,
            "replicas": self.replicas,
            "updated_replicas": self.updated,
            "ready_replicas": self.ready,
            "available_replicas": self.available,
            "unavailable_replicas": self.unavailable,
            "revision": self.revision,
            "paused": self.paused,
            "deadline_exceeded": self.deadline_exceeded,
            "conditions": self.conditions,
        })
    }

    /// What an action that starts a rollout says of it, added to its own outputs.
    pub(super) fn add_to(&self, outputs: &mut Value) {
        for (key, value) in [
            ("rolled_out", json!(self.complete)),
            ("rollout", json!(self.message)),
            ("replicas", json!(self.replicas)),
            ("updated_replicas", json!(self.updated)),
            ("ready_replicas", json!(self.ready)),
        ] {
            outputs[key] = value;
        }
    }

    /// The declarations of what [`add_to`](Self::add_to) adds.
    pub(super) fn declared() -> Vec<OutputField> {
        use crate::actions::support::output;
        vec![
            output("rolled_out", "boolean", "whether every pod has the new template and is available; false right after a change"),
            output("rollout", "string", "how far the rollout has got, in words"),
            output("replicas", "integer", "the replicas that are wanted"),
            output("updated_replicas", "integer", "the pods that have the latest template"),
            output("ready_replicas", "integer", "the pods that are ready"),
        ]
    }
}

fn condition<'a>(conditions: &'a [Value], kind: &str) -> Option<&'a Value> {
    conditions.iter().find(|condition| condition["type"] == kind)
}

#[cfg(test)]
mod tests;
