//! KEDA: it owns an HPA for each ScaledObject, puts back what is changed in it, and takes what has nothing to do down to zero.
//!
//! It must not touch Pods. Invariant: while a ScaledObject is paused its HPA is not there; otherwise it is as the ScaledObject says.
//! After KEDA 2.21.

mod hpa;
mod status;

pub(super) use hpa::measured;

use serde_json::{Value, json};

use self::status::Draft;
use super::owners::{leaves, name, namespace, scaled, uid};
use super::rollout::replicas;
use super::{Cluster, events};
use crate::sandbox::cluster::delete;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::scaled_object::{self as facts, FINALIZER, NAME_LABEL};
use crate::sandbox::cluster::store::Entry;

const SELF: &str = "keda-operator";

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::ScaledObjects) {
        if leaves(&entry.object) {
            let_go(cluster, &entry.object);
        } else {
            reconcile(cluster, &entry.object);
        }
    }
}

/// What it scales.
fn target(cluster: &Cluster<'_>, object: &Value) -> Option<(Resource, Entry)> {
    let (kind, name) = facts::target(object);
    let resource = [Resource::Deployments, Resource::StatefulSets, Resource::ReplicaSets].into_iter().find(|one| one.kind() == kind)?;
    Some((resource, cluster.store.get(resource, namespace(object), name)?.clone()))
}

fn set_replicas(cluster: &mut Cluster<'_>, target: &(Resource, Entry), wanted: i64) {
    cluster.put_by(target.0, scaled(&target.1.object, wanted), None, "scale");
}

/// Gives back the replicas where it is to, and releases one that was deleted.
fn let_go(cluster: &mut Cluster<'_>, object: &Value) {
    let Some(finalizers) = object["metadata"]["finalizers"].as_array().filter(|list| list.iter().any(|one| one == FINALIZER)) else {
        return;
    };
    if object["spec"]["advanced"]["restoreToOriginalReplicaCount"] == true
        && let Some(original) = object["status"]["originalReplicaCount"].as_i64()
        && let Some(target) = target(cluster, object)
        && replicas(&target.1.object) != original
    {
        set_replicas(cluster, &target, original);
    }
    // Its HPA goes with it, and must not scale once more before it is collected.
    if let Some(hpa) = own_hpa(cluster, object) {
        cluster.remove(Resource::HorizontalPodAutoscalers, &hpa);
    }
    let mut released = object.clone();
    released["metadata"]["finalizers"] = finalizers.iter().filter(|one| **one != FINALIZER).cloned().collect();
    if delete::held(&released) {
        cluster.put(Resource::ScaledObjects, released, None);
    } else {
        cluster.remove(Resource::ScaledObjects, object);
    }
}

fn reconcile(cluster: &mut Cluster<'_>, stored: &Value) {
    let object = marked(stored);
    let mut draft = Draft::of(&object);
    match work(cluster, &object, &mut draft) {
        Ok(message) => {
            draft.ready(true, "ScaledObjectReady", message);
        }
        Err(why) => {
            if draft.ready(false, "ScaledObjectCheckFailed", &why) {
                events::record(cluster, &object, events::warning(SELF), "ScaledObjectCheckFailed", &why);
            }
            draft.condition("Active", "Unknown", "UnknownState", "ScaledObject check failed");
        }
    }
    let mut after = object;
    after["status"] = draft.status;
    cluster.update(Resource::ScaledObjects, stored, after);
}

