//! Server-side apply: a manager's whole configuration is merged into the live object, and what it no longer holds goes.
//!
//! It must not admit the result. Invariant: without `force`, no value that another manages is changed; with it, the field is taken over.

use serde_json::{Map, Value, json};

use super::field_set::{self, FieldSet, Path, leaves};
use super::{Comparison, Managed, Manager, Managers, Operation};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::schema::{self, ListType};
use crate::sandbox::cluster::status_error::ApiError;

/// What is applied, and by whom.
#[derive(Debug)]
pub(crate) struct Configuration<'a> {
    pub(crate) object: &'a Value,
    pub(crate) manager: &'a Manager,
    pub(crate) force: bool,
    pub(crate) now: &'a str,
}

/// The live object with the configuration applied. `admit` makes of the merged object what the cluster would store.
///
/// # Errors
/// 409 with a cause for each field that another manages; what `admit` refuses.
pub(crate) fn apply(
    resource: Resource,
    live: &Value,
    configuration: &Configuration<'_>,
    admit: impl FnOnce(&Value) -> Result<Value, ApiError>,
) -> Result<Value, ApiError> {
    let Configuration { object, manager, force, now } = configuration;
    let mut managers = Managers::of(live);
    if managers.0.is_empty() {
        // What was there before anybody's fields were kept belongs to somebody too.
        let before = Manager::new("before-first-apply", Operation::Update, resource);
        let fields: FieldSet = leaves(resource, live).into_keys().collect();
        managers.0.push(Managed { manager: before, time: (*now).to_owned(), fields });
    }
    let wanted = field_set::applied(resource, object);
    let last = managers.find(manager).map(|managed| managed.fields.clone()).unwrap_or_default();
    managers.entry(manager, now).fields = wanted.clone();

    let mut merged = live.clone();
    merge(resource, &mut merged, object);
    let mut kept = FieldSet::default();
    for managed in &managers.0 {
        kept = kept.and(&managed.fields);
    }
    // An element before its parts: without its key it would not be found. It goes only when nobody holds a part of it.
    for path in last.iter().filter(|path| !kept.contains(path)) {
        if !kept.iter().any(|held| held.starts_with(path)) {
            remove(resource, &mut merged, path, "");
        }
    }
    if let Some(metadata) = merged["metadata"].as_object_mut() {
        // Not told by the configuration, so not the client's version of them.
        for field in ["managedFields", "resourceVersion"] {
            metadata.shift_remove(field);
        }
        if let Some(version) = object["metadata"].get("resourceVersion") {
            metadata.insert("resourceVersion".to_owned(), version.clone());
        }
    }
    let mut result = admit(&merged)?;

    let found = Comparison::of(&leaves(resource, live), &leaves(resource, &result));
    let mut conflicts = Vec::new();
    for managed in managers.0.iter_mut().filter(|managed| !managed.manager.is(manager)) {
        let taken = managed.fields.common(&found.set);
        conflicts.extend(taken.iter().map(|path| (managed.manager.clone(), path.clone())));
        managed.fields = managed.fields.without(&taken).without(&found.removed);
    }
    if !force && !conflicts.is_empty() {
        return Err(refuse(&conflicts));
    }
    let own = managers.entry(manager, now);
    if last != wanted || !found.set.is_empty() || !found.removed.is_empty() {
        (*now).clone_into(&mut own.time);
    }
    own.manager.api_version.clone_from(&manager.api_version);
    managers.write(&mut result);
    Ok(result)
}

