//! Deployments: the initial one and the status.
//!
//! It must not create or remove Pods (the controller does), nor admit what clients send (`admit` does). Invariant: the status follows
//! from the Deployment and its Pods alone.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::admit::defaults;
use super::resource::Resource;

/// The Deployment of a fresh cluster, as the scaling procedure describes it.
pub(crate) fn initial(uid: &str, created: &str) -> Value {
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {
            "name": "ticket-service", "namespace": "production", "uid": uid, "creationTimestamp": created, "generation": 1,
            "labels": { "app": "ticket-service" }, "annotations": { "deployment.kubernetes.io/revision": "1" },
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

/// The hash that names the template of a Deployment's Pods: ten characters, the same for the same template.
pub(crate) fn template_hash(deployment: &Value) -> String {
    let digest = Sha256::digest(deployment["spec"]["template"].to_string());
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
}

/// What the Pods of a Deployment look like from its status.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Counts {
    pub(crate) pods: i64,
    pub(crate) updated: i64,
    pub(crate) ready: i64,
    pub(crate) terminating: i64,
    /// Whether the cluster had no room for another Pod.
    pub(crate) full: bool,
}

/// The status for these counts; `now` stamps the conditions that changed.
pub(crate) fn status(deployment: &Value, counts: Counts, now: &str) -> Value {
    let wanted = deployment["spec"]["replicas"].as_i64().unwrap_or(0);
    let mut status = json!({ "observedGeneration": deployment["metadata"]["generation"] });
    for (field, count) in [
        ("replicas", counts.pods),
        ("updatedReplicas", counts.updated),
        ("readyReplicas", counts.ready),
        ("availableReplicas", counts.ready),
        ("unavailableReplicas", (wanted - counts.ready).max(0)),
        ("terminatingReplicas", counts.terminating),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    // The default maxUnavailable of 25%, rounded down.
    let available = counts.ready >= wanted - wanted / 4;
    let complete = counts.updated == wanted && counts.ready == wanted && counts.pods == wanted;
    let mut conditions = vec![
        if available {
            condition(deployment, "Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.", now)
        } else {
            condition(deployment, "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", now)
        },
        if complete {
            condition(deployment, "Progressing", "True", "NewReplicaSetAvailable", "ReplicaSet has successfully progressed.", now)
        } else {
            condition(deployment, "Progressing", "True", "ReplicaSetUpdated", "ReplicaSet is progressing.", now)
        },
    ];
    if counts.full {
        let message = "pods are forbidden: exceeded quota: the sandbox has room for a limited number of pods";
        conditions.push(condition(deployment, "ReplicaFailure", "True", "FailedCreate", message, now));
    }
    status["conditions"] = Value::Array(conditions);
    status
}

fn condition(deployment: &Value, kind: &str, value: &str, reason: &str, message: &str, now: &str) -> Value {
    let former = deployment.pointer("/status/conditions").and_then(Value::as_array);
    let former = former.into_iter().flatten().find(|condition| condition["type"] == kind);
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
