//! Admission: what a client sent becomes an object that the cluster stores, or is refused with what is wrong.
//!
//! It must not store anything. Invariant: what is admitted has passed through the typed object of the real API, with its defaults, so a
//! typed client can always read it.

pub(crate) mod birth;
pub(crate) mod defaults;
pub(crate) mod pod_spec;
pub(crate) mod problems;
pub(crate) mod quantity;
pub(crate) mod resize;
pub(crate) mod scale;
mod scaled_object;
pub(crate) mod strict;
mod times;
mod typed;
pub(crate) mod update;
mod validate;
mod zeros;

pub(crate) use scaled_object::webhook as keda_webhook;

use serde_json::{Value, json};

use super::resource::Resource;
use super::status_error::ApiError;
use super::store::{Store, text};

/// Reads what a client sent as the typed object, which drops unknown fields, fills the defaults and validates it.
///
/// # Errors
/// `on_mismatch` with the reason when a field has the wrong type; 422 when a value is invalid.
pub(crate) fn admit(resource: Resource, object: &Value, on_mismatch: impl Fn(String) -> ApiError) -> Result<Value, ApiError> {
    times::check(resource, object).map_err(&on_mismatch)?;
    let mut admitted = typed::round_trip(resource, object).map_err(|error| on_mismatch(error.to_string()))?;
    if !resource.is_argo_cds() {
        quantity::canonical_in(&mut admitted).map_err(on_mismatch)?;
        zeros::leave_out(resource, &mut admitted);
    }
    if resource.has_spec() && !admitted["spec"].is_object() {
        return Err(ApiError::invalid(&resource.qualified_kind(), text(object, "/metadata/name"), "spec", "Required value"));
    }
    if resource.has_status() && !admitted["status"].is_object() {
        admitted["status"] = json!({});
    }
    defaults::fill(resource, &mut admitted);
    validate::validate(resource, &admitted).into_result(resource, &admitted)?;
    Ok(admitted)
}

/// A stored object as the API serves it: typed, with today's defaults. What its type cannot read stays as it is.
pub(crate) fn as_served(resource: Resource, stored: &Value) -> Value {
    let Ok(mut served) = typed::round_trip(resource, stored) else { return stored.clone() };
    if resource.is_argo_cds() {
        return served;
    }
    if quantity::canonical_in(&mut served).is_err() {
        return stored.clone();
    }
    zeros::leave_out(resource, &mut served);
    if resource.has_status() && !served["status"].is_object() {
        served["status"] = json!({});
    }
    defaults::fill(resource, &mut served);
    served
}

/// Brings what an earlier version stored to how the API serves it now.
pub(crate) fn upgrade(store: &mut Store) {
    let pods: Vec<Value> = store.list(Resource::Pods, None).map(|entry| pod(&entry.object)).collect();
    for object in pods {
        store.amend(Resource::Pods, object);
    }
    for resource in Resource::ALL.into_iter().filter(|resource| *resource != Resource::Pods) {
        let objects: Vec<Value> = store.list(resource, None).map(|entry| as_served(resource, &entry.object)).collect();
        for object in objects {
            store.amend(resource, object);
        }
    }
}

/// A Pod with the `spec` of today. Its status is the controllers', but for what its containers run with, which was not shown once.
fn pod(stored: &Value) -> Value {
    let mut served = stored.clone();
    served["spec"] = as_served(Resource::Pods, stored)["spec"].clone();
    let containers = served["spec"]["containers"].clone();
    let statuses = served["status"]["containerStatuses"].as_array_mut();
    for (status, container) in statuses.into_iter().flatten().zip(containers.as_array().into_iter().flatten()) {
        if status["state"]["running"].is_object() && !status["resources"].is_object() {
            status["resources"] = container["resources"].clone();
        }
    }
    served
}

/// What a part of an object holds of the fields that its kind declares, without defaults.
///
/// # Errors
/// 400 when a field has the wrong type.
pub(crate) fn declared(resource: Resource, part: &Value) -> Result<Value, ApiError> {
    typed::round_trip(resource, part).map_err(|error| mismatch(resource, &error.to_string()))
}

/// The text for what is no object of its kind: `Deployment in version "v1" cannot be handled as a Deployment: …`.
pub(crate) fn mismatch(resource: Resource, message: &str) -> ApiError {
    let (kind, version) = (resource.kind(), resource.version());
    ApiError::bad_request(format!("{kind} in version \"{version}\" cannot be handled as a {kind}: {message}"))
}
