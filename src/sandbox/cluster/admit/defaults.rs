//! The defaults that the API server fills, by kind.
//!
//! It must not overwrite what was sent. Invariant: filling twice changes nothing the second time.

use serde_json::{Map, Value, json};

use super::pod_spec::{self, each};
use crate::sandbox::cluster::qos;
use crate::sandbox::cluster::resource::Resource;

/// Fills what is missing.
pub(crate) fn fill(resource: Resource, object: &mut Value) {
    match resource {
        Resource::Deployments => deployment(&mut object["spec"]),
        Resource::ReplicaSets => {
            default(&mut object["spec"], "replicas", json!(1));
            template(&mut object["spec"]);
        }
        Resource::StatefulSets => {
            stateful_set(&mut object["spec"]);
            default(&mut object["status"], "availableReplicas", json!(0));
        }
        Resource::Jobs => job(&mut object["spec"]),
        Resource::Pods => pod(object),
        Resource::HorizontalPodAutoscalers => autoscaler(&mut object["spec"]),
        Resource::Services => service(&mut object["spec"]),
        Resource::Endpoints => each(object, "subsets", |subset| each(subset, "ports", |port| default(port, "protocol", json!("TCP")))),
        Resource::EndpointSlices => each(object, "ports", |port| {
            default(port, "name", json!(""));
            default(port, "protocol", json!("TCP"));
        }),
        Resource::Namespaces => {
            default(object, "spec", json!({}));
            default(&mut object["spec"], "finalizers", json!(["kubernetes"]));
            default(&mut object["status"], "phase", json!("Active"));
            let name = object["metadata"]["name"].clone();
            default(&mut object["metadata"], "labels", json!({}));
            default(&mut object["metadata"]["labels"], "kubernetes.io/metadata.name", name);
        }
        Resource::Events => {
            for (field, value) in [("source", json!({})), ("reportingComponent", json!("")), ("reportingInstance", json!(""))] {
                default(object, field, value);
            }
        }
        Resource::RabbitmqClusters => default(&mut object["spec"], "replicas", json!(1)),
        Resource::Nodes
        | Resource::ConfigMaps
        | Resource::ResourceQuotas
        | Resource::Leases
        | Resource::PodDisruptionBudgets
        | Resource::Applications
        | Resource::AppProjects
        | Resource::ScaledObjects => {}
    }
}

/// Sets a member that is missing or null.
pub(crate) fn default(parent: &mut Value, name: &str, value: Value) {
    if let Value::Object(fields) = parent {
        let field = fields.entry(name).or_insert(Value::Null);
        if field.is_null() {
            *field = value;
        }
    }
}

fn template(spec: &mut Value) {
    if let Some(template) = spec.get_mut("template") {
        default(template, "spec", json!({}));
        pod_spec::fill(&mut template["spec"]);
    }
}

fn deployment(spec: &mut Value) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "progressDeadlineSeconds", json!(600));
    default(spec, "strategy", json!({}));
    let strategy = &mut spec["strategy"];
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        default(&mut strategy["rollingUpdate"], "maxUnavailable", json!("25%"));
        default(&mut strategy["rollingUpdate"], "maxSurge", json!("25%"));
    }
    template(spec);
}

fn stateful_set(spec: &mut Value) {
    default(spec, "replicas", json!(1));
    default(spec, "revisionHistoryLimit", json!(10));
    default(spec, "podManagementPolicy", json!("OrderedReady"));
    default(spec, "persistentVolumeClaimRetentionPolicy", json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }));
    default(spec, "updateStrategy", json!({}));
    let strategy = &mut spec["updateStrategy"];
    default(strategy, "type", json!("RollingUpdate"));
    if strategy["type"] == "RollingUpdate" {
        default(strategy, "rollingUpdate", json!({}));
        default(&mut strategy["rollingUpdate"], "partition", json!(0));
    }
    template(spec);
}

fn job(spec: &mut Value) {
    if spec["completions"].is_null() && spec["parallelism"].is_null() {
        default(spec, "completions", json!(1));
    }
    default(spec, "parallelism", json!(1));
    default(spec, "backoffLimit", json!(6));
    default(spec, "completionMode", json!("NonIndexed"));
    default(spec, "suspend", json!(false));
    default(spec, "manualSelector", json!(false));
    default(spec, "podReplacementPolicy", json!("TerminatingOrFailed"));
    template(spec);
}

fn pod(object: &mut Value) {
    default(object, "spec", json!({}));
    let spec = &mut object["spec"];
    pod_spec::fill(spec);
    default(spec, "enableServiceLinks", json!(true));
    default(spec, "priority", json!(0));
    default(spec, "preemptionPolicy", json!("PreemptLowerPriority"));
    // Every Pod bears the loss of its node for a while.
    default(spec, "tolerations", json!([]));
    for key in ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"] {
        if let Some(tolerations) = spec["tolerations"].as_array_mut()
            && !tolerations.iter().any(|toleration| toleration["key"] == key)
        {
            tolerations.push(json!({ "key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300 }));
        }
    }
    // A Pod of its own asks for what it is limited to, where it asks for nothing.
    each(spec, "containers", |container| {
        let Some(Value::Object(limits)) = container["resources"].get("limits").cloned() else { return };
        default(&mut container["resources"], "requests", Value::Object(Map::new()));
        for (name, limit) in limits {
            default(&mut container["resources"]["requests"], &name, limit);
        }
    });
    default(object, "status", json!({}));
    default(&mut object["status"], "phase", json!("Pending"));
    let class = qos::class(&object["spec"]);
    default(&mut object["status"], "qosClass", json!(class));
}

fn autoscaler(spec: &mut Value) {
    default(spec, "minReplicas", json!(1));
    if spec["metrics"].as_array().is_none_or(Vec::is_empty) {
        let target = json!({ "type": "Utilization", "averageUtilization": 80 });
        spec["metrics"] = json!([{ "type": "Resource", "resource": { "name": "cpu", "target": target } }]);
    }
    if !spec["behavior"].is_object() {
        return;
    }
    let behavior = &mut spec["behavior"];
    let percent = json!({ "type": "Percent", "value": 100, "periodSeconds": 15 });
    default(behavior, "scaleUp", json!({}));
    let up = &mut behavior["scaleUp"];
    default(up, "stabilizationWindowSeconds", json!(0));
    default(up, "selectPolicy", json!("Max"));
    default(up, "policies", json!([{ "type": "Pods", "value": 4, "periodSeconds": 15 }, percent]));
    default(behavior, "scaleDown", json!({}));
    let down = &mut behavior["scaleDown"];
    default(down, "selectPolicy", json!("Max"));
    default(down, "policies", json!([percent]));
}

fn service(spec: &mut Value) {
    for (field, value) in [
        ("type", json!("ClusterIP")),
        ("sessionAffinity", json!("None")),
        ("internalTrafficPolicy", json!("Cluster")),
        ("ipFamilies", json!(["IPv4"])),
        ("ipFamilyPolicy", json!("SingleStack")),
    ] {
        default(spec, field, value);
    }
    each(spec, "ports", |port| {
        default(port, "protocol", json!("TCP"));
        let number = port["port"].clone();
        default(port, "targetPort", number);
    });
}