/// With the finalizer and the label that KEDA gives each.
fn marked(stored: &Value) -> Value {
    let mut object = stored.clone();
    let metadata = &mut object["metadata"];
    if !metadata["finalizers"].as_array().is_some_and(|list| list.iter().any(|one| one == FINALIZER)) {
        let mut finalizers = metadata["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(FINALIZER));
        metadata["finalizers"] = Value::Array(finalizers);
    }
    let own = metadata["name"].clone();
    if !metadata["labels"].is_object() {
        metadata["labels"] = json!({});
    }
    metadata["labels"][NAME_LABEL] = own;
    object
}

fn work(cluster: &mut Cluster<'_>, object: &Value, draft: &mut Draft) -> Result<&'static str, String> {
    const READY: &str = "ScaledObject is defined correctly and is ready for scaling";
    const PAUSED: &str = "ScaledObject is paused";
    if facts::is_paused(object) {
        draft.condition("Paused", "True", "ScaledObjectPaused", PAUSED);
        if let Some(hpa) = own_hpa(cluster, object) {
            cluster.remove(Resource::HorizontalPodAutoscalers, &hpa);
        }
        let count = facts::paused_count(object).map_err(|why| format!("failed to scale target to paused replica count: {why}"))?;
        draft.set("pausedReplicaCount", count.map(|count| json!(count)));
        if let (Some(count), Some(target)) = (count, target(cluster, object))
            && replicas(&target.1.object) != count
        {
            set_replicas(cluster, &target, count);
        }
        return Ok(PAUSED);
    }
    draft.set("pausedReplicaCount", None);
    if facts::paused_directions(object).is_empty() {
        draft.unpaused();
    } else {
        draft.condition("Paused", "True", "ScaledObjectPaused", PAUSED);
    }
    let Some(target) = target(cluster, object) else {
        let (kind, name) = facts::target(object);
        return Err(format!("ScaledObject doesn't have correct scaleTargetRef specification: {kind}.apps \"{name}\" not found"));
    };
    draft.found(&target.1.object, target.0, facts::triggers(object));
    let wanted = hpa::wanted(object, &target.1.object)
        .map_err(|why| format!("failed to ensure HPA is correctly created for ScaledObject: {why}"))?;
    draft.metrics(&wanted);
    ensure(cluster, object, wanted, draft);
    between_none_and_some(cluster, object, &target, draft);
    Ok(READY)
}

/// The HPA that is there for it.
fn own_hpa(cluster: &Cluster<'_>, object: &Value) -> Option<Value> {
    let hpas = cluster.store.list(Resource::HorizontalPodAutoscalers, Some(namespace(object)));
    let own = |entry: &&Entry| {
        entry.object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.iter().any(|one| one["uid"] == uid(object)))
    };
    hpas.into_iter().find(own).map(|entry| Value::clone(&entry.object))
}

/// Makes the HPA, makes it anew under another name, or puts back what somebody changed in it.
fn ensure(cluster: &mut Cluster<'_>, object: &Value, wanted: Value, draft: &mut Draft) {
    draft.set("hpaName", Some(json!(name(&wanted))));
    let found = own_hpa(cluster, object);
    if let Some(other) = found.as_ref().filter(|found| name(found) != name(&wanted)) {
        cluster.remove(Resource::HorizontalPodAutoscalers, other);
    } else if let Some(found) = found {
        let mut after = found.clone();
        after["spec"] = wanted["spec"].clone();
        for part in ["labels", "annotations"] {
            match (wanted["metadata"].get(part), after["metadata"].as_object_mut()) {
                (Some(own), Some(metadata)) => drop(metadata.insert(part.to_owned(), own.clone())),
                (None, Some(metadata)) => drop(metadata.shift_remove(part)),
                (_, None) => {}
            }
        }
        crate::sandbox::cluster::admit::defaults::fill(Resource::HorizontalPodAutoscalers, &mut after);
        return cluster.update(Resource::HorizontalPodAutoscalers, &found, after);
    }
    // One of its name that is somebody else's stands in the way, as there.
    if cluster.store.get(Resource::HorizontalPodAutoscalers, namespace(object), name(&wanted)).is_none() {
        let mut made = wanted;
        made["metadata"]["uid"] = json!(uuid::Uuid::now_v7().to_string());
        made["metadata"]["creationTimestamp"] = json!(cluster.moment.stamp());
        made["status"] = json!({ "desiredReplicas": 0, "currentMetrics": null });
        crate::sandbox::cluster::admit::defaults::fill(Resource::HorizontalPodAutoscalers, &mut made);
        cluster.put(Resource::HorizontalPodAutoscalers, made, None);
    }
}

/// What an HPA does not do: from none to some, back to none, and up to the floor while nothing is active.
fn between_none_and_some(cluster: &mut Cluster<'_>, object: &Value, target: &(Resource, Entry), draft: &mut Draft) {
    const COOLDOWN: f64 = 300.0;
    let (least, current) = (facts::least(object), replicas(&target.1.object));
    let idle = object["spec"]["idleReplicaCount"].as_i64();
    let down_to = idle.unwrap_or(0);
    let halted = facts::paused_directions(object);
    let sleeps = least == 0 || idle.is_some();
    if hpa::is_active(cluster, object) {
        draft.condition("Active", "True", "ScalerActive", "Scaling is performed because triggers are active");
        draft.set("lastActiveTime", None);
        if (current == 0 || (idle.is_some() && current < least)) && !halted.contains(&"scaleUp") {
            set_replicas(cluster, target, least.max(1));
        }
        return;
    }
    draft.condition("Active", "False", "ScalerNotActive", "Scaling is not performed because triggers are not active");
    if !sleeps {
        if current < least {
            set_replicas(cluster, target, least);
        }
        return;
    }
    if current <= down_to || halted.contains(&"scaleDown") {
        return;
    }
    // When it fell idle stands in its status, in the cluster's own time.
    let since = draft.idle_since(cluster.moment);
    let cooldown = object["spec"]["cooldownPeriod"].as_f64().unwrap_or(COOLDOWN);
    let due = since + (cooldown * 1000.0 / cluster.moment.speed) as u64;
    if due <= cluster.moment.now {
        set_replicas(cluster, target, down_to);
    } else {
        draft.condition("Active", "False", "ScalerCooldown", "Scaler cooling down because triggers are not active");
        cluster.at(due);
    }
}
