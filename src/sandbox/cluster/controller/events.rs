//! Events: what the cluster tells about its objects, as `kubectl describe` shows it.
//!
//! It must not decide anything by events. Invariant: the same thing of the same object is one Event with a count, and there are never more
//! than [`MOST`] nor any older than an hour of the cluster's time.

use serde_json::{Value, json};

use super::owners::{name, namespace, uid};
use super::{Cluster, Moment};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};

/// How many Events are kept.
pub(super) const MOST: usize = 500;
/// So many go beyond the bound at once, so that not each new one looks at all.
const SPARE: usize = 100;
const KEPT_FOR: f64 = 3_600_000.0;

/// Who says it, and how grave it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source {
    component: &'static str,
    kind: &'static str,
}

/// Something ordinary that `component` did.
pub(super) fn normal(component: &'static str) -> Source {
    Source { component, kind: "Normal" }
}

/// Something that `component` could not do.
pub(super) fn warning(component: &'static str) -> Source {
    Source { component, kind: "Warning" }
}

/// Records that something happened to `object`.
pub(super) fn record(cluster: &mut Cluster<'_>, object: &Value, source: Source, reason: &str, message: &str) {
    cluster.touched = true;
    tell(cluster.store, cluster.moment, object, source, reason, message);
}

/// As [`record`], for one who holds the objects alone.
pub(super) fn tell(store: &mut Store, moment: Moment, object: &Value, source: Source, reason: &str, message: &str) {
    let place = match namespace(object) {
        "" => "default",
        namespace => namespace,
    };
    let now = moment.stamp();
    let same = |event: &&Entry| {
        text(&event.object, "/involvedObject/uid") == uid(object)
            && event.object["reason"] == reason
            && event.object["message"] == message
            && text(&event.object, "/source/component") == source.component
    };
    let known = store.named(Resource::Events, place, &format!("{}.", name(object))).find(same);
    let event = match known {
        Some(known) => {
            let mut event = Value::clone(&known.object);
            event["count"] = json!(event["count"].as_i64().unwrap_or(1) + 1);
            event["lastTimestamp"] = json!(now);
            event
        }
        None => {
            // As the real ones, by the time: so those of one object sort as they happened, also within a second.
            let event_name = format!("{}.{:016x}", name(object), moment.now * 1_000_000 + store.version() % 1_000_000);
            let mut involved = json!({
                "apiVersion": object["apiVersion"], "kind": object["kind"], "name": name(object), "uid": uid(object),
                "resourceVersion": object["metadata"]["resourceVersion"],
            });
            if !namespace(object).is_empty() {
                involved["namespace"] = json!(namespace(object));
            }
            if source.component == "kubelet" {
                let container = text(object, "/spec/containers/0/name");
                if matches!(reason, "Pulled" | "Created" | "Started" | "Killing" | "BackOff" | "Failed" | "Pulling" | "Unhealthy") {
                    involved["fieldPath"] = json!(format!("spec.containers{{{container}}}"));
                }
            }
            let mut from = json!({ "component": source.component });
            if source.component == "kubelet" {
                from["host"] = object["spec"]["nodeName"].clone();
            }
            json!({
                "apiVersion": "v1", "kind": "Event",
                "metadata": {
                    "name": event_name, "namespace": place, "uid": uuid::Uuid::now_v7().to_string(), "creationTimestamp": now,
                },
                "involvedObject": involved, "reason": reason, "message": message, "source": from, "type": source.kind,
                "firstTimestamp": now, "lastTimestamp": now, "eventTime": null, "count": 1,
                "reportingComponent": source.component, "reportingInstance": from["host"].as_str().unwrap_or_default(),
            })
        }
    };
    store.put(Resource::Events, event, None);
}

/// Removes what is too old or too much.
pub(super) fn forget_old(cluster: &mut Cluster<'_>) {
    let kept = (KEPT_FOR / cluster.moment.speed).max(1000.0) as u64;
    let oldest = super::stamp(cluster.moment.now.saturating_sub(kept));
    let count = cluster.store.list(Resource::Events, None).count();
    // Times of one length and zone sort as texts.
    let old = |entry: &&Entry| entry.object["lastTimestamp"].as_str().is_some_and(|last| last < oldest.as_str());
    let mut gone: Vec<Entry> = cluster.store.list(Resource::Events, None).filter(old).cloned().collect();
    if count - gone.len() > MOST {
        let version = |entry: &Entry| text(&entry.object, "/metadata/resourceVersion").parse::<u64>().unwrap_or(0);
        let mut left: Vec<Entry> = cluster.store.list(Resource::Events, None).filter(|entry| !old(entry)).cloned().collect();
        left.sort_by_key(version);
        let surplus = left.len() - MOST + SPARE;
        gone.extend(left.into_iter().take(surplus));
    }
    for entry in gone {
        cluster.remove(Resource::Events, &entry.object);
    }
}
