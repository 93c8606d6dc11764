//! Deployments: a ReplicaSet for each template, and the way from one to the next.
//!
//! It must not touch Pods. Invariant: at no moment are its sets to have more Pods than the wanted ones and the surge, and it takes
//! from the old only what the wanted ones less the unavailable allow.

use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::owners::{dependents, leaves, name, namespace, owner, scaled, uid};
use super::rollout::{self, limits, next_size, replicas};
use super::{Cluster, events};
use crate::sandbox::cluster::deployment::{self, Counts, Progress, former, template_hash};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

const SELF: &str = "deployment-controller";
const REVISION: &str = "deployment.kubernetes.io/revision";
const HISTORY: &str = "deployment.kubernetes.io/revision-history";
const DESIRED: &str = "deployment.kubernetes.io/desired-replicas";
const MOST: &str = "deployment.kubernetes.io/max-replicas";
const HASH: &str = "pod-template-hash";

/// A Deployment and its sets, the oldest first.
struct Sets {
    all: Vec<Arc<Value>>,
    /// Which of them has the template of the Deployment.
    new: Option<usize>,
}

impl Sets {
    fn of(cluster: &Cluster<'_>, deployment: &Value, hash: &str) -> Self {
        let sets = cluster.store.list(Resource::ReplicaSets, Some(namespace(deployment)));
        let mut all: Vec<Arc<Value>> =
            sets.filter(|entry| owner(&entry.object) == uid(deployment)).map(|entry| Arc::clone(&entry.object)).collect();
        all.sort_by(|a, b| (text(a, "/metadata/creationTimestamp"), uid(a)).cmp(&(text(b, "/metadata/creationTimestamp"), uid(b))));
        // A set of a former version of the sandbox has another hash of the same template.
        let same = |set: &Arc<Value>| {
            let mut bare = Value::clone(set);
            if let Some(labels) = bare["spec"]["template"]["metadata"]["labels"].as_object_mut() {
                labels.shift_remove(HASH);
            }
            template_hash(&bare) == hash
        };
        let new = all.iter().position(|set| set["metadata"]["labels"][HASH] == hash);
        let new = new.or_else(|| all.iter().position(same));
        Self { all, new }
    }

    fn new_set(&self) -> Option<&Arc<Value>> {
        self.new.and_then(|nth| self.all.get(nth))
    }

    fn old(&self) -> impl Iterator<Item = &Arc<Value>> {
        self.all.iter().enumerate().filter(|(nth, _)| Some(*nth) != self.new).map(|(_, set)| set)
    }

    /// What they are to have together.
    fn wanted(&self) -> i64 {
        self.all.iter().map(|set| replicas(set)).sum()
    }

    fn available(&self) -> i64 {
        self.all.iter().map(|set| available(set)).sum()
    }
}

fn available(set: &Value) -> i64 {
    set["status"]["availableReplicas"].as_i64().unwrap_or(0)
}

fn annotation(object: &Value, name: &str) -> i64 {
    object["metadata"]["annotations"][name].as_str().and_then(|text| text.parse().ok()).unwrap_or(0)
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    let mut live = std::collections::BTreeSet::new();
    for entry in cluster.list(Resource::Deployments) {
        if !leaves(&entry.object) {
            live.insert(uid(&entry.object).to_owned());
            roll(cluster, &entry.object);
        }
    }
    cluster.memory.progress.retain(|uid, _| live.contains(uid));
}

/// The set for a Deployment's template, made where there is none.
pub(super) fn first_set(cluster: &mut Cluster<'_>, deployment: &Value) -> Option<Arc<Value>> {
    let hash = template_hash(deployment);
    let sets = Sets::of(cluster, deployment, &hash);
    if sets.new.is_none() {
        create(cluster, deployment, &sets);
    }
    Sets::of(cluster, deployment, &hash).new_set().cloned()
}

