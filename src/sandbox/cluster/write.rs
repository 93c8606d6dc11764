//! Requests that create and change objects: create, update, patch, apply, and the `status` and `scale` subresources.
//!
//! It must not answer over HTTP nor touch the disk. Invariant: a request that changes nothing leaves the version as it is and no effect;
//! each field that a request changes leaves one.

use std::sync::Arc;

use http::Method;
use serde_json::{Value, json};

use super::admit::{self, birth, resize, scale, strict, update};
use super::controller::{self, Moment};
use super::managed_fields::{self, Configuration, Manager, Operation};
use super::resource::{Resource, ResourcePath};
use super::sent::{check_fields, claim, document, manager, without_servers};
use super::status_error::ApiError;
use super::store::{Entry, text};
use super::{delete, patch};
use crate::sandbox::call::{Call, Caller};
use crate::sandbox::field;
use crate::sandbox::world::World;

/// What a request that changes something is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
    /// What kubectl shows as warnings.
    pub(crate) warnings: Vec<String>,
}

impl Answer {
    pub(crate) fn new(code: u16, body: Value) -> Self {
        Self { code, body, warnings: Vec::new() }
    }
}

/// The media types of patches of what a definition (CRD) declares.
const CUSTOM_PATCHES: &str = "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";

/// How many objects of a kind the cluster takes from clients.
fn most(resource: Resource) -> usize {
    match resource {
        Resource::Deployments => 64,
        Resource::Pods => controller::ROOM,
        _ => 1024,
    }
}

