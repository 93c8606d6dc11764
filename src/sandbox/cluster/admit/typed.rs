//! The typed objects of the real API and of definitions (CRDs), by kind.
//!
//! It must not fill defaults. Invariant: each kind the cluster serves has its type here, so an object without one does not compile.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Endpoints, Event, Namespace, Node, Pod, ResourceQuota, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::scaled_object::ScaledObject;
use crate::sandbox::cluster::rabbitmq_cluster::RabbitmqCluster;
use crate::sandbox::cluster::resource::Resource;

/// The object as its type reads and writes it: unknown fields are gone, members are in the type's order.
pub(super) fn round_trip(resource: Resource, object: &Value) -> Result<Value, serde_json::Error> {
    match resource {
        Resource::Namespaces => through::<Namespace>(object),
        Resource::Nodes => through::<Node>(object),
        Resource::Pods => through::<Pod>(object),
        Resource::Services => through::<Service>(object),
        Resource::Endpoints => through::<Endpoints>(object),
        Resource::ConfigMaps => through::<ConfigMap>(object),
        Resource::Events => through::<Event>(object),
        Resource::ResourceQuotas => through::<ResourceQuota>(object),
        Resource::Deployments => through::<Deployment>(object),
        Resource::ReplicaSets => through::<ReplicaSet>(object),
        Resource::StatefulSets => through::<StatefulSet>(object),
        Resource::Jobs => through::<Job>(object),
        Resource::HorizontalPodAutoscalers => through::<HorizontalPodAutoscaler>(object),
        Resource::EndpointSlices => through::<EndpointSlice>(object),
        Resource::Leases => through::<Lease>(object),
        Resource::PodDisruptionBudgets => through::<PodDisruptionBudget>(object),
        Resource::RabbitmqClusters => through::<RabbitmqCluster>(object),
        Resource::Applications | Resource::AppProjects => through::<Custom>(object),
        Resource::ScaledObjects => through::<ScaledObject>(object),
    }
}

/// An object of a custom resource: its metadata as all have it, and the rest as it is.
#[derive(serde::Deserialize, Serialize)]
struct Custom {
    #[serde(rename = "apiVersion", default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(flatten)]
    rest: serde_json::Map<String, Value>,
}

fn through<T: DeserializeOwned + Serialize>(object: &Value) -> Result<Value, serde_json::Error> {
    let typed: T = T::deserialize(object)?;
    serde_json::to_value(typed)
}
