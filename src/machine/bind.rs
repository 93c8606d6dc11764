//! What the roots of expressions stand for at a step.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::outputs::{LEFT_OUT, OUTPUTS_LIMIT};
use super::state::{NodeId, State};
use crate::expr::{Bindings, References, Root, references, resolve};
use crate::model::inputs::ResolvedInputs;
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;
use crate::model::step::SecretInput;
use crate::model::template::{Source, Template};

impl State {
    /// Bindings for what these references name, and no more: the cost of a step must not grow with the run.
    pub(super) fn bindings(&self, id: NodeId, wanted: &References) -> Bindings {
        let scope = self.scope_of(id);
        let mut bindings = Bindings::new();
        for root in &wanted.roots {
            bindings = match root {
                Root::Params => bindings.with(Root::Params, Arc::clone(&scope.params)),
                Root::Vars => bindings.with(Root::Vars, Arc::clone(&scope.vars)),
                Root::Target => match &self.spec.target {
                    Some(target) => bindings.with(Root::Target, Value::Object(target.values.clone())),
                    None => bindings,
                },
                Root::Item => match &self.node(id).item {
                    Some(item) => bindings.with(Root::Item, item.1.clone()),
                    None => bindings,
                },
                Root::Steps => bindings.with(Root::Steps, self.steps_binding(self.node(id).scope, wanted)),
                // Bound by whoever has them; secrets never are.
                Root::Result | Root::Prior | Root::Secrets => bindings,
            };
        }
        bindings
    }

    /// The bindings for a scope's outputs: as for a step, but for no step in particular.
    pub(super) fn scope_bindings(&self, scope: u32, wanted: &References) -> Bindings {
        let at = &self.scopes[scope as usize];
        let mut bindings = Bindings::new()
            .with(Root::Params, Arc::clone(&at.params))
            .with(Root::Vars, Arc::clone(&at.vars))
            .with(Root::Steps, self.steps_binding(scope, wanted));
        if let Some(target) = &self.spec.target {
            bindings = bindings.with(Root::Target, Value::Object(target.values.clone()));
        }
        bindings
    }

    fn steps_binding(&self, scope: u32, wanted: &References) -> Value {
        let scope = &self.scopes[scope as usize];
        let graph = self.graphs.get(&scope.playbook);
        let steps: Map<String, Value> = wanted
            .steps
            .iter()
            .filter_map(|name| {
                let id = scope.first + graph.ids.get(name)?;
                Some((name.clone(), json!({ "status": self.node(id).status.as_str(), "outputs": self.visible_outputs(id) })))
            })
            .collect();
        Value::Object(steps)
    }

    /// A step's outputs as expressions see them: every declared one is null where it did not succeed.
    fn visible_outputs(&self, id: NodeId) -> Value {
        let step = self.step(id);
        let mut outputs: Map<String, Value> = step.outputs.iter().map(|(name, _)| (name.clone(), Value::Null)).collect();
        if let Some(entry) = self.action(id).and_then(|action| self.catalogue.get(action)) {
            outputs.extend(entry.outputs.iter().map(|field| (field.name.clone(), Value::Null)));
        }
        let node = self.node(id);
        let done = matches!(node.status, StepStatus::Succeeded | StepStatus::RolledBack | StepStatus::RollingBack | StepStatus::Kept);
        if done && let Some(Value::Object(given)) = node.detail.as_ref().map(|detail| &*detail.outputs) {
            outputs.extend(given.clone());
            // What was too large to keep is not null: there is nothing to be read.
            for name in left_out(given) {
                outputs.remove(name);
            }
        }
        Value::Object(outputs)
    }

    /// What to do about an expression that reads what was too large to keep.
    fn hint_on_left_out(&self, id: NodeId, wanted: &References, message: &str) -> Option<String> {
        let scope = self.scope_of(id);
        let graph = self.graphs.get(&scope.playbook);
        wanted.steps.iter().find_map(|step| {
            let detail = self.node(scope.first + graph.ids.get(step)?).detail.as_ref()?;
            let name = left_out(detail.outputs.as_object()?).find(|name| message.contains(&format!("no such key `{name}`")))?;
            Some(format!("`{name}` of step {step} is larger than the {OUTPUTS_LIMIT} bytes that are kept of a step: let its `outputs` pick what is needed"))
        })
    }

    /// A template's value at a step.
    pub(super) fn resolve(&self, id: NodeId, template: &Template, extra: Bindings) -> Result<Value, Failure> {
        if let Template::Literal(value) = template {
            return Ok(value.clone());
        }
        let wanted = references(template);
        let mut bindings = self.bindings(id, &wanted);
        for root in [Root::Result, Root::Prior] {
            if let Some(value) = extra.get(root) {
                bindings = bindings.with(root, Arc::clone(value));
            }
        }
        resolve(template, &bindings).map_err(|error| {
            let message = error.to_string();
            let hint = self.hint_on_left_out(id, &wanted, &message);
            Failure { hint, ..Failure::permanent(message) }
        })
    }

    /// A condition's value at a step.
    pub(super) fn is_true(&self, id: NodeId, source: &Source) -> Result<bool, Failure> {
        match self.resolve(id, &Template::Expression(source.clone()), Bindings::new())? {
            Value::Bool(value) => Ok(value),
            other => Err(Failure::permanent(format!("line {}: `{}` is {other}, not true or false", source.line, source.text))),
        }
    }

    pub(super) fn inputs(&self, id: NodeId, with: &Template, secrets: &[SecretInput], extra: Bindings) -> Result<ResolvedInputs, Failure> {
        let value = self.resolve(id, with, extra)?;
        // No inputs are stored as nothing at all.
        let value = if value.as_object().is_some_and(Map::is_empty) { Value::Null } else { value };
        Ok(ResolvedInputs { value, secrets: secrets.to_vec() })
    }
}

/// The names of the outputs that were too large to keep.
fn left_out(outputs: &Map<String, Value>) -> impl Iterator<Item = &str> {
    outputs.get(LEFT_OUT).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}
