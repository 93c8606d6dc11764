//! The `scale` view of what has replicas: `autoscaling/v1` Scale.
//!
//! It must not know Pods. Invariant: writing the view that was read changes nothing.

use serde_json::{Value, json};

use super::problems::Problems;
use super::update::{same_version, update};
use super::validate::at_least_zero;
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::selector::label_selector_text;
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::cluster::store::text;

/// The Scale of an object. As in the real one, zero replicas are left out of `spec`.
pub(crate) fn scale_of(object: &Value) -> Value {
    let metadata = &object["metadata"];
    let mut scale = json!({
        "apiVersion": "autoscaling/v1", "kind": "Scale",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {},
        "status": { "replicas": object["status"]["replicas"].as_i64().unwrap_or(0), "selector": label_selector_text(&object["spec"]["selector"]) },
    });
    match object["spec"]["replicas"].as_i64() {
        Some(0) | None => {}
        Some(replicas) => scale["spec"]["replicas"] = json!(replicas),
    }
    scale
}

/// The stored object with the replicas of `scale`.
///
/// # Errors
/// 400 for what is no Scale, 409 for another version, 422 for a negative count.
pub(crate) fn with_scale(resource: Resource, stored: &Value, scale: &Value) -> Result<Value, ApiError> {
    let name = text(stored, "/metadata/name");
    if scale["kind"] != "Scale" || scale["apiVersion"] != "autoscaling/v1" {
        return Err(ApiError::bad_request("the body must be an autoscaling/v1 Scale"));
    }
    if text(scale, "/metadata/name") != name {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    same_version(resource, stored, scale)?;
    let replicas = match &scale["spec"]["replicas"] {
        Value::Null => 0,
        value => match value.as_i64().and_then(|count| i32::try_from(count).ok()) {
            Some(count) => count,
            None => return Err(ApiError::bad_request(format!("spec.replicas: cannot use {value} as an int32"))),
        },
    };
    let mut problems = Problems::default();
    at_least_zero(&json!({ "replicas": replicas }), "replicas", &mut problems);
    problems.into_result_of("Scale.autoscaling", name)?;
    let mut wanted = stored.clone();
    wanted["spec"]["replicas"] = json!(replicas);
    update(resource, stored, wanted)
}
