//! What is kept of what a step gave.

use serde_json::{Map, Value};

use super::draft::Draft;
use super::state::NodeId;
use crate::expr::{Bindings, Root};
use crate::model::outcome::Failure;

/// The outputs that a run's state keeps of one step, as JSON, in bytes. What is larger is in the step's files.
pub const OUTPUTS_LIMIT: usize = 4096;

impl Draft<'_> {
    /// The action's outputs with the step's own, within the limit.
    pub fn outputs(&self, id: NodeId, outputs: Value) -> Result<Value, Failure> {
        let declared = &self.state.step(id).outputs;
        if declared.is_empty() {
            return Ok(trim(outputs, &[]));
        }
        let mut all = match &outputs {
            Value::Object(map) => map.clone(),
            _ => Map::new(),
        };
        let prior = self.intent_of(id).prior.clone();
        for (name, template) in declared {
            let extra = Bindings::new().with(Root::Result, outputs.clone()).with(Root::Prior, prior.clone());
            let value = self.state.resolve(id, template, extra);
            all.insert(name.clone(), value.map_err(|failure| Failure { message: format!("output `{name}`: {failure}"), ..failure })?);
        }
        let names: Vec<&str> = declared.iter().map(|(name, _)| name.as_str()).collect();
        let trimmed = trim(Value::Object(all), &names);
        let size = trimmed.to_string().len();
        if size > OUTPUTS_LIMIT {
            let failure = Failure::permanent(format!("its outputs take {size} bytes, and a step may keep {OUTPUTS_LIMIT}"));
            return Err(failure.hint("let `outputs` pick the values that later steps need"));
        }
        Ok(trimmed)
    }
}

/// Outputs within the limit: the largest values that nobody declared give way to null.
pub(super) fn trim(outputs: Value, keep: &[&str]) -> Value {
    let Value::Object(mut map) = outputs else { return outputs };
    let mut size = Value::Object(map.clone()).to_string().len();
    if size <= OUTPUTS_LIMIT {
        return Value::Object(map);
    }
    let mut sizes: Vec<(usize, String)> = map
        .iter()
        .filter(|(name, _)| !keep.contains(&name.as_str()))
        .map(|(name, value)| (value.to_string().len(), name.clone()))
        .collect();
    sizes.sort_by(|a, b| b.cmp(a));
    for (bytes, name) in sizes {
        if size <= OUTPUTS_LIMIT {
            break;
        }
        size -= bytes.saturating_sub(4);
        map.insert(name, Value::Null);
    }
    Value::Object(map)
}
