//! The nodes of the RabbitMQ cluster: the Pods of its StatefulSet.
//!
//! It must not change an object. Invariant: a node's name is its Pod's, as the cluster operator names it; the queue's members are the nodes that were
//! there when it was declared.

use crate::sandbox::cluster::Store;
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::rabbitmq_cluster::{NAME, NAMESPACE, NODES};
use crate::sandbox::cluster::resource::Resource;

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) ordinal: i64,
    pub(super) running: bool,
}

/// The nodes, those that were declared and do not run among them.
pub(super) fn nodes(store: &Store) -> Vec<Node> {
    let wanted = store
        .get(Resource::StatefulSets, NAMESPACE, &format!("{NAME}-server"))
        .map_or(NODES, |entry| entry.object["spec"]["replicas"].as_i64().unwrap_or(1));
    (0..wanted.max(NODES))
        .filter_map(|ordinal| {
            let pod = store.get(Resource::Pods, NAMESPACE, &format!("{NAME}-server-{ordinal}"));
            let running = pod.is_some_and(|entry| pod::stage(&entry.object) == Stage::Ready);
            // A node that has never run is no member of the cluster.
            (running || ordinal < NODES).then(|| Node {
                name: format!("rabbit@{NAME}-server-{ordinal}.{NAME}-nodes.{NAMESPACE}"),
                ordinal,
                running,
            })
        })
        .collect()
}

/// The members of the quorum queue, and those of them that are online.
pub(super) fn members(nodes: &[Node]) -> (Vec<String>, Vec<String>) {
    let members = nodes.iter().filter(|node| node.ordinal < NODES);
    let online = members.clone().filter(|node| node.running);
    (members.map(|node| node.name.clone()).collect(), online.map(|node| node.name.clone()).collect())
}
