//! Who owns what, and the end of what has lost its owner.
//!
//! It must not create anything. Invariant: an object that names owners goes once none of them is there any more.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Cluster;
use super::pods::terminate;
use crate::sandbox::cluster::admit::birth;
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};

/// The kinds that own others.
pub(super) const OWNERS: [Resource; 8] = [
    Resource::Deployments,
    Resource::ReplicaSets,
    Resource::StatefulSets,
    Resource::Jobs,
    Resource::Services,
    Resource::ConfigMaps,
    Resource::RabbitmqClusters,
    Resource::ScaledObjects,
];

/// The kinds that are owned.
pub(super) const DEPENDENTS: [Resource; 6] = [
    Resource::ReplicaSets,
    Resource::Jobs,
    Resource::StatefulSets,
    Resource::EndpointSlices,
    Resource::HorizontalPodAutoscalers,
    Resource::Pods,
];

/// The uid of the object that a Pod or a ReplicaSet belongs to.
pub(crate) fn owner(object: &Value) -> &str {
    object["metadata"]["ownerReferences"][0]["uid"].as_str().unwrap_or_default()
}

pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

pub(super) fn name(object: &Value) -> &str {
    object["metadata"]["name"].as_str().unwrap_or_default()
}

pub(super) fn namespace(object: &Value) -> &str {
    object["metadata"]["namespace"].as_str().unwrap_or_default()
}

/// Whether somebody has asked for the object's end.
pub(super) fn leaves(object: &Value) -> bool {
    object["metadata"]["deletionTimestamp"].is_string()
}

/// The Pods of a workload: its own, and for a Deployment those of its ReplicaSets.
pub(crate) fn pods_of(store: &Store, workload: &Value) -> Vec<Entry> {
    let here = namespace(workload);
    let mut owners = BTreeSet::from([uid(workload).to_owned()]);
    for entry in store.list(Resource::ReplicaSets, Some(here)) {
        if owner(&entry.object) == uid(workload) {
            owners.insert(uid(&entry.object).to_owned());
        }
    }
    store.list(Resource::Pods, Some(here)).filter(|entry| owners.contains(owner(&entry.object))).cloned().collect()
}

/// The Pods that this object itself owns.
pub(super) fn dependents(store: &Store, object: &Value) -> Vec<Entry> {
    let pods = store.list(Resource::Pods, Some(namespace(object)));
    pods.filter(|entry| owner(&entry.object) == uid(object)).cloned().collect()
}

/// Whether a Pod counts for its owner: it neither leaves nor has ended.
pub(super) fn lives(pod: &Value) -> bool {
    !matches!(pod::stage(pod), Stage::Terminating | Stage::Ended)
}

/// The name of the workload that a Pod belongs to, as a person would say it; the Pod's own where nothing owns it.
pub(super) fn workload_name(store: &Store, pod: &Value) -> String {
    let direct = text(pod, "/metadata/ownerReferences/0/name");
    if text(pod, "/metadata/ownerReferences/0/kind") == "ReplicaSet" {
        let set = store.get(Resource::ReplicaSets, namespace(pod), direct);
        let above = set.map(|entry| text(&entry.object, "/metadata/ownerReferences/0/name").to_owned()).unwrap_or_default();
        if !above.is_empty() {
            return above;
        }
    }
    if direct.is_empty() { name(pod).to_owned() } else { direct.to_owned() }
}

/// Whether an object's labels are those that `selector.matchLabels` asks for. One that asks for nothing meets nothing.
pub(super) fn selects(selector: &Value, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    let wanted = selector["matchLabels"].as_object();
    let expressions = selector["matchExpressions"].as_array();
    if wanted.is_none_or(serde_json::Map::is_empty) && expressions.is_none_or(Vec::is_empty) {
        return false;
    }
    let plain = wanted.into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value));
    plain
        && expressions.into_iter().flatten().all(|expression| {
            let found = expression["key"].as_str().and_then(|key| labels.get(key)).unwrap_or(&Value::Null);
            let listed = expression["values"].as_array().is_some_and(|values| values.contains(found));
            match text(expression, "/operator") {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => !found.is_null(),
                "DoesNotExist" => found.is_null(),
                _ => false,
            }
        })
}

/// Five random characters that end the name of an object which no other one of its kind has.
pub(super) fn free_name(store: &Store, resource: Resource, namespace: &str, stem: &str) -> String {
    loop {
        let name = format!("{stem}{}", birth::suffix());
        if store.get(resource, namespace, &name).is_none() {
            return name;
        }
    }
}

/// Writes a new number of replicas, as a new generation.
pub(super) fn scaled(object: &Value, replicas: i64) -> Value {
    let mut object = object.clone();
    object["spec"]["replicas"] = json!(replicas);
    let generation = object["metadata"]["generation"].as_i64().unwrap_or(0);
    object["metadata"]["generation"] = json!(generation + 1);
    object
}

/// Ends what has lost its owners.
pub(super) fn collect(cluster: &mut Cluster<'_>) {
    let mut known = BTreeSet::new();
    for resource in OWNERS {
        known.extend(cluster.store.list(resource, None).map(|entry| uid(&entry.object).to_owned()));
    }
    for resource in DEPENDENTS {
        let lost = |entry: &&Entry| {
            if known.contains(owner(&entry.object)) {
                return false;
            }
            let references = entry.object["metadata"]["ownerReferences"].as_array();
            references.is_some_and(|owners| {
                // What is owned by a kind that this cluster does not serve is left alone.
                let mine = owners.iter().filter(|owner| OWNERS.iter().any(|kind| owner["kind"] == kind.kind()));
                !owners.is_empty()
                    && mine.clone().count() == owners.len()
                    && mine.into_iter().all(|owner| !known.contains(text(owner, "/uid")))
            })
        };
        let lost: Vec<Entry> = cluster.store.list(resource, None).filter(lost).cloned().collect();
        for entry in lost {
            if resource != Resource::Pods {
                cluster.remove(resource, &entry.object);
            } else if !leaves(&entry.object) {
                let moment = cluster.moment;
                cluster.touched = true;
                terminate(cluster.store, &entry, moment);
            }
        }
    }
}
