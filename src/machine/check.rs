//! The conditions of a step, one after the other.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::node::Stage;
use super::state::NodeId;
use super::task::{Check, What};
use crate::expr::{Bindings, References, Root, references};
use crate::model::event::{Event, Phase, Success};
use crate::model::outcome::Failure;
use crate::model::step::{Condition, Effect, Uses, Wait};
use crate::model::template::Template;

impl Draft<'_> {
    /// Looks at the next condition of the phase in which the step stands.
    pub fn next_check(&mut self, id: NodeId) {
        let (phase, index) = match self.state.node(id).stage {
            Stage::Check(phase, index) => (phase, index),
            Stage::Applied | Stage::Observe => (Phase::After, 0),
            _ => return,
        };
        let step = self.state.step(id);
        let conditions: &[Condition] = match (&step.uses, phase) {
            (Uses::Wait(Wait::That(condition)), _) => std::slice::from_ref(&**condition),
            (_, Phase::Before) => &step.before,
            (_, Phase::After) => &step.after,
        };
        let Some(condition) = conditions.get(index as usize).cloned() else {
            return match phase {
                Phase::Before => {
                    if let Some(entry) = self.entry(id) {
                        self.observe(id, &entry);
                    }
                }
                Phase::After if matches!(self.state.step(id).uses, Uses::Wait(_)) => self.succeed(id, Value::Null, None),
                Phase::After => self.conclude(id),
            };
        };
        match self.prepare(id, &condition) {
            Err(failure) => self.check_failed(id, phase, failure),
            Ok(check) => {
                let limit = self.state.time_left(id, self.now);
                // The step's own action may be one that writes, and must not when it is asked for a reading.
                let effect = if condition.reading.is_some() { Effect::Read } else { self.state.step(id).effect };
                self.issue(id, What::Check { phase, index, check: Arc::new(check) }, effect, limit);
            }
        }
    }

    /// The action has worked and its conditions hold: the step has succeeded with the outputs that were recorded with the attempt.
    fn conclude(&mut self, id: NodeId) {
        let detail = self.state.node(id).detail.as_ref();
        let (outputs, recovered) = detail.map_or((Value::Null, false), |detail| ((*detail.outputs).clone(), detail.recovered));
        let how = recovered.then_some(Success::Recovered);
        self.emit(Event::StepSucceeded { step: self.path(id), outputs, how });
    }

    fn prepare(&self, id: NodeId, condition: &Condition) -> Result<Check, Failure> {
        let mut wanted: References = references(&Template::Expression(condition.that.clone()));
        if let Some(message) = &condition.message {
            let more = references(message);
            wanted.roots.extend(more.roots);
            wanted.steps.extend(more.steps);
        }
        let mut bindings = self.state.bindings(id, &wanted);
        if wanted.roots.contains(&Root::Prior) {
            bindings = bindings.with(Root::Prior, self.intent_of(id).prior.clone());
        }
        let reading = match &condition.reading {
            Some(reading) => {
                let inputs = self.state.inputs(id, &reading.with, &reading.secrets, Bindings::new())?;
                Some((reading.uses.clone(), Arc::new(inputs)))
            }
            None => self.state.action(id).map(|action| (action.to_owned(), self.inputs_of(id))),
        };
        Ok(Check {
            that: condition.that.clone(),
            message: condition.message.clone(),
            bindings,
            within: condition.within.map(|span| span.0),
            every: condition.every.0,
            hold: condition.hold.map(|span| span.0),
            reading,
        })
    }

    pub fn checked(&mut self, id: NodeId, result: Result<(), Failure>) {
        let (phase, index) = match self.state.node(id).stage {
            Stage::Check(phase, index) => (phase, index),
            Stage::Applied | Stage::Observe => (Phase::After, 0),
            _ => return,
        };
        match result {
            Ok(()) => {
                self.emit(Event::CheckPassed { step: self.path(id), phase, index });
                if phase == Phase::Before && !self.may_go_on(id) {
                    return;
                }
                self.next_check(id);
            }
            Err(failure) => self.check_failed(id, phase, failure),
        }
    }

    fn check_failed(&mut self, id: NodeId, phase: Phase, failure: Failure) {
        let construct = matches!(self.state.step(id).uses, Uses::Wait(_));
        let (what, applied) = match phase {
            _ if construct => ("the condition did not come to hold", false),
            Phase::Before => ("a check before the step did not hold, and nothing was done", false),
            Phase::After => ("the action was done, but a check after it did not hold", true),
        };
        let message = format!("{what}: {failure}");
        let applied = applied && self.state.node(id).may_have_run();
        self.fail(id, Failure { message, ..failure }, applied);
    }
}
