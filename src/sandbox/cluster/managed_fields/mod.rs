//! Who manages which fields of an object: `metadata.managedFields`, as server-side apply and ordinary writes leave them.
//!
//! It must not admit or store objects. Invariant: a field belongs to whoever set its value last, and to each who applied that same value;
//! a manager without fields is not listed.

mod apply;
mod field_set;

pub(crate) use apply::{Configuration, apply};

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::admit::{self, birth};
use super::resource::Resource;
use super::store::{Entry, Store, text};
use field_set::{FieldSet, Leaves, leaves};

/// How a manager wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Operation {
    Apply,
    Update,
}

/// Who writes, and how.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Manager {
    pub(crate) name: String,
    pub(crate) operation: Operation,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
}

impl Manager {
    /// One that updates or applies the object itself.
    pub(crate) fn new(name: &str, operation: Operation, resource: Resource) -> Self {
        Self { name: name.to_owned(), operation, api_version: resource.api_version(), subresource: String::new() }
    }

    /// Whether it is the same one: an applier is, whatever its version.
    fn is(&self, other: &Self) -> bool {
        self.name == other.name
            && self.operation == other.operation
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// `"kubectl-client-side-apply" using apps/v1`, as conflicts name it.
    fn shown(&self) -> String {
        let subresource = if self.subresource.is_empty() { String::new() } else { format!(" with subresource \"{}\"", self.subresource) };
        match self.operation {
            Operation::Apply => format!("\"{}\"{subresource}", self.name),
            Operation::Update => format!("\"{}\"{subresource} using {}", self.name, self.api_version),
        }
    }
}

/// One manager's fields.
#[derive(Debug, Clone, PartialEq)]
struct Managed {
    manager: Manager,
    time: String,
    fields: FieldSet,
}

/// The managers of an object.
#[derive(Debug, Clone, Default, PartialEq)]
struct Managers(Vec<Managed>);

impl Managers {
    /// Those that the object lists; what cannot be read is as if it were not there.
    fn of(object: &Value) -> Self {
        let listed = object.pointer("/metadata/managedFields").and_then(Value::as_array);
        let managers = listed.into_iter().flatten().filter_map(|entry| {
            let operation = match text(entry, "/operation") {
                "Apply" => Operation::Apply,
                "Update" => Operation::Update,
                _ => return None,
            };
            Some(Managed {
                manager: Manager {
                    name: text(entry, "/manager").to_owned(),
                    operation,
                    api_version: text(entry, "/apiVersion").to_owned(),
                    subresource: text(entry, "/subresource").to_owned(),
                },
                time: text(entry, "/time").to_owned(),
                fields: FieldSet::from_json(&entry["fieldsV1"]),
            })
        });
        Self(managers.collect())
    }

    fn write(mut self, object: &mut Value) {
        self.0.retain(|managed| !managed.fields.is_empty());
        self.0.sort_by(|a, b| (a.manager.operation, &a.time, &a.manager).cmp(&(b.manager.operation, &b.time, &b.manager)));
        let list = self.0.iter().map(|managed| {
            let manager = &managed.manager;
            let mut entry = json!({
                "apiVersion": manager.api_version, "fieldsType": "FieldsV1", "fieldsV1": managed.fields.to_json(), "manager": manager.name,
                "operation": if manager.operation == Operation::Apply { "Apply" } else { "Update" },
            });
            if !managed.time.is_empty() {
                entry["time"] = json!(managed.time);
            }
            if !manager.subresource.is_empty() {
                entry["subresource"] = json!(manager.subresource);
            }
            entry
        });
        let list: Vec<Value> = list.collect();
        match (list.is_empty(), object["metadata"].as_object_mut()) {
            (false, Some(metadata)) => drop(metadata.insert("managedFields".to_owned(), Value::Array(list))),
            (true, Some(metadata)) => drop(metadata.shift_remove("managedFields")),
            (_, None) => {}
        }
    }

    fn find(&mut self, manager: &Manager) -> Option<&mut Managed> {
        self.0.iter_mut().find(|managed| managed.manager.is(manager))
    }

