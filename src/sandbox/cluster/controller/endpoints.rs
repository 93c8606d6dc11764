//! EndpointSlices and Endpoints: where the Pods of each Service are, and which of them take requests.
//!
//! It must not touch Pods or Services. Invariant: an endpoint is ready only while its Pod is ready and not about to end.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::Cluster;
use super::owners::{name, namespace, owner, selects, uid};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::Entry;

/// How many endpoints a slice takes.
const MOST: usize = 100;
/// How many addresses an Endpoints object takes of each sort.
const MOST_IN_ALL: usize = 1000;
const LABEL: &str = "endpoints.kubernetes.io/managed-by";
const MANAGER: &str = "endpointslice-controller.k8s.io";

pub(super) fn run(cluster: &mut Cluster<'_>) {
    let zones: BTreeMap<String, Value> = cluster
        .store
        .list(Resource::Nodes, None)
        .map(|entry| (name(&entry.object).to_owned(), entry.object["metadata"]["labels"]["topology.kubernetes.io/zone"].clone()))
        .collect();
    for service in cluster.list(Resource::Services) {
        let service = &service.object;
        let selector = json!({ "matchLabels": service["spec"]["selector"] });
        let pods: Vec<Entry> = cluster
            .store
            .list(Resource::Pods, Some(namespace(service)))
            .filter(|entry| selects(&selector, &entry.object) && pod::stage(&entry.object) != Stage::Ended)
            .filter(|entry| entry.object["status"]["podIP"].is_string())
            .cloned()
            .collect();
        let known: Vec<Entry> = cluster
            .store
            .list(Resource::EndpointSlices, Some(namespace(service)))
            .filter(|entry| {
                owner(&entry.object) == uid(service)
                    && entry.object["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"] == MANAGER
            })
            .cloned()
            .collect();
        if !service["spec"]["selector"].is_object() {
            continue;
        }
        let ports = ports(service, pods.first().map(|entry| &*entry.object));
        let needed = pods.len().div_ceil(MOST).max(1);
        for (nth, part) in (0..needed).map(|nth| (nth, pods.iter().skip(nth * MOST).take(MOST))) {
            let endpoints: Vec<Value> = part.map(|entry| endpoint(&entry.object, &zones)).collect();
            slice(cluster, service, known.get(nth), endpoints, &ports);
        }
        for surplus in known.iter().skip(needed) {
            cluster.remove(Resource::EndpointSlices, &surplus.object);
        }
        whole(cluster, service, &pods, &ports);
    }
    for entry in cluster.list(Resource::Endpoints) {
        let object = &entry.object;
        let mine = object["metadata"]["labels"][LABEL] == "endpoint-controller";
        if mine && cluster.store.get(Resource::Services, namespace(object), name(object)).is_none() {
            cluster.remove(Resource::Endpoints, object);
        }
    }
}

