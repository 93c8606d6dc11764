//! Columns and what cells are made of.
//!
//! It must not know kinds. Invariant: a cell that has nothing to show says `<none>`, as in the real one.

use serde_json::{Value, json};

use super::age;

/// One column: its name, its type, and whether it is shown only with `-o wide`.
pub(super) struct Column {
    name: &'static str,
    kind: &'static str,
    wide: bool,
}

/// The cells of an object at a time in milliseconds since 1970.
pub(super) type Row = fn(&Value, u64) -> Vec<Value>;

/// A column of text.
pub(super) const fn text(name: &'static str) -> Column {
    Column { name, kind: "string", wide: false }
}

/// A column of numbers.
pub(super) const fn number(name: &'static str) -> Column {
    Column { name, kind: "integer", wide: false }
}

/// A column that `-o wide` adds.
pub(super) const fn wide(name: &'static str) -> Column {
    Column { name, kind: "string", wide: true }
}

impl Column {
    pub(super) fn definition(&self) -> Value {
        // By this format kubectl knows the column it names objects by.
        let format = if self.name == "Name" && !self.wide { "name" } else { "" };
        json!({ "name": self.name, "type": self.kind, "format": format, "description": "", "priority": i32::from(self.wide) })
    }
}

/// The text at a pointer, or `<none>`.
pub(super) fn shown(object: &Value, pointer: &str) -> Value {
    match object.pointer(pointer) {
        Some(Value::String(text)) if !text.is_empty() => json!(text),
        Some(Value::Number(number)) => json!(number.to_string()),
        _ => json!("<none>"),
    }
}

/// The number at a pointer, or 0.
pub(super) fn count(object: &Value, pointer: &str) -> i64 {
    object.pointer(pointer).and_then(Value::as_i64).unwrap_or(0)
}

pub(super) fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

/// How long ago the object was made.
pub(super) fn age(object: &Value, now: u64) -> Value {
    json!(age::since(object["metadata"]["creationTimestamp"].as_str(), now))
}

/// The members of a list joined by commas; `<none>` for an empty one.
pub(super) fn joined(values: impl Iterator<Item = String>) -> Value {
    let all: Vec<String> = values.collect();
    if all.is_empty() { json!("<none>") } else { json!(all.join(",")) }
}

/// A member of each container of a template or a Pod.
pub(super) fn of_containers(spec: &Value, member: &str) -> Value {
    let containers = spec["containers"].as_array();
    joined(containers.into_iter().flatten().map(|container| container[member].as_str().unwrap_or_default().to_owned()))
}
