//! Requests that delete: one object, or all that a selector matches.
//!
//! It must not delete what others own (the controllers collect it). Invariant: a Pod goes by terminating, unless it is told to go at once;
//! what has finalizers stays, marked, until they are gone; a precondition that does not hold deletes nothing.

use std::sync::Arc;

use serde_json::{Value, json};

use super::controller::{self, Moment};
use super::list::{self, Listed};
use super::resource::{Resource, ResourcePath};
use super::sent::document;
use super::status_error::ApiError;
use super::store::{Entry, text};
use super::write::{self, Answer};
use crate::sandbox::call::Call;
use crate::sandbox::world::World;

/// The finalizer of what goes after all that it owns.
pub(crate) const FOREGROUND: &str = "foregroundDeletion";
/// The finalizer of what leaves what it owns behind.
pub(crate) const ORPHAN: &str = "orphan";

/// Whether finalizers hold the object.
pub(crate) fn held(object: &Value) -> bool {
    object["metadata"]["finalizers"].as_array().is_some_and(|list| !list.is_empty())
}

/// The options of a request to delete, from its body and its query.
///
/// # Errors
/// 400 for a body that cannot be read, 422 for a policy that is not known.
pub(crate) fn options(call: &Call) -> Result<Value, ApiError> {
    let mut options = if call.body.is_empty() { json!({}) } else { document(call, "DeleteOptions")? };
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
    let policy = policy.to_owned();
    options["propagationPolicy"] = json!(policy);
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
        let means = "The object might have been deleted and then recreated";
        return Err(ApiError::delete_precondition(path.resource, name, "UID", (uid, found), means));
    }
    let (version, found) = (text(preconditions, "/resourceVersion"), text(&entry.object, "/metadata/resourceVersion"));
    if !version.is_empty() && version != found {
        let means = "The object might have been modified";
        return Err(ApiError::delete_precondition(path.resource, name, "ResourceVersion", (version, found), means));
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
    let items = matching.into_iter().map(|entry| entry.object).collect();
    let metadata = json!({ "resourceVersion": world.store.version().to_string() });
    Ok(Answer::new(200, Listed { metadata, items }.document(path.resource)))
}

/// Deletes an object; the object where it is still there, or is of a kind that is answered as it was.
fn delete(world: &mut World, resource: Resource, entry: &Entry, call: &Call, options: &Value, moment: Moment) -> Option<Value> {
    let object = &entry.object;
    let (namespace, name) = (text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    let leaving = object["metadata"]["deletionTimestamp"].is_string();
    if !leaving && write::is_effect(resource) {
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
    let finalizer = match text(options, "/propagationPolicy") {
        "Foreground" => Some(FOREGROUND),
        "Orphan" => Some(ORPHAN),
        _ => None,
    };
    if leaving && held(object) {
        return Some(Value::clone(object));
    }
    if finalizer.is_some() || held(object) {
        let marked = marked(object, finalizer, &controller::stamp(moment.now));
        return Some(Value::clone(&world.store.put(resource, marked, None)));
    }
    let last = world.store.remove(resource, namespace, name);
    // Of most kinds the answer only says that it is gone.
    last.filter(|_| matches!(resource, Resource::Services | Resource::ResourceQuotas)).map(|last| Value::clone(&last))
}

/// The object on its way out, held by this finalizer too.
pub(crate) fn marked(object: &Value, finalizer: Option<&str>, now: &str) -> Value {
    let mut marked = object.clone();
    marked["metadata"]["deletionTimestamp"] = json!(now);
    marked["metadata"]["deletionGracePeriodSeconds"] = json!(0);
    if let Some(generation) = object["metadata"]["generation"].as_i64() {
        marked["metadata"]["generation"] = json!(generation + 1);
    }
    if let Some(finalizer) = finalizer {
        let mut finalizers = object["metadata"]["finalizers"].as_array().cloned().unwrap_or_default();
        finalizers.push(json!(finalizer));
        marked["metadata"]["finalizers"] = Value::Array(finalizers);
    }
    marked
}

fn done(resource: Resource, object: &Value) -> Value {
    let mut details = json!({
        "name": object["metadata"]["name"], "group": resource.group(), "kind": resource.plural(), "uid": object["metadata"]["uid"],
    });
    if let Some(members) = details.as_object_mut() {
        members.retain(|_, value| *value != "");
    }
    json!({ "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details })
}