/// Takes the next step of one Deployment, and keeps its status true.
fn roll(cluster: &mut Cluster<'_>, deployment: &Value) {
    let hash = template_hash(deployment);
    let sets = Sets::of(cluster, deployment, &hash);
    let paused = deployment["spec"]["paused"] == true;
    let waits = !rollout::rolls(deployment) && old_pods_run(cluster, &sets);
    let mut fresh = false;
    if sets.new.is_none() && !paused && !waits {
        fresh = create(cluster, deployment, &sets);
    }
    let sets = Sets::of(cluster, deployment, &hash);
    let mut revised = Value::clone(deployment);
    if let Some(new) = sets.new_set().filter(|_| !paused) {
        revise(cluster, &sets, new);
        let revision = Sets::of(cluster, deployment, &hash).new_set().map_or(0, |set| annotation(set, REVISION));
        revised["metadata"]["annotations"][REVISION] = json!(revision.to_string());
    }
    let sets = Sets::of(cluster, deployment, &hash);
    let resized = |set: &Arc<Value>| replicas(set) > 0 && annotation(set, DESIRED) != replicas(deployment);
    if paused || sets.all.iter().any(resized) {
        share_out(cluster, deployment, &sets);
    } else if !rollout::rolls(deployment) {
        recreate(cluster, deployment, &sets, waits);
    } else {
        step(cluster, deployment, &sets);
    }
    let sets = Sets::of(cluster, deployment, &hash);
    forget_old(cluster, deployment, &sets);
    settle(cluster, deployment, revised, &sets, fresh);
}

fn old_pods_run(cluster: &Cluster<'_>, sets: &Sets) -> bool {
    sets.old().any(|set| dependents(cluster.store, set).iter().any(|entry| pod::stage(&entry.object) != Stage::Ended))
}

/// Creates the set for the Deployment's template; false where its name is taken.
fn create(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets) -> bool {
    let hash = template_hash(deployment);
    let set_name = format!("{}-{hash}", name(deployment));
    if cluster.store.get(Resource::ReplicaSets, namespace(deployment), &set_name).is_some() {
        return false;
    }
    let size = next_size(deployment, 0, sets.wanted());
    let now = cluster.moment.stamp();
    let revision = sets.all.iter().map(|set| annotation(set, REVISION)).max().unwrap_or(0) + 1;
    let mut template = deployment["spec"]["template"].clone();
    template["metadata"]["labels"][HASH] = json!(hash);
    let mut selector = deployment["spec"]["selector"].clone();
    selector["matchLabels"][HASH] = json!(hash);
    let most = replicas(deployment) + limits(deployment).surge;
    let mut annotations = json!({ REVISION: revision.to_string(), DESIRED: replicas(deployment).to_string(), MOST: most.to_string() });
    for (key, value) in deployment["metadata"]["annotations"].as_object().into_iter().flatten() {
        if key != REVISION && key != "kubectl.kubernetes.io/last-applied-configuration" {
            annotations[key] = value.clone();
        }
    }
    let mut spec = json!({ "replicas": size, "selector": selector, "template": template });
    if deployment["spec"]["minReadySeconds"].is_number() {
        spec["minReadySeconds"] = deployment["spec"]["minReadySeconds"].clone();
    }
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet",
        "metadata": {
            "name": set_name, "namespace": namespace(deployment), "uid": Uuid::now_v7().to_string(), "creationTimestamp": now,
            "generation": 1, "labels": template["metadata"]["labels"], "annotations": annotations,
            "ownerReferences": [pod::reference(deployment)],
        },
        "spec": spec, "status": { "replicas": 0 },
    });
    cluster.put(Resource::ReplicaSets, set, None);
    if size > 0 {
        tell(cluster, deployment, &set_name, 0, size);
    }
    true
}

/// Gives the new set the highest revision.
fn revise(cluster: &mut Cluster<'_>, sets: &Sets, new: &Value) {
    let highest = sets.old().map(|set| annotation(set, REVISION)).max().unwrap_or(0);
    let own = annotation(new, REVISION);
    if own > highest {
        return;
    }
    let mut object = new.clone();
    let annotations = &mut object["metadata"]["annotations"];
    if own > 0 {
        let former = annotations[HISTORY].as_str().map(|text| format!("{text},{own}"));
        annotations[HISTORY] = json!(former.unwrap_or_else(|| own.to_string()));
    }
    annotations[REVISION] = json!((highest + 1).to_string());
    cluster.put(Resource::ReplicaSets, object, None);
}

fn tell(cluster: &mut Cluster<'_>, deployment: &Value, set: &str, from: i64, to: i64) {
    let way = if to > from { "up" } else { "down" };
    let message = format!("Scaled {way} replica set {set} from {from} to {to}");
    events::record(cluster, deployment, events::normal(SELF), "ScalingReplicaSet", &message);
}

