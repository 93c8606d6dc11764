//! Requests that change objects: create, update, patch, delete and scale.
//!
//! It must not answer over HTTP nor touch the disk. Invariant: a request that changes nothing leaves the version as it is and no effect;
//! each field that a request changes leaves one.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::controller::{self, Moment};
use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::store::{Entry, text};
use super::{deployment, patch};
use crate::sandbox::call::{Call, Caller};
use crate::sandbox::field;
use crate::sandbox::world::World;

/// How many Deployments the cluster takes.
const MOST_DEPLOYMENTS: usize = 64;

/// Carries out a request that changes something; the answer's status code and body.
///
/// # Errors
/// What the API server would refuse, with its own code and text; the world may then be half changed and must be thrown away.
pub(crate) fn write(world: &mut World, path: &ResourcePath, call: &Call, moment: Moment) -> Result<(u16, Value), ApiError> {
    match (path.resource, call.method.as_str(), path.name.as_deref(), path.subresource.as_deref()) {
        (Resource::Deployments, "POST", None, None) => create(world, path, call, moment),
        (Resource::Deployments, "PUT" | "PATCH", Some(name), None | Some("scale")) => change(world, path, name, call),
        (Resource::Deployments, "DELETE", Some(name), None) => delete_deployment(world, path, name, call),
        (Resource::Pods, "DELETE", Some(name), None) => delete_pod(world, path, name, call, moment),
        _ => Err(ApiError::method_not_allowed()),
    }
}

fn find(world: &World, path: &ResourcePath, name: &str) -> Result<Entry, ApiError> {
    let namespace = path.namespace.as_deref().unwrap_or_default();
    world.store.get(path.resource, namespace, name).cloned().ok_or_else(|| ApiError::not_found(path.resource, name))
}

fn json_body(call: &Call) -> Result<Value, ApiError> {
    let kind = call.content_type.split(';').next().unwrap_or_default().trim();
    if !matches!(kind, "" | "application/json") {
        return Err(ApiError::unsupported_media_type("application/json"));
    }
    serde_json::from_slice(&call.body).map_err(|error| ApiError::bad_request(format!("the object provided is unrecognized: {error}")))
}

fn mismatch(message: String) -> ApiError {
    ApiError::bad_request(format!("Deployment in version \"v1\" cannot be handled as a Deployment: {message}"))
}

fn create(world: &mut World, path: &ResourcePath, call: &Call, moment: Moment) -> Result<(u16, Value), ApiError> {
    let namespace = path.namespace.as_deref().ok_or_else(ApiError::method_not_allowed)?;
    let mut sent = json_body(call)?;
    if !sent.is_object() || sent["kind"] != "Deployment" || sent["apiVersion"] != "apps/v1" {
        return Err(ApiError::bad_request("the body must be an apps/v1 Deployment"));
    }
    if world.store.get(Resource::Namespaces, "", namespace).is_none() {
        return Err(ApiError::not_found(Resource::Namespaces, namespace));
    }
    let claimed = text(&sent, "/metadata/namespace").to_owned();
    if !claimed.is_empty() && claimed != namespace {
        return Err(ApiError::bad_request("the namespace of the provided object does not match the namespace sent on the request"));
    }
    if !sent["metadata"].is_object() {
        return Err(ApiError::bad_request("metadata: Required value"));
    }
    let uid = Uuid::now_v7().to_string();
    sent["metadata"]["namespace"] = json!(namespace);
    sent["metadata"]["uid"] = json!(uid);
    sent["metadata"]["generation"] = json!(1);
    sent["metadata"]["creationTimestamp"] = json!(controller::stamp(moment.now));
    sent["status"] = json!({});
    let object = deployment::admit(&sent, mismatch)?;
    let name = text(&object, "/metadata/name").to_owned();
    if world.store.get(Resource::Deployments, namespace, &name).is_some() {
        return Err(ApiError::already_exists(Resource::Deployments, &name));
    }
    if world.store.list(Resource::Deployments, None).count() >= MOST_DEPLOYMENTS {
        let why = format!("exceeded quota: the sandbox has room for {MOST_DEPLOYMENTS} deployments");
        return Err(ApiError::forbidden(Resource::Deployments, &name, &why));
    }
    let stored = world.store.put(Resource::Deployments, object, None);
    world.effects.record(&call.caller, &label(&stored), "exists", json!(false), json!(true));
    Ok((201, Value::clone(&stored)))
}

