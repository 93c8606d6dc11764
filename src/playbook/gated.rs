//! Actions that no step may use without a gate: what they do cannot be undone, and a person has to have agreed.
//!
//! Must not know any of them by name: an action says so itself, by `x-runsheet-gated` in the schema of its inputs.

use serde_json::Value;

use super::reader::Reader;
use super::yaml::Node;
use crate::model::catalogue::ActionEntry;
use crate::model::step::Uses;

const GATED: &str = "x-runsheet-gated";

fn is_gated(entry: &ActionEntry) -> bool {
    entry.inputs.get(GATED).and_then(Value::as_bool) == Some(true)
}

impl Reader<'_> {
    /// Reports a step that uses such an action and has no gate.
    pub(super) fn gate_of_step(&mut self, node: &Node, uses: &Uses) {
        let Uses::Action { name, .. } = uses else { return };
        let gated = self.catalogue.get(name).is_some_and(|entry| is_gated(entry));
        if let Some(at) = node.get("uses").filter(|_| gated && node.get("approve").is_none()) {
            let hint = "add `approve: { count: 1 }` to the step: what it does cannot be undone";
            self.problems.hint("gate", at.span, format!("`{name}` needs a gate"), hint);
        }
    }

    /// The same of a step's own rollback.
    pub(super) fn gate_of_rollback(&mut self, at: &Node, entry: &ActionEntry, approve: bool) {
        if is_gated(entry) && !approve {
            let hint = "add `approve: true` to the rollback: what it does cannot be undone";
            self.problems.hint("gate", at.span, format!("`{}` needs a gate", entry.name), hint);
        }
    }
}
