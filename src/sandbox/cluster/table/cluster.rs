//! The columns of what is around workloads: Services, quotas, Nodes, Events and the like.
//!
//! It must not change objects. Invariant: as many cells as columns, in their order.

use serde_json::{Value, json};

use super::age::since;
use super::columns::{Column, age, count, joined, name, number, shown, text, wide};

fn word(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

pub(super) const SERVICE: &[Column] =
    &[text("Name"), text("Type"), text("Cluster-IP"), text("External-IP"), text("Port(s)"), text("Age"), wide("Selector")];

pub(super) fn service(object: &Value, now: u64) -> Vec<Value> {
    let ports = object["spec"]["ports"].as_array();
    let ports = ports.into_iter().flatten().map(|port| format!("{}/{}", port["port"], word(&port["protocol"])));
    let labels = object["spec"]["selector"].as_object();
    vec![
        name(object),
        shown(object, "/spec/type"),
        shown(object, "/spec/clusterIP"),
        json!("<none>"),
        joined(ports),
        age(object, now),
        joined(labels.into_iter().flatten().map(|(key, value)| format!("{key}={}", word(value)))),
    ]
}

pub(super) const ENDPOINTS: &[Column] = &[text("Name"), text("Endpoints"), text("Age")];

pub(super) fn endpoints(object: &Value, now: u64) -> Vec<Value> {
    let mut found = Vec::new();
    for subset in object["subsets"].as_array().into_iter().flatten() {
        for address in subset["addresses"].as_array().into_iter().flatten() {
            let ports = subset["ports"].as_array().into_iter().flatten();
            found.extend(ports.map(|port| format!("{}:{}", word(&address["ip"]), word(&port["port"]))));
        }
    }
    vec![name(object), few(found), age(object, now)]
}

/// At most three of them, and how many more there are.
fn few(all: Vec<String>) -> Value {
    let more = all.len().saturating_sub(3);
    let shown = joined(all.into_iter().take(3));
    if more > 0 { json!(format!("{} + {more} more...", word(&shown))) } else { shown }
}

pub(super) const ENDPOINT_SLICE: &[Column] = &[text("Name"), text("AddressType"), text("Ports"), text("Endpoints"), text("Age")];

pub(super) fn endpoint_slice(object: &Value, now: u64) -> Vec<Value> {
    let unset = |text: Value| if text == "<none>" { json!("<unset>") } else { text };
    let ports = object["ports"].as_array().into_iter().flatten().map(|port| word(&port["port"]));
    let addresses: Vec<String> = object["endpoints"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|endpoint| endpoint["addresses"].as_array().into_iter().flatten().map(word))
        .collect();
    vec![name(object), shown(object, "/addressType"), unset(joined(ports)), unset(few(addresses)), age(object, now)]
}

pub(super) const CONFIG_MAP: &[Column] = &[text("Name"), text("Data"), text("Age")];

pub(super) fn config_map(object: &Value, now: u64) -> Vec<Value> {
    let size = |member: &str| object[member].as_object().map_or(0, serde_json::Map::len);
    vec![name(object), json!((size("data") + size("binaryData")).to_string()), age(object, now)]
}

pub(super) const EVENT: &[Column] = &[
    text("Last Seen"),
    text("Type"),
    text("Reason"),
    text("Object"),
    wide("Subobject"),
    wide("Source"),
    text("Message"),
    wide("First Seen"),
    wide("Count"),
    wide("Name"),
];

pub(super) fn event(object: &Value, now: u64) -> Vec<Value> {
    let about = &object["involvedObject"];
    let made = object["metadata"]["creationTimestamp"].as_str();
    let first = object["firstTimestamp"].as_str().or_else(|| object["eventTime"].as_str()).or(made);
    let last = object["series"]["lastObservedTime"].as_str().or_else(|| object["lastTimestamp"].as_str()).or(first);
    let source = match word(&object["source"]["component"]) {
        text if text.is_empty() => word(&object["reportingComponent"]),
        text => text,
    };
    let times = object["count"].as_i64().or_else(|| object["series"]["count"].as_i64()).unwrap_or(1);
    vec![
        json!(since(last, now)),
        object["type"].clone(),
        object["reason"].clone(),
        json!(format!("{}/{}", word(&about["kind"]).to_lowercase(), word(&about["name"]))),
        json!(word(&about["fieldPath"])),
        json!(source),
        json!(word(&object["message"]).trim()),
        json!(since(first, now)),
        json!(times.to_string()),
        name(object),
    ]
}

pub(super) const QUOTA: &[Column] = &[text("Name"), text("Request"), text("Limit"), text("Age")];

pub(super) fn quota(object: &Value, now: u64) -> Vec<Value> {
    let hard = object["status"]["hard"].as_object().or_else(|| object["spec"]["hard"].as_object());
    let list = |limits: bool| {
        let chosen = hard.into_iter().flatten().filter(|(name, _)| name.starts_with("limits") == limits);
        let parts: Vec<String> = chosen
            .map(|(name, most)| {
                let used = &object["status"]["used"][name.as_str()];
                format!("{name}: {}/{}", if used.is_null() { "0".to_owned() } else { word(used) }, word(most))
            })
            .collect();
        json!(parts.join(", "))
    };
    vec![name(object), list(false), list(true), age(object, now)]
}

pub(super) const NAMESPACE: &[Column] = &[text("Name"), text("Status"), text("Age")];

pub(super) fn namespace(object: &Value, now: u64) -> Vec<Value> {
    vec![name(object), shown(object, "/status/phase"), age(object, now)]
}

pub(super) const NODE: &[Column] = &[
    text("Name"),
    text("Status"),
    text("Roles"),
    text("Age"),
    text("Version"),
    wide("Internal-IP"),
    wide("External-IP"),
    wide("OS-Image"),
    wide("Kernel-Version"),
    wide("Container-Runtime"),
];

pub(super) fn node(object: &Value, now: u64) -> Vec<Value> {
    let ready = object["status"]["conditions"].as_array().into_iter().flatten().find(|condition| condition["type"] == "Ready");
    let mut status = match ready.map(|condition| word(&condition["status"])).as_deref() {
        Some("True") => "Ready",
        Some("False") => "NotReady",
        _ => "Unknown",
    }
    .to_owned();
    if object["spec"]["unschedulable"] == true {
        status.push_str(",SchedulingDisabled");
    }
    let labels = object["metadata"]["labels"].as_object();
    let roles = labels.into_iter().flatten().filter_map(|(label, _)| label.strip_prefix("node-role.kubernetes.io/").map(str::to_owned));
    let address = |kind: &str| {
        let list = object["status"]["addresses"].as_array();
        let found = list.into_iter().flatten().find(|address| address["type"] == kind);
        found.map_or(json!("<none>"), |address| address["address"].clone())
    };
    let info = |member: &str| match word(&object["status"]["nodeInfo"][member]) {
        text if text.is_empty() => json!("<unknown>"),
        text => json!(text),
    };
    vec![
        name(object),
        json!(status),
        joined(roles),
        age(object, now),
        json!(word(&object["status"]["nodeInfo"]["kubeletVersion"])),
        address("InternalIP"),
        address("ExternalIP"),
        info("osImage"),
        info("kernelVersion"),
        info("containerRuntimeVersion"),
    ]
}

pub(super) const LEASE: &[Column] = &[text("Name"), text("Holder"), text("Age")];

pub(super) fn lease(object: &Value, now: u64) -> Vec<Value> {
    vec![name(object), json!(word(&object["spec"]["holderIdentity"])), age(object, now)]
}

pub(super) const BUDGET: &[Column] =
    &[text("Name"), text("Min Available"), text("Max Unavailable"), number("Allowed Disruptions"), text("Age")];

pub(super) fn budget(object: &Value, now: u64) -> Vec<Value> {
    let spec = |member: &str| match word(&object["spec"][member]) {
        text if text.is_empty() => json!("N/A"),
        text => json!(text),
    };
    vec![name(object), spec("minAvailable"), spec("maxUnavailable"), json!(count(object, "/status/disruptionsAllowed")), age(object, now)]
}

pub(super) const APPLICATION: &[Column] = &[text("Name"), text("Sync Status"), text("Health Status"), wide("Revision"), wide("Project")];

pub(super) fn application(object: &Value, _: u64) -> Vec<Value> {
    // What a custom column finds nothing for is empty.
    let at = |pointer: &str| object.pointer(pointer).cloned().unwrap_or_default();
    vec![name(object), at("/status/sync/status"), at("/status/health/status"), at("/status/sync/revision"), at("/spec/project")]
}

pub(super) const PROJECT: &[Column] = &[text("Name"), text("Age")];

pub(super) fn project(object: &Value, now: u64) -> Vec<Value> {
    vec![name(object), age(object, now)]
}