fn change(world: &mut World, path: &ResourcePath, name: &str, call: &Call) -> Result<(u16, Value), ApiError> {
    let stored = find(world, path, name)?.object;
    let scale = path.subresource.is_some();
    let shown = if scale { deployment::scale_of(&stored) } else { Value::clone(&stored) };
    let patched = call.method == Method::PATCH;
    let sent = if patched { patch::apply(&shown, &call.content_type, &call.body)? } else { json_body(call)? };
    let wanted = if scale {
        deployment::with_scale(&stored, &sent)?
    } else {
        if text(&sent, "/metadata/name") != name {
            return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
        }
        let refuse = |message: String| match patched {
            // What the patch made of the object is no Deployment any more.
            true => ApiError::invalid("Deployment.apps", name, "patch", &message),
            false => mismatch(message),
        };
        deployment::update(&stored, deployment::admit(&sent, refuse)?)?
    };
    let stored = replace(world, &call.caller, &stored, wanted);
    Ok((200, if scale { deployment::scale_of(&stored) } else { Value::clone(&stored) }))
}

/// Stores a changed Deployment and an effect for each field; nothing where nothing differs.
fn replace(world: &mut World, caller: &Caller, stored: &Arc<Value>, wanted: Value) -> Arc<Value> {
    let found = field::changes(&visible(stored), &visible(&wanted));
    if found.is_empty() {
        return Arc::clone(stored);
    }
    let object = label(stored);
    for change in found {
        world.effects.record(caller, &object, &change.field, change.from, change.to);
    }
    world.store.put(Resource::Deployments, wanted, None)
}

/// What a client can change of an object.
fn visible(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(fields) = object.as_object_mut() {
        fields.shift_remove("status");
    }
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.shift_remove("resourceVersion");
        metadata.shift_remove("generation");
    }
    object
}

/// `production/deployment/ticket-service`.
fn label(object: &Value) -> String {
    let kind = text(object, "/kind").to_lowercase();
    format!("{}/{kind}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn check_preconditions(call: &Call, path: &ResourcePath, name: &str, stored: &Value) -> Result<Value, ApiError> {
    let options = if call.body.is_empty() { json!({}) } else { json_body(call)? };
    for field in ["uid", "resourceVersion"] {
        let wanted = options["preconditions"][field].as_str();
        if wanted.is_some_and(|wanted| wanted != text(stored, &format!("/metadata/{field}"))) {
            return Err(ApiError::conflict(path.resource, name));
        }
    }
    Ok(options)
}

fn delete_deployment(world: &mut World, path: &ResourcePath, name: &str, call: &Call) -> Result<(u16, Value), ApiError> {
    let stored = find(world, path, name)?.object;
    check_preconditions(call, path, name, &stored)?;
    world.store.remove(Resource::Deployments, text(&stored, "/metadata/namespace"), name);
    world.effects.record(&call.caller, &label(&stored), "exists", json!(true), json!(false));
    let details = json!({ "name": name, "group": "apps", "kind": "deployments", "uid": stored["metadata"]["uid"] });
    Ok((200, json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })))
}

fn delete_pod(world: &mut World, path: &ResourcePath, name: &str, call: &Call, moment: Moment) -> Result<(u16, Value), ApiError> {
    let entry = find(world, path, name)?;
    let options = check_preconditions(call, path, name, &entry.object)?;
    let at_once = options["gracePeriodSeconds"] == 0 || call.query("gracePeriodSeconds") == "0";
    let namespace = text(&entry.object, "/metadata/namespace").to_owned();
    let leaving = entry.object["metadata"]["deletionTimestamp"].is_string();
    if !leaving {
        world.effects.record(&call.caller, &label(&entry.object), "exists", json!(true), json!(false));
        controller::terminate(&mut world.store, &entry, moment);
    }
    let object = if at_once {
        world.store.remove(Resource::Pods, &namespace, name)
    } else {
        world.store.get(Resource::Pods, &namespace, name).map(|entry| Arc::clone(&entry.object))
    };
    Ok((200, object.map_or(Value::Null, |object| Value::clone(&object))))
}

/// Changes one field of a Deployment, as somebody beside the run would. `object` is `NAMESPACE/deployment/NAME`.
///
/// # Errors
/// What is wrong with the object, the field or the value, as text.
pub(crate) fn meddle(world: &mut World, caller: &Caller, object: &str, name: &str, value: Value) -> Result<(), String> {
    let parts: Vec<&str> = object.split('/').collect();
    let [namespace, "deployment", deployment] = parts.as_slice() else {
        return Err(format!("`{object}` is not an object such as production/deployment/ticket-service"));
    };
    let entry = world.store.get(Resource::Deployments, namespace, deployment);
    let stored = Arc::clone(&entry.ok_or_else(|| format!("there is no object {object}"))?.object);
    let mut wanted = Value::clone(&stored);
    field::set(&mut wanted, name, value)?;
    let admitted = deployment::admit(&wanted, mismatch).map_err(|error| error.message)?;
    let wanted = deployment::update(&stored, admitted).map_err(|error| error.message)?;
    replace(world, caller, &stored, wanted);
    Ok(())
}
