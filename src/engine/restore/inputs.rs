//! The inputs of `run.restore`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::NAME;
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::ports::action::Inputs;

/// How far back runs are looked for, where the step does not say.
const WITHIN: Span = Span(Duration::from_secs(7 * 24 * 3600));
/// How long the platform may take to follow, where the step does not say.
const SETTLE: Span = Span(Duration::from_secs(30 * 60));

/// The inputs.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    pub(super) playbooks: Vec<String>,
    #[serde(default)]
    pub(super) params: Map<String, Value>,
    #[serde(default = "within")]
    pub(super) within: Span,
    #[serde(default = "settle")]
    pub(super) settle: Span,
}

fn within() -> Span {
    WITHIN
}

fn settle() -> Span {
    SETTLE
}

impl Input {
    /// # Errors
    /// What does not fit.
    pub(super) fn of(inputs: &Inputs) -> Result<Self, Failure> {
        let mut value = inputs.0.clone();
        if let Some(map) = value.as_object_mut() {
            // An input that is null is one that is left out.
            map.retain(|_, value| !value.is_null());
        }
        Self::deserialize(&value).map_err(|error| {
            Failure::permanent(format!("the inputs of {NAME} do not fit: {error}"))
                .hint(format!("`runsheet actions {NAME}` shows its inputs"))
        })
    }
}

/// Their JSON Schema.
pub(super) fn schema() -> Value {
    let duration = |help: &str, default: Span| json!({ "type": "string", "pattern": "^([0-9]+(ms|s|m|h|d))+$", "default": default.to_string(), "description": help });
    json!({
        "type": "object",
        "properties": {
            "playbooks": {
                "type": "array", "items": { "type": "string" },
                "description": "The playbooks whose runs are given back. What the step's own run changed before it is always given back.",
            },
            "params": {
                "type": "object", "default": {},
                "description": "Parameters by which the runs are known, `event_id` say: the set begins with the earliest run that has all of them with these values; after it, a run that has one of them with another value is left alone.",
            },
            "within": duration("How far back: only runs to which anything has happened within this time.", WITHIN),
            "settle": duration("How long the platform may take to follow, for each step whose changes are given back.", SETTLE),
        },
        "required": ["playbooks"],
        "additionalProperties": false,
    })
}
