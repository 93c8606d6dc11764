//! StatefulSets: Pods with names that stay, one after the other.
//!
//! It must not make a Pod while one before it is not ready. Invariant: at most one Pod of a set is replaced at a time, from the highest
//! down.

use serde_json::{Value, json};
use uuid::Uuid;

use super::owners::{dependents, leaves, lives, name, namespace};
use super::rollout::replicas;
use super::{Cluster, events, pods, quotas};
use crate::sandbox::cluster::deployment::{former_hash, template_hash};
use crate::sandbox::cluster::pod::{self, Birth, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::Entry;

const SELF: &str = "statefulset-controller";
const REVISION: &str = "controller-revision-hash";

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::StatefulSets) {
        if !leaves(&entry.object) {
            let revision = revision(&entry.object);
            step(cluster, &entry.object, &revision);
            settle(cluster, &entry.object, &revision);
        }
    }
}

/// The revision of a set's template.
fn revision(set: &Value) -> String {
    let former = format!("{}-{}", name(set), former_hash(set));
    if set["status"]["updateRevision"] == former.as_str() { former } else { format!("{}-{}", name(set), template_hash(set)) }
}

/// The number at the end of a Pod's name.
fn ordinal(set: &Value, pod: &Value) -> Option<i64> {
    name(pod).strip_prefix(name(set))?.strip_prefix('-')?.parse().ok()
}

fn of(cluster: &Cluster<'_>, set: &Value) -> Vec<(i64, Entry)> {
    let found = dependents(cluster.store, set).into_iter().filter_map(|entry| Some((ordinal(set, &entry.object)?, entry)));
    let mut pods: Vec<(i64, Entry)> = found.collect();
    pods.sort_by_key(|(nth, _)| *nth);
    pods
}

fn ready(entry: &Entry) -> bool {
    pod::stage(&entry.object) == Stage::Ready
}

fn step(cluster: &mut Cluster<'_>, set: &Value, revision: &str) {
    let wanted = replicas(set);
    let pods = of(cluster, set);
    let parallel = set["spec"]["podManagementPolicy"] == "Parallel";
    for (_, entry) in &pods {
        if pod::stage(&entry.object) == Stage::Ended {
            cluster.remove(Resource::Pods, &entry.object);
            return;
        }
    }
    let leaving = pods.iter().any(|(_, entry)| leaves(&entry.object));
    for nth in 0..wanted {
        match pods.iter().find(|(found, _)| *found == nth) {
            None => {
                if !create(cluster, set, nth, revision) || !parallel {
                    return;
                }
            }
            Some((_, entry)) if !ready(entry) && !parallel => return replace_broken(cluster, set, entry, revision),
            Some(_) => {}
        }
    }
    if leaving && !parallel {
        return;
    }
    for (_, entry) in pods.iter().rev().filter(|(nth, entry)| *nth >= wanted && lives(&entry.object)) {
        end(cluster, set, entry);
        if !parallel {
            return;
        }
    }
    if set["spec"]["updateStrategy"]["type"] == "OnDelete" || leaving {
        return;
    }
    let kept = set["spec"]["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or(0);
    for (nth, entry) in pods.iter().rev().filter(|(nth, _)| *nth < wanted) {
        if *nth >= kept && entry.object["metadata"]["labels"][REVISION] != revision {
            return end(cluster, set, entry);
        }
        if !ready(entry) {
            return;
        }
    }
}

/// A Pod of an old template that is not ready stands in the way of all others, also of its own replacement.
fn replace_broken(cluster: &mut Cluster<'_>, set: &Value, entry: &Entry, revision: &str) {
    let stuck = pod::waits_for(&entry.object);
    let old = entry.object["metadata"]["labels"][REVISION] != revision;
    if old && lives(&entry.object) && matches!(stuck, "ErrImagePull" | "ImagePullBackOff") {
        end(cluster, set, entry);
    }
}

fn end(cluster: &mut Cluster<'_>, set: &Value, entry: &Entry) {
    let moment = cluster.moment;
    cluster.touched = true;
    pods::terminate(cluster.store, entry, moment);
    let message = format!("delete Pod {} in StatefulSet {} successful", name(&entry.object), name(set));
    events::record(cluster, set, events::normal(SELF), "SuccessfulDelete", &message);
}

/// Makes the Pod with this number; false where it may not be.
fn create(cluster: &mut Cluster<'_>, set: &Value, nth: i64, revision: &str) -> bool {
    let pod_name = format!("{}-{nth}", name(set));
    if cluster.store.get(Resource::Pods, namespace(set), &pod_name).is_some() {
        return false;
    }
    let (uid, now, number) = (Uuid::now_v7().to_string(), cluster.moment.stamp(), nth.to_string());
    let labels = [
        ("statefulset.kubernetes.io/pod-name", pod_name.as_str()),
        ("apps.kubernetes.io/pod-index", number.as_str()),
        (REVISION, revision),
    ];
    let birth = Birth { owner: set, name: &pod_name, generate_name: &format!("{}-", name(set)), labels: &labels, uid: &uid, now: &now };
    let mut pod = pod::create(&birth);
    pod["spec"]["hostname"] = json!(pod_name);
    pod["spec"]["subdomain"] = set["spec"]["serviceName"].clone();
    if let Some(why) = quotas::forbids(cluster.store, &pod) {
        let message = format!("create Pod {pod_name} in StatefulSet {} failed error: pods \"{pod_name}\" is forbidden: {why}", name(set));
        // Said once for each state of the quota; the same words again would only count.
        let said = cluster.store.list(Resource::Events, Some(namespace(set))).any(|entry| entry.object["message"] == message.as_str());
        if !said {
            events::record(cluster, set, events::warning(SELF), "FailedCreate", &message);
        }
        return false;
    }
    let life = pods::life(cluster.moment, 0);
    cluster.put(Resource::Pods, pod, Some(life));
    let message = format!("create Pod {pod_name} in StatefulSet {} successful", name(set));
    events::record(cluster, set, events::normal(SELF), "SuccessfulCreate", &message);
    true
}

fn settle(cluster: &mut Cluster<'_>, set: &Value, revision: &str) {
    let pods = of(cluster, set);
    let wanted = replicas(set);
    let count = |test: &dyn Fn(&Entry) -> bool| pods.iter().filter(|(_, entry)| test(entry)).count();
    let updated = count(&|entry| entry.object["metadata"]["labels"][REVISION] == revision && lives(&entry.object));
    let ready = count(&ready);
    let former = set["status"]["currentRevision"].as_str().unwrap_or(revision).to_owned();
    let all = count(&|entry| pod::stage(&entry.object) != Stage::Ended);
    let complete = i64::try_from(updated).is_ok_and(|updated| updated == wanted) && updated == ready && all == updated;
    let current_revision = if complete { revision.to_owned() } else { former };
    let current = count(&|entry| entry.object["metadata"]["labels"][REVISION] == current_revision.as_str() && lives(&entry.object));
    let mut object = set.clone();
    object["status"] = json!({
        "observedGeneration": set["metadata"]["generation"], "replicas": all, "readyReplicas": ready, "availableReplicas": ready,
        "updatedReplicas": updated, "currentReplicas": current, "currentRevision": current_revision, "updateRevision": revision,
        "collisionCount": 0,
    });
    cluster.update(Resource::StatefulSets, set, object);
}
