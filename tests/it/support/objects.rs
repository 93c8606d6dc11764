//! A cluster's objects as its API shows them, reduced to what a run that is taken back must have put back.
//!
//! It must not change the cluster, and knows neither the sandbox nor a real control plane. Invariant: every kind that the discovery names and lists is
//! compared, so that a new one is not forgotten.
//!
//! What is left out, and why: in the metadata what the server counts and stamps at every write (`resourceVersion`, `uid`, `generation`,
//! `managedFields`, `creationTimestamp`), and the controllers' own annotations, such as the number of the rollout, which goes up on the way back too;
//! `status`, which is what the cluster makes of the rest; events, which tell what happened; metrics, which are readings; Leases, which hold objects and
//! are none of them; names and addresses of Pods, which are new after each rollout, so that Pods are compared by the workload that made them as counts
//! with their containers, and endpoints as counts; ReplicaSets with no Pods, which are the history.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What differs from one write to the next without being wanted by anybody.
const STAMPS: [&str; 5] = ["resourceVersion", "uid", "generation", "managedFields", "creationTimestamp"];
/// What the annotations begin with that controllers write of what they did.
const CONTROLLERS: [&str; 2] = ["deployment.kubernetes.io/", "endpoints.kubernetes.io/"];
/// Resources that are no objects that anybody wants.
const PASSING: [&str; 2] = ["events", "leases"];
/// The group of what pods and nodes use.
const METRICS: &str = "metrics.k8s.io";

/// Objects by their name, reduced.
pub type Objects = BTreeMap<String, Value>;

/// Every object by its name, reduced as this file's first lines say: of one namespace, or of the whole cluster. `get` asks the API.
pub fn objects(namespace: Option<&str>, get: impl Fn(&str) -> Value) -> Objects {
    let mut groups = vec!["/api/v1".to_owned()];
    let others = get("/apis");
    let others = items(&others["groups"]).iter().filter(|group| group["name"] != METRICS);
    groups.extend(others.map(|group| format!("/apis/{}", text(&group["preferredVersion"]["groupVersion"]))));
    let mut found = Objects::new();
    for group in groups {
        for resource in items(&get(&group)["resources"]) {
            let name = text(&resource["name"]);
            let is_listed = items(&resource["verbs"]).contains(&json!("list"));
            if name.contains('/') || PASSING.contains(&name.as_str()) || !is_listed {
                continue;
            }
            let path = match namespace {
                Some(_) if resource["namespaced"] != true => continue,
                Some(namespace) => format!("{group}/namespaces/{namespace}/{name}"),
                None => format!("{group}/{name}"),
            };
            let list = get(&path);
            let all = items(&list["items"]);
            if name == "pods" {
                counted(all, &mut found);
                continue;
            }
            for object in all {
                let key = format!("{name} {}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
                if let Some(reduced) = reduced(&name, object.clone()) {
                    found.insert(key, reduced);
                }
            }
        }
    }
    assert!(found.keys().any(|key| key.starts_with("deployments ")) && found.keys().any(|key| key.starts_with("pods ")), "{found:?}");
    found
}

/// Pods as counts, by the workload that made them and what is in them.
fn counted(pods: &[Value], found: &mut Objects) {
    for pod in pods {
        let owner = items(&pod["metadata"]["ownerReferences"]).first().cloned().unwrap_or_default();
        let leaving = if pod["metadata"]["deletionTimestamp"].is_null() { "" } else { ", terminating" };
        // The containers' words make the key: Pods of one workload with other containers are counted apart.
        let containers: Vec<Value> = items(&pod["spec"]["containers"])
            .iter()
            .map(|container| json!({ "name": container["name"], "image": container["image"], "env": container["env"], "resources": container["resources"] }))
            .collect();
        let (kind, name) = (text(&owner["kind"]), text(&owner["name"]));
        let key = format!("pods of {}/{kind}/{name}{leaving}: {}", text(&pod["metadata"]["namespace"]), json!(containers));
        let count = found.get(&key).and_then(Value::as_u64).unwrap_or(0);
        found.insert(key, json!(count + 1));
    }
}

/// An object without what is left out; none for one that is left out.
fn reduced(resource: &str, mut object: Value) -> Option<Value> {
    let scaled_to_nothing = resource == "replicasets" && object["spec"]["replicas"] == 0;
    let fields = object.as_object_mut()?;
    fields.remove("status");
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    STAMPS.iter().for_each(|stamp| drop(metadata.remove(*stamp)));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !CONTROLLERS.iter().any(|own| name.starts_with(own)));
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    for subset in fields.get_mut("subsets").and_then(Value::as_array_mut).into_iter().flatten() {
        for list in ["addresses", "notReadyAddresses"] {
            if let Some(addresses) = subset.get_mut(list) {
                *addresses = json!(items(addresses).len());
            }
        }
    }
    if let Some(endpoints) = fields.get_mut("endpoints") {
        *endpoints = json!(items(endpoints).len());
    }
    // Who made it is told by name; the uid is a stamp as well.
    for owner in fields["metadata"]["ownerReferences"].as_array_mut().into_iter().flatten() {
        owner.as_object_mut()?.remove("uid");
    }
    (!scaled_to_nothing).then_some(object)
}

/// What differs, in words.
pub fn differences(before: &Objects, now: &Objects) -> Option<String> {
    let mut told = Vec::new();
    for (key, was) in before {
        match now.get(key) {
            None => told.push(format!("{key} is gone, it was {was}")),
            Some(is) => within(key, was, is, &mut told),
        }
    }
    told.extend(now.iter().filter(|(key, _)| !before.contains_key(*key)).map(|(key, is)| format!("{key} is new: {is}")));
    (!told.is_empty()).then(|| told.join("\n"))
}

/// The fields in which one object differs.
fn within(path: &str, was: &Value, is: &Value, told: &mut Vec<String>) {
    match (was, is) {
        (Value::Object(before), Value::Object(now)) => {
            for name in before.keys().chain(now.keys().filter(|name| !before.contains_key(*name))) {
                within(&format!("{path}.{name}"), &was[name.as_str()], &is[name.as_str()], told);
            }
        }
        _ if was != is => told.push(format!("{path} was {was} and is {is}")),
        _ => {}
    }
}

/// The values of a list; none where it is none.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
