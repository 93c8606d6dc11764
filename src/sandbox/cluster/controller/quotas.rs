//! ResourceQuotas: what a namespace may use, and what it uses.
//!
//! It must not remove anything. Invariant: no Pod is created by a controller beyond a quota of its namespace.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::owners::{name, namespace};
use super::{Cluster, ROOM};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::quantity;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Store, text};

/// What a Pod uses of a quota's resource, in thousandths; none for a resource that is not counted by Pods.
fn use_of(pod: &Value, resource: &str) -> Option<i128> {
    let (side, resource) = match resource {
        "pods" | "count/pods" => return Some(1000),
        "cpu" | "memory" => ("requests", resource),
        _ => resource.split_once('.')?,
    };
    (matches!(side, "requests" | "limits") && matches!(resource, "cpu" | "memory")).then(|| quantity::of_pod(&pod["spec"], side, resource))
}

fn used(store: &Store, namespace: &str, resource: &str) -> Option<i128> {
    let counted = match resource {
        "count/deployments.apps" => Some(Resource::Deployments),
        "count/replicasets.apps" => Some(Resource::ReplicaSets),
        "count/statefulsets.apps" => Some(Resource::StatefulSets),
        "count/jobs.batch" => Some(Resource::Jobs),
        "configmaps" | "count/configmaps" => Some(Resource::ConfigMaps),
        "services" | "count/services" => Some(Resource::Services),
        _ => None,
    };
    if let Some(kind) = counted {
        return i128::try_from(store.list(kind, Some(namespace)).count()).ok().map(|count| count * 1000);
    }
    let pods = store.list(Resource::Pods, Some(namespace));
    // A Pod that has ended holds nothing; one that is about to end holds on until it is gone.
    pods.filter(|entry| pod::stage(&entry.object) != Stage::Ended).try_fold(0, |sum, entry| Some(sum + use_of(&entry.object, resource)?))
}

/// Why the Pod may not be created, in the words that follow `pods "x" is forbidden: `; none where it may.
pub(crate) fn forbids(store: &Store, pod: &Value) -> Option<String> {
    let here = namespace(pod);
    for quota in store.list(Resource::ResourceQuotas, Some(here)) {
        let mut over: BTreeMap<&str, (i128, i128, i128)> = BTreeMap::new();
        let mut unsaid = Vec::new();
        for (resource, hard) in quota.object["spec"]["hard"].as_object().into_iter().flatten() {
            let (Some(hard), Some(wanted)) = (quantity::milli(hard), use_of(pod, resource)) else { continue };
            if wanted == 0 {
                unsaid.push(resource.as_str());
                continue;
            }
            let used = used(store, here, resource).unwrap_or(0);
            if used + wanted > hard {
                over.insert(resource, (wanted, used, hard));
            }
        }
        let quota = name(&quota.object);
        if !unsaid.is_empty() {
            unsaid.sort_unstable();
            let container = text(pod, "/spec/containers/0/name");
            let missing: Vec<String> = unsaid.iter().map(|resource| format!("{resource} for: {container}")).collect();
            return Some(format!("failed quota: {quota}: must specify {}", missing.join("; ")));
        }
        if !over.is_empty() {
            let list = |pick: fn(&(i128, i128, i128)) -> i128| {
                let parts: Vec<String> =
                    over.iter().map(|(resource, amounts)| format!("{resource}={}", quantity::show(resource, pick(amounts)))).collect();
                parts.join(",")
            };
            let (wanted, used, hard) = (list(|amounts| amounts.0), list(|amounts| amounts.1), list(|amounts| amounts.2));
            return Some(format!("exceeded quota: {quota}, requested: {wanted}, used: {used}, limited: {hard}"));
        }
    }
    let pods = store.list(Resource::Pods, None).count();
    (pods >= ROOM).then(|| format!("exceeded quota: room-of-the-sandbox, requested: pods=1, used: pods={pods}, limited: pods={ROOM}"))
}

/// Keeps the status of each quota true.
pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::ResourceQuotas) {
        let hard = &entry.object["spec"]["hard"];
        let mut status = json!({ "hard": hard, "used": {} });
        for resource in hard.as_object().into_iter().flatten().map(|(resource, _)| resource) {
            let amount = used(cluster.store, namespace(&entry.object), resource).unwrap_or(0);
            status["used"][resource] = json!(quantity::show(resource, amount));
        }
        let mut object = Value::clone(&entry.object);
        object["status"] = status;
        cluster.update(Resource::ResourceQuotas, &entry.object, object);
    }
}