/// Carries out a request that changes something.
///
/// # Errors
/// What the API server would refuse, with its own code and text; the world may then be half changed and must be thrown away.
pub(crate) fn write(world: &mut World, path: &ResourcePath, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    match (call.method.as_str(), path.name.as_deref(), path.subresource.as_deref()) {
        ("POST", None, None) => create(world, path, call, moment),
        ("PUT" | "PATCH", Some(name), _) => change(world, path, name, call, moment),
        ("DELETE", Some(name), None) => delete::one(world, path, name, call, moment),
        ("DELETE", None, None) => delete::collection(world, path, call, moment),
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// The object that a path names.
pub(crate) fn find(world: &World, path: &ResourcePath, name: &str) -> Result<Entry, ApiError> {
    let namespace = path.namespace.as_deref().unwrap_or_default();
    world.store.get(path.resource, namespace, name).cloned().ok_or_else(|| ApiError::not_found(path.resource, name))
}

fn create(world: &mut World, path: &ResourcePath, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    let mut sent = document(call, path.resource.kind())?;
    claim(path, &mut sent)?;
    if !text(&sent, "/metadata/resourceVersion").is_empty() {
        return Err(ApiError::bad_request("resourceVersion should not be set on objects to be created"));
    }
    let manager = manager(call, path.resource, None, Operation::Update)?;
    create_object(world, path, call, moment, sent, &manager, None)
}

/// Creates an object. What was `applied` is all that its manager gets, else all that the object has.
fn create_object(
    world: &mut World,
    path: &ResourcePath,
    call: &Call,
    moment: Moment,
    mut sent: Value,
    manager: &Manager,
    applied: Option<&Value>,
) -> Result<Answer, ApiError> {
    let resource = path.resource;
    let namespace = path.namespace.as_deref();
    if resource.namespaced() {
        let namespace = namespace.ok_or_else(ApiError::method_not_allowed)?;
        if world.store.get(Resource::Namespaces, "", namespace).is_none() {
            return Err(ApiError::not_found(Resource::Namespaces, namespace));
        }
    }
    let prefix = text(&sent, "/metadata/generateName").to_owned();
    if text(&sent, "/metadata/name").is_empty() && !prefix.is_empty() {
        let kept: String = prefix.chars().take(58).collect();
        sent["metadata"]["name"] = json!(format!("{kept}{}", birth::suffix()));
    }
    let now = controller::stamp(moment.now);
    let raw = sent.clone();
    birth::give(resource, &mut sent, namespace, &now);
    let mut object = admit::admit(resource, &sent, |message| admit::mismatch(resource, &message))?;
    let warnings = check_fields(call, resource, &without_servers(&raw, resource))?;
    if resource == Resource::ScaledObjects {
        admit::keda_webhook(&world.store, &object)?;
    }
    let name = text(&object, "/metadata/name").to_owned();
    if world.store.get(resource, namespace.unwrap_or_default(), &name).is_some() {
        return Err(ApiError::already_exists(resource, &name));
    }
    if world.store.list(resource, None).count() >= most(resource) {
        let why = format!("exceeded quota: the sandbox has room for {} {}", most(resource), resource.plural());
        return Err(ApiError::forbidden(resource, &name, &why));
    }
    if resource == Resource::Pods
        && let Some(why) = controller::forbids(&world.store, &object)
    {
        return Err(ApiError::forbidden(resource, &name, &why));
    }
    let managed = match applied {
        Some(applied) => applied.clone(),
        // What was sent with its defaults; what the server gave beyond them is nobody's.
        None => {
            let mut managed = admit::admit(resource, &without_servers(&raw, resource), |message| admit::mismatch(resource, &message))?;
            birth::ungive(resource, &mut managed);
            managed
        }
    };
    managed_fields::create(resource, &mut object, &managed, manager, &now);
    let stored = world.store.put(resource, object, None);
    if is_effect(resource) {
        world.effects.record(&call.caller, &label(resource, &stored), "exists", json!(false), json!(true));
    }
    Ok(Answer { code: 201, body: Value::clone(&stored), warnings })
}

fn change(world: &mut World, path: &ResourcePath, name: &str, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    let resource = path.resource;
    let patched = call.method == Method::PATCH;
    if patched && call.media_type() == patch::APPLY {
        return apply(world, path, name, call, moment);
    }
    if patched && resource.is_custom() && call.media_type() == patch::STRATEGIC {
        return Err(ApiError::unsupported_media_type(CUSTOM_PATCHES));
    }
    let entry = match find(world, path, name) {
        Err(_) if !patched && resource == Resource::Leases => return put_lease(world, path, name, call, moment),
        found => found?,
    };
    let stored = &entry.object;
    let subresource = path.subresource.as_deref();
    let now = controller::stamp(moment.now);
    let manager = manager(call, resource, subresource, Operation::Update)?;
    let scaled = subresource == Some("scale");
    let shown = if scaled { scale::scale_of(stored) } else { Value::clone(stored) };
    let mut sent = if patched { patch::apply(&shown, call.media_type(), &call.body)? } else { document(call, resource.kind())? };
    let mut warnings = Vec::new();
    let mut wanted = if scaled {
        scale::with_scale(resource, stored, &sent)?
    } else {
        claim(path, &mut sent)?;
        if text(&sent, "/metadata/name") != name {
            return Err(ApiError::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({name})",
                text(&sent, "/metadata/name")
            )));
        }
        let refuse = |message: String| match patched {
            // What the patch made of the object is none of its kind any more.
            true => ApiError::invalid(&resource.qualified_kind(), name, "patch", &message),
            false => admit::mismatch(resource, &message),
        };
        let admitted = admit::admit(resource, &sent, refuse)?;
        warnings = check_fields(call, resource, &without_servers(&sent, resource))?;
        match subresource {
            Some("resize") => resized(world, &entry, &admitted)?,
            Some(_) => update::update_status(resource, stored, &admitted)?,
            None if !patched && resource == Resource::Leases && text(&sent, "/metadata/resourceVersion").is_empty() => {
                let problem = "Invalid value: 0: must be specified for an update";
                return Err(ApiError::invalid(&resource.qualified_kind(), name, "metadata.resourceVersion", problem));
            }
            None => update::update(resource, stored, admitted)?,
        }
    };
    if resource == Resource::ScaledObjects && subresource.is_none() {
        admit::keda_webhook(&world.store, &wanted)?;
    }
    managed_fields::update(resource, stored, &mut wanted, &manager, &now);
    let stored = replace(world, resource, &call.caller, &entry, wanted);
    Ok(Answer { code: 200, body: if scaled { scale::scale_of(&stored) } else { Value::clone(&stored) }, warnings })
}

