//! The simulated Kubernetes cluster: its objects, what it does by itself, and the API over them.
//!
//! It must not know of connections, files or faults on requests. Invariant: what a client sees is what the real API server would show for
//! these objects, in the same shapes.

pub(crate) mod accounts;
pub(crate) mod admit;
pub(crate) mod api;
pub(crate) mod controller;
pub(crate) mod delete;
pub(crate) mod deployment;
pub(crate) mod discovery;
pub(crate) mod list;
pub(crate) mod managed_fields;
pub(crate) mod meddle;
pub(crate) mod namespace;
pub(crate) mod openapi;
pub(crate) mod patch;
pub(crate) mod pod;
pub(crate) mod pod_log;
pub(crate) mod pod_proxy;
pub(crate) mod resource;
pub(crate) mod schema;
pub(crate) mod selector;
pub(crate) mod status_error;
pub(crate) mod store;
pub(crate) mod strategic;
pub(crate) mod table;
pub(crate) mod watch;
pub(crate) mod write;

pub(crate) use store::Store;

use controller::Moment;
use resource::Resource;
use uuid::Uuid;

/// The cluster as it is at first, with its two ready Pods; versions go on from `version`.
pub(crate) fn initial(cluster_uid: &str, version: u64, now: u64) -> Store {
    let mut store = Store::new(version);
    let created = controller::stamp(now);
    for name in namespace::INITIAL {
        let uid = if name == "kube-system" { cluster_uid.to_owned() } else { Uuid::now_v7().to_string() };
        store.put(Resource::Namespaces, namespace::object(name, &uid, &created), None);
    }
    store.put(Resource::Deployments, deployment::initial(&Uuid::now_v7().to_string(), &created), None);
    managed_fields::claim_all(&mut store, "kubectl-client-side-apply", &created);
    // The two Pods are brought up in the past, so that they are ready now.
    let faults = super::fault::FaultSet::default();
    let mut past = Moment { now: now.saturating_sub(60_000), speed: 1.0 };
    while let Some(due) = controller::reconcile(&mut store, &faults, past) {
        past.now = due.max(past.now + 1);
    }
    store
}

/// The Deployments in words: `production/ticket-service 2/2 ready`.
pub(crate) fn summary(store: &Store) -> Vec<String> {
    let deployments = store.list(Resource::Deployments, None).map(|entry| {
        let object = &entry.object;
        let (namespace, name) = (store::text(object, "/metadata/namespace"), store::text(object, "/metadata/name"));
        let ready = object["status"]["readyReplicas"].as_i64().unwrap_or(0);
        format!("{namespace}/{name} {ready}/{} ready", object["spec"]["replicas"])
    });
    deployments.collect()
}
