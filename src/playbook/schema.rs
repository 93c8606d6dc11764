//! The language as a JSON Schema, for editors.
//!
//! Must not be what a playbook is checked with: it knows less than `load`, and its messages are an editor's. Invariant: whatever `load` accepts, it accepts.

use serde_json::{Map, Value, json};

use super::construct::CONSTRUCTS;
use crate::model::catalogue::Catalogue;
use crate::model::playbook::{ParamFormat, ParamType};

/// The JSON Schema (draft 2020-12) of playbooks that may use these actions.
pub fn schema(catalogue: &Catalogue) -> Value {
    let names: Vec<&str> = catalogue.iter().map(|entry| entry.name.as_str()).chain(CONSTRUCTS).collect();
    let mut definitions = definitions(&names);
    let mut rules = Vec::new();
    for entry in catalogue.iter() {
        let key = format!("with.{}", entry.name);
        definitions.insert(key.clone(), with_expressions(&entry.inputs, &key));
        rules.push(json!({
            "if": { "properties": { "uses": { "const": entry.name } }, "required": ["uses"] },
            "then": { "properties": { "with": { "$ref": format!("#/$defs/{key}") }, "uses": { "description": entry.summary } } },
        }));
    }
    for construct in CONSTRUCTS {
        rules.push(json!({
            "if": { "properties": { "uses": { "const": construct } }, "required": ["uses"] },
            "then": { "properties": { "with": { "$ref": format!("#/$defs/{construct}") } } },
        }));
    }
    if let Some(step) = definitions.get_mut("step").and_then(Value::as_object_mut) {
        step.insert("allOf".to_owned(), Value::Array(rules));
    }
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "runsheet playbook",
        "type": "object",
        "additionalProperties": false,
        "required": ["playbook", "summary", "steps"],
        "properties": {
            "playbook": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "description": "Its name, the same as its file's" },
            "summary": { "type": "string", "description": "One line that says what it is for" },
            "params": { "type": ["object", "null"], "propertyNames": { "$ref": "#/$defs/id" }, "additionalProperties": { "$ref": "#/$defs/param" }, "description": "What a run must be given" },
            "secrets": {
                "type": ["object", "null"],
                "propertyNames": { "$ref": "#/$defs/id" },
                "additionalProperties": { "type": ["object", "null"], "additionalProperties": false, "properties": { "env": { "type": "string" }, "help": { "type": "string" } } },
                "description": "The secrets it refers to; never their values",
            },
            "vars": { "type": ["object", "null"], "propertyNames": { "$ref": "#/$defs/id" }, "description": "Values computed once, when the run starts" },
            "steps": { "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" } },
            "outputs": { "type": ["object", "null"], "propertyNames": { "$ref": "#/$defs/id" }, "description": "What a caller sees, and `status` shows at the end" },
        },
        "$defs": definitions,
    })
}

