//! What differs between two states of one object, field by field, as the ledger names fields.
//!
//! Must not ask anything. Invariant: putting every `after` in the place of its `prior` makes the one state of the other, but for what the server
//! itself keeps (`status`, versions, managed fields).

use serde_json::{Value, json};

use super::field_path::FieldPath;

/// One field that differs; `null` is: nothing there.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) struct Difference {
    pub(super) field: String,
    pub(super) prior: Value,
    pub(super) after: Value,
}

/// What the server itself keeps.
const KEPT: [&str; 10] = [
    "apiVersion",
    "kind",
    "status",
    "metadata.managedFields",
    "metadata.resourceVersion",
    "metadata.generation",
    "metadata.uid",
    "metadata.creationTimestamp",
    "metadata.selfLink",
    "metadata.namespace",
];

/// The fields that differ. Lists whose elements have names are compared by name, all others as a whole.
pub(super) fn differences(prior: &Value, after: &Value) -> Vec<Difference> {
    let mut found = Vec::new();
    walk("", prior, after, &mut found);
    found
}

fn walk(at: &str, prior: &Value, after: &Value, found: &mut Vec<Difference>) {
    if KEPT.contains(&at) || prior == after {
        return;
    }
    let empty = json!({});
    // Others add members of their own to these: each member is a field of its own, also where there was none before.
    let shared = at == "metadata.annotations" || at == "metadata.labels";
    let open = |value: &'_ Value| shared && value.is_null();
    let (left, right) = (if open(prior) { &empty } else { prior }, if open(after) { &empty } else { after });
    match (left, right) {
        (Value::Object(one), Value::Object(other)) => {
            let keys = one.keys().chain(other.keys().filter(|key| !one.contains_key(*key)));
            for key in keys {
                let null = Value::Null;
                walk(&member(at, key), one.get(key).unwrap_or(&null), other.get(key).unwrap_or(&null), found);
            }
        }
        (Value::Array(one), Value::Array(other)) => match (names(one), names(other)) {
            (Some(mine), Some(theirs)) => {
                for name in mine.iter().chain(theirs.iter().filter(|name| !mine.contains(name))) {
                    let element = |list: &[Value]| list.iter().find(|element| element["name"] == **name).cloned().unwrap_or(Value::Null);
                    let (one, other) = (element(one), element(other));
                    let path = format!("{at}[{name}]");
                    if is_variable(&path) {
                        leaf(&path, variable_value(&one), variable_value(&other), found);
                    } else {
                        walk(&path, &one, &other, found);
                    }
                }
            }
            _ => leaf(at, prior.clone(), after.clone(), found),
        },
        _ => leaf(at, prior.clone(), after.clone(), found),
    }
}

fn leaf(field: &str, prior: Value, after: Value, found: &mut Vec<Difference>) {
    if prior != after {
        found.push(Difference { field: field.to_owned(), prior, after });
    }
}

