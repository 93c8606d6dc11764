//! Steps that hold others: `for_each` and called playbooks.

use serde_json::{Map, Value};

use super::draft::Draft;
use super::node::Kind;
use super::state::NodeId;
use crate::expr::{Bindings, References, Root, references, resolve};
use crate::model::event::{Event, SkipReason, Success};
use crate::model::outcome::Failure;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{OnFailure, Uses};
use crate::model::template::Template;

/// The most instances of one `for_each`.
const MAX_ITEMS: usize = 10_000;

impl Draft<'_> {
    /// Fixes the instances of a `for_each`.
    pub fn expand(&mut self, id: NodeId) {
        if matches!(self.state.node(id).kind, Kind::Each { expanded: true, .. }) {
            return;
        }
        let Some(each) = self.state.step(id).for_each.clone() else { return };
        let items = match self.state.resolve(id, &each.items, Bindings::new()).and_then(keyed) {
            Ok(items) => items,
            Err(failure) => return self.fail(id, failure, false),
        };
        self.emit(Event::StepExpanded { step: self.path(id), items });
    }

    /// Calls a playbook: its steps become part of the run.
    pub fn call(&mut self, id: NodeId, name: &str, params: &Template) {
        let Some(playbook) = self.state.definition.playbooks.get(name).cloned() else {
            let failure = Failure::permanent(format!("there is no playbook `{name}` in the run's definition"));
            return self.fail(id, failure, false);
        };
        let given = match self.state.resolve(id, params, Bindings::new()) {
            Ok(Value::Object(given)) => given,
            Ok(Value::Null) => Map::new(),
            Ok(other) => return self.fail(id, Failure::permanent(format!("`params` is {other}, not a map")), false),
            Err(failure) => return self.fail(id, failure, false),
        };
        let target = self.state.spec.target.as_ref();
        match super::start::bind(&playbook, given, target) {
            Ok((params, vars)) => self.emit(Event::PlaybookCalled { step: self.path(id), params, vars }),
            Err(message) => self.fail(id, Failure::permanent(format!("playbook {name}: {message}")), false),
        }
    }

    /// Ends every group whose children have all ended.
    pub fn conclude_groups(&mut self) {
        let mut from = 0;
        while let Some(id) = self.state.concludable.range(from..).next().copied() {
            from = id + 1;
            if self.state.node(id).status == StepStatus::Running && self.may_conclude() {
                self.state.concludable.remove(&id);
                self.conclude_group(id);
                // A parent may have a smaller number than its child.
                from = 0;
            }
        }
    }

    fn may_conclude(&self) -> bool {
        use super::state::Mode;
        match self.state.mode {
            Mode::Forward | Mode::Paused | Mode::Ending(_) | Mode::Cancelling => true,
            // While steps are taken back, the rollback says what becomes of groups.
            Mode::RollingBack(_) | Mode::Finished => false,
        }
    }

    fn conclude_group(&mut self, id: NodeId) {
        let children = self.state.children(id);
        let failed: Vec<NodeId> = children.clone().filter(|child| self.state.node(*child).status == StepStatus::Failed).collect();
        let each = matches!(self.state.node(id).kind, Kind::Each { .. });
        let any = |wanted: &[StepStatus]| children.clone().any(|child| wanted.contains(&self.state.node(child).status));
        if any(&[StepStatus::RolledBack, StepStatus::Kept, StepStatus::RollbackFailed]) {
            let why = failed.first().and_then(|child| self.state.node(*child).detail.as_ref()?.failure.as_ref());
            let why = why.map_or_else(String::new, |failure| format!(": {failure}"));
            return self.fail(id, Failure::permanent(format!("its steps were rolled back{why}")), false);
        }
        // An instance's rule is the step's own; a called step may say `continue`: then its failure was let pass inside the call.
        let lets_pass = |child: NodeId| !each && self.state.step(child).on_failure == Some(OnFailure::Continue);
        let passes_on: Vec<&NodeId> = failed.iter().filter(|child| !lets_pass(**child)).collect();
        if let Some(first) = passes_on.first() {
            let child = self.state.node(**first);
            let why = child
                .detail
                .as_ref()
                .and_then(|detail| detail.failure.as_ref())
                .map_or_else(String::new, |failure| failure.message.clone());
            let message = match passes_on.len() {
                1 => format!("{} failed: {why}", child.path),
                n => format!("{n} of {} failed, first {}: {why}", children.len(), child.path),
            };
            return self.fail(id, Failure::permanent(message), false);
        }
        if children.clone().any(|child| matches!(self.state.node(child).skip, Some(SkipReason::RunEnded))) {
            return self.emit(Event::StepSkipped { step: self.path(id), reason: SkipReason::RunEnded });
        }
        let how = (!failed.is_empty()).then_some(Success::WithFailures);
        let outputs = match self.group_outputs(id) {
            Ok(outputs) => outputs,
            Err(failure) => return self.fail(id, failure, false),
        };
        self.emit(Event::StepSucceeded { step: self.path(id), outputs, how });
    }

    fn group_outputs(&self, id: NodeId) -> Result<Value, Failure> {
        if matches!(self.state.step(id).uses, Uses::Monitor(_)) && !self.state.is_instance(id) {
            return Ok(self.monitor_outputs(id));
        }
        let Kind::Call { scope: Some(scope) } = self.state.node(id).kind else { return Ok(Value::Null) };
        let given = self.scope_outputs(scope)?;
        let mut all = given.clone();
        for (name, template) in &self.state.step(id).outputs {
            let extra = Bindings::new().with(Root::Result, Value::Object(given.clone()));
            let value = self.state.resolve(id, template, extra);
            all.insert(name.clone(), value.map_err(|failure| Failure { message: format!("output `{name}`: {failure}"), ..failure })?);
        }
        Ok(if all.is_empty() { Value::Null } else { Value::Object(all) })
    }

    /// A playbook's own `outputs`.
    pub fn scope_outputs(&self, scope: u32) -> Result<Map<String, Value>, Failure> {
        let playbook = &self.state.definition.playbooks[&*self.state.scopes[scope as usize].playbook];
        let mut outputs = Map::new();
        for (name, template) in &playbook.outputs {
            let wanted: References = references(template);
            let value = resolve(template, &self.state.scope_bindings(scope, &wanted))
                .map_err(|error| Failure::permanent(format!("output `{name}` of playbook {}: {error}", playbook.name)))?;
            outputs.insert(name.clone(), value);
        }
        Ok(outputs)
    }

    /// The run's own outputs, when all its steps have ended.
    pub fn finish_forward(&mut self, status: RunStatus, reason: Option<String>) {
        match self.scope_outputs(0) {
            Ok(outputs) => {
                if !outputs.is_empty() {
                    self.emit(Event::RunOutputs { outputs });
                }
                self.emit(Event::RunStatusChanged { status, reason });
            }
            Err(failure) => self.emit(Event::RunStatusChanged { status: RunStatus::Failed, reason: Some(failure.message) }),
        }
    }
}

