//! What makes an object invalid, by kind, in the words of the API server.
//!
//! It must not compare with what is stored (`update` does). Invariant: it finds every problem it knows, not only the first.

use serde_json::{Value, json};

use super::pod_spec;
use super::problems::Problems;
use super::update::dns_label;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::text;

const NAME_RULE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";

/// What is wrong with an object.
pub(super) fn validate(resource: Resource, object: &Value) -> Problems {
    let mut problems = Problems::default();
    let name = text(object, "/metadata/name");
    if name.is_empty() {
        problems.add("metadata.name", "Required value: name or generateName is required");
    } else if !dns_label(name) {
        problems.invalid("metadata.name", &json!(name), NAME_RULE);
    }
    let spec = &object["spec"];
    match resource {
        Resource::Deployments => {
            at_least_zero(spec, "replicas", &mut problems);
            strategy(&spec["strategy"], &mut problems);
            selected_template(resource, spec, &mut problems);
        }
        Resource::ReplicaSets | Resource::StatefulSets => {
            at_least_zero(spec, "replicas", &mut problems);
            selected_template(resource, spec, &mut problems);
        }
        Resource::Jobs => job(spec, &mut problems),
        Resource::Pods => pod_spec::validate(spec, "spec", &mut problems),
        Resource::HorizontalPodAutoscalers => autoscaler(spec, &mut problems),
        Resource::Services => service(spec, &mut problems),
        Resource::ScaledObjects => super::scaled_object::validate(object, &mut problems),
        Resource::PodDisruptionBudgets => {
            if !spec["minAvailable"].is_null() && !spec["maxUnavailable"].is_null() {
                problems.invalid("spec", spec, "minAvailable and maxUnavailable cannot be both set");
            }
        }
        Resource::Leases => {
            if let Some(seconds) = spec["leaseDurationSeconds"].as_i64().filter(|seconds| *seconds <= 0) {
                problems.invalid("spec.leaseDurationSeconds", &json!(seconds), "must be greater than 0");
            }
        }
        Resource::Applications => {
            for field in ["destination", "project"].into_iter().filter(|field| spec[*field].is_null()) {
                problems.required(format!("spec.{field}"));
            }
        }
        Resource::EndpointSlices => match text(object, "/addressType") {
            "" => problems.required("addressType"),
            "IPv4" | "IPv6" | "FQDN" => {}
            _ => problems.unsupported("addressType", &object["addressType"], &["FQDN", "IPv4", "IPv6"]),
        },
        Resource::Namespaces
        | Resource::Nodes
        | Resource::Endpoints
        | Resource::ConfigMaps
        | Resource::Events
        | Resource::ResourceQuotas
        | Resource::AppProjects => {}
        Resource::RabbitmqClusters => at_least_zero(spec, "replicas", &mut problems),
    }
    problems
}

/// Adds that a count is negative.
pub(super) fn at_least_zero(spec: &Value, field: &str, problems: &mut Problems) {
    if let Some(count) = spec[field].as_i64().filter(|count| *count < 0) {
        problems.invalid(format!("spec.{field}"), &json!(count), "must be greater than or equal to 0");
    }
}

fn strategy(strategy: &Value, problems: &mut Problems) {
    match text(strategy, "/type") {
        "RollingUpdate" => {
            let none = |field: &str| matches!(&strategy["rollingUpdate"][field], value if *value == 0 || *value == "0%");
            if none("maxUnavailable") && none("maxSurge") {
                let value = strategy["rollingUpdate"]["maxUnavailable"].clone();
                problems.invalid("spec.strategy.rollingUpdate.maxUnavailable", &value, "may not be 0 when `maxSurge` is 0");
            }
        }
        "Recreate" if !strategy["rollingUpdate"].is_null() => {
            problems.forbidden("spec.strategy.rollingUpdate", "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        _ => problems.unsupported("spec.strategy.type", &strategy["type"], &["Recreate", "RollingUpdate"]),
    }
}

fn selected_template(resource: Resource, spec: &Value, problems: &mut Problems) {
    let selector = &spec["selector"];
    let labels = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array().is_some_and(|list| !list.is_empty());
    if !selector.is_object() {
        problems.required("spec.selector");
    } else if labels.is_none_or(serde_json::Map::is_empty) && !expressions {
        let why = format!("empty selector is invalid for {}", resource.kind().to_lowercase());
        problems.invalid("spec.selector", selector, &why);
    }
    let given = spec.pointer("/template/metadata/labels");
    if labels.into_iter().flatten().any(|(key, value)| given.and_then(|given| given.get(key)) != Some(value)) {
        let why = "`selector` does not match template `labels`";
        problems.invalid("spec.template.metadata.labels", given.unwrap_or(&Value::Null), why);
    }
    pod_spec::validate(&spec["template"]["spec"], "spec.template.spec", problems);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if *policy != "Always" {
        problems.unsupported("spec.template.spec.restartPolicy", policy, &["Always"]);
    }
}

fn job(spec: &Value, problems: &mut Problems) {
    for field in ["parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"] {
        at_least_zero(spec, field, problems);
    }
    pod_spec::validate(&spec["template"]["spec"], "spec.template.spec", problems);
    let policy = &spec["template"]["spec"]["restartPolicy"];
    if *policy != "OnFailure" && *policy != "Never" {
        problems.unsupported("spec.template.spec.restartPolicy", policy, &["OnFailure", "Never"]);
    }
}

fn autoscaler(spec: &Value, problems: &mut Problems) {
    for field in ["kind", "name"] {
        if text(&spec["scaleTargetRef"], &format!("/{field}")).is_empty() {
            problems.required(format!("spec.scaleTargetRef.{field}"));
        }
    }
    let (least, most) = (spec["minReplicas"].as_i64().unwrap_or(1), spec["maxReplicas"].as_i64().unwrap_or(0));
    if least < 1 {
        problems.invalid("spec.minReplicas", &json!(least), "must be greater than or equal to 1");
    }
    if most < 1 {
        problems.invalid("spec.maxReplicas", &json!(most), "must be greater than 0");
    }
    if most < least {
        problems.invalid("spec.maxReplicas", &json!(most), "must be greater than or equal to `minReplicas`");
    }
    for direction in ["scaleUp", "scaleDown"] {
        let window = spec["behavior"][direction]["stabilizationWindowSeconds"].as_i64();
        let field = format!("spec.behavior.{direction}.stabilizationWindowSeconds");
        match window {
            Some(seconds) if seconds < 0 => problems.invalid(field, &json!(seconds), "must be greater than or equal to zero"),
            Some(seconds) if seconds > 3600 => problems.invalid(field, &json!(seconds), "must be less than or equal to 3600"),
            _ => {}
        }
    }
}

fn service(spec: &Value, problems: &mut Problems) {
    let ports = spec["ports"].as_array().map(Vec::as_slice).unwrap_or_default();
    if ports.is_empty() && spec["clusterIP"] != "None" && spec["type"] != "ExternalName" {
        problems.required("spec.ports");
    }
    for (nth, port) in ports.iter().enumerate() {
        if !port["port"].as_i64().is_some_and(|number| (1..=65535).contains(&number)) {
            problems.invalid(format!("spec.ports[{nth}].port"), &port["port"], "must be between 1 and 65535, inclusive");
        }
        if ports.len() > 1 && text(port, "/name").is_empty() {
            problems.required(format!("spec.ports[{nth}].name"));
        }
    }
}
