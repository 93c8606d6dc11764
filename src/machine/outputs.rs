//! What is kept of what a step gave.

use serde_json::{Map, Value};

use super::draft::Draft;
use super::state::NodeId;
use crate::expr::{Bindings, Root};
use crate::model::outcome::Failure;

/// The outputs that a run's state keeps of one step, as JSON, in bytes. What is larger is in the step's files.
pub const OUTPUTS_LIMIT: usize = 4096;

/// Under this name the outputs tell which of them were too large to keep: whoever reads one of these is told, and never gets null for it.
pub(super) const LEFT_OUT: &str = "_left_out";

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

/// Outputs within the limit: the largest values that nobody declared give way to null, and are named.
pub(super) fn trim(outputs: Value, keep: &[&str]) -> Value {
    let Value::Object(mut map) = outputs else { return outputs };
    let mut size = Value::Object(map.clone()).to_string().len();
    if size <= OUTPUTS_LIMIT {
        return Value::Object(map);
    }
    let mut sizes: Vec<(usize, String)> = map
        .iter()
        .filter(|(name, value)| !keep.contains(&name.as_str()) && !value.is_null())
        .map(|(name, value)| (value.to_string().len(), name.clone()))
        .collect();
    sizes.sort_by(|a, b| b.cmp(a));
    let mut left_out = Vec::new();
    size += LEFT_OUT.len() + 6;
    for (bytes, name) in sizes {
        if size <= OUTPUTS_LIMIT {
            break;
        }
        size = (size + name.len() + 7).saturating_sub(bytes);
        map.insert(name.clone(), Value::Null);
        left_out.push(Value::String(name));
    }
    map.insert(LEFT_OUT.to_owned(), Value::Array(left_out));
    Value::Object(map)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_large_is_named_and_what_somebody_declared_stays() {
        let large = "x".repeat(OUTPUTS_LIMIT);
        let small = json!({ "a": 1, "b": null });
        assert_eq!(trim(small.clone(), &[]), small);
        assert_eq!(trim(json!({ "a": 1, "b": large }), &[]), json!({ "a": 1, "b": null, "_left_out": ["b"] }));
        let half = "x".repeat(OUTPUTS_LIMIT / 2);
        let both = trim(json!({ "a": half, "b": half.clone() + "y", "c": 3 }), &["b"]);
        assert_eq!(both, json!({ "a": null, "b": half + "y", "c": 3, "_left_out": ["a"] }));
        assert!(both.to_string().len() <= OUTPUTS_LIMIT);
        // Once more, it is as it is.
        assert_eq!(trim(both.clone(), &[]), both);
    }
}