/// Key and item of each instance of a `for_each`: a map's own keys, or each distinct value of a list.
///
/// # Errors
/// When it is neither, has too many items, or the same twice.
pub fn keyed(items: Value) -> Result<Vec<(String, Value)>, Failure> {
    let keyed: Vec<(String, Value)> = match items {
        Value::Object(map) => map.into_iter().collect(),
        Value::Array(list) => list.into_iter().map(|item| (key_of(&item), item)).collect(),
        other => return Err(Failure::permanent(format!("`items` is {other}, neither a list nor a map"))),
    };
    if keyed.len() > MAX_ITEMS {
        return Err(Failure::permanent(format!("`items` has {} items, and a `for_each` may have {MAX_ITEMS}", keyed.len())));
    }
    let mut seen = std::collections::HashSet::new();
    match keyed.iter().find(|(key, _)| !seen.insert(key.clone())) {
        Some((key, _)) => Err(Failure::permanent(format!("`items` holds `{key}` twice, and instances are named by their item"))
            .hint("make the items distinct, or give a map whose keys name them")),
        None => Ok(keyed),
    }
}

fn key_of(item: &Value) -> String {
    let text = match item {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let plain: String = text.chars().map(|c| if c.is_control() || matches!(c, '[' | ']' | '/') { '_' } else { c }).collect();
    if plain == text && plain.chars().count() <= 80 {
        return plain;
    }
    let short: String = plain.chars().take(60).collect();
    format!("{short}~{}", &crate::model::id::ContentHash::of(text.as_bytes()).0[..8])
}
