//! Somebody beside the run changes a field: the fault `change`.
//!
//! It must not go around admission. Invariant: what it leaves behind is what a request of somebody else's would have left.

use serde_json::Value;

use super::admit::{self, update};
use super::controller::{self, Moment};
use super::managed_fields::{self, Manager, Operation};
use super::resource::Resource;
use super::write;
use crate::sandbox::call::Caller;
use crate::sandbox::field;
use crate::sandbox::world::World;

/// Changes one field of an object, `NAMESPACE/KIND/NAME`, or `KIND/NAME` for what is in no namespace.
///
/// # Errors
/// What is wrong with the object, the field or the value, as text.
pub(crate) fn meddle(world: &mut World, caller: &Caller, object: &str, name: &str, value: Value, moment: Moment) -> Result<(), String> {
    let parts: Vec<&str> = object.split('/').collect();
    let (namespace, kind, object_name) = match parts.as_slice() {
        [namespace, kind, name] => (*namespace, *kind, *name),
        [kind, name] => ("", *kind, *name),
        _ => return Err(format!("`{object}` is not an object such as production/deployment/ticket-service")),
    };
    let resource = Resource::of_label(kind).filter(|resource| resource.namespaced() != namespace.is_empty());
    let resource = resource.ok_or_else(|| {
        let kinds: Vec<String> = Resource::ALL.into_iter().map(Resource::label).collect();
        format!("`{object}` is not an object such as production/deployment/ticket-service; the kinds are {}", kinds.join(", "))
    })?;
    let entry = world.store.get(resource, namespace, object_name).cloned().ok_or_else(|| format!("there is no object {object}"))?;
    let stored = &entry.object;
    let mut wanted = Value::clone(stored);
    field::set(&mut wanted, name, value)?;
    let admitted = admit::admit(resource, &wanted, |message| admit::mismatch(resource, &message)).map_err(|error| error.message)?;
    let of_status = resource.has_status() && (name == "status" || name.starts_with("status."));
    let updated = if of_status { update::update_status(resource, stored, &admitted) } else { update::update(resource, stored, admitted) };
    let mut wanted = updated.map_err(|error| error.message)?;
    let manager = Manager::new(&caller.user_agent, Operation::Update, resource);
    managed_fields::update(resource, stored, &mut wanted, &manager, &controller::stamp(moment.now));
    write::replace(world, resource, caller, &entry, wanted);
    Ok(())
}