/// The Endpoints of a Service: the older form, which has its name and all its Pods in one object.
fn whole(cluster: &mut Cluster<'_>, service: &Value, pods: &[Entry], ports: &Value) {
    let addresses = |ready: bool| {
        let wanted = pods.iter().map(|entry| &entry.object).filter(|pod| {
            let stage = pod::stage(pod);
            stage != Stage::Terminating && (stage == Stage::Ready) == ready
        });
        let address = |pod: &Arc<Value>| {
            let target = json!({ "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod) });
            json!({ "ip": pod["status"]["podIP"], "nodeName": pod["spec"]["nodeName"], "targetRef": target })
        };
        wanted.take(MOST_IN_ALL).map(address).collect::<Vec<_>>()
    };
    let mut subset = json!({ "ports": ports });
    for (member, found) in [("addresses", addresses(true)), ("notReadyAddresses", addresses(false))] {
        if !found.is_empty() {
            subset[member] = Value::Array(found);
        }
    }
    let empty = subset["addresses"].is_null() && subset["notReadyAddresses"].is_null();
    let subsets = if empty { json!([]) } else { json!([subset]) };
    let known = cluster.store.get(Resource::Endpoints, namespace(service), name(service)).map(|entry| Value::clone(&entry.object));
    let mut object = known.clone().unwrap_or_else(|| {
        json!({
            "apiVersion": "v1", "kind": "Endpoints",
            "metadata": {
                "name": name(service), "namespace": namespace(service), "uid": Uuid::now_v7().to_string(),
                "creationTimestamp": cluster.moment.stamp(), "labels": { LABEL: "endpoint-controller" },
            },
        })
    });
    object["subsets"] = subsets;
    if known.as_ref() != Some(&object) {
        cluster.put(Resource::Endpoints, object, None);
    }
}

fn endpoint(pod: &Value, zones: &BTreeMap<String, Value>) -> Value {
    let stage = pod::stage(pod);
    let on = pod["spec"]["nodeName"].as_str().unwrap_or_default();
    let mut endpoint = json!({
        "addresses": [pod["status"]["podIP"]],
        "conditions": { "ready": stage == Stage::Ready, "serving": stage == Stage::Ready, "terminating": stage == Stage::Terminating },
        "nodeName": on,
        "targetRef": { "kind": "Pod", "namespace": namespace(pod), "name": name(pod), "uid": uid(pod) },
    });
    if let Some(zone) = zones.get(on).filter(|zone| zone.is_string()) {
        endpoint["zone"] = zone.clone();
    }
    endpoint
}

/// The ports as the Pods have them: a target port by name is looked up in a Pod's containers.
fn ports(service: &Value, pod: Option<&Value>) -> Value {
    let list = service["spec"]["ports"].as_array().into_iter().flatten().map(|port| {
        let target = match &port["targetPort"] {
            Value::Number(number) => json!(number),
            Value::String(name) => {
                let containers = pod.and_then(|pod| pod["spec"]["containers"].as_array());
                let mut ports = containers.into_iter().flatten().filter_map(|container| container["ports"].as_array()).flatten();
                ports.find(|found| found["name"] == name.as_str()).map_or(Value::Null, |found| found["containerPort"].clone())
            }
            _ => port["port"].clone(),
        };
        let protocol = port["protocol"].as_str().unwrap_or("TCP");
        json!({ "name": port["name"].as_str().unwrap_or_default(), "port": target, "protocol": protocol })
    });
    Value::Array(list.collect())
}

/// The labels of a Service's slices: its own, and by which they are found.
fn labels(service: &Value) -> Value {
    let mut labels = service["metadata"]["labels"].clone();
    if !labels.is_object() {
        labels = json!({});
    }
    labels["kubernetes.io/service-name"] = json!(name(service));
    labels["endpointslice.kubernetes.io/managed-by"] = json!(MANAGER);
    labels
}

fn slice(cluster: &mut Cluster<'_>, service: &Value, known: Option<&Entry>, endpoints: Vec<Value>, ports: &Value) {
    let Some(known) = known else {
        let stem = format!("{}-", name(service));
        let slice_name = super::owners::free_name(cluster.store, Resource::EndpointSlices, namespace(service), &stem);
        let object = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
            "metadata": {
                "name": slice_name, "generateName": stem, "namespace": namespace(service), "uid": Uuid::now_v7().to_string(),
                "creationTimestamp": cluster.moment.stamp(), "generation": 1,
                "labels": labels(service),
                "ownerReferences": [pod::reference(service)],
            },
        });
        cluster.put(Resource::EndpointSlices, object, None);
        return;
    };
    let mut object = Value::clone(&known.object);
    object["endpoints"] = Value::Array(endpoints);
    object["ports"] = ports.clone();
    object["metadata"]["labels"] = labels(service);
    if object != *known.object {
        object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        cluster.put(Resource::EndpointSlices, object, None);
    }
}
