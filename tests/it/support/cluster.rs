//! The sandbox's cluster as its API shows it, reduced to what a run that is taken back must have put back.
//!
//! It must not change the cluster but for [`Stage::api`], which is what somebody else does. Invariant: every kind that the cluster's discovery names
//! and lists is compared, so that a new one is not forgotten.
//!
//! What is left out, and why: in the metadata what the server counts and stamps at every write (`resourceVersion`, `uid`, `generation`,
//! `managedFields`, `creationTimestamp`), and the Deployment controller's own annotations, such as the number of the rollout, which goes up on the way back too; `status`, which is what
//! the cluster makes of the rest; events, which tell what happened; names and addresses of Pods, which are new after each rollout, so that Pods are
//! compared by the workload that made them as counts with their containers, and endpoints as counts; ReplicaSets with no Pods, which are the history.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use super::Stage;

/// What differs from one write to the next without being wanted by anybody.
const STAMPS: [&str; 5] = ["resourceVersion", "uid", "generation", "managedFields", "creationTimestamp"];
/// What the Deployment controller's own annotations begin with.
const CONTROLLERS: &str = "deployment.kubernetes.io/";

impl Stage {
    /// One request to the API of the running sandbox's cluster, as its administrator; the status and the answer.
    pub fn api(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let text = std::fs::read_to_string(self.sandbox_folder().join("ready.json")).expect("the sandbox runs");
        let ready: Value = serde_json::from_str(&text).expect("the sandbox says where it is");
        let word = |key: &str| ready[key].as_str().unwrap_or_default().to_owned();
        let (address, token) = (word("address"), word("admin_token"));
        let kind = if method == "PATCH" { "application/merge-patch+json" } else { "application/json" };
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(&address).expect("the sandbox listens");
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a limit");
        // HTTP/1.0: the answer ends where the connection does.
        let length = body.len();
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .expect("a request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{method} {path}: no HTTP in {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{method} {path}: {error}: {body}")))
    }

    /// The Pods of the namespace `production` as they are in the API, those on their way out too.
    pub fn pods(&self) -> Vec<Value> {
        self.listed("/api/v1/namespaces/production/pods")
    }

    /// Every object of the cluster by its name, reduced as this file's first lines say.
    pub fn objects(&self) -> BTreeMap<String, Value> {
        let mut groups = vec!["/api/v1".to_owned()];
        let (_, others) = self.api("GET", "/apis", None);
        groups.extend(items(&others["groups"]).iter().map(|group| format!("/apis/{}", text(&group["preferredVersion"]["groupVersion"]))));
        let mut found = BTreeMap::new();
        for group in groups {
            let (_, resources) = self.api("GET", &group, None);
            for resource in items(&resources["resources"]) {
                let name = text(&resource["name"]);
                if name.contains('/') || name == "events" || !items(&resource["verbs"]).contains(&json!("list")) {
                    continue;
                }
                let all = self.listed(&format!("{group}/{name}"));
                if name == "pods" {
                    self.counted(all, &mut found);
                    continue;
                }
                for object in all {
                    let key = format!("{name} {}/{}", text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
                    if let Some(reduced) = reduced(&name, object) {
                        found.insert(key, reduced);
                    }
                }
            }
        }
        assert!(found.keys().any(|key| key.starts_with("deployments ")) && found.keys().any(|key| key.starts_with("pods ")), "{found:?}");
        found
    }

    /// That every object is as it was, and that at no change the pools went beyond what is free.
    #[track_caller]
    pub fn assert_as_before(&self, before: &BTreeMap<String, Value>, when: &str) {
        if let Some(told) = differences(before, &self.objects()) {
            panic!("{when}: the cluster is not as it was: {told}\n{}", self.run(&["status"]));
        }
        self.assert_within_budget(when);
    }

    /// That at no change the pools went beyond what is free.
    #[track_caller]
    pub fn assert_within_budget(&self, when: &str) {
        let usage = self.connections();
        assert_eq!(usage.exceeded, 0, "{when}: the pools went beyond what is free: {usage:?}");
    }

    fn listed(&self, path: &str) -> Vec<Value> {
        let (status, list) = self.api("GET", path, None);
        assert_eq!(status, 200, "{path}: {list}");
        items(&list["items"]).to_vec()
    }

    /// Pods as counts, by the workload that made them and what is in them.
    fn counted(&self, pods: Vec<Value>, found: &mut BTreeMap<String, Value>) {
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
}

/// An object without what is left out; none for one that is left out.
fn reduced(resource: &str, mut object: Value) -> Option<Value> {
    let scaled_to_nothing = resource == "replicasets" && object["spec"]["replicas"] == 0;
    let fields = object.as_object_mut()?;
    fields.remove("status");
    let metadata = fields.get_mut("metadata")?.as_object_mut()?;
    STAMPS.iter().for_each(|stamp| drop(metadata.remove(*stamp)));
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.retain(|name, _| !name.starts_with(CONTROLLERS));
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
fn differences(before: &BTreeMap<String, Value>, now: &BTreeMap<String, Value>) -> Option<String> {
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

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
