//! How lists and objects of the kinds are merged: which lists have keys, which are sets, and what is taken as a whole.
//!
//! It must not merge anything itself. Invariant: the keys are those of the real API's schema (`x-kubernetes-list-map-keys` and
//! `patchMergeKey`); what is not named here is taken as a whole, as there.

use serde_json::{Value, json};

use super::resource::Resource;

/// How a list is merged by server-side apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListType {
    /// As a whole.
    Atomic,
    /// A set of plain values.
    Set,
    /// By these members of its elements.
    Map(&'static [&'static str]),
}

/// The type of the list `name` of a kind.
pub(crate) fn list_type(resource: Resource, name: &str) -> ListType {
    match name {
        // The definition of a custom resource names no keys.
        _ if resource.is_argo_cds() && !matches!(name, "ownerReferences" | "finalizers") => ListType::Atomic,
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" | "resourceClaims" => {
            ListType::Map(&["name"])
        }
        "ports" if resource == Resource::EndpointSlices => ListType::Atomic,
        "ports" if resource == Resource::Services => ListType::Map(&["port", "protocol"]),
        "ports" => ListType::Map(&["containerPort", "protocol"]),
        "volumeMounts" => ListType::Map(&["mountPath"]),
        "volumeDevices" => ListType::Map(&["devicePath"]),
        "hostAliases" | "podIPs" => ListType::Map(&["ip"]),
        "topologySpreadConstraints" => ListType::Map(&["topologyKey", "whenUnsatisfiable"]),
        "conditions" if matches!(resource, Resource::Jobs | Resource::ScaledObjects) => ListType::Atomic,
        "conditions" => ListType::Map(&["type"]),
        "addresses" if resource == Resource::Nodes => ListType::Map(&["type"]),
        "ownerReferences" => ListType::Map(&["uid"]),
        "finalizers" => ListType::Set,
        _ => ListType::Atomic,
    }
}

/// Whether an object of this name is taken as a whole.
pub(crate) fn atomic_object(name: &str) -> bool {
    matches!(
        name,
        "selector"
            | "nodeSelector"
            | "labelSelector"
            | "namespaceSelector"
            | "scopeSelector"
            | "fieldRef"
            | "configMapKeyRef"
            | "secretKeyRef"
            | "resourceFieldRef"
            | "involvedObject"
            | "targetRef"
            | "fieldsV1"
    )
}

/// Whether the elements of the list of this name are found by a key, but each is taken as a whole.
pub(crate) fn atomic_elements(list: &str) -> bool {
    matches!(list, "ownerReferences" | "imagePullSecrets")
}

/// Whether an object or a list of this name is a part that every object of its kind has, so that nobody owns its being there.
pub(crate) fn always_there(name: &str) -> bool {
    matches!(
        name,
        "metadata" | "spec" | "status" | "template" | "jobTemplate" | "strategy" | "updateStrategy" | "containers" | "scaleTargetRef"
    )
}

/// The member by which a strategic merge finds the elements of a list; none for lists that it replaces.
pub(crate) fn merge_key(list: &str, elements: &[Value]) -> Option<&'static str> {
    match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => Some("name"),
        // A Service's ports are found by `port`, a container's by `containerPort`; no list has both.
        "ports" if elements.iter().any(|element| element.get("port").is_some()) => Some("port"),
        "ports" => Some("containerPort"),
        "volumeMounts" => Some("mountPath"),
        "volumeDevices" => Some("devicePath"),
        "hostAliases" | "podIPs" => Some("ip"),
        "topologySpreadConstraints" => Some("topologyKey"),
        "conditions" | "addresses" => Some("type"),
        "ownerReferences" => Some("uid"),
        _ => None,
    }
}

/// Whether a strategic merge adds to this list of plain values, instead of replacing it.
pub(crate) fn merged_values(list: &str) -> bool {
    list == "finalizers"
}

/// The key of an element, as an object with sorted members: `{"containerPort":8080,"protocol":"TCP"}`. None where a member is missing.
pub(crate) fn key_of(element: &Value, members: &[&str]) -> Option<Value> {
    let mut key = json!({});
    for member in members {
        key[*member] = match element.get(*member) {
            Some(value) if !value.is_null() => value.clone(),
            // The schema's default for the protocol of a port.
            _ if *member == "protocol" => json!("TCP"),
            _ => return None,
        };
    }
    Some(key)
}