fn definitions(names: &[&str]) -> Map<String, Value> {
    let kinds: Vec<&str> = ParamType::ALL.iter().map(|kind| kind.as_str()).collect();
    let formats: Vec<&str> = ParamFormat::ALL.iter().map(|format| format.as_str()).collect();
    let duration = json!({ "$ref": "#/$defs/duration" });
    let condition = json!({
        "that": { "$ref": "#/$defs/expression", "description": "True once it holds; `result` is the latest reading" },
        "message": { "type": "string", "description": "What people are told when it does not hold" },
        "within": duration, "every": duration,
        "for": { "$ref": "#/$defs/duration", "description": "How long it must hold without a break" },
        "uses": { "enum": names }, "with": { "type": ["object", "null"] },
    });
    let mut wait = condition.as_object().cloned().unwrap_or_default();
    wait.insert("duration".to_owned(), json!({ "anyOf": [{ "$ref": "#/$defs/duration" }, { "$ref": "#/$defs/expression" }] }));
    wait.insert("until".to_owned(), json!({ "type": "string" }));
    let gate = json!({
        "type": ["object", "null"], "additionalProperties": false,
        "properties": {
            "count": { "type": "integer", "minimum": 1 }, "by": { "type": "array", "items": { "type": "string" } },
            "message": { "type": "string" }, "until": { "type": "string" }, "otherwise": { "enum": ["fail", "skip"] },
        },
    });
    let step = json!({
        "type": "object", "additionalProperties": false, "required": ["id", "uses"],
        "properties": {
            "id": { "$ref": "#/$defs/id" },
            "summary": { "type": "string" },
            "needs": { "type": "array", "items": { "anyOf": [
                { "type": "string" },
                { "type": "object", "additionalProperties": false, "required": ["step"], "properties": {
                    "step": { "type": "string" }, "accept": { "type": "array", "minItems": 1, "items": { "enum": ["succeeded", "skipped", "failed"] } } } },
            ] } },
            "always": { "type": "boolean", "description": "Starts when its needs have ended in any status, even in a run that failed" },
            "uses": { "enum": names },
            "with": { "type": ["object", "null"] },
            "when": { "$ref": "#/$defs/expression" },
            "at": { "type": "string", "description": "An absolute time before which it does not start" },
            "not_after": { "type": "string" },
            "if_late": { "enum": ["run", "ask", "skip"] },
            "for_each": { "type": "object", "additionalProperties": false, "required": ["items"], "properties": {
                "items": { "anyOf": [{ "type": ["array", "object"] }, { "$ref": "#/$defs/expression" }] }, "max_parallel": { "type": "integer", "minimum": 1 } } },
            "check": { "type": "object", "additionalProperties": false, "properties": {
                "before": { "type": "array", "items": { "$ref": "#/$defs/check" } }, "after": { "type": "array", "items": { "$ref": "#/$defs/check" } } } },
            "rollback": { "anyOf": [
                { "enum": ["auto", "none"] },
                { "type": "object", "additionalProperties": false, "required": ["uses"], "properties": {
                    "uses": { "enum": names }, "with": { "type": ["object", "null"] }, "approve": { "type": "boolean" } } },
            ] },
            "retry": { "type": "object", "additionalProperties": false, "required": ["attempts"], "properties": {
                "attempts": { "type": "integer", "minimum": 1 }, "backoff": { "enum": ["constant", "exponential"] },
                "initial": duration, "max": duration, "jitter": { "type": "boolean" } } },
            "timeout": duration, "attempt_timeout": duration,
            "on_failure": { "enum": ["rollback", "pause", "continue"] },
            "approve": { "$ref": "#/$defs/approve" },
            "effect": { "enum": ["read", "idempotent", "once"] },
            "outputs": { "type": "object", "propertyNames": { "$ref": "#/$defs/id" } },
        },
    });
    let all = json!({
        "id": { "type": "string", "pattern": "^[a-z][a-z0-9_]*$" },
        "expression": { "type": "string", "pattern": "\\$\\{\\{[\\s\\S]*\\}\\}" },
        "duration": { "type": "string", "pattern": "^([0-9]+(d|h|m|s|ms))+$", "description": "90s, 10m, 1h30m" },
        "param": { "type": "object", "additionalProperties": false, "required": ["type"], "properties": {
            "type": { "enum": kinds }, "format": { "enum": formats }, "enum": { "type": "array", "minItems": 1 }, "minimum": { "type": "number" }, "maximum": { "type": "number" }, "default": true, "help": { "type": "string" } } },
        "check": { "type": "object", "additionalProperties": false, "required": ["that"], "properties": condition },
        "wait": { "type": "object", "additionalProperties": false, "properties": wait },
        "approve": gate,
        "monitor": { "type": "object", "additionalProperties": false, "required": ["samples"], "properties": {
            "every": duration, "duration": { "anyOf": [duration, { "$ref": "#/$defs/expression" }] }, "until": { "type": "string" },
            "that": { "$ref": "#/$defs/expression" },
            "samples": { "type": "object", "propertyNames": { "$ref": "#/$defs/id" }, "additionalProperties": {
                "type": "object", "additionalProperties": false, "required": ["uses"], "properties": { "uses": { "enum": names }, "with": { "type": ["object", "null"] } } } },
            "series": { "type": "object", "propertyNames": { "$ref": "#/$defs/id" }, "additionalProperties": { "$ref": "#/$defs/expression" } },
            "alerts": { "type": "array", "items": { "type": "object", "additionalProperties": false, "required": ["name", "when", "playbook"], "properties": {
                "name": { "$ref": "#/$defs/id" }, "when": { "$ref": "#/$defs/expression" }, "for": duration, "message": { "type": "string" },
                "playbook": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$" }, "params": { "type": ["object", "null"] },
                "max_firings": { "type": "integer", "minimum": 1, "maximum": 20 }, "cooldown": duration,
                "approve": { "anyOf": [{ "type": "boolean" }, { "$ref": "#/$defs/approve" }] } } } } } },
        "playbook": { "type": "object", "additionalProperties": false, "required": ["name"], "properties": {
            "name": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$" }, "params": { "type": ["object", "null"] } } },
        "step": step,
    });
    all.as_object().cloned().unwrap_or_default()
}

/// The schema of an action's inputs, where any value may be an expression as well, and references stay within it.
fn with_expressions(schema: &Value, key: &str) -> Value {
    let expression = json!({ "$ref": "#/$defs/expression" });
    let rewritten = |value: &Value| with_expressions(value, key);
    match schema {
        Value::Object(map) => {
            let mut out = Map::new();
            for (name, value) in map {
                let value = match (name.as_str(), value) {
                    ("$schema", _) => continue,
                    ("$ref", Value::String(to)) => Value::String(to.replacen('#', &format!("#/$defs/{key}"), 1)),
                    ("properties", Value::Object(properties)) => Value::Object(
                        properties.iter().map(|(name, value)| (name.clone(), json!({ "anyOf": [rewritten(value), expression] }))).collect(),
                    ),
                    ("items" | "additionalProperties", Value::Object(_)) => json!({ "anyOf": [rewritten(value), expression] }),
                    ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => Value::Array(parts.iter().map(rewritten).collect()),
                    ("$defs", Value::Object(parts)) => {
                        Value::Object(parts.iter().map(|(name, value)| (name.clone(), rewritten(value))).collect())
                    }
                    _ => value.clone(),
                };
                out.insert(name.clone(), value);
            }
            Value::Object(out)
        }
        other => other.clone(),
    }
}