/// A PUT of a Lease that is not there makes it, unless it names the one that it means.
fn put_lease(world: &mut World, path: &ResourcePath, name: &str, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    let mut sent = document(call, path.resource.kind())?;
    claim(path, &mut sent)?;
    if text(&sent, "/metadata/name") != name {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    let uid = text(&sent, "/metadata/uid");
    if !uid.is_empty() {
        return Err(ApiError::precondition(path.resource, name, uid, ""));
    }
    if let Some(metadata) = sent["metadata"].as_object_mut() {
        metadata.shift_remove("resourceVersion");
    }
    let manager = manager(call, path.resource, None, Operation::Update)?;
    create_object(world, path, call, moment, sent, &manager, None)
}

/// The Pod with the resources of `sent`, where its namespace has them.
fn resized(world: &World, entry: &Entry, sent: &Value) -> Result<Value, ApiError> {
    let stored = &entry.object;
    let wanted = resize::resize(stored, sent)?;
    let (namespace, name) = (text(stored, "/metadata/namespace"), text(stored, "/metadata/name"));
    if resize::grows(stored, &wanted) {
        let mut others = world.store.clone();
        others.remove(Resource::Pods, namespace, name);
        if let Some(why) = controller::forbids(&others, &wanted) {
            return Err(ApiError::forbidden(Resource::Pods, name, &why));
        }
    }
    Ok(wanted)
}

fn apply(world: &mut World, path: &ResourcePath, name: &str, call: &Call, moment: Moment) -> Result<Answer, ApiError> {
    let resource = path.resource;
    if path.subresource.is_some() {
        return Err(ApiError::unsupported_media_type("application/json-patch+json, application/merge-patch+json"));
    }
    let manager = manager(call, resource, None, Operation::Apply)?;
    let mut config = document(call, resource.kind())?;
    claim(path, &mut config)?;
    if text(&config, "/metadata/name").is_empty() {
        config["metadata"]["name"] = json!(name);
    }
    if text(&config, "/metadata/name") != name {
        return Err(ApiError::bad_request("the name of the object does not match the name on the URL"));
    }
    if config["metadata"]["managedFields"].as_array().is_some_and(|list| !list.is_empty()) {
        return Err(ApiError::bad_request("metadata.managedFields must be nil"));
    }
    if let Some(members) = config.as_object_mut()
        && resource.has_status()
    {
        members.shift_remove("status");
    }
    let declared = admit::declared(resource, &config)?;
    if let Some(field) = strict::unknown_fields(&config, &declared).first() {
        let (group, version) = (resource.group(), resource.version());
        let object = format!("/; {group}/{version}, Kind={}", resource.kind());
        return Err(ApiError::untyped(format!("failed to create typed patch object ({object}): .{field}: field not declared in schema")));
    }
    let Ok(entry) = find(world, path, name) else {
        let uid = text(&config, "/metadata/uid");
        if !uid.is_empty() {
            return Err(ApiError::no_such_uid(resource, name, uid));
        }
        return create_object(world, path, call, moment, config.clone(), &manager, Some(&config));
    };
    let now = controller::stamp(moment.now);
    let configuration = Configuration { object: &config, manager: &manager, force: call.flag("force"), now: &now };
    let wanted = managed_fields::apply(resource, &entry.object, &configuration, |merged| {
        let refuse = |message: String| admit::mismatch(resource, &message);
        update::update(resource, &entry.object, admit::admit(resource, merged, refuse)?)
    })?;
    if resource == Resource::ScaledObjects {
        admit::keda_webhook(&world.store, &wanted)?;
    }
    let stored = replace(world, resource, &call.caller, &entry, wanted);
    Ok(Answer::new(200, Value::clone(&stored)))
}

/// Stores a changed object and an effect for each field; nothing where nothing differs.
pub(crate) fn replace(world: &mut World, resource: Resource, caller: &Caller, entry: &Entry, wanted: Value) -> Arc<Value> {
    let stored = &entry.object;
    let found = field::changes(&visible(stored), &visible(&wanted));
    if found.is_empty() && managed_fields::without_times(stored) == managed_fields::without_times(&wanted) {
        return Arc::clone(stored);
    }
    let object = label(resource, stored);
    for change in found.into_iter().filter(|_| is_effect(resource)) {
        world.effects.record(caller, &object, &change.field, change.from, change.to);
    }
    let leaving = wanted["metadata"]["deletionTimestamp"].is_string() && !delete::held(&wanted) && resource != Resource::Pods;
    let stored = world.store.put(resource, wanted, entry.life.clone());
    if leaving {
        world.store.remove(resource, text(&stored, "/metadata/namespace"), text(&stored, "/metadata/name"));
    }
    stored
}

/// Whether a change of it is one of the platform. Leases are how clients take turns, and nobody works from them.
pub(crate) fn is_effect(resource: Resource) -> bool {
    resource != Resource::Leases
}

/// What a client can change of an object.
fn visible(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| !matches!(name.as_str(), "resourceVersion" | "generation" | "managedFields"));
    }
    object
}

/// `production/deployment/ticket-service`; without the namespace for what is in none.
pub(crate) fn label(resource: Resource, object: &Value) -> String {
    let (kind, name) = (resource.label(), text(object, "/metadata/name"));
    match text(object, "/metadata/namespace") {
        "" => format!("{kind}/{name}"),
        namespace => format!("{namespace}/{kind}/{name}"),
    }
}
