//! An update of a stored object by a client's version of it: what stays the server's, what may not change, and the generation.
//!
//! It must not fill defaults. Invariant: identity stays; the generation grows by one exactly when the wanted state changes; a change of
//! the status goes by its subresource only, and that changes nothing else.

use serde_json::{Value, json};

use super::problems::Problems;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::cluster::store::text;

/// Whether the text may name an object.
pub(crate) fn dns_label(name: &str) -> bool {
    let edge = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    !name.is_empty()
        && name.len() <= 253
        && name.starts_with(edge)
        && name.ends_with(edge)
        && name.chars().all(|c| edge(c) || c == '-' || c == '.')
}

/// Refuses a version or a uid that the stored object has not (any more).
pub(crate) fn same_version(resource: Resource, stored: &Value, sent: &Value) -> Result<(), ApiError> {
    let name = text(stored, "/metadata/name");
    let (claimed, uid) = (text(sent, "/metadata/uid"), text(stored, "/metadata/uid"));
    if !claimed.is_empty() && claimed != uid {
        return Err(ApiError::precondition(resource, name, claimed, uid));
    }
    let (claimed, version) = (text(sent, "/metadata/resourceVersion"), text(stored, "/metadata/resourceVersion"));
    if !claimed.is_empty() && claimed != version {
        return Err(ApiError::conflict(resource, name));
    }
    Ok(())
}

/// The stored object as the admitted `wanted` makes it.
///
/// # Errors
/// 409 when the client's version is not the stored one, 422 for an immutable field.
pub(crate) fn update(resource: Resource, stored: &Value, mut wanted: Value) -> Result<Value, ApiError> {
    same_version(resource, stored, &wanted)?;
    keep(stored, &mut wanted, &["name", "namespace", "uid", "resourceVersion", "creationTimestamp", "generation", "generateName"]);
    keep(stored, &mut wanted, &["deletionTimestamp", "deletionGracePeriodSeconds"]);
    if resource.has_status() {
        wanted["status"] = stored["status"].clone();
    }
    immutable(resource, stored, &wanted).into_result(resource, stored)?;
    let annotated = resource == Resource::Deployments && stored["metadata"]["annotations"] != wanted["metadata"]["annotations"];
    // A custom resource without a `status` subresource counts every change but that of its metadata.
    let reported = resource.is_argo_cds() && wanted["status"] != stored["status"];
    if resource.has_generation() && (wanted["spec"] != stored["spec"] || annotated || reported) {
        wanted["metadata"]["generation"] = json!(stored["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    }
    Ok(wanted)
}

/// The stored object with the status of `sent`.
///
/// # Errors
/// 409 when the client's version is not the stored one.
pub(crate) fn update_status(resource: Resource, stored: &Value, sent: &Value) -> Result<Value, ApiError> {
    same_version(resource, stored, sent)?;
    let mut wanted = stored.clone();
    wanted["status"] = sent["status"].clone();
    Ok(wanted)
}

fn keep(stored: &Value, wanted: &mut Value, fields: &[&str]) {
    let Some(metadata) = wanted["metadata"].as_object_mut() else { return };
    for field in fields {
        match stored["metadata"].get(field) {
            Some(value) => metadata.insert((*field).to_owned(), value.clone()),
            None => metadata.shift_remove(*field),
        };
    }
}

const STATEFUL: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

fn immutable(resource: Resource, stored: &Value, wanted: &Value) -> Problems {
    let mut problems = Problems::default();
    let (old, new) = (&stored["spec"], &wanted["spec"]);
    let mut frozen = |field: &str| {
        if old[field] != new[field] {
            problems.invalid(format!("spec.{field}"), &new[field], "field is immutable");
        }
    };
    match resource {
        Resource::Deployments | Resource::ReplicaSets => frozen("selector"),
        Resource::Jobs => {
            ["selector", "completionMode"].into_iter().for_each(&mut frozen);
            // A suspended Job that never started may still be given other resources.
            if old["suspend"] != true || stored["status"]["startTime"].is_string() {
                frozen("template");
            }
            if old["completionMode"] != "Indexed" {
                frozen("completions");
            }
        }
        Resource::Services if old["type"] != "ExternalName" && new["type"] != "ExternalName" => frozen("clusterIP"),
        Resource::StatefulSets if without(old, &STATEFUL) != without(new, &STATEFUL) => {
            let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
            problems.forbidden("spec", why);
        }
        Resource::Pods if pod_frame(old) != pod_frame(new) => {
            let why = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";
            problems.forbidden("spec", why);
        }
        Resource::EndpointSlices if stored["addressType"] != wanted["addressType"] => {
            problems.invalid("addressType", &wanted["addressType"], "field is immutable");
        }
        Resource::ConfigMaps if stored["immutable"] == true => {
            for field in ["immutable", "data", "binaryData"] {
                if stored[field] != wanted[field] {
                    problems.forbidden(field, "field is immutable when `immutable` is set");
                }
            }
        }
        _ => {}
    }
    problems
}

fn without(spec: &Value, fields: &[&str]) -> Value {
    let mut spec = spec.clone();
    if let Some(members) = spec.as_object_mut() {
        members.retain(|name, _| !fields.contains(&name.as_str()));
    }
    spec
}

/// What of a Pod may not change by an ordinary update.
fn pod_frame(spec: &Value) -> Value {
    let mut spec = without(spec, &["activeDeadlineSeconds", "tolerations"]);
    for list in ["containers", "initContainers"] {
        super::pod_spec::each(&mut spec, list, |container| container["image"] = Value::Null);
    }
    spec
}
