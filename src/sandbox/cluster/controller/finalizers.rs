//! What is deleted in the foreground, or with its dependents left behind: it stays until they are gone, or are nobody's.
//!
//! It must not touch the finalizers of others. Invariant: an object that is deleted in the foreground goes after all that it owns; one
//! that orphans takes nothing with it.

use serde_json::{Value, json};

use super::Cluster;
use super::owners::{DEPENDENTS, OWNERS, leaves, uid};
use super::pods::terminate;
use crate::sandbox::cluster::delete::{self, FOREGROUND, ORPHAN};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::Entry;

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for resource in Resource::ALL {
        let leaving: Vec<Entry> = cluster.store.list(resource, None).filter(|entry| leaves(&entry.object)).cloned().collect();
        for entry in leaving {
            let object = &entry.object;
            if has(object, ORPHAN) {
                disown(cluster, object);
                release(cluster, resource, object, ORPHAN);
            } else if has(object, FOREGROUND) && !end_dependents(cluster, object) {
                release(cluster, resource, object, FOREGROUND);
            }
        }
    }
}

fn has(object: &Value, finalizer: &str) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| list.iter().any(|found| found == finalizer))
}

fn owned(cluster: &Cluster<'_>, resource: Resource, owner: &Value) -> Vec<Entry> {
    let names = |entry: &&Entry| {
        let references = entry.object["metadata"]["ownerReferences"].as_array();
        references.is_some_and(|list| list.iter().any(|reference| reference["uid"] == uid(owner)))
    };
    cluster.store.list(resource, None).filter(names).cloned().collect()
}

/// Takes the owner from all that it owns.
fn disown(cluster: &mut Cluster<'_>, owner: &Value) {
    for resource in DEPENDENTS {
        for entry in owned(cluster, resource, owner) {
            let mut object = Value::clone(&entry.object);
            if let Some(references) = object["metadata"]["ownerReferences"].as_array_mut() {
                references.retain(|reference| reference["uid"] != uid(owner));
                if references.is_empty()
                    && let Some(metadata) = object["metadata"].as_object_mut()
                {
                    metadata.shift_remove("ownerReferences");
                }
            }
            cluster.put(resource, object, entry.life.clone());
        }
    }
}

/// Deletes what is owned, in the same way; whether any of it is still there.
fn end_dependents(cluster: &mut Cluster<'_>, owner: &Value) -> bool {
    let mut left = false;
    for resource in DEPENDENTS {
        for entry in owned(cluster, resource, owner) {
            left = true;
            if leaves(&entry.object) {
                continue;
            }
            if resource == Resource::Pods {
                let moment = cluster.moment;
                cluster.touched = true;
                terminate(cluster.store, &entry, moment);
            } else if OWNERS.contains(&resource) {
                let marked = delete::marked(&entry.object, Some(FOREGROUND), &cluster.moment.stamp());
                cluster.put(resource, marked, None);
            } else {
                cluster.remove(resource, &entry.object);
            }
        }
    }
    left
}

/// Removes the finalizer, and with the last one the object.
fn release(cluster: &mut Cluster<'_>, resource: Resource, object: &Value, finalizer: &str) {
    let mut released = object.clone();
    if let Some(finalizers) = released["metadata"]["finalizers"].as_array_mut() {
        finalizers.retain(|found| *found != json!(finalizer));
    }
    if delete::held(&released) {
        cluster.put(resource, released, None);
    } else {
        cluster.remove(resource, object);
    }
}