    /// The fields of a manager, made where it has none.
    fn entry(&mut self, manager: &Manager, now: &str) -> &mut Managed {
        let at = self.0.iter().position(|managed| managed.manager.is(manager)).unwrap_or_else(|| {
            self.0.push(Managed { manager: manager.clone(), time: now.to_owned(), fields: FieldSet::default() });
            self.0.len() - 1
        });
        // It was found or pushed just now.
        &mut self.0[at]
    }
}

/// What differs between two versions of an object.
struct Comparison {
    /// Fields that are new or have another value.
    set: FieldSet,
    removed: FieldSet,
}

impl Comparison {
    fn of(before: &Leaves, after: &Leaves) -> Self {
        let set = after.iter().filter(|(path, value)| before.get(*path) != Some(value)).map(|(path, _)| path.clone()).collect();
        let removed = before.keys().filter(|path| !after.contains_key(*path)).cloned().collect();
        Self { set, removed }
    }
}

/// Gives the fields that an ordinary write changed from `stored` to `wanted` to `manager`, and takes them from all others.
pub(crate) fn update(resource: Resource, stored: &Value, wanted: &mut Value, manager: &Manager, now: &str) {
    // An empty list that was sent forgets all managers.
    let reset = wanted.pointer("/metadata/managedFields").and_then(Value::as_array).is_some_and(Vec::is_empty);
    let mut managers = if reset { Managers::default() } else { Managers::of(stored) };
    let found = Comparison::of(&leaves(resource, stored), &leaves(resource, wanted));
    for managed in &mut managers.0 {
        managed.fields = managed.fields.without(&found.set).without(&found.removed);
    }
    if !found.set.is_empty() {
        let own = managers.entry(manager, now);
        own.fields = own.fields.and(&found.set);
        // The API server loses the time of who writes by `scale`.
        own.time = if manager.subresource == "scale" { String::new() } else { now.to_owned() };
    }
    managers.write(wanted);
}

/// Gives what a controller has changed from `stored`, or made, to it: what it wants of an object and what it reports are kept apart.
pub(crate) fn by_controller(resource: Resource, stored: Option<&Value>, object: &mut Value, subresource: &str, now: &str) {
    let manager =
        |subresource: &str| Manager { subresource: subresource.to_owned(), ..Manager::new(CONTROLLERS, Operation::Update, resource) };
    let none = json!({ "metadata": {} });
    let stored = stored.unwrap_or(&none);
    let mut wanted = object.clone();
    wanted["status"] = stored["status"].clone();
    if wanted != *stored {
        update(resource, stored, &mut wanted, &manager(subresource), now);
    }
    update(resource, &wanted, object, &manager("status"), now);
}

/// Who all controllers are.
const CONTROLLERS: &str = "kube-controller-manager";

/// Gives the fields of `managed`, which made the new object, to `manager`.
pub(crate) fn create(resource: Resource, object: &mut Value, managed: &Value, manager: &Manager, now: &str) {
    let fields = match manager.operation {
        Operation::Apply => field_set::applied(resource, managed),
        Operation::Update => leaves(resource, managed).into_keys().collect(),
    };
    Managers(vec![Managed { manager: manager.clone(), time: now.to_owned(), fields }]).write(object);
}

/// The kinds of a fresh cluster that somebody has applied from files.
const APPLIED: [Resource; 9] = [
    Resource::RabbitmqClusters,
    Resource::Services,
    Resource::ConfigMaps,
    Resource::ResourceQuotas,
    Resource::Deployments,
    Resource::StatefulSets,
    Resource::HorizontalPodAutoscalers,
    Resource::PodDisruptionBudgets,
    Resource::ScaledObjects,
];

/// The annotation in which `kubectl apply` keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Makes what is in a fresh cluster look as if `kubectl apply` had made it, by the manager `name`.
pub(crate) fn claim_all(store: &mut Store, name: &str, now: &str) {
    for resource in APPLIED {
        let entries: Vec<Entry> =
            store.list(resource, None).filter(|entry| entry.object["metadata"]["managedFields"].is_null()).cloned().collect();
        for entry in entries {
            let mut applied = Value::clone(&entry.object);
            if let Some(members) = applied.as_object_mut() {
                members.shift_remove("status");
            }
            if let Some(metadata) = applied["metadata"].as_object_mut() {
                metadata.retain(|name, _| matches!(name.as_str(), "name" | "namespace" | "labels"));
                metadata.insert("annotations".to_owned(), json!({}));
            }
            let mut object = admit::as_served(resource, &entry.object);
            if !object["metadata"]["annotations"].is_object() {
                object["metadata"]["annotations"] = json!({});
            }
            // As kubectl writes it, with a line's end.
            if object["metadata"]["annotations"][LAST_APPLIED].is_null() {
                object["metadata"]["annotations"][LAST_APPLIED] = json!(format!("{applied}\n"));
            }
            let mut managed = object.clone();
            birth::ungive(resource, &mut managed);
            create(resource, &mut object, &managed, &Manager::new(name, Operation::Update, resource), now);
            store.put(resource, object, entry.life);
        }
    }
}

/// The managers without the times, to see whether a write changed who manages what.
pub(crate) fn without_times(object: &Value) -> BTreeMap<String, Value> {
    Managers::of(object).0.into_iter().map(|managed| (format!("{:?}", managed.manager), managed.fields.to_json())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deployment(replicas: i64) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "a", "labels": { "x": "y" } }, "spec": { "replicas": replicas } })
    }

    #[test]
    fn a_write_takes_the_fields_it_changes() {
        let resource = Resource::Deployments;
        let mut first = deployment(2);
        create(resource, &mut first, &deployment(2), &Manager::new("one", Operation::Update, resource), "2025-01-01T00:00:00Z");
        assert_eq!(
            first["metadata"]["managedFields"][0]["fieldsV1"],
            json!({
                "f:metadata": { "f:labels": { ".": {}, "f:x": {} } }, "f:spec": { "f:replicas": {} },
            })
        );
        let mut second = deployment(3);
        let manager = Manager { subresource: "scale".to_owned(), ..Manager::new("two", Operation::Update, resource) };
        update(resource, &first, &mut second, &manager, "2025-01-01T00:00:01Z");
        let managers = second["metadata"]["managedFields"].as_array().unwrap();
        // Who writes by `scale` has no time, and is the first.
        assert_eq!((managers.len(), &managers[1]["manager"], &managers[0]["manager"]), (2, &json!("one"), &json!("two")));
        assert_eq!(managers[1]["fieldsV1"], json!({ "f:metadata": { "f:labels": { ".": {}, "f:x": {} } } }));
        assert_eq!(managers[0]["fieldsV1"], json!({ "f:spec": { "f:replicas": {} } }));
        assert_eq!((&managers[0]["subresource"], managers[0].get("time")), (&json!("scale"), None));
    }

    #[test]
    fn what_a_controller_reports_is_managed_apart_from_what_it_wants() {
        let resource = Resource::Deployments;
        let mut first = deployment(2);
        create(resource, &mut first, &deployment(2), &Manager::new("one", Operation::Update, resource), "2025-01-01T00:00:00Z");
        let mut second = first.clone();
        second["spec"]["replicas"] = json!(5);
        second["status"] = json!({ "replicas": 5 });
        by_controller(resource, Some(&first), &mut second, "scale", "2025-01-01T00:00:01Z");
        let managers = second["metadata"]["managedFields"].as_array().unwrap();
        let shown: Vec<(&Value, &Value, &Value)> =
            managers.iter().map(|entry| (&entry["manager"], &entry["subresource"], &entry["fieldsV1"])).collect();
        let (scale, status) = (json!({ "f:spec": { "f:replicas": {} } }), json!({ "f:status": { "f:replicas": {} } }));
        let labels = json!({ "f:metadata": { "f:labels": { ".": {}, "f:x": {} } } });
        let controllers = json!(CONTROLLERS);
        let expected =
            [(&controllers, &json!("scale"), &scale), (&json!("one"), &Value::Null, &labels), (&controllers, &json!("status"), &status)];
        assert_eq!(shown, expected);
    }

    #[test]
    fn an_empty_list_forgets_the_managers() {
        let resource = Resource::Deployments;
        let mut first = deployment(2);
        let manager = Manager::new("one", Operation::Update, resource);
        create(resource, &mut first, &deployment(2), &manager, "2025-01-01T00:00:00Z");
        let mut second = first.clone();
        second["metadata"]["managedFields"] = json!([]);
        update(resource, &first, &mut second, &manager, "2025-01-01T00:00:01Z");
        assert_eq!(second["metadata"].get("managedFields"), None);
    }
}
