//! Deployments: the initial one and the status.
//!
//! It must not create or remove Pods (the controller does), nor admit what clients send (`admit` does). Invariant: the status follows
//! from the Deployment and its Pods alone.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::admit::{birth, defaults};
use super::resource::Resource;

/// The Deployment of a fresh cluster, as the scaling procedure describes it.
pub(crate) fn initial(uid: &str, created: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "ticket-service", "namespace": "production", "uid": uid, "creationTimestamp": created, "generation": 1,
            "labels": { "app": "ticket-service" },
        },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "ticket-service" } },
            "template": {
                "metadata": { "labels": { "app": "ticket-service" } },
                "spec": { "containers": [{
                    "name": "ticket-service", "image": "registry.example/ticket-service:1.0.0",
                    "ports": [{ "name": "http", "containerPort": 8080, "protocol": "TCP" }],
                    "env": [{ "name": "DB_POOL_MAX", "value": "20" }],
                    "resources": {
                        "requests": { "cpu": "250m", "memory": "256Mi" },
                        "limits": { "cpu": "1000m", "memory": "512Mi" },
                    },
                    "readinessProbe": { "httpGet": { "path": "/health/ready", "port": "http" }, "periodSeconds": 10 },
                }] },
            },
        },
        "status": {},
    });
    defaults::fill(Resource::Deployments, &mut object);
    object
}

/// The hash that names the template of a Deployment's Pods, the same for the same template in whatever order: as in the real one a number
/// of 32 bits whose digits are written as letters.
pub(crate) fn template_hash(deployment: &Value) -> String {
    let [a, b, c, d, ..] = digest(deployment);
    birth::letters(u32::from_be_bytes([a, b, c, d]).to_string().into_bytes().into_iter())
}

/// The hash as former versions of the sandbox wrote it; what they named keeps its name.
pub(crate) fn former_hash(deployment: &Value) -> String {
    digest(deployment).into_iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

fn digest(deployment: &Value) -> [u8; 32] {
    let mut text = String::new();
    ordered(&deployment["spec"]["template"], &mut text);
    Sha256::digest(text).into()
}

/// A value as text with its names sorted and without the null ones.
fn ordered(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().filter(|name| !fields[*name].is_null()).collect();
            names.sort();
            text.push('{');
            for name in names {
                text.push_str(name);
                text.push(':');
                ordered(&fields[name], text);
                text.push(',');
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for item in items {
                ordered(item, text);
                text.push(',');
            }
            text.push(']');
        }
        plain => text.push_str(&plain.to_string()),
    }
}

/// What the ReplicaSets of a Deployment look like from its status.
#[derive(Debug, Default, Clone)]
pub(crate) struct Counts {
    /// What its ReplicaSets are to have together.
    pub(crate) wanted: i64,
    pub(crate) pods: i64,
    pub(crate) updated: i64,
    pub(crate) ready: i64,
    pub(crate) terminating: i64,
    /// How many must be available for the Deployment to be.
    pub(crate) least: i64,
    /// Why a ReplicaSet could not create a Pod, in its words.
    pub(crate) failure: Option<String>,
}

/// Where a rollout stands: the value, the reason and the message of the condition `Progressing`.
#[derive(Debug, Clone)]
pub(crate) struct Progress {
    pub(crate) value: &'static str,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Whether it got on just now, which moves the condition's time.
    pub(crate) moved: bool,
}

/// The status for these counts; `now` stamps the conditions that changed. Without `progress` that condition stays as it is.
pub(crate) fn status(deployment: &Value, counts: &Counts, progress: Option<&Progress>, now: &str) -> Value {
    let mut status = json!({ "observedGeneration": deployment["metadata"]["generation"] });
    for (field, count) in [
        ("replicas", counts.pods),
        ("updatedReplicas", counts.updated),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.ready),
        ("unavailableReplicas", (counts.wanted - counts.ready).max(0)),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    status["terminatingReplicas"] = json!(counts.terminating);
    if deployment["status"]["collisionCount"].is_number() {
        status["collisionCount"] = deployment["status"]["collisionCount"].clone();
    }
    let (value, reason, message) = if counts.ready >= counts.least {
        ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    } else {
        ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    };
    let mut conditions = vec![condition(deployment, "Available", value, reason, message, now)];
    match progress {
        Some(progress) => {
            let mut shown = condition(deployment, "Progressing", progress.value, progress.reason, &progress.message, now);
            if progress.moved {
                shown["lastUpdateTime"] = json!(now);
            }
            conditions.push(shown);
        }
        None => conditions.extend(former(deployment, "Progressing").cloned()),
    }
    if let Some(message) = &counts.failure {
        conditions.push(condition(deployment, "ReplicaFailure", "True", "FailedCreate", message, now));
    }
    status["conditions"] = Value::Array(conditions);
    status
}

/// The condition of this type that an object has.
pub(crate) fn former<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array);
    conditions.into_iter().flatten().find(|condition| condition["type"] == kind)
}

fn condition(deployment: &Value, kind: &str, value: &str, reason: &str, message: &str, now: &str) -> Value {
    let former = former(deployment, kind);
    let stamp = |field: &str, same: bool| match former {
        Some(former) if same => former[field].clone(),
        _ => json!(now),
    };
    let same_value = former.is_some_and(|former| former["status"] == value);
    let same = same_value && former.is_some_and(|former| former["reason"] == reason);
    json!({
        "type": kind, "status": value, "reason": reason, "message": message,
        "lastUpdateTime": stamp("lastUpdateTime", same), "lastTransitionTime": stamp("lastTransitionTime", same_value),
    })
}
