//! Sets of fields as `FieldsV1` writes them, and the fields that an object has.
//!
//! It must not know managers. Invariant: writing a set and reading it gives the same set.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::schema::{self, ListType};

/// The way to a field in `FieldsV1`'s own words: `f:spec`, `k:{"name":"x"}`, `v:"x"`.
pub(crate) type Path = Vec<String>;

/// The fields of an object with their values; where a map or an element itself is meant, its value is `{}`.
pub(crate) type Leaves = BTreeMap<Path, Value>;

/// How deep sets are read; no object of the API is deeper.
const DEEPEST: usize = 64;

/// A set of fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct FieldSet(BTreeSet<Path>);

impl FromIterator<Path> for FieldSet {
    fn from_iter<T: IntoIterator<Item = Path>>(paths: T) -> Self {
        Self(paths.into_iter().collect())
    }
}

impl FieldSet {
    /// Reads `fieldsV1`.
    pub(crate) fn from_json(fields: &Value) -> Self {
        let mut set = BTreeSet::new();
        read(fields, &mut Vec::new(), &mut set);
        Self(set)
    }

    /// Writes `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut root = json!({});
        for path in &self.0 {
            // A field with fields of its own in the set says `.` for itself.
            let parent = self.0.range(path.clone()..).nth(1).is_some_and(|next| next.len() > path.len() && next.starts_with(path));
            let mut at = &mut root;
            for element in path {
                at = member(at, element);
            }
            if parent {
                member(at, ".");
            }
        }
        root
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains(&self, path: &Path) -> bool {
        self.0.contains(path)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.iter()
    }

    pub(crate) fn without(&self, other: &Self) -> Self {
        Self(self.0.difference(&other.0).cloned().collect())
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self(self.0.union(&other.0).cloned().collect())
    }

    pub(crate) fn common(&self, other: &Self) -> Self {
        Self(self.0.intersection(&other.0).cloned().collect())
    }
}

fn member<'a>(parent: &'a mut Value, name: &str) -> &'a mut Value {
    if !parent.is_object() {
        *parent = Value::Object(Map::new());
    }
    let child = &mut parent[name];
    if child.is_null() {
        *child = Value::Object(Map::new());
    }
    child
}

fn read(fields: &Value, path: &mut Path, set: &mut BTreeSet<Path>) {
    let Some(members) = fields.as_object() else { return };
    if (members.is_empty() || members.contains_key(".")) && !path.is_empty() {
        set.insert(path.clone());
    }
    if path.len() >= DEEPEST {
        return;
    }
    for (name, below) in members.iter().filter(|(name, _)| *name != ".") {
        path.push(name.clone());
        read(below, path, set);
        path.pop();
    }
}

/// A path as conflicts show it: `.spec.template.spec.containers[name="a"].image`.
pub(crate) fn shown(path: &Path) -> String {
    let mut text = String::new();
    for element in path {
        if let Some(field) = element.strip_prefix("f:") {
            text.push('.');
            text.push_str(field);
        } else if let Some(key) = element.strip_prefix("k:") {
            let key: Value = serde_json::from_str(key).unwrap_or(Value::Null);
            let members: Vec<String> = key.as_object().into_iter().flatten().map(|(name, value)| format!("{name}={value}")).collect();
            text.push_str(&format!("[{}]", members.join(",")));
        } else if let Some(value) = element.strip_prefix("v:") {
            text.push_str(&format!("[={value}]"));
        }
    }
    text
}

/// The element of a path for an element of a list; none where its key is missing.
pub(crate) fn element(list: ListType, value: &Value) -> Option<String> {
    match list {
        ListType::Atomic => None,
        ListType::Set => Some(format!("v:{value}")),
        ListType::Map(members) => schema::key_of(value, members).map(|key| format!("k:{key}")),
    }
}

/// The fields that somebody can manage: all but the type, the identity and what the server itself writes.
pub(crate) fn leaves(resource: Resource, object: &Value) -> Leaves {
    fields(resource, object, true)
}

