//! Fields of objects by name: `spec.replicas`, `spec.template.spec.containers[ticket-service].env[DB_POOL_MAX].value`.
//!
//! It must not know kinds. Invariant: what [`changes`] names, [`set`] reaches.

use serde_json::{Map, Value};

/// A field that differs, with its values; null where it is absent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldChange {
    pub(crate) field: String,
    pub(crate) from: Value,
    pub(crate) to: Value,
}

/// The fields in which two documents differ, deepest names first found.
pub(crate) fn changes(from: &Value, to: &Value) -> Vec<FieldChange> {
    let mut found = Vec::new();
    compare("", from, to, &mut found);
    found
}

fn compare(path: &str, from: &Value, to: &Value, found: &mut Vec<FieldChange>) {
    if from == to {
        return;
    }
    match (from, to) {
        (Value::Object(before), Value::Object(after)) => {
            let added = after.keys().filter(|name| !before.contains_key(*name));
            for name in before.keys().chain(added) {
                let (old, new) = (before.get(name).unwrap_or(&Value::Null), after.get(name).unwrap_or(&Value::Null));
                compare(&member(path, name), old, new, found);
            }
        }
        (Value::Array(before), Value::Array(after)) if named(before) && named(after) => {
            let find = |list: &[Value], name: &Value| list.iter().find(|element| &element["name"] == name).cloned().unwrap_or(Value::Null);
            let added = after.iter().filter(|element| find(before, &element["name"]).is_null());
            for element in before.iter().chain(added) {
                let name = &element["name"];
                compare(&format!("{path}[{}]", name.as_str().unwrap_or_default()), &find(before, name), &find(after, name), found);
            }
        }
        _ => found.push(FieldChange { field: path.to_owned(), from: from.clone(), to: to.clone() }),
    }
}

fn named(list: &[Value]) -> bool {
    list.iter().all(|element| element["name"].is_string())
}

fn member(path: &str, name: &str) -> String {
    if name.contains(['.', '[', ']']) {
        format!("{path}[{name}]")
    } else if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

/// Sets a field by its name; objects on the way are made, elements of lists must be there.
///
/// # Errors
/// What part of the name leads nowhere.
pub(crate) fn set(document: &mut Value, field: &str, value: Value) -> Result<(), String> {
    let parts = parts(field).ok_or_else(|| format!("`{field}` is not a field such as spec.replicas"))?;
    let mut at = document;
    for part in &parts {
        at = match at {
            Value::Array(list) => {
                let element = list.iter_mut().find(|element| element["name"] == part.as_str());
                element.ok_or_else(|| format!("there is no element `{part}` in `{field}`"))?
            }
            Value::Null | Value::Object(_) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                &mut at[part.as_str()]
            }
            _ => return Err(format!("`{part}` of `{field}` is inside a plain value")),
        };
    }
    *at = value;
    Ok(())
}

fn parts(field: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = field;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix('[') {
            let (name, after) = inner.split_once(']')?;
            parts.push(name.to_owned());
            rest = after;
        } else {
            let name = if parts.is_empty() { rest } else { rest.strip_prefix('.')? };
            let end = name.find(['.', '[']).unwrap_or(name.len());
            parts.push(name[..end].to_owned());
            rest = &name[end..];
        }
    }
    (!parts.is_empty() && parts.iter().all(|part| !part.is_empty())).then_some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_comparison_names_can_be_set() {
        let from = json!({ "spec": { "replicas": 2, "list": [{ "name": "a", "env": [{ "name": "X", "value": "1" }] }] }, "labels": { "b.io/c": "1" } });
        let to = json!({ "spec": { "replicas": 8, "list": [{ "name": "a", "env": [{ "name": "X", "value": "2" }] }] }, "labels": { "b.io/c": "2" } });
        let found = changes(&from, &to);
        let names: Vec<&str> = found.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(names, ["spec.replicas", "spec.list[a].env[X].value", "labels[b.io/c]"]);
        let mut copy = from.clone();
        for change in &found {
            set(&mut copy, &change.field, change.to.clone()).unwrap();
        }
        assert_eq!(copy, to);
        assert_eq!(changes(&to, &copy), []);
    }

    #[test]
    fn a_name_that_leads_nowhere_is_an_error() {
        let mut document = json!({ "a": 1, "list": [] });
        for field in ["", "a.b", "list[x]", "a..b", "list[x"] {
            assert!(set(&mut document, field, json!(1)).is_err(), "{field}");
        }
    }
}
