//! ScaledObjects: their type, what their definition (CRD) makes invalid, and what KEDA's admission webhook refuses.
//!
//! It must not compare with what is stored of the same object. Invariant: the webhook sees only what the definition has let through, as there.

use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscalerBehavior;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::problems::Problems;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::scaled_object::{hpa_name, least, most, target, triggers};
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::cluster::store::{Store, text};

/// The object; what it does not name is dropped.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ScaledObject {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: ObjectMeta,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Spec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(skip_serializing_if = "Option::is_none")]
    scale_target_ref: Option<Target>,
    #[serde(skip_serializing_if = "Option::is_none")]
    polling_interval: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_cooldown_period: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown_period: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_replica_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_replica_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_replica_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    advanced: Option<Advanced>,
    #[serde(skip_serializing_if = "Option::is_none")]
    triggers: Option<Vec<Trigger>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<Fallback>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env_source_container_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    #[serde(skip_serializing_if = "Option::is_none")]
    horizontal_pod_autoscaler_config: Option<HpaConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restore_to_original_replica_count: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scaling_modifiers: Option<Map<String, Value>>,
}

#[derive(Serialize, Deserialize)]
struct HpaConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<HorizontalPodAutoscalerBehavior>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Trigger {
    #[serde(skip_serializing_if = "Option::is_none")]
    authentication_ref: Option<AuthenticationRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metric_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    use_cached_metrics: Option<bool>,
}

#[derive(Serialize, Deserialize)]
struct AuthenticationRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fallback {
    #[serde(skip_serializing_if = "Option::is_none")]
    behavior: Option<String>,
    failure_threshold: i32,
    replicas: i32,
}

/// What the definition makes invalid.
pub(super) fn validate(object: &Value, problems: &mut Problems) {
    let spec = &object["spec"];
    if text(spec, "/scaleTargetRef/name").is_empty() {
        problems.required("spec.scaleTargetRef.name");
    }
    if !spec["triggers"].is_array() {
        problems.required("spec.triggers");
    } else if triggers(object).is_empty() {
        problems.invalid("spec.triggers", &json!(0), "spec.triggers in body should have at least 1 items");
    }
    for (nth, trigger) in triggers(object).iter().enumerate() {
        let at = format!("spec.triggers[{nth}]");
        if text(trigger, "/type").is_empty() {
            problems.required(format!("{at}.type"));
        }
        match trigger["metadata"].as_object() {
            None => problems.required(format!("{at}.metadata")),
            Some(metadata) => {
                for (key, value) in metadata.iter().filter(|(_, value)| !value.is_string()) {
                    let (field, kind) = (format!("{at}.metadata.{key}"), if value.is_number() { "integer" } else { "boolean" });
                    problems.invalid(field.clone(), &json!(kind), &format!("{field} in body must be of type string: \"{kind}\""));
                }
            }
        }
    }
    for (field, lowest) in [
        ("pollingInterval", 1),
        ("cooldownPeriod", 0),
        ("initialCooldownPeriod", 0),
        ("idleReplicaCount", 0),
        ("minReplicaCount", 0),
        ("maxReplicaCount", 1),
    ] {
        if let Some(count) = spec[field].as_i64().filter(|count| *count < lowest) {
            let why = format!("spec.{field} in body should be greater than or equal to {lowest}");
            problems.invalid(format!("spec.{field}"), &json!(count), &why);
        }
    }
    if spec["minReplicaCount"].is_i64() && least(object) > most(object) {
        problems.add("spec", "Invalid value: minReplicaCount must be less than or equal to maxReplicaCount");
    }
}

/// What KEDA's webhook refuses.
pub(crate) fn webhook(store: &Store, object: &Value) -> Result<(), ApiError> {
    refusal(store, object).map_or(Ok(()), |why| Err(ApiError::denied("vscaledobject.kb.io", &why)))
}

fn refusal(store: &Store, object: &Value) -> Option<String> {
    let (namespace, own) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let (kind, name) = target(object);
    let of = |what: &str| format!("the workload '{name}' of type 'apps/v1.{kind}' is already managed by {what}");
    let others = || store.list(Resource::ScaledObjects, Some(namespace)).filter(|entry| text(&entry.object, "/metadata/name") != own);
    if let Some(other) = others().find(|entry| target(&entry.object) == (kind, name)) {
        return Some(of(&format!("the ScaledObject '{}'", text(&other.object, "/metadata/name"))));
    }
    let hpa = hpa_name(object);
    if let Some(other) = others().find(|entry| hpa_name(&entry.object) == hpa) {
        return Some(format!("the HPA '{hpa}' is already managed by the ScaledObject '{}'", text(&other.object, "/metadata/name")));
    }
    for entry in store.list(Resource::HorizontalPodAutoscalers, Some(namespace)) {
        let found = &entry.object;
        if found["metadata"]["annotations"]["validations.keda.sh/hpa-ownership"] == "false"
            || (text(found, "/spec/scaleTargetRef/kind"), text(found, "/spec/scaleTargetRef/name")) != (kind, name)
        {
            continue;
        }
        let owners = found["metadata"]["ownerReferences"].as_array();
        let owned = owners.into_iter().flatten().any(|owner| owner["kind"] == "ScaledObject" && owner["name"] == own);
        let given_over = object["metadata"]["annotations"]["scaledobject.keda.sh/transfer-hpa-ownership"] == "true"
            && hpa == text(found, "/metadata/name");
        if !owned && !given_over {
            return Some(of(&format!("the hpa '{}'", text(found, "/metadata/name"))));
        }
    }
    if let Some(idle) = object["spec"]["idleReplicaCount"].as_i64().filter(|idle| *idle >= least(object)) {
        return Some(format!("IdleReplicaCount={idle} must be less than MinReplicaCount={}", least(object)));
    }
    let mut names: Vec<&str> = triggers(object).iter().map(|trigger| text(trigger, "/name")).filter(|name| !name.is_empty()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find_map(|pair| (pair[0] == pair[1]).then_some(pair[0])) {
        return Some(format!("triggerName \"{twice}\" is defined multiple times in the ScaledObject/ScaledJob, but it must be unique"));
    }
    if least(object) == 0 && triggers(object).iter().all(|trigger| matches!(text(trigger, "/type"), "cpu" | "memory")) {
        return Some("scaledobject has only cpu/memory triggers AND minReplica is 0 (scale to zero doesn't work in this case)".to_owned());
    }
    None
}
