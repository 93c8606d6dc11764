//! A field of an object by name: `spec.replicas`, `spec.template.spec.containers[ticket-service].env[DB_POOL_MAX]`; and the JSON Patch that
//! swaps it.
//!
//! Must not send anything. Invariant: a patch that is made here changes the field only where the very value is there that it was made for; an
//! element of a list is meant by its name, and the patch tests that the name is still at its place.

use std::fmt;

use serde_json::{Map, Value, json};

/// A field. In brackets stands the `name` of a list's element, or a member whose name holds dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FieldPath {
    written: String,
    parts: Vec<String>,
}

/// Why a text is no field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a field such as `spec.replicas` or `spec.template.spec.containers[NAME].image`")]
pub(super) struct NotAField(String);

impl std::str::FromStr for FieldPath {
    type Err = NotAField;

    fn from_str(text: &str) -> Result<Self, NotAField> {
        let wrong = || NotAField(text.chars().take(120).collect());
        let mut parts: Vec<String> = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            if let Some(inner) = rest.strip_prefix('[') {
                let (name, after) = inner.split_once(']').ok_or_else(wrong)?;
                parts.push(name.to_owned());
                rest = after;
            } else {
                let name = if parts.is_empty() { rest } else { rest.strip_prefix('.').ok_or_else(wrong)? };
                let end = name.find(['.', '[']).unwrap_or(name.len());
                parts.push(name[..end].to_owned());
                rest = &name[end..];
            }
        }
        if parts.is_empty() || parts.iter().any(String::is_empty) {
            return Err(wrong());
        }
        Ok(Self { written: text.to_owned(), parts })
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl FieldPath {
    /// The names on the way, from the object down.
    pub(super) fn parts(&self) -> &[String] {
        &self.parts
    }

    /// What is there; `null` where nothing is.
    pub(super) fn get(&self, object: &Value) -> Value {
        let mut at = object;
        for part in &self.parts {
            let next = match at {
                Value::Array(list) => list.iter().find(|element| element["name"] == part.as_str()),
                other => other.get(part),
            };
            let Some(next) = next else { return Value::Null };
            at = next;
        }
        at.clone()
    }

    /// The operations of a JSON Patch that put `to` there (`null`: nothing), only if what `object` holds there now is still there. None are
    /// needed where `to` is there already.
    pub(super) fn swap(&self, object: &Value, to: &Value) -> Vec<Value> {
        let from = self.get(object);
        if &from == to {
            return Vec::new();
        }
        let mut operations = Vec::new();
        let mut pointer = String::new();
        let mut at = object;
        for (depth, part) in self.parts.iter().enumerate() {
            let last = depth + 1 == self.parts.len();
            let next = match at {
                Value::Array(list) => match list.iter().position(|element| element["name"] == part.as_str()) {
                    Some(index) => {
                        pointer = format!("{pointer}/{index}");
                        if !last {
                            operations.push(json!({ "op": "test", "path": format!("{pointer}/name"), "value": part }));
                        }
                        list.get(index)
                    }
                    None => {
                        // The list as a whole stands for the missing element: nobody else may have added it meanwhile.
                        operations.push(json!({ "op": "test", "path": pointer, "value": at }));
                        operations
                            .push(json!({ "op": "add", "path": format!("{pointer}/-"), "value": self.made(depth + 1, to, Some(part)) }));
                        return operations;
                    }
                },
                other => {
                    pointer = format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"));
                    other.get(part)
                }
            };
            match next {
                Some(found) if !found.is_null() => at = found,
                _ => {
                    // A missing member passes as a test for null, as the API server reads RFC 6902.
                    operations.push(json!({ "op": "test", "path": pointer, "value": null }));
                    operations.push(json!({ "op": "add", "path": pointer, "value": self.made(depth + 1, to, None) }));
                    return operations;
                }
            }
        }
        operations.push(json!({ "op": "test", "path": pointer, "value": from }));
        operations.push(match to {
            Value::Null => json!({ "op": "remove", "path": pointer }),
            to => json!({ "op": "replace", "path": pointer, "value": to }),
        });
        operations
    }

    /// `to` inside the members that are missing on the way to it, from this depth on.
    fn made(&self, depth: usize, to: &Value, element: Option<&str>) -> Value {
        let inner = self.parts[depth..].iter().rev().fold(to.clone(), |inner, part| {
            let mut map = Map::new();
            map.insert(part.clone(), inner);
            Value::Object(map)
        });
        match (inner, element) {
            (Value::Object(mut map), Some(name)) if !map.contains_key("name") => {
                map.shift_insert(0, "name".to_owned(), json!(name));
                Value::Object(map)
            }
            (inner, _) => inner,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patched(object: &Value, field: &str, to: Value) -> Value {
        let path: FieldPath = field.parse().unwrap();
        let operations = path.swap(object, &to);
        // The crate takes a test for null of a missing member as failed; the API server does not.
        let operations: Vec<Value> =
            operations.into_iter().filter(|operation| !(operation["op"] == "test" && operation["value"].is_null())).collect();
        let mut patched = object.clone();
        json_patch::patch(&mut patched, &serde_json::from_value::<json_patch::Patch>(json!(operations)).unwrap()).unwrap();
        assert_eq!(path.get(&patched), to, "{field}");
        assert!(path.swap(&patched, &to).is_empty(), "{field}: the second time there is nothing to do");
        patched
    }

    #[test]
    fn a_field_is_swapped_and_back() {
        let object = json!({
            "metadata": { "labels": { "a.b/c": "1" } },
            "spec": { "replicas": 2, "list": [{ "name": "a" }, { "name": "b", "env": [{ "name": "X", "value": "1" }] }] },
        });
        for (field, to) in [
            ("spec.replicas", json!(8)),
            ("metadata.labels[a.b/c]", json!("2")),
            ("spec.list[b].env[X].value", json!("2")),
            ("spec.list[b].env[X]", json!(null)),
            ("spec.list[b].env[Y]", json!({ "name": "Y", "value": "2" })),
        ] {
            let there = patched(&object, field, to);
            let back = patched(&there, field, field.parse::<FieldPath>().unwrap().get(&object));
            assert_eq!(back, object, "{field}");
        }
        let made = patched(&object, "metadata.annotations[x.y/z]", json!("now"));
        assert_eq!(made["metadata"]["annotations"], json!({ "x.y/z": "now" }));
        let made = patched(&object, "spec.list[c].image", json!("i"));
        assert_eq!(made["spec"]["list"][2], json!({ "name": "c", "image": "i" }));
    }

    #[test]
    fn the_patch_holds_only_for_what_it_was_made_for() {
        let object = json!({ "list": [{ "name": "a", "n": 1 }, { "name": "b", "n": 2 }] });
        let operations = "list[b].n".parse::<FieldPath>().unwrap().swap(&object, &json!(3));
        let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
        for changed in [
            json!({ "list": [{ "name": "b", "n": 2 }, { "name": "a", "n": 1 }] }),
            json!({ "list": [{ "name": "a", "n": 1 }, { "name": "b", "n": 7 }] }),
        ] {
            let mut changed = changed;
            assert!(json_patch::patch(&mut changed, &patch).is_err(), "{changed}");
        }
    }

    #[test]
    fn a_text_that_names_no_field_is_refused() {
        for text in ["", ".", "a..b", "a[b", "a[]", "a[b]c"] {
            assert!(text.parse::<FieldPath>().is_err(), "{text}");
        }
    }
}
