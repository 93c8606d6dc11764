//! ReplicaSets: as many Pods of one template as are wanted.
//!
//! It must not know Deployments. Invariant: a set never creates a Pod while it has as many live ones as it is to have.

use serde_json::{Value, json};
use uuid::Uuid;

use super::owners::{dependents, free_name, leaves, lives, name, namespace};
use super::{Cluster, events, pods, quotas};
use crate::sandbox::cluster::deployment::former;
use crate::sandbox::cluster::pod::{self, Birth, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

const SELF: &str = "replicaset-controller";

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::ReplicaSets) {
        if !leaves(&entry.object) {
            let failure = fill(cluster, &entry.object);
            settle(cluster, &entry.object, failure);
        }
    }
}

/// Creates missing Pods and ends surplus ones; why one could not be created.
fn fill(cluster: &mut Cluster<'_>, set: &Value) -> Option<String> {
    let mut live: Vec<Entry> = dependents(cluster.store, set).into_iter().filter(|entry| lives(&entry.object)).collect();
    let wanted = usize::try_from(set["spec"]["replicas"].as_u64().unwrap_or(1)).unwrap_or(usize::MAX);
    if live.len() <= wanted {
        return grow(cluster, set, wanted - live.len());
    }
    // First what has no node, then what does not run, what is not ready, and the youngest.
    live.sort_by_key(|entry| {
        let bound = entry.object["spec"]["nodeName"].is_string();
        let stage = pod::stage(&entry.object);
        let since = entry.life.as_ref().map_or(0, |life| life.ready_at);
        (bound, stage != Stage::Pending, stage == Stage::Ready, std::cmp::Reverse(since))
    });
    let surplus = live.len() - wanted;
    for entry in live.iter().take(surplus) {
        let moment = cluster.moment;
        cluster.touched = true;
        pods::terminate(cluster.store, entry, moment);
        events::record(cluster, set, events::normal(SELF), "SuccessfulDelete", &format!("Deleted pod: {}", name(&entry.object)));
    }
    None
}

fn grow(cluster: &mut Cluster<'_>, set: &Value, missing: usize) -> Option<String> {
    let stem = format!("{}-", name(set));
    for nth in 0..missing {
        let pod_name = free_name(cluster.store, Resource::Pods, namespace(set), &stem);
        let (uid, now) = (Uuid::now_v7().to_string(), cluster.moment.stamp());
        let birth = Birth { owner: set, name: &pod_name, generate_name: &stem, labels: &[], uid: &uid, now: &now };
        let pod = pod::create(&birth);
        if let Some(why) = quotas::forbids(cluster.store, &pod) {
            let known = former(set, "ReplicaFailure").map(|condition| text(condition, "/message").to_owned()).unwrap_or_default();
            // Each attempt would be another name: the first one that failed for this reason stands for all.
            if known.ends_with(&format!(" is forbidden: {why}")) {
                return Some(known);
            }
            let message = format!("pods \"{pod_name}\" is forbidden: {why}");
            events::record(cluster, set, events::warning(SELF), "FailedCreate", &format!("Error creating: {message}"));
            return Some(message);
        }
        let life = pods::life(cluster.moment, nth);
        cluster.put(Resource::Pods, pod, Some(life));
        events::record(cluster, set, events::normal(SELF), "SuccessfulCreate", &format!("Created pod: {pod_name}"));
    }
    None
}

/// Keeps the status of a set true.
fn settle(cluster: &mut Cluster<'_>, set: &Value, failure: Option<String>) {
    let (mut pods, mut ready, mut terminating) = (0, 0, 0);
    for entry in dependents(cluster.store, set) {
        pods += i64::from(lives(&entry.object));
        ready += i64::from(pod::stage(&entry.object) == Stage::Ready);
        terminating += i64::from(pod::stage(&entry.object) == Stage::Terminating);
    }
    let mut status = json!({ "replicas": pods, "terminatingReplicas": terminating, "observedGeneration": set["metadata"]["generation"] });
    for (field, count) in [("fullyLabeledReplicas", pods), ("readyReplicas", ready), ("availableReplicas", ready)] {
        if count > 0 {
            status[field] = json!(count);
        }
    }
    if let Some(message) = failure {
        let known = former(set, "ReplicaFailure").map(|condition| condition["lastTransitionTime"].clone());
        let since = known.unwrap_or_else(|| json!(cluster.moment.stamp()));
        status["conditions"] = json!([{
            "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message, "lastTransitionTime": since,
        }]);
    }
    let mut object = set.clone();
    object["status"] = status;
    cluster.update(Resource::ReplicaSets, set, object);
}