/// Gives a set its size, and writes down for what size of the Deployment; whether the size is another one.
fn resize(cluster: &mut Cluster<'_>, deployment: &Value, set: &Value, size: i64) -> bool {
    let from = replicas(set);
    let mut object = if size == from { set.clone() } else { scaled(set, size) };
    object["metadata"]["annotations"][DESIRED] = json!(replicas(deployment).to_string());
    object["metadata"]["annotations"][MOST] = json!((replicas(deployment) + limits(deployment).surge).to_string());
    cluster.update(Resource::ReplicaSets, set, object);
    if size != from {
        tell(cluster, deployment, name(set), from, size);
    }
    size != from
}

/// Shares a change of the Deployment's replicas out over its sets.
fn share_out(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets) {
    let active: Vec<&Arc<Value>> = sets.all.iter().filter(|set| replicas(set) > 0).collect();
    let lone = match active.as_slice() {
        [] => sets.new_set().or_else(|| sets.all.last()),
        [one] => Some(*one),
        _ => None,
    };
    let wanted = replicas(deployment);
    if let Some(set) = lone {
        resize(cluster, deployment, set, wanted);
        return;
    }
    let full = |set: &&Arc<Value>| replicas(set) == wanted && annotation(set, DESIRED) == wanted && available(set) == wanted;
    if sets.new_set().filter(full).is_some() {
        for set in sets.old().filter(|set| replicas(set) > 0) {
            resize(cluster, deployment, set, 0);
        }
        return;
    }
    if !rollout::rolls(deployment) {
        return;
    }
    let most = if wanted > 0 { wanted + limits(deployment).surge } else { 0 };
    let add = most - sets.wanted();
    let mut order = active;
    // What grows, the largest and newest first; what shrinks, the largest and oldest first.
    order.sort_by_key(|set| -replicas(set));
    if add > 0 {
        order.reverse();
        order.sort_by_key(|set| -replicas(set));
    }
    let mut sizes: Vec<i64> = Vec::new();
    let mut added = 0;
    for set in &order {
        let share = if wanted == 0 { -replicas(set) } else { rollout::share(replicas(set), annotation(set, MOST), most, add - added) };
        added += share;
        sizes.push(replicas(set) + share);
    }
    if let Some(first) = sizes.first_mut() {
        *first = (*first + add - added).max(0);
    }
    for (set, size) in order.iter().zip(sizes) {
        resize(cluster, deployment, set, size.max(0));
    }
}

/// Ends all old Pods, and only then makes new ones.
fn recreate(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets, waits: bool) {
    let mut ended = false;
    for set in sets.old().filter(|set| replicas(set) > 0) {
        ended |= resize(cluster, deployment, set, 0);
    }
    if let Some(new) = sets.new_set().filter(|_| !waits && !ended) {
        resize(cluster, deployment, new, replicas(deployment));
    }
}

/// One step of a rolling update: the new set grows, or the old ones shrink.
fn step(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets) {
    let Some(new) = sets.new_set() else { return };
    if resize(cluster, deployment, new, next_size(deployment, replicas(new), sets.wanted())) {
        return;
    }
    let old: Vec<Arc<Value>> = sets.old().filter(|set| replicas(set) > 0).cloned().collect();
    if old.is_empty() {
        return;
    }
    let least = replicas(deployment) - limits(deployment).unavailable;
    let unavailable = (replicas(new) - available(new)).max(0);
    let mut allowed = sets.wanted() - least - unavailable;
    let mut spare = sets.available() - least;
    for set in old {
        // What is not available goes first: it takes nothing away.
        let broken = (replicas(&set) - available(&set)).clamp(0, allowed.max(0));
        let sound = (replicas(&set) - broken).min(spare.max(0)).min((allowed - broken).max(0));
        resize(cluster, deployment, &set, replicas(&set) - broken - sound);
        allowed -= broken + sound;
        spare -= sound;
    }
}

/// Removes old empty sets beyond the limit of the history, once a rollout is complete.
fn forget_old(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets) {
    let limit = deployment["spec"]["revisionHistoryLimit"].as_u64().unwrap_or(10);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let done = sets.new_set().is_some_and(|set| replicas(set) == replicas(deployment) && available(set) == replicas(deployment));
    let empty = |set: &&Arc<Value>| replicas(set) == 0 && set["status"]["replicas"].as_i64().unwrap_or(0) == 0;
    let old: Vec<Arc<Value>> = sets.old().filter(empty).cloned().collect();
    if done && old.len() > limit {
        for set in old.iter().take(old.len() - limit) {
            cluster.remove(Resource::ReplicaSets, set);
        }
    }
}

