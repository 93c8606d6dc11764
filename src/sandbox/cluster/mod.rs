//! The simulated Kubernetes cluster: its objects, what it does by itself, and the API over them.
//!
//! It must not know of connections, files or faults on requests. Invariant: what a client sees is what the real API server would show for
//! these objects, in the same shapes.

pub(crate) mod accounts;
pub(crate) mod admit;
pub(crate) mod api;
pub(crate) mod argocd;
pub(crate) mod autoscaler;
pub(crate) mod controller;
pub(crate) mod delete;
pub(crate) mod deployment;
pub(crate) mod discovery;
pub(crate) mod list;
pub(crate) mod managed_fields;
pub(crate) mod meddle;
pub(crate) mod metrics;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod pod;
pub(crate) mod pod_log;
pub(crate) mod pod_proxy;
pub(crate) mod protobuf;
pub(crate) mod qos;
pub(crate) mod quantity;
pub(crate) mod rabbitmq_cluster;
pub(crate) mod resource;
pub(crate) mod rules;
pub(crate) mod scaled_object;
pub(crate) mod schema;
pub(crate) mod selector;
mod sent;
pub(crate) mod service;
pub(crate) mod status_error;
pub(crate) mod store;
pub(crate) mod strategic;
pub(crate) mod table;
pub(crate) mod watch;
pub(crate) mod write;

pub(crate) use store::Store;

pub use argocd::ArgoCd;
pub use autoscaler::Autoscaler;

use controller::{Memory, Moment};
use resource::Resource;
use uuid::Uuid;

use super::load::Load;

/// The uid of a cluster, by which clients know it.
pub(crate) fn uid(store: &Store) -> Option<String> {
    let found = store.get(Resource::Namespaces, "", "kube-system")?;
    found.object.pointer("/metadata/uid")?.as_str().map(str::to_owned)
}

/// The cluster as it is at first, with its two ready Pods; versions go on from `version`.
pub(crate) fn initial(cluster_uid: &str, version: u64, now: u64, autoscaler: Autoscaler, argocd: ArgoCd) -> (Store, Memory) {
    let (mut store, mut memory) = (Store::new(version), Memory::default());
    // All is brought up in the past, so that it is ready now.
    let mut past = Moment { now: now.saturating_sub(60_000), speed: 1.0 };
    let created = controller::stamp(past.now);
    for name in namespace::INITIAL {
        let uid = if name == "kube-system" { cluster_uid.to_owned() } else { Uuid::now_v7().to_string() };
        store.put(Resource::Namespaces, namespace::object(name, &uid, &created), None);
    }
    store.put(Resource::Deployments, deployment::initial(&Uuid::now_v7().to_string(), &created), None);
    furnish(&mut store, past.now);
    if let Some((resource, object)) = autoscaler.object(&Uuid::now_v7().to_string(), &created) {
        store.put(resource, object, None);
    }
    rabbitmq_cluster::furnish(&mut store, past.now);
    memory.argocd = controller::ArgoCdMemory::of(argocd.install(&mut store, &created, || Uuid::now_v7().to_string()));
    let applier = if memory.argocd.is_installed() { "argocd-controller" } else { "kubectl-client-side-apply" };
    managed_fields::claim_all(&mut store, applier, &created);
    let faults = super::fault::FaultSet::default();
    let traffic = super::traffic::Traffic::default();
    while let Some(due) = controller::reconcile(&mut store, &mut memory, &faults, Load::default(), &traffic, past).due {
        past.now = due.max(past.now + 1);
        if past.now > now {
            break;
        }
    }
    (store, memory)
}

/// What every cluster has beside its workloads: nodes, and the Service of the ticket service.
pub(crate) fn furnish(store: &mut Store, now: u64) {
    let created = controller::stamp(now);
    for (number, (name, zone)) in node::INITIAL.into_iter().enumerate() {
        store.put(Resource::Nodes, node::object(number, name, zone, &Uuid::now_v7().to_string(), &created), None);
    }
    if store.get(Resource::Services, "production", "ticket-service").is_none() {
        store.put(Resource::Services, service::initial(&Uuid::now_v7().to_string(), &created), None);
    }
}

/// The Deployments in words, `production/ticket-service 2/2 ready`, the autoscalers, `production/ticket-service-hpa 2..16, now 2`, and the Applications of
/// Argo CD, `argocd/ticket-service Synced, heals itself`.
pub(crate) fn summary(store: &Store) -> Vec<String> {
    let deployments = store.list(Resource::Deployments, None).map(|entry| {
        let object = &entry.object;
        let (namespace, name) = (store::text(object, "/metadata/namespace"), store::text(object, "/metadata/name"));
        let ready = object["status"]["readyReplicas"].as_i64().unwrap_or(0);
        format!("{namespace}/{name} {ready}/{} ready", object["spec"]["replicas"])
    });
    let autoscalers = store.list(Resource::HorizontalPodAutoscalers, None).map(|entry| controller::autoscaler_summary(&entry.object));
    let applications = store.list(Resource::Applications, None).map(|entry| argocd::summary(&entry.object));
    deployments.chain(autoscalers).chain(applications).collect()
}
