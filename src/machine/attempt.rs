//! What happens to a step that has a slot: checks, observation, intent, outcome, verification, retry.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::forward::later;
use super::key;
use super::node::Stage;
use super::outputs::trim;
use super::state::{Mode, NodeId};
use super::task::{PlanRequest, What};
use crate::expr::{Bindings, Root};
use crate::model::catalogue::ActionEntry;
use crate::model::event::{Event, Phase, Success};
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, LONGEST_WAIT, Verdict};
use crate::model::step::{Effect, OnFailure, Rollback, Uses};

impl Draft<'_> {
    /// Starts a leaf that has an action, with its first attempt on its way where nothing has to be read before.
    pub fn start(&mut self, id: NodeId) {
        let Uses::Action { name, with, secrets } = &self.state.step(id).uses else { return };
        let (with, secrets, name) = (with.clone(), secrets.clone(), name.clone());
        let inputs = match self.state.inputs(id, &with, &secrets, Bindings::new()) {
            Ok(inputs) => inputs,
            Err(failure) => return self.fail(id, failure, false),
        };
        let Some(entry) = self.state.catalogue.get(&name).cloned() else {
            let failure = Failure::permanent(format!("there is no action `{name}` in this runsheet"))
                .hint("the run was started with another version or plugin: `runsheet actions` lists what there is");
            return self.fail(id, failure, false);
        };
        let occurrence = self.state.node(id).occurrence();
        let frozen = self.state.node(id).may_have_run();
        let observes = entry.observes || !entry.touched(&inputs.value, self.state.spec.target.as_ref()).is_empty();
        if observes || frozen || !self.state.step(id).before.is_empty() {
            self.emit(Event::StepStarted { step: self.path(id), occurrence, inputs, intent: None });
            return self.proceed(id, &entry);
        }
        match self.plan(id, &name, &inputs, &Value::Null) {
            Err(failure) => self.fail(id, failure, false),
            Ok((_, Some(outputs))) => {
                self.emit(Event::StepStarted { step: self.path(id), occurrence, inputs, intent: None });
                self.unchanged(id, outputs);
            }
            Ok((intent, None)) => {
                self.emit(Event::StepStarted { step: self.path(id), occurrence, inputs, intent: Some(Box::new(intent)) });
                self.send(id);
            }
        }
    }

    /// Goes on from wherever the step stands before its attempt: conditions, then the observation.
    fn proceed(&mut self, id: NodeId, entry: &ActionEntry) {
        if let Stage::Check(Phase::Before, _) = self.state.node(id).stage {
            return self.next_check(id);
        }
        self.observe(id, entry);
    }

    pub fn observe(&mut self, id: NodeId, entry: &ActionEntry) {
        let inputs = self.inputs_of(id);
        let objects = {
            let mut objects = entry.touched(&inputs.value, self.state.spec.target.as_ref());
            objects.sort();
            objects.dedup();
            objects
        };
        // An action that may write reads nothing by itself, and knows that it may by the step's own word.
        let effect = self.state.step(id).effect;
        self.issue(id, What::Observe { action: entry.name.clone(), inputs, objects }, effect, None);
    }

    /// Begins another attempt, or the first after conditions.
    pub fn attempt(&mut self, id: NodeId) {
        let Some(entry) = self.entry(id) else { return };
        // An observation that failed, and an attempt that certainly did not reach the target, are made again from a fresh reading.
        self.observe(id, &entry);
    }

    pub fn entry(&self, id: NodeId) -> Option<Arc<ActionEntry>> {
        self.state.action(id).and_then(|name| self.state.catalogue.get(name)).cloned()
    }

    pub fn inputs_of(&self, id: NodeId) -> Arc<ResolvedInputs> {
        self.state.node(id).detail.as_ref().map(|detail| Arc::clone(&detail.inputs)).unwrap_or_default()
    }

    pub fn intent_of(&self, id: NodeId) -> Arc<Intent> {
        self.state.node(id).detail.as_ref().and_then(|detail| detail.intent.clone()).unwrap_or_default()
    }

    /// Sends the attempt whose intent was just recorded.
    pub fn send(&mut self, id: NodeId) {
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        let what = What::Apply { action, inputs: self.inputs_of(id), intent: self.intent_of(id) };
        let effect = self.state.step(id).effect;
        self.issue(id, what, effect, self.attempt_limit(id));
    }

    /// The intent of the next attempt. The playbook's own rollback takes the place of the action's.
    fn plan(&self, id: NodeId, action: &str, inputs: &ResolvedInputs, prior: &Value) -> Result<(Intent, Option<Value>), Failure> {
        let step = self.state.step(id);
        let node = self.state.node(id);
        let request = PlanRequest {
            run: self.state.run,
            step: &node.path,
            occurrence: node.occurrence(),
            attempt: node.detail.as_ref().map_or(0, |detail| detail.attempt) + 1,
            undo: false,
            action,
            inputs,
            prior,
            rollback: &step.rollback,
            effect: step.effect,
            target: self.state.spec.target.as_ref(),
        };
        let (mut intent, unchanged) = self.planner.plan(request)?;
        intent.prior = prior.clone();
        match &step.rollback {
            Rollback::Auto => {}
            Rollback::None => {
                if !intent.revert.is_nothing() {
                    intent.revert = Revert::Keep { reason: "the playbook says `rollback: none`".to_owned() };
                }
            }
            Rollback::Action { uses, with, secrets, approve, effect } => {
                let inputs = self.state.inputs(id, with, secrets, Bindings::new().with(Root::Prior, prior.clone()))?;
                intent.revert = Revert::Action { uses: uses.clone(), inputs, effect: *effect, approve: *approve };
            }
        }
        Ok((intent, unchanged))
    }

    pub fn lock_held(&mut self, id: NodeId, object: crate::model::change::ObjectRef, holder: String) {
        if matches!(self.state.node(id).stage, Stage::Observe) {
            let wait = crate::model::event::Waiting::Lock { object, holder };
            self.emit(Event::StepWaiting { step: self.path(id), wait });
        }
    }

    pub fn observed(&mut self, id: NodeId, result: Result<Value, Failure>) {
        if self.state.node(id).status.is_ended() {
            // Nothing is begun any more for a step that has ended in another way.
            return;
        }
        if matches!(self.state.node(id).stage, Stage::Lock) {
            self.emit(Event::WaitOver { step: self.path(id) });
        }
        if !self.may_go_on(id) {
            // Nothing new starts. The step has no intent, so that nothing was done: it begins anew when the run goes on.
            return;
        }
        let live = match result {
            Ok(live) => live,
            Err(failure) => return self.not_done(id, failure, true),
        };
        let frozen = self.state.node(id).may_have_run();
        // An earlier attempt may have reached the target: what was there before it is what was recorded then.
        let prior = if frozen { self.intent_of(id).prior.clone() } else { live };
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        let inputs = self.inputs_of(id);
        match self.plan(id, &action, &inputs, &prior) {
            Err(failure) => self.fail(id, failure, frozen),
            Ok((_, Some(outputs))) if !frozen => self.unchanged(id, outputs),
            Ok((intent, _)) => {
                let attempt = self.state.node(id).detail.as_ref().map_or(0, |detail| detail.attempt) + 1;
                self.emit(Event::AttemptStarted { step: self.path(id), attempt, intent: Box::new(intent) });
                self.send(id);
            }
        }
    }

    /// The wanted state was there already: its checks are looked at all the same.
    fn unchanged(&mut self, id: NodeId, outputs: Value) {
        let outputs = match self.outputs(id, outputs) {
            Ok(outputs) => outputs,
            Err(failure) => return self.fail(id, failure, false),
        };
        if self.state.step(id).after.is_empty() {
            return self.emit(Event::StepSucceeded { step: self.path(id), outputs, how: Some(Success::Unchanged) });
        }
        let attempt = self.state.node(id).detail.as_ref().map_or(0, |detail| detail.attempt);
        self.emit(Event::AttemptEnded { step: self.path(id), attempt, outcome: Applied::Applied { outputs } });
        self.next_check(id);
    }

    /// An attempt came to an end.
    pub fn applied(&mut self, id: NodeId, outcome: Applied) {
        if !matches!(self.state.node(id).stage, Stage::Apply) {
            return;
        }
        let attempt = self.state.node(id).detail.as_ref().map_or(1, |detail| detail.attempt);
        let effect = self.state.step(id).effect;
        let step = self.path(id);
        match outcome {
            Applied::Applied { outputs } => {
                let outputs = match self.outputs(id, outputs.clone()) {
                    Ok(outputs) => outputs,
                    Err(failure) => {
                        let outcome = Applied::Applied { outputs: trim(outputs, &[]) };
                        self.emit(Event::AttemptEnded { step, attempt, outcome });
                        return self.fail(id, failure, true);
                    }
                };
                if self.state.step(id).after.is_empty() {
                    // One event fewer a step: the success says it all.
                    return self.emit(Event::StepSucceeded { step, outputs, how: None });
                }
                self.emit(Event::AttemptEnded { step, attempt, outcome: Applied::Applied { outputs } });
                self.next_check(id);
            }
            // A read is never unknown: it failed.
            Applied::Unknown { failure } if effect == Effect::Read => {
                self.not_done(id, Failure { transient: true, ..failure }, true);
            }
            Applied::NotApplied { failure } => self.not_done(id, failure, true),
            Applied::FailedWithEffect { failure, outputs } => {
                let outputs = trim(outputs, &[]);
                self.emit(Event::AttemptEnded { step, attempt, outcome: Applied::FailedWithEffect { failure: failure.clone(), outputs } });
                // An action that knows its effect knows, too, whether doing it again can help; of a command or a request its author says so.
                let transient = failure.transient || self.entry(id).is_none_or(|entry| entry.effect_from_step);
                if effect == Effect::Once {
                    self.fail(id, failure, true);
                } else {
                    self.not_done(id, Failure { transient, ..failure }, false);
                }
            }
            Applied::Unknown { failure } => {
                self.emit(Event::AttemptEnded { step, attempt, outcome: Applied::Unknown { failure } });
                self.verify(id);
            }
        }
    }

    /// Asks the target what came of the attempt.
    pub fn verify(&mut self, id: NodeId) {
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        let what = What::Verify { action, inputs: self.inputs_of(id), intent: self.intent_of(id) };
        let effect = self.state.step(id).effect;
        self.issue(id, what, effect, None);
    }

    pub fn verified(&mut self, id: NodeId, result: Result<Verdict, Failure>) {
        if !matches!(self.state.node(id).stage, Stage::Verify) {
            return;
        }
        let step = self.path(id);
        let attempt = self.state.node(id).detail.as_ref().map_or(1, |detail| detail.attempt);
        let before = self.state.node(id).detail.as_ref().and_then(|detail| detail.failure.clone());
        let why = before.as_ref().map_or_else(String::new, |failure| format!("{failure}; "));
        let verdict = match result {
            Ok(verdict) => verdict,
            Err(failure) => {
                return self.unknown(id, format!("{why}the target could not be asked what came of it: {failure}"));
            }
        };
        let recorded = match &verdict {
            Verdict::Present { outputs } => match self.outputs(id, outputs.clone()) {
                Ok(outputs) => Verdict::Present { outputs },
                Err(failure) => return self.fail(id, failure, true),
            },
            other => other.clone(),
        };
        self.emit(Event::Verified { step, attempt, verdict: recorded });
        match verdict {
            Verdict::Present { .. } => self.next_check(id),
            Verdict::Absent => {
                let failure = before.unwrap_or_else(|| Failure::transient("the attempt did not reach the target"));
                self.not_done(id, Failure { transient: true, ..failure }, false);
            }
            Verdict::InProgress { message } => self.unknown(id, format!("{why}it is still in progress: {message}")),
            // What has worked is never done again because nobody can be asked: its checks are looked at again.
            Verdict::CannotTell { .. } if matches!(self.state.node(id).stage, Stage::Applied) => {
                let given = self.state.node(id).detail.as_ref().map_or(Value::Null, |detail| (*detail.outputs).clone());
                match self.outputs(id, given) {
                    Ok(_) => self.next_check(id),
                    Err(failure) => self.fail(id, failure, true),
                }
            }
            Verdict::CannotTell { reason } => {
                if self.state.step(id).effect == Effect::Once {
                    self.unknown(id, format!("{why}{reason}"));
                } else {
                    // Doing it again ends in the same state.
                    let failure = before.unwrap_or_else(|| Failure::transient(reason));
                    self.not_done(id, Failure { transient: true, ..failure }, false);
                }
            }
        }
    }

    fn unknown(&mut self, id: NodeId, reason: String) {
        self.emit(Event::StepUnknown { step: self.path(id), reason });
    }

    /// An attempt did not succeed: another follows, or the step has failed. `ended`: the attempt's end is not recorded yet.
    fn not_done(&mut self, id: NodeId, failure: Failure, ended: bool) {
        let step = self.path(id);
        let (attempt, lost) = self.state.node(id).detail.as_ref().map_or((0, 0), |detail| (detail.attempt, detail.lost));
        let sent = matches!(self.state.node(id).stage, Stage::Apply | Stage::Verify);
        if ended && sent {
            let outcome = Applied::NotApplied { failure: failure.clone() };
            self.emit(Event::AttemptEnded { step: step.clone(), attempt, outcome });
        }
        let retry = self.state.step(id).retry;
        // An observation that failed is an attempt that was not made; it counts all the same.
        let made = if sent || !ended { attempt } else { attempt + 1 };
        // Attempts in the middle of which the engine ended were not the target's fault.
        let (used, allowed) = (made.saturating_sub(lost), retry.attempts);
        let frozen = self.state.node(id).may_have_run();
        if !failure.transient || used >= allowed {
            let failure = match used {
                0 | 1 => failure,
                _ => Failure { message: format!("{failure} (attempt {used} of {allowed})"), ..failure },
            };
            return self.fail(id, failure, frozen);
        }
        if key::asks_for_too_much(&failure) {
            let message = format!("{failure}; it asks for a wait of more than {}, which is not waited for", LONGEST_WAIT);
            return self.fail(id, Failure { message, ..failure }, frozen);
        }
        let occurrence = self.state.node(id).occurrence();
        let delay = key::delay_after(&failure, &retry, self.state.run, &step, occurrence, used + 1);
        if let Some(left) = self.state.time_left(id, self.now)
            && delay >= left
        {
            let limit = self.state.step(id).timeout.unwrap_or_default();
            let message = format!("timed out after {limit}, with {used} of {allowed} attempts made; the last one: {failure}");
            return self.fail(id, Failure { message, ..failure }, frozen);
        }
        if made > attempt {
            // Counted by an event, so that it is the same after a crash.
            self.emit(Event::AttemptEnded { step: step.clone(), attempt: made, outcome: Applied::NotApplied { failure: failure.clone() } });
        }
        self.emit(Event::RetryScheduled { step, attempt: made + 1, until: later(self.now, delay), failure });
    }

    /// A construct, or whatever has nothing to check, has succeeded: the step's own outputs are worked out.
    pub fn succeed(&mut self, id: NodeId, outputs: Value, how: Option<Success>) {
        match self.outputs(id, outputs) {
            Ok(outputs) => self.emit(Event::StepSucceeded { step: self.path(id), outputs, how }),
            Err(failure) => {
                let applied = self.state.node(id).may_have_run();
                self.fail(id, failure, applied);
            }
        }
    }

    /// The step has failed; what that means for the run follows from its rule.
    pub fn fail(&mut self, id: NodeId, failure: Failure, applied: bool) {
        let step = self.path(id);
        let message = failure.message.clone();
        self.emit(Event::StepFailed { step, failure, applied });
        self.apply_rule(id, &message);
    }

    pub fn apply_rule(&mut self, id: NodeId, message: &str) {
        if !matches!(self.state.mode, Mode::Forward | Mode::Paused) {
            return;
        }
        let (rule, at) = self.state.rule(id);
        let step = self.path(id);
        match rule {
            OnFailure::Continue => {}
            OnFailure::Pause => {
                if self.state.mode == Mode::Forward {
                    self.emit(Event::RunStatusChanged {
                        status: crate::model::status::RunStatus::Paused,
                        reason: Some(format!("step {step} failed: {message}")),
                    });
                }
            }
            OnFailure::Rollback => {
                let scope = match self.state.scope_of(at).call {
                    None => crate::model::event::RollbackScope::Run,
                    Some(call) => crate::model::event::RollbackScope::Call { step: self.path(call) },
                };
                self.emit(Event::RollbackBegan { scope, reason: format!("step {step} failed: {message}") });
            }
        }
    }
}