fn member(at: &str, key: &str) -> String {
    if key.contains(['.', '[', ']', '/']) {
        format!("{at}[{key}]")
    } else if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

/// The names of a list's elements; `None` where they have none, or not one each.
fn names(list: &[Value]) -> Option<Vec<&str>> {
    let mut names = Vec::new();
    for element in list {
        let name = element.get("name")?.as_str()?;
        if name.is_empty() || name.contains(']') || names.contains(&name) {
            return None;
        }
        names.push(name);
    }
    Some(names)
}

/// Whether a field is an environment variable of a container, which the ledger holds by its value.
fn is_variable(field: &str) -> bool {
    let Some(inner) = field.strip_suffix(']') else { return false };
    let Some((container, name)) = inner.rsplit_once("].env[") else { return false };
    !name.contains(']') && container.contains("ontainers[")
}

fn variable_value(element: &Value) -> Value {
    match element {
        Value::Null => Value::Null,
        element => match element.get("valueFrom").filter(|from| !from.is_null()) {
            Some(from) => json!({ "valueFrom": from }),
            None => element.get("value").filter(|value| !value.is_null()).cloned().unwrap_or_else(|| json!("")),
        },
    }
}

/// What the ledger holds of a field of an object.
pub(super) fn value_at(object: &Value, path: &FieldPath) -> Value {
    let raw = path.get(object);
    if is_variable(&path.to_string()) { variable_value(&raw) } else { raw }
}

/// A ledger's value as it stands in the object. `live`: the object, whose own spelling of the same value comes first.
pub(super) fn in_object(live: &Value, path: &FieldPath, value: &Value) -> Value {
    let written = path.to_string();
    if !is_variable(&written) {
        return value.clone();
    }
    let raw = path.get(live);
    if variable_value(&raw) == *value {
        return raw;
    }
    let name = written.trim_end_matches(']').rsplit('[').next().unwrap_or_default();
    match value {
        Value::Null => Value::Null,
        Value::Object(map) => {
            let mut element = json!({ "name": name });
            if let Some(element) = element.as_object_mut() {
                element.extend(map.clone());
            }
            element
        }
        text => json!({ "name": name, "value": text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(prior: Value, after: Value) -> Vec<(String, Value, Value)> {
        differences(&prior, &after).into_iter().map(|one| (one.field, one.prior, one.after)).collect()
    }

    #[test]
    fn fields_are_named_as_the_ledger_names_them() {
        let of = |env: Value, labels: Value, replicas: i64| {
            json!({
                "metadata": { "name": "x", "labels": labels, "resourceVersion": replicas.to_string() },
                "spec": { "replicas": replicas, "template": { "spec": { "containers": [{ "name": "app", "env": env, "args": [replicas] }] } } },
                "status": { "replicas": replicas },
            })
        };
        let secret = json!({ "secretKeyRef": { "name": "s", "key": "k" } });
        let before = of(json!([{ "name": "A", "value": "1" }, { "name": "B", "valueFrom": secret }, { "name": "E" }]), Value::Null, 2);
        let after = of(
            json!([{ "name": "A", "value": "2" }, { "name": "C", "value": "3" }, { "name": "E", "value": "" }]),
            json!({ "a.b/c": "d" }),
            3,
        );
        let container = "spec.template.spec.containers[app]";
        assert_eq!(
            told(before.clone(), after.clone()),
            [
                ("metadata.labels[a.b/c]".to_owned(), Value::Null, json!("d")),
                ("spec.replicas".to_owned(), json!(2), json!(3)),
                (format!("{container}.env[A]"), json!("1"), json!("2")),
                (format!("{container}.env[B]"), json!({ "valueFrom": secret }), Value::Null),
                (format!("{container}.env[C]"), Value::Null, json!("3")),
                (format!("{container}.args"), json!([2]), json!([3])),
            ]
        );
        for Difference { field, prior, after: wanted } in differences(&before, &after) {
            let path: FieldPath = field.parse().unwrap();
            assert_eq!((value_at(&before, &path), value_at(&after, &path)), (prior.clone(), wanted), "{field}");
            assert_eq!(in_object(&before, &path, &prior), path.get(&before), "{field}");
        }
        let path: FieldPath = format!("{container}.env[B]").parse().unwrap();
        assert_eq!(in_object(&after, &path, &json!({ "valueFrom": secret })), json!({ "name": "B", "valueFrom": secret }));
        let path: FieldPath = format!("{container}.env[A].value").parse().unwrap();
        assert_eq!(value_at(&before, &path), "1", "a field below a variable is a plain one");
    }

    #[test]
    fn what_cannot_be_told_apart_by_name_is_compared_as_a_whole() {
        let twice = json!({ "list": [{ "name": "a" }, { "name": "a", "n": 1 }] });
        assert_eq!(told(twice, json!({ "list": [{ "name": "a" }] })).len(), 1);
        assert_eq!(
            told(json!({ "spec": {} }), json!({ "spec": { "new": { "deep": 1 } } })),
            [("spec.new".to_owned(), Value::Null, json!({ "deep": 1 }))]
        );
    }
}
