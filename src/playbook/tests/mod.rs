//! The language: what is accepted, what is refused and how, and that nothing hostile hurts.

mod accepted;
mod binding;
mod calls;
mod consequences;
mod hostile;
mod monitors;
mod references;
mod refused;

use std::sync::Arc;

use serde_json::{Value, json};

use super::*;
use crate::model::catalogue::{ActionEntry, Catalogue, OutputField, touches_nothing};
use crate::model::playbook::Playbook;
use crate::model::step::Effect;

fn entry(name: &str, inputs: Value, outputs: &[(&str, &str)], effect: Effect) -> ActionEntry {
    let outputs =
        outputs.iter().map(|(name, kind)| OutputField { name: (*name).to_owned(), kind: (*kind).to_owned(), help: String::new() });
    ActionEntry {
        name: name.to_owned(),
        summary: format!("{name} in a test"),
        page: String::new(),
        inputs,
        outputs: outputs.collect(),
        effect,
        effect_from_step: false,
        observes: false,
        reverts: false,
        needs_target: name.starts_with("k8s."),
        immediate: false,
        touches: touches_nothing,
        by_hand: crate::model::by_hand::nothing_by_hand,
        permissions: crate::model::permission::needs_nothing,
    }
}

fn object(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties, "required": required })
}

/// A few actions with schemas as schemars makes them.
fn catalogue() -> Catalogue {
    let mut noop = entry("noop", object(json!({}), &[]), &[], Effect::Read);
    noop.immediate = true;
    let mut command = entry(
        "command",
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "run": { "type": "array", "items": { "type": "string" }, "minItems": 1, "description": "The program and its arguments" },
                "shell": { "type": "boolean" },
                "script": { "type": ["string", "null"], "x-runsheet-literal": true },
                "env": { "type": "object", "additionalProperties": { "type": "string", "x-runsheet-secret": true } },
            },
        }),
        &[("exit_code", "integer"), ("stdout", "string")],
        Effect::Once,
    );
    command.effect_from_step = true;
    let mut scale = entry(
        "k8s.scale",
        json!({
            "type": "object", "additionalProperties": false, "required": ["workload", "replicas"],
            "properties": {
                "workload": { "$ref": "#/$defs/Workload" },
                "replicas": { "type": "integer", "format": "uint32", "minimum": 0 },
                "namespace": { "type": ["string", "null"] },
            },
            "$defs": { "Workload": { "type": "string", "pattern": "^[a-z]+/[a-z0-9-]+$", "description": "KIND/NAME" } },
        }),
        &[("replicas", "integer"), ("ready_replicas", "integer")],
        Effect::Idempotent,
    );
    scale.observes = true;
    scale.reverts = true;
    let get = entry("k8s.get", object(json!({ "object": { "type": "string" } }), &["object"]), &[("object", "map")], Effect::Read);
    let mut http = entry(
        "http.request",
        json!({
            "type": "object", "additionalProperties": false, "required": ["url"],
            "properties": {
                "method": { "enum": ["GET", "POST", "PUT", "DELETE"] },
                "url": { "type": "string" },
                "bearer": { "anyOf": [{ "$ref": "#/$defs/Secret" }, { "type": "null" }] },
                "headers": { "type": "object", "additionalProperties": { "$ref": "#/$defs/MaybeSecret" } },
                "json": true,
                "expect": { "type": "array", "items": { "type": "integer", "minimum": 100, "maximum": 599 } },
                "timeout": { "type": "number", "exclusiveMinimum": 0 },
            },
            "$defs": {
                "Secret": { "type": "string", "x-runsheet-secret": "only" },
                "MaybeSecret": { "type": "string", "x-runsheet-secret": true },
            },
        }),
        &[("status", "integer"), ("body", "any")],
        Effect::Once,
    );
    http.effect_from_step = true;
    let query = entry(
        "prometheus.query",
        object(json!({ "query": { "type": "string", "minLength": 1 } }), &["query"]),
        &[("value", "number")],
        Effect::Read,
    );
    Catalogue::new([noop, command, scale, get, http, query].map(Arc::new))
}

fn accepted(text: &str) -> Playbook {
    load_text("test.yaml", text, &catalogue()).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

fn problems(text: &str) -> Diagnostics {
    load_text("test.yaml", text, &catalogue()).err().unwrap_or_else(|| panic!("this was accepted:\n{text}"))
}

/// A playbook around some steps.
fn around(steps: &str) -> String {
    format!("playbook: test\nsummary: A test\nsteps:\n{steps}")
}

/// Runs on a stack as small as those of a pool's threads.
fn on_a_small_stack<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(2 << 20).spawn(run).unwrap().join().unwrap()
}