fn refuse(conflicts: &[(Manager, Path)]) -> ApiError {
    let causes = conflicts.iter().map(|(manager, path)| {
        json!({ "reason": "FieldManagerConflict", "message": format!("conflict with {}", manager.shown()), "field": field_set::shown(path) })
    });
    let causes: Vec<Value> = causes.collect();
    let message = match conflicts {
        [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {}: {}", manager.shown(), field_set::shown(path)),
        _ => {
            let mut lines = Vec::new();
            let mut names: Vec<&Manager> = conflicts.iter().map(|(manager, _)| manager).collect();
            names.sort();
            names.dedup();
            for name in names {
                lines.push(format!("conflicts with {}:", name.shown()));
                let paths = conflicts.iter().filter(|(manager, _)| manager == name);
                lines.extend(paths.map(|(_, path)| format!("- {}", field_set::shown(path))));
            }
            format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
        }
    };
    ApiError::apply_conflict(message, causes)
}

/// Merges a configuration into an object.
fn merge(resource: Resource, live: &mut Value, config: &Value) {
    let Value::Object(members) = config else { return };
    for (name, value) in members {
        merge_member(resource, live, name, value);
    }
}

fn merge_member(resource: Resource, live: &mut Value, name: &str, value: &Value) {
    if !live.is_object() {
        *live = Value::Object(Map::new());
    }
    match value {
        Value::Null => {}
        Value::Object(_) if !schema::atomic_object(name) => {
            let field = &mut live[name];
            if !field.is_object() {
                *field = Value::Object(Map::new());
            }
            merge(resource, field, value);
        }
        Value::Array(elements) => {
            let list = schema::list_type(resource, name);
            let keys: Option<Vec<String>> = elements.iter().map(|value| field_set::element(list, value)).collect();
            let Some(keys) = keys else {
                live[name] = value.clone();
                return;
            };
            let field = &mut live[name];
            if !field.is_array() {
                *field = Value::Array(Vec::new());
            }
            let Value::Array(found) = field else { return };
            for (key, element) in keys.iter().zip(elements) {
                match found.iter_mut().find(|found| field_set::element(list, found).as_ref() == Some(key)) {
                    Some(found) => merge(resource, found, element),
                    None => {
                        let mut fresh = element.clone();
                        if element.is_object() {
                            fresh = Value::Object(Map::new());
                            merge(resource, &mut fresh, element);
                        }
                        found.push(fresh);
                    }
                }
            }
        }
        value => live[name] = value.clone(),
    }
}

/// Removes what a path leads to; nothing where it leads nowhere.
fn remove(resource: Resource, at: &mut Value, path: &[String], list_name: &str) {
    let Some((first, rest)) = path.split_first() else { return };
    if let Some(name) = first.strip_prefix("f:") {
        let Value::Object(members) = at else { return };
        if rest.is_empty() {
            members.shift_remove(name);
        } else if let Some(below) = members.get_mut(name) {
            remove(resource, below, rest, name);
        }
        return;
    }
    let list: ListType = schema::list_type(resource, list_name);
    let Value::Array(elements) = at else { return };
    let Some(found) = elements.iter().position(|value| field_set::element(list, value).as_ref() == Some(first)) else { return };
    if rest.is_empty() {
        elements.remove(found);
    } else if let Some(below) = elements.get_mut(found) {
        remove(resource, below, rest, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESOURCE: Resource = Resource::Deployments;
    const NOW: &str = "2025-01-01T00:00:00Z";

    fn config(env: &[(&str, &str)], replicas: Option<i64>) -> Value {
        let env: Vec<Value> = env.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let mut object =
            json!({ "metadata": { "name": "a" }, "spec": { "template": { "spec": { "containers": [{ "name": "c", "env": env }] } } } });
        if let Some(replicas) = replicas {
            object["spec"]["replicas"] = json!(replicas);
        }
        object
    }

    fn applied(live: &Value, config: &Value, by: &str, force: bool) -> Result<Value, ApiError> {
        let manager = Manager::new(by, Operation::Apply, RESOURCE);
        apply(RESOURCE, live, &Configuration { object: config, manager: &manager, force, now: NOW }, |merged| Ok(merged.clone()))
    }

    fn live() -> Value {
        let mut live = config(&[("X", "1")], Some(2));
        let managed = live.clone();
        super::super::create(RESOURCE, &mut live, &managed, &Manager::new("kubectl-client-side-apply", Operation::Update, RESOURCE), NOW);
        live
    }

    #[test]
    fn a_value_of_anothers_is_a_conflict_and_force_takes_it() {
        let error = applied(&live(), &config(&[], Some(8)), "runsheet", false).unwrap_err();
        assert_eq!(error.code, 409);
        assert_eq!(
            error.message,
            r#"Apply failed with 1 conflict: conflict with "kubectl-client-side-apply" using apps/v1: .spec.replicas"#
        );
        let cause = json!({ "reason": "FieldManagerConflict", "message": "conflict with \"kubectl-client-side-apply\" using apps/v1", "field": ".spec.replicas" });
        assert_eq!(error.details["causes"], json!([cause]));

        let forced = applied(&live(), &config(&[], Some(8)), "runsheet", true).unwrap();
        assert_eq!(forced["spec"]["replicas"], 8);
        let managers = forced["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(managers.len(), 2);
        assert_eq!(managers[0]["manager"], "runsheet");
        assert_eq!(managers[0]["fieldsV1"]["f:spec"]["f:replicas"], json!({}));
        assert_eq!(managers[1]["fieldsV1"]["f:spec"].get("f:replicas"), None);
    }

    #[test]
    fn the_same_value_is_shared() {
        let shared = applied(&live(), &config(&[], Some(2)), "runsheet", false).unwrap();
        let managers = shared["metadata"]["managedFields"].as_array().unwrap();
        assert!(managers.iter().all(|managed| managed["fieldsV1"]["f:spec"]["f:replicas"] == json!({})), "{managers:?}");
        assert_eq!(applied(&shared, &config(&[], Some(2)), "runsheet", false).unwrap(), shared);
    }

    #[test]
    fn what_is_no_longer_applied_goes_unless_another_has_it() {
        let first = applied(&live(), &config(&[("X", "1"), ("Y", "2")], Some(2)), "runsheet", false).unwrap();
        let second = applied(&first, &config(&[], None), "runsheet", false).unwrap();
        assert_eq!(second["spec"]["template"]["spec"]["containers"][0]["env"], json!([{ "name": "X", "value": "1" }]));
        assert_eq!(second["spec"]["replicas"], 2);
    }

    #[test]
    fn several_conflicts_are_listed_by_manager() {
        let error = applied(&live(), &config(&[("X", "9")], Some(8)), "runsheet", false).unwrap_err();
        assert_eq!(
            error.message,
            "Apply failed with 2 conflicts: conflicts with \"kubectl-client-side-apply\" using apps/v1:\n- .spec.replicas\n\
             - .spec.template.spec.containers[name=\"c\"].env[name=\"X\"].value"
        );
    }

    #[test]
    fn an_object_that_nobody_managed_belongs_to_before_first_apply() {
        let mut live = live();
        live["metadata"].as_object_mut().unwrap().shift_remove("managedFields");
        let error = applied(&live, &config(&[], Some(8)), "runsheet", false).unwrap_err();
        assert!(error.message.contains("\"before-first-apply\" using apps/v1: .spec.replicas"), "{}", error.message);
    }
}