/// The fields that who applies this configuration manages: the values and the elements, but not the maps and lists around them.
pub(crate) fn applied(resource: Resource, config: &Value) -> FieldSet {
    fields(resource, config, false).into_keys().collect()
}

fn fields(resource: Resource, object: &Value, around: bool) -> Leaves {
    let mut found = Leaves::new();
    for (name, value) in object.as_object().into_iter().flatten() {
        if matches!(name.as_str(), "apiVersion" | "kind") {
            continue;
        }
        let mut path = vec![format!("f:{name}")];
        if name == "metadata" {
            for (name, value) in value.as_object().into_iter().flatten() {
                let servers =
                    ["name", "namespace", "creationTimestamp", "uid", "generation", "managedFields", "resourceVersion", "selfLink"];
                if !servers.contains(&name.as_str()) {
                    path.push(format!("f:{name}"));
                    collect((resource, around), name, value, &mut path, &mut found);
                    path.pop();
                }
            }
        } else {
            collect((resource, around), name, value, &mut path, &mut found);
        }
    }
    found
}

/// Adds what is at `path`; `around` tells whether maps and lists that have members are fields too.
fn collect((resource, around): (Resource, bool), name: &str, value: &Value, path: &mut Path, found: &mut Leaves) {
    match value {
        // Null is not there, and an empty status is not set by anybody.
        Value::Null => {}
        Value::Object(members) if members.is_empty() && schema::always_there(name) => {}
        Value::Object(members) if !schema::atomic_object(name) => {
            if members.is_empty() || (around && !schema::always_there(name)) {
                found.insert(path.clone(), json!({}));
            }
            for (name, value) in members {
                path.push(format!("f:{name}"));
                collect((resource, around), name, value, path, found);
                path.pop();
            }
        }
        Value::Array(elements) => {
            let list = schema::list_type(resource, name);
            let keys: Option<Vec<String>> = elements.iter().map(|value| element(list, value)).collect();
            let Some(keys) = keys else {
                found.insert(path.clone(), value.clone());
                return;
            };
            if elements.is_empty() || (around && !schema::always_there(name)) {
                found.insert(path.clone(), json!({}));
            }
            for (key, element) in keys.into_iter().zip(elements) {
                path.push(key);
                if schema::atomic_elements(name) {
                    found.insert(path.clone(), element.clone());
                    path.pop();
                    continue;
                }
                found.insert(path.clone(), json!({}));
                // The elements of a set are plain values.
                for (name, value) in element.as_object().into_iter().flatten() {
                    path.push(format!("f:{name}"));
                    collect((resource, around), name, value, path, found);
                    path.pop();
                }
                path.pop();
            }
        }
        value => {
            found.insert(path.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_api_server_does() {
        let object = json!({ "metadata": { "name": "a", "finalizers": ["f"] }, "spec": {
            "selector": { "matchLabels": { "a": "b" } },
            "template": { "spec": { "containers": [{ "name": "c", "ports": [{ "containerPort": 80 }], "resources": {} }] } },
        } });
        let set: FieldSet = leaves(Resource::Deployments, &object).into_keys().collect();
        let expected = json!({
            "f:metadata": { "f:finalizers": { ".": {}, "v:\"f\"": {} } },
            "f:spec": { "f:selector": {}, "f:template": { "f:spec": { "f:containers": { "k:{\"name\":\"c\"}": {
                ".": {}, "f:name": {}, "f:resources": {},
                "f:ports": { ".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": { ".": {}, "f:containerPort": {} } },
            } } } } },
        });
        assert_eq!(set.to_json(), expected);
        assert_eq!(FieldSet::from_json(&expected), set);
    }

    #[test]
    fn a_path_is_shown_as_in_conflicts() {
        let path: Path = ["f:spec", "f:containers", "k:{\"name\":\"a\"}", "f:image"].map(str::to_owned).to_vec();
        assert_eq!(shown(&path), r#".spec.containers[name="a"].image"#);
    }
}
