//! Deployments: the initial one, defaults, validation, the `scale` view and the status.
//!
//! It must not create or remove Pods (the controller does). Invariant: what is stored has passed through the typed object of the real
//! API, so a typed client can always read it.

use k8s_openapi::api::apps::v1::Deployment;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::resource::Resource;
use super::status_error::ApiError;
use super::store::text;

const KIND: &str = "Deployment.apps";

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
    fill_defaults(&mut object);
    object
}

/// Reads what a client sent as the typed object, which drops unknown fields, and fills the defaults.
///
/// # Errors
/// `on_mismatch` with the reason when a field has the wrong type; 422 when a value is invalid.
pub(crate) fn admit(object: &Value, on_mismatch: impl Fn(String) -> ApiError) -> Result<Value, ApiError> {
    let typed: Deployment = serde_json::from_value(object.clone()).map_err(|error| on_mismatch(error.to_string()))?;
    let mut admitted = serde_json::to_value(typed).map_err(|error| ApiError::internal(&error.to_string()))?;
    if !admitted["spec"].is_object() {
        return Err(ApiError::invalid(KIND, text(object, "/metadata/name"), "spec", "Required value"));
    }
    if !admitted["status"].is_object() {
        admitted["status"] = json!({});
    }
    fill_defaults(&mut admitted);
    validate(&admitted)?;
    Ok(admitted)
}

fn fill_defaults(object: &mut Value) {
    let spec = &mut object["spec"];
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    default(spec, "strategy", json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": "25%", "maxSurge": "25%" } }));
    let template = &mut spec["template"]["spec"];
    default(template, "restartPolicy", json!("Always"));
    default(template, "terminationGracePeriodSeconds", json!(30));
    default(template, "dnsPolicy", json!("ClusterFirst"));
    default(template, "securityContext", json!({}));
    default(template, "schedulerName", json!("default-scheduler"));
    if let Some(Value::Array(containers)) = template.get_mut("containers") {
        for container in containers {
            default(container, "resources", json!({}));
            default(container, "terminationMessagePath", json!("/dev/termination-log"));
            default(container, "terminationMessagePolicy", json!("File"));
            default(container, "imagePullPolicy", json!("IfNotPresent"));
        }
    }
}

fn default(parent: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = parent {
        fields.entry(name).or_insert(value);
    }
}

fn validate(object: &Value) -> Result<(), ApiError> {
    let name = text(object, "/metadata/name");
    let invalid = |field: &str, problem: String| Err(ApiError::invalid(KIND, name, field, &problem));
    if !dns_label(name) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        return invalid("metadata.name", format!("Invalid value: \"{name}\": {rule}"));
    }
    check_replicas(KIND, name, &object["spec"])?;
    let wanted = object.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let Some(wanted) = wanted.filter(|labels| !labels.is_empty()) else {
        return invalid("spec.selector", "Required value".to_owned());
    };
    let labels = object.pointer("/spec/template/metadata/labels");
    if wanted.iter().any(|(key, value)| labels.and_then(|labels| labels.get(key)) != Some(value)) {
        return invalid("spec.template.metadata.labels", "`selector` does not match template `labels`".to_owned());
    }
    match object.pointer("/spec/template/spec/containers").and_then(Value::as_array) {
        Some(containers) if !containers.is_empty() => Ok(()),
        _ => invalid("spec.template.spec.containers", "Required value".to_owned()),
    }
}

fn check_replicas(kind: &str, name: &str, spec: &Value) -> Result<(), ApiError> {
    match spec["replicas"].as_i64() {
        Some(count) if count < 0 => {
            let problem = format!("Invalid value: {count}: must be greater than or equal to 0");
            Err(ApiError::invalid(kind, name, "spec.replicas", &problem))
        }
        _ => Ok(()),
    }
}

/// Whether the text may name an object.
pub(crate) fn dns_label(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 253
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-' || c == '.')
}

/// The update of a stored Deployment by a client's version of it: identity, status and generation stay the server's.
///
/// # Errors
/// 409 when the client's version is not the stored one, 422 for an immutable field.
pub(crate) fn update(stored: &Value, mut wanted: Value) -> Result<Value, ApiError> {
    let name = text(stored, "/metadata/name");
    for field in ["resourceVersion", "uid"] {
        let claimed = wanted["metadata"][field].as_str().unwrap_or_default();
        if !claimed.is_empty() && claimed != text(stored, &format!("/metadata/{field}")) {
            return Err(ApiError::conflict(Resource::Deployments, name));
        }
    }
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation"] {
        wanted["metadata"][field] = stored["metadata"][field].clone();
    }
    wanted["status"] = stored["status"].clone();
    if wanted["spec"]["selector"] != stored["spec"]["selector"] {
        return Err(ApiError::invalid(KIND, name, "spec.selector", "Invalid value: field is immutable"));
    }
    if wanted["spec"] != stored["spec"] {
        wanted["metadata"]["generation"] = json!(stored["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    Ok(wanted)
}

/// The `autoscaling/v1` Scale of a Deployment. As in the real one, zero replicas are left out of `spec`.
pub(crate) fn scale_of(deployment: &Value) -> Value {
    let metadata = &deployment["metadata"];
    let mut scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": { "replicas": deployment["status"]["replicas"].as_i64().unwrap_or(0), "selector": selector_text(deployment) },
    });
    match deployment["spec"]["replicas"].as_i64() {
        Some(0) | None => {}
        Some(replicas) => scale["spec"]["replicas"] = json!(replicas),
    }
    scale
}

/// The Deployment with the replicas of `scale`.
///
/// # Errors
/// 400 for what is no Scale, 409 for another version, 422 for a negative count.
pub(crate) fn with_scale(stored: &Value, scale: &Value) -> Result<Value, ApiError> {
    let name = text(stored, "/metadata/name");
    if scale["kind"] != "Scale" || scale["apiVersion"] != "autoscaling/v1" {
        return Err(ApiError::bad_request("the body must be an autoscaling/v1 Scale"));
    }
    if text(scale, "/metadata/name") != name {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        value => match value.as_i64().and_then(|count| i32::try_from(count).ok()) {
            Some(count) => count,
            None => return Err(ApiError::bad_request(format!("spec.replicas: cannot use {value} as an int32"))),
        },
    };
    check_replicas("Scale.autoscaling", name, &json!({ "replicas": replicas }))?;
    let mut wanted = stored.clone();
    wanted["metadata"]["resourceVersion"] = scale["metadata"]["resourceVersion"].clone();
    wanted["spec"]["replicas"] = json!(replicas);
    update(stored, wanted)
}

fn selector_text(deployment: &Value) -> String {
    let labels = deployment.pointer("/spec/selector/matchLabels").and_then(Value::as_object);
    let mut pairs: Vec<String> =
        labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
    pairs.sort();
    pairs.join(",")
}

/// The hash that names the template of a Deployment's Pods: ten characters, the same for the same template in whatever order.
pub(crate) fn template_hash(deployment: &Value) -> String {
    let mut text = String::new();
    ordered(&deployment["spec"]["template"], &mut text);
    let digest = Sha256::digest(text);
    digest.iter().take(5).map(|byte| format!("{byte:02x}")).collect()
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
        ("terminatingReplicas", counts.terminating),
    ] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
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
