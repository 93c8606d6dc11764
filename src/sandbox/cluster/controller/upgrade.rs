//! What clusters of former versions lack: nodes, the Service, and the ReplicaSets between Deployments and their Pods.
//!
//! It must not touch what is complete. Invariant: the Pods that were there are there afterwards, under the same names.

use std::sync::Arc;

use serde_json::{Value, json};

use super::owners::{namespace, owner, uid};
use super::{Cluster, Load, Memory, Moment, deployments};
use crate::sandbox::cluster::pod;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};
use crate::sandbox::fault::FaultSet;
use crate::sandbox::traffic::Traffic;

/// Brings a cluster that was loaded up to this version.
pub(crate) fn upgrade(store: &mut Store, memory: &mut Memory, moment: Moment) {
    if store.list(Resource::Nodes, None).next().is_none() {
        crate::sandbox::cluster::furnish(store, moment.now);
    }
    if crate::sandbox::cluster::rabbitmq_cluster::furnish(store, moment.now) {
        crate::sandbox::cluster::managed_fields::claim_all(store, "kubectl-client-side-apply", &moment.stamp());
    }
    let faults = FaultSet::default();
    let traffic = Traffic::default();
    let mut cluster =
        Cluster { store, memory, faults: &faults, load: Load::default(), traffic: &traffic, moment, due: None, touched: false };
    for entry in cluster.list(Resource::Deployments) {
        adopt(&mut cluster, &entry.object);
    }
}

/// Puts a ReplicaSet between a Deployment and the Pods that it owns itself.
fn adopt(cluster: &mut Cluster<'_>, deployment: &Value) {
    let pods = cluster.store.list(Resource::Pods, Some(namespace(deployment)));
    let own: Vec<Entry> = pods.filter(|entry| owner(&entry.object) == uid(deployment)).cloned().collect();
    if own.is_empty() {
        return;
    }
    let Some(set) = deployments::first_set(cluster, deployment) else { return };
    let nodes: Vec<Arc<Value>> = cluster.store.list(Resource::Nodes, None).map(|entry| Arc::clone(&entry.object)).collect();
    for (nth, entry) in own.iter().enumerate() {
        let mut object = Value::clone(&entry.object);
        object["metadata"]["ownerReferences"] = json!([pod::reference(&set)]);
        object["metadata"]["labels"]["pod-template-hash"] = set["metadata"]["labels"]["pod-template-hash"].clone();
        if let Some(node) = nodes.get(nth % nodes.len().max(1)) {
            object["spec"]["nodeName"] = node["metadata"]["name"].clone();
            object["status"]["hostIP"] = json!(text(node, "/status/addresses/0/address"));
        }
        if text(&object, "/status/phase") == "Running" && !object["status"]["podIP"].is_string() {
            let address = super::pods::address(cluster);
            object["status"]["podIP"] = json!(address);
            object["status"]["podIPs"] = json!([{ "ip": address }]);
        }
        cluster.put(Resource::Pods, object, entry.life.clone());
    }
}
