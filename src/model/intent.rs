//! What is on disk before an effect is attempted.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::Change;
use super::duration::Span;
use super::inputs::ResolvedInputs;
use super::step::Effect;

/// An attempt's intent: all that is needed to ask later whether it happened, and to undo it without the playbook.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Intent {
    /// What was observed before the first attempt. `null`: the action observes nothing.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub prior: Value,
    /// What it will change, field by field. Empty: nothing, or nothing that the ledger can hold.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Whether the changes give back what earlier ones had made: they are no new values.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub gives_back: bool,
    /// How it is undone.
    #[serde(default, skip_serializing_if = "Revert::is_nothing")]
    pub revert: Revert,
    /// Whatever else the action needs to verify, revert or follow it; never a secret.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub note: Value,
    /// The same by a person's hands: lines for a shell.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by_hand: Vec<String>,
    /// The undo by a person's hands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo_by_hand: Vec<String>,
}

/// How an attempt is undone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Revert {
    /// It has no effect: there is nothing to undo.
    #[default]
    Nothing,
    /// It cannot be undone (or the playbook says not to): the step is kept, and listed with this reason.
    Keep {
        /// For people.
        reason: String,
    },
    /// The action swaps its changes back, field by field.
    Fields {
        /// How long the platform may take to follow; then the step is kept with what holds it.
        settle: Span,
    },
    /// Another action, with its inputs as they were resolved before the effect.
    Action {
        /// Its name in the catalogue.
        uses: String,
        /// Its inputs.
        inputs: ResolvedInputs,
        /// What a second execution of it would mean.
        effect: Effect,
        /// A person must agree first.
        approve: bool,
    },
}

impl Revert {
    /// Whether there is nothing to undo.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}
