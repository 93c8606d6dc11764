//! What the server gives a new object: a name, an identity, an address, the labels by which a Job finds its Pods.
//!
//! It must not store or validate. Invariant: nothing a client sent as identity or status of a new object survives.

use serde_json::{Value, json};
use uuid::Uuid;

use super::defaults::default;
use crate::sandbox::cluster::resource::Resource;

/// The letters and digits of generated names, as the API server's.
const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// These numbers as the letters of generated names, in which no word can be read.
pub(crate) fn letters(numbers: impl Iterator<Item = u8>) -> String {
    numbers.map(|number| char::from(ALPHABET[usize::from(number) % ALPHABET.len()])).collect()
}

/// Five random characters for the end of a name.
pub(crate) fn suffix() -> String {
    // The last bytes of a version 7 id are random.
    letters(Uuid::now_v7().into_bytes().into_iter().rev().take(5))
}

/// Makes `sent`, whose metadata is an object, a new object of the namespace.
pub(crate) fn give(resource: Resource, sent: &mut Value, namespace: Option<&str>, created: &str) {
    let uid = Uuid::now_v7().to_string();
    if let Some(metadata) = sent["metadata"].as_object_mut() {
        for field in ["managedFields", "resourceVersion", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"] {
            metadata.shift_remove(field);
        }
    }
    let metadata = &mut sent["metadata"];
    if let Some(namespace) = namespace {
        metadata["namespace"] = json!(namespace);
    }
    metadata["uid"] = json!(uid);
    metadata["creationTimestamp"] = json!(created);
    if resource.has_generation() {
        metadata["generation"] = json!(1);
    }
    if resource.has_status() && resource != Resource::Nodes {
        sent["status"] = json!({});
    }
    match resource {
        Resource::Services => address(&mut sent["spec"], &uid),
        Resource::Jobs => job(sent, &uid),
        _ => {}
    }
}

/// Takes from what was sent with its defaults what an allocator or an admission plugin gave, and the status.
pub(crate) fn ungive(resource: Resource, object: &mut Value) {
    let given: &[&str] = match resource {
        Resource::Services => &["ipFamilies", "ipFamilyPolicy", "clusterIP", "clusterIPs"],
        Resource::Pods => &["priority", "preemptionPolicy", "tolerations"],
        _ => &[],
    };
    if let Some(spec) = object["spec"].as_object_mut() {
        spec.retain(|name, _| !given.contains(&name.as_str()));
    }
    if resource.has_status()
        && let Some(members) = object.as_object_mut()
    {
        members.shift_remove("status");
    }
}

/// An address of the range for Services, unless the Service is to have none.
fn address(spec: &mut Value, uid: &str) {
    if !spec.is_object() || spec["type"] == "ExternalName" {
        return;
    }
    let bytes = Uuid::parse_str(uid).map(Uuid::into_bytes).unwrap_or_default();
    default(spec, "clusterIP", json!(format!("10.96.{}.{}", bytes[14], bytes[15].clamp(1, 254))));
    let given = spec["clusterIP"].clone();
    default(spec, "clusterIPs", json!([given]));
}

fn job(object: &mut Value, uid: &str) {
    let name = object["metadata"]["name"].clone();
    let spec = &mut object["spec"];
    if !spec["template"].is_object() || spec["manualSelector"] == true {
        return;
    }
    default(spec, "selector", json!({ "matchLabels": { "batch.kubernetes.io/controller-uid": uid } }));
    let template = &mut spec["template"];
    default(template, "metadata", json!({}));
    default(&mut template["metadata"], "labels", json!({}));
    let labels = &mut template["metadata"]["labels"];
    for (label, value) in [
        ("batch.kubernetes.io/controller-uid", json!(uid)),
        ("batch.kubernetes.io/job-name", name.clone()),
        ("controller-uid", json!(uid)),
        ("job-name", name),
    ] {
        default(labels, label, value);
    }
    let labels = labels.clone();
    if object["metadata"]["labels"].as_object().is_none_or(serde_json::Map::is_empty) {
        object["metadata"]["labels"] = labels;
    }
}
