//! RabbitMQ's cluster operator: the StatefulSet of each RabbitmqCluster follows it.
//!
//! It must not change a RabbitmqCluster's `spec`. Invariant: the StatefulSet has the replicas that the RabbitmqCluster says, whoever changes them.

use serde_json::{Value, json};
use uuid::Uuid;

use super::Cluster;
use super::owners::{leaves, name, namespace};
use crate::sandbox::cluster::admit::defaults;
use crate::sandbox::cluster::deployment::former;
use crate::sandbox::cluster::pod;
use crate::sandbox::cluster::resource::Resource;

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::RabbitmqClusters) {
        if !leaves(&entry.object) {
            follow(cluster, &entry.object);
            report(cluster, &entry.object);
        }
    }
}

fn wanted(object: &Value) -> i64 {
    object["spec"]["replicas"].as_i64().unwrap_or(1)
}

fn set_name(object: &Value) -> String {
    format!("{}-server", name(object))
}

fn follow(cluster: &mut Cluster<'_>, object: &Value) {
    let existing = cluster.store.get(Resource::StatefulSets, namespace(object), &set_name(object)).cloned();
    let Some(entry) = existing else {
        let set = stateful_set(cluster, object);
        cluster.put(Resource::StatefulSets, set, None);
        return;
    };
    if leaves(&entry.object) || entry.object["spec"]["replicas"] == wanted(object) {
        return;
    }
    let mut set = Value::clone(&entry.object);
    set["spec"]["replicas"] = json!(wanted(object));
    set["metadata"]["generation"] = json!(set["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    cluster.put(Resource::StatefulSets, set, None);
}

fn stateful_set(cluster: &Cluster<'_>, object: &Value) -> Value {
    let (own, labels) = (name(object), json!({ "app.kubernetes.io/name": name(object), "app.kubernetes.io/component": "rabbitmq" }));
    let mut set = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": set_name(object), "namespace": namespace(object), "uid": Uuid::now_v7().to_string(),
            "creationTimestamp": cluster.moment.stamp(), "generation": 1, "labels": labels, "ownerReferences": [pod::reference(object)],
        },
        "spec": {
            "replicas": wanted(object), "serviceName": format!("{own}-nodes"), "podManagementPolicy": "Parallel",
            "selector": { "matchLabels": { "app.kubernetes.io/name": own } },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{
                    "name": "rabbitmq", "image": object["spec"]["image"].as_str().unwrap_or("rabbitmq:3.10.8-management"),
                    "ports": [
                        { "name": "amqp", "containerPort": 5672, "protocol": "TCP" },
                        { "name": "management", "containerPort": 15672, "protocol": "TCP" },
                    ],
                    "resources": { "requests": { "cpu": "250m", "memory": "1Gi" }, "limits": { "cpu": "1000m", "memory": "2Gi" } },
                }] },
            },
        },
        "status": {},
    });
    defaults::fill(Resource::StatefulSets, &mut set);
    set
}

fn report(cluster: &mut Cluster<'_>, object: &Value) {
    let set = cluster.store.get(Resource::StatefulSets, namespace(object), &set_name(object));
    let ready = set.map_or(0, |entry| entry.object["status"]["readyReplicas"].as_i64().unwrap_or(0));
    let now = cluster.moment.stamp();
    let condition = |kind: &str, holds: bool, reason: &str, message: String| {
        let value = if holds { "True" } else { "False" };
        let since = former(object, kind).filter(|former| former["status"] == value).map(|former| former["lastTransitionTime"].clone());
        let mut condition =
            json!({ "type": kind, "status": value, "reason": reason, "lastTransitionTime": since.unwrap_or_else(|| json!(now)) });
        if !message.is_empty() {
            condition["message"] = json!(message);
        }
        condition
    };
    let all = ready == wanted(object);
    let replicas = if all {
        condition("AllReplicasReady", true, "AllPodsAreReady", String::new())
    } else {
        condition("AllReplicasReady", false, "NotAllPodsReady", format!("{ready}/{} Pods ready", wanted(object)))
    };
    let available = if ready > 0 { "AtLeastOneEndpointAvailable" } else { "NoEndpointsAvailable" };
    let mut after = object.clone();
    after["status"] = json!({
        "observedGeneration": object["metadata"]["generation"],
        "conditions": [
            replicas,
            condition("ClusterAvailable", ready > 0, available, String::new()),
            condition("NoWarnings", true, "NoWarnings", String::new()),
            condition("ReconcileSuccess", true, "Success", "Finish reconciling".to_owned()),
        ],
    });
    cluster.update(Resource::RabbitmqClusters, object, after);
}
