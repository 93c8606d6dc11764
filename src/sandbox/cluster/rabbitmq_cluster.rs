//! RabbitmqClusters (rabbitmq.com/v1beta1): the one that a fresh cluster has, in a namespace of its own.
//!
//! It must not make Pods (the operator's loop and the StatefulSet's controller do). Invariant: the definition is RabbitMQ's own as far as the playbooks go: a
//! count of replicas, and conditions.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::resource::Resource;
use super::store::Store;
use super::{controller, namespace};

/// Where it lives.
pub(crate) const NAMESPACE: &str = "messaging";
/// Its name.
pub(crate) const NAME: &str = "rabbitmq";
/// How many nodes it has at first.
pub(crate) const NODES: i64 = 3;

/// An object of the kind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RabbitmqCluster {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Map<String, Value>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Spec {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// Gives a cluster its RabbitMQ, where it has none: the namespace tells whether it ever had. Whether it was given now.
pub(crate) fn furnish(store: &mut Store, now: u64) -> bool {
    if store.get(Resource::Namespaces, "", NAMESPACE).is_some() {
        return false;
    }
    let created = controller::stamp(now);
    store.put(Resource::Namespaces, namespace::object(NAMESPACE, &Uuid::now_v7().to_string(), &created), None);
    let object = json!({
        "apiVersion": Resource::RabbitmqClusters.api_version(), "kind": "RabbitmqCluster",
        "metadata": {
            "name": NAME, "namespace": NAMESPACE, "uid": Uuid::now_v7().to_string(), "creationTimestamp": created, "generation": 1,
            "labels": { "app": NAME },
        },
        "spec": { "replicas": NODES, "image": "rabbitmq:3.10.8-management" },
        "status": {},
    });
    store.put(Resource::RabbitmqClusters, object, None);
    true
}
