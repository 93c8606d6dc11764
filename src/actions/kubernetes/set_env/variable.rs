//! The variables of a container: what the ledger keeps of one, and the JSON Patch that swaps several at once.
//!
//! Must not send anything. Invariant: a patch made here tests every element that it replaces and the whole list where it adds to it; a value
//! that is sensitive leaves only as a digest.

use std::collections::BTreeMap;
use std::fmt;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// What a variable is to be; `None`: it is to go, or its secret is not in place (while a plan is made). Shows nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted(pub(super) Option<String>);

impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wanted(..)")
    }
}

impl<'de> Deserialize<'de> for Wanted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // By way of a value, so that serde's own messages cannot quote what was given.
        Ok(Self(match Value::deserialize(deserializer)? {
            Value::Null => None,
            Value::String(text) => Some(text),
            Value::Bool(value) => Some(value.to_string()),
            // An expression may give a whole number as 8.0.
            Value::Number(number) => Some(match number.as_f64().filter(|_| number.is_f64()) {
                Some(float) if float.fract() == 0.0 && float.abs() < 1e15 => format!("{float:.0}"),
                _ => number.to_string(),
            }),
            Value::Array(_) | Value::Object(_) => {
                return Err(serde::de::Error::custom("a variable's value must be a text, a number, true, false or null"));
            }
        }))
    }
}

/// The schema of the map of variables.
pub(super) fn schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "minProperties": 1,
        "propertyNames": { "pattern": NAME_PATTERN },
        "additionalProperties": { "oneOf": [
            { "type": ["string", "integer", "number", "boolean"], "x-runsheet-secret": true },
            { "type": "null" },
        ] },
    })
}

const NAME_PATTERN: &str = "^[-._a-zA-Z][-._a-zA-Z0-9]*$";

/// Whether every cluster takes this as a variable's name.
pub(super) fn is_name(name: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    name.starts_with(|c: char| inner(c) && !c.is_ascii_digit()) && name.chars().all(inner)
}

/// The field of a variable, as the ledger names it.
pub(super) fn field(container: &str, name: &str) -> String {
    format!("spec.template.spec.containers[{container}].env[{name}]")
}

/// The variables of a container; `None` where there is no such container.
pub(super) struct Variables<'a> {
    /// Its place in the list of containers.
    index: usize,
    name: &'a str,
    list: &'a [Value],
    written: Option<&'a Value>,
}

impl<'a> Variables<'a> {
    /// Of this container of a workload's template.
    pub(super) fn of(object: &'a Value, container: &'a str) -> Option<Self> {
        let containers = object.pointer("/spec/template/spec/containers")?.as_array()?;
        let (index, found) = containers.iter().enumerate().find(|(_, found)| found["name"] == container)?;
        let written = found.get("env");
        let list = written.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        Some(Self { index, name: container, list, written })
    }

    /// As the ledger keeps it: its text; `{"valueFrom": ..}` where it comes from elsewhere; `null` where it is not there.
    pub(super) fn get(&self, name: &str) -> Value {
        self.list.iter().find(|element| element["name"] == name).map_or(Value::Null, |element| match element.get("valueFrom") {
            Some(from) if !from.is_null() => json!({ "valueFrom": from }),
            // The API leaves an empty text out.
            _ => json!(element.get("value").and_then(Value::as_str).unwrap_or_default()),
        })
    }

    /// Its place in the list, and whether it is there more than once.
    pub(super) fn position(&self, name: &str) -> Option<(usize, bool)> {
        let mut places = self.list.iter().enumerate().filter(|(_, element)| element["name"] == name).map(|(at, _)| at);
        let first = places.next()?;
        Some((first, places.next().is_some()))
    }

    /// The operations that put these there (`null`: nothing), only while the list still is what was read. What is added goes to its old place, where
    /// there is one: a variable may refer only to those before it.
    pub(super) fn swap(&self, wanted: &BTreeMap<String, Value>, places: &BTreeMap<String, usize>) -> Vec<Value> {
        let container = format!("/spec/template/spec/containers/{}", self.index);
        let env = format!("{container}/env");
        let mut operations = vec![json!({ "op": "test", "path": format!("{container}/name"), "value": self.name })];
        let mut list = self.list.to_vec();
        let mut written = self.written.cloned().unwrap_or_default();
        let mut ordered: Vec<(&String, &Value)> = wanted.iter().collect();
        // What goes back to a place goes in the order of the places; what is removed is removed last, so that the list is not made anew.
        ordered.sort_by_key(|(name, to)| (to.is_null(), places.get(*name).copied().unwrap_or(usize::MAX)));
        for (name, to) in ordered {
            let at = list.iter().position(|element| element["name"] == name.as_str());
            match (at, element(name, to)) {
                (Some(at), Some(element)) => {
                    operations.push(json!({ "op": "test", "path": format!("{env}/{at}"), "value": list[at] }));
                    operations.push(json!({ "op": "replace", "path": format!("{env}/{at}"), "value": element }));
                    list[at] = element;
                }
                (Some(at), None) => {
                    operations.push(json!({ "op": "test", "path": format!("{env}/{at}"), "value": list[at] }));
                    let gone = list.remove(at);
                    if list.is_empty() {
                        operations.push(json!({ "op": "test", "path": env, "value": [gone] }));
                        operations.push(json!({ "op": "remove", "path": env }));
                        break;
                    }
                    operations.push(json!({ "op": "remove", "path": format!("{env}/{at}") }));
                }
                (None, Some(element)) => {
                    // The list as a whole stands for the missing element: nobody else may have added it meanwhile.
                    operations.push(json!({ "op": "test", "path": env, "value": written }));
                    let at = places.get(name).copied().unwrap_or(list.len()).min(list.len());
                    list.insert(at, element.clone());
                    operations.push(match written {
                        Value::Array(_) => json!({ "op": "add", "path": format!("{env}/{at}"), "value": element }),
                        _ => json!({ "op": "add", "path": env, "value": [element] }),
                    });
                }
                (None, None) => continue,
            }
            written = json!(list);
        }
        operations
    }
}

/// The list's element for what the ledger keeps.
fn element(name: &str, kept: &Value) -> Option<Value> {
    match kept {
        Value::String(text) => Some(json!({ "name": name, "value": text })),
        Value::Object(map) => map.get("valueFrom").map(|from| json!({ "name": name, "valueFrom": from })),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => None,
    }
}

/// What stands for a value that is not stored: HMAC-SHA-256 of what was there, keyed with the value that is to come, which is not stored either.
pub(super) fn digest(key: &str, there: &Value) -> String {
    hex(&hmac(key.as_bytes(), there.to_string().as_bytes()))
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0_u8; 64];
    let hashed;
    let key = if key.len() > block.len() {
        hashed = Sha256::digest(key);
        hashed.as_slice()
    } else {
        key
    };
    for (to, from) in block.iter_mut().zip(key) {
        *to = *from;
    }
    let inner = Sha256::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[path = "variable_tests.rs"]
mod tests;
