//! Requests that delete: one object, or all that a selector matches.
//!
//! It must not delete what others own (the controllers collect it). Invariant: a Pod goes by terminating, unless it is told to go at once;
//! what has finalizers stays, marked, until they are gone; a precondition that does not hold deletes nothing.

use std::sync::Arc;

use serde_json::{Value, json};

use super::controller::{self, Moment};
use super::list;
use super::resource::{Resource, ResourcePath};
use super::status_error::ApiError;
use super::store::{Entry, text};
use super::write::{self, Answer};
use crate::sandbox::call::Call;
use crate::sandbox::world::World;

/// Whether finalizers hold the object.
pub(crate) fn held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// The options of a request to delete, from its body and its query.
///
/// # Errors
/// 400 for a body that cannot be read, 422 for a policy that is not known.
pub(crate) fn options(call: &Call) -> Result<Value, ApiError> {
    let mut options = if call.body.is_empty() { json!({}) } else { write::document(call)? };
    if !options.is_object() {
        return Err(ApiError::bad_request("the body must be DeleteOptions"));
    }
    if let Ok(seconds) = call.query("gracePeriodSeconds").parse::<i64>() {
        options["gracePeriodSeconds"] = json!(seconds);
    }
    let policy = match call.query("propagationPolicy") {
        "" => text(&options, "/propagationPolicy"),
        policy => policy,
    };
    if !matches!(policy, "" | "Orphan" | "Background" | "Foreground") {
        let supported = "supported values: \"Background\", \"Foreground\", \"Orphan\"";
        let problem = format!("Invalid value: \"{policy}\": {supported}");
        return Err(ApiError::invalid("DeleteOptions.meta.k8s.io", "", "propagationPolicy", &problem));
    }
    Ok(options)
}

/// Whether the options ask for a dry run.
pub(crate) fn dry(options: &Value) -> bool {
    options["dryRun"].as_array().is_some_and(|list| list.iter().any(|value| value == "All"))
}

/// Deletes one object.
///
/// # Errors
/// 404, 405 for a namespace, 409 for a precondition, and those of [`options`].
pub(crate) fn one(world: &mut World, path: &ResourcePath, name: &str, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    if path.resource == Resource::Namespaces {
        return Err(ApiError::method_not_allowed());
    }
    let entry = write::find(world, path, name)?;
    let options = options(call)?;
    let preconditions = &options["preconditions"];
    let (uid, found) = (text(preconditions, "/uid"), text(&entry.object, "/metadata/uid"));
    if !uid.is_empty() && uid != found {
        return Err(ApiError::precondition(path.resource, name, "UID", uid, found));
    }
    let (version, found) = (text(preconditions, "/resourceVersion"), text(&entry.object, "/metadata/resourceVersion"));
    if !version.is_empty() && version != found {
        return Err(ApiError::precondition(path.resource, name, "ResourceVersion", version, found));
    }
    let left = delete(world, path.resource, &entry, call, &options, moment);
    Ok(Answer::new(200, left.unwrap_or_else(|| done(path.resource, &entry.object))))
}

/// Deletes what the selectors of a request match.
///
/// # Errors
/// 405 for namespaces and without a namespace, 400 for selectors that cannot be understood, and those of [`options`].
pub(crate) fn collection(world: &mut World, path: &ResourcePath, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    if path.resource == Resource::Namespaces || (path.resource.namespaced() && path.namespace.is_none()) {
        return Err(ApiError::method_not_allowed());
    }
    let selector = list::selector(path.resource, call)?;
    let options = options(call)?;
    let matching: Vec<Entry> =
        world.store.list(path.resource, path.namespace.as_deref()).filter(|entry| selector.matches(&entry.object)).cloned().collect();
    for entry in &matching {
        delete(world, path.resource, entry, call, &options, moment);
    }
    let items: Vec<&Value> = matching.iter().map(|entry| &*entry.object).collect();
    let (kind, api_version) = (format!("{}List", path.resource.kind()), path.resource.api_version());
    let metadata = json!({ "resourceVersion": world.store.version().to_string() });
    Ok(Answer::new(200, json!({ "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items })))
}

/// Deletes an object; the object where it is still there, or was a Pod.
fn delete(world: &mut World, resource: Resource, entry: &Entry, call: &Call, options: &Value, moment: Moment) -> Option<Value> {
    let object = &entry.object;
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let leaving = object["metadata"]["deletionTimestamp"].is_string();
    if !leaving {
        world.effects.record(&call.caller, &write::label(resource, object), "exists", json!(true), json!(false));
    }
    if resource == Resource::Pods {
        if !leaving {
            controller::terminate(&mut world.store, entry, moment);
        }
        let pod = if options["gracePeriodSeconds"] == 0 {
            world.store.remove(resource, namespace, name)
        } else {
            world.store.get(resource, namespace, name).map(|entry| Arc::clone(&entry.object))
        };
        return pod.map(|pod| Value::clone(&pod));
    }
    if held(object) {
        if !leaving {
            let mut marked = Value::clone(object);
            marked["metadata"]["deletionTimestamp"] = json!(controller::stamp(moment.now));
            marked["metadata"]["deletionGracePeriodSeconds"] = json!(0);
            return Some(Value::clone(&world.store.put(resource, marked, None)));
        }
        return Some(Value::clone(object));
    }
    world.store.remove(resource, namespace, name);
    None
}

fn done(resource: Resource, object: &Value) -> Value {
    let details = json!({
        "name": object["metadata"]["name"], "group": resource.group(), "kind": resource.plural(), "uid": object["metadata"]["uid"],
    });
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