fn count(cluster: &Cluster<'_>, deployment: &Value, sets: &Sets) -> Counts {
    let sum = |field: &str| sets.all.iter().map(|set| set["status"][field].as_i64().unwrap_or(0)).sum::<i64>();
    let leaves = |entry: &Entry| pod::stage(&entry.object) == Stage::Terminating;
    let terminating = sets.all.iter().map(|set| dependents(cluster.store, set).iter().filter(|entry| leaves(entry)).count()).sum::<usize>();
    let failures = sets.all.iter().filter_map(|set| former(set, "ReplicaFailure"));
    Counts {
        wanted: sets.wanted(),
        pods: sum("replicas"),
        updated: sets.new_set().map_or(0, |set| set["status"]["replicas"].as_i64().unwrap_or(0)),
        ready: sum("availableReplicas"),
        terminating: i64::try_from(terminating).unwrap_or(i64::MAX),
        least: replicas(deployment) - limits(deployment).unavailable,
        failure: failures.map(|condition| text(condition, "/message").to_owned()).next(),
    }
}

fn settle(cluster: &mut Cluster<'_>, deployment: &Value, mut revised: Value, sets: &Sets, fresh: bool) {
    let counts = count(cluster, deployment, sets);
    let progress = progress(cluster, deployment, sets, &counts, fresh);
    revised["status"] = deployment::status(deployment, &counts, progress.as_ref(), &cluster.moment.stamp());
    cluster.update(Resource::Deployments, deployment, revised);
}

/// What the condition `Progressing` is to say; none where it stays as it is.
fn progress(cluster: &mut Cluster<'_>, deployment: &Value, sets: &Sets, counts: &Counts, fresh: bool) -> Option<Progress> {
    let say = |value, reason, message, moved| Some(Progress { value, reason, message, moved });
    let reason = former(deployment, "Progressing").map(|condition| text(condition, "/reason")).unwrap_or_default();
    let deadline = deployment["spec"]["progressDeadlineSeconds"].as_u64().filter(|seconds| *seconds < 2_147_483_647)?;
    let now = cluster.moment.now;
    let key = uid(deployment).to_owned();
    if deployment["spec"]["paused"] == true {
        cluster.memory.progress.insert(key, now);
        return say("Unknown", "DeploymentPaused", "Deployment is paused".to_owned(), false);
    }
    if reason == "DeploymentPaused" {
        cluster.memory.progress.insert(key, now);
        return say("Unknown", "DeploymentResumed", "Deployment is resumed".to_owned(), false);
    }
    let Some(set) = sets.new_set() else {
        return say("True", "ReplicaSetUpdated", format!("Deployment \"{}\" is progressing.", name(deployment)), false);
    };
    let set = name(set);
    if fresh {
        cluster.memory.progress.insert(key, now);
        return say("True", "NewReplicaSetCreated", format!("Created new replica set \"{set}\""), true);
    }
    let was_complete = reason == "NewReplicaSetAvailable" && counts.updated == counts.pods;
    if was_complete {
        return None;
    }
    let wanted = replicas(deployment);
    if counts.updated == wanted && counts.pods == wanted && counts.ready == wanted {
        return say("True", "NewReplicaSetAvailable", format!("ReplicaSet \"{set}\" has successfully progressed."), false);
    }
    let before = |field: &str| deployment["status"][field].as_i64().unwrap_or(0);
    let old_before = before("replicas") - before("updatedReplicas");
    let moved = counts.updated > before("updatedReplicas")
        || counts.pods - counts.updated < old_before
        || counts.ready > before("readyReplicas")
        || reason == "NewReplicaSetAvailable";
    if moved {
        cluster.memory.progress.insert(key, now);
        return say("True", "ReplicaSetUpdated", format!("ReplicaSet \"{set}\" is progressing."), true);
    }
    if reason == "ProgressDeadlineExceeded" {
        return None;
    }
    let since = *cluster.memory.progress.entry(key).or_insert(now);
    let due = cluster.moment.from(since, deadline as f64 * 1000.0);
    if due <= now {
        return say("False", "ProgressDeadlineExceeded", format!("ReplicaSet \"{set}\" has timed out progressing."), false);
    }
    cluster.at(due);
    None
}
