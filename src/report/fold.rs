//! How a record changes the view.
//!
//! Must not: judge an event; what was committed happened. Invariant: exhaustive over the events, so that a new one cannot be forgotten here.

use jiff::Timestamp;
use serde_json::Value;

use super::step_view::{Drift, EffectState, Kept, NextAttempt, RevertView, StepView};
use super::view::{INSTRUCTIONS, InstructionView, Owner, RollbackView, RunView};
use crate::model::change::{Standing, Swap};
use crate::model::event::{Event, Phase, Record, ResetTo, Success};
use crate::model::id::StepPath;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::status::RunStatus;

impl RunView {
    /// Takes in the next record. One that was applied before changes nothing.
    pub fn apply(&mut self, record: &Record) {
        if record.seq <= self.seq {
            return;
        }
        self.seq = record.seq;
        self.created_at.get_or_insert(record.at);
        self.updated_at = Some(record.at);
        let Some(path) = record.event.step() else {
            return self.apply_to_run(record);
        };
        let at = self.place(path);
        if let Some(status) = record.event.step_status() {
            self.turn(at, status, record.at);
        }
        self.count_commands(at, &record.event);
        self.add_children(at, &record.event);
        self.steps[at as usize].apply(record);
        self.keep_open(at);
    }

    fn apply_to_run(&mut self, record: &Record) {
        match &record.event {
            Event::RunCreated(spec) => self.spec = Some(spec.clone()),
            Event::RunOwned { pid, host, by } => {
                self.owner = Some(Owner { pid: *pid, host: host.clone(), by: by.clone() });
            }
            Event::RunStatusChanged { status, reason } => {
                if self.status != *status {
                    self.status_since = Some(record.at);
                }
                self.status = *status;
                self.reason.clone_from(reason);
                if *status == RunStatus::Running {
                    self.cancelling = false;
                }
            }
            Event::RunOutputs { outputs } => self.outputs.clone_from(outputs),
            Event::RollbackBegan { scope, reason } => {
                self.rollback = Some(RollbackView { scope: scope.clone(), reason: reason.clone(), began_at: record.at, ended: false });
            }
            Event::RollbackEnded { .. } => {
                if let Some(rollback) = &mut self.rollback {
                    rollback.ended = true;
                }
            }
            Event::CancelBegan => self.cancelling = true,
            Event::Instructed { by, command, reason, .. } => {
                self.remember(InstructionView {
                    at: record.at,
                    by: by.clone(),
                    command: command.clone(),
                    reason: reason.clone(),
                    refused: None,
                });
            }
            Event::InstructionRefused { by, command, why, .. } => {
                self.remember(InstructionView {
                    at: record.at,
                    by: by.clone(),
                    command: command.clone(),
                    reason: None,
                    refused: Some(why.clone()),
                });
            }
            // What is about a step is applied to the step, by a match that names every event.
            _ => {}
        }
    }

    fn remember(&mut self, instruction: InstructionView) {
        if self.instructions.len() == INSTRUCTIONS {
            self.instructions.pop_front();
        }
        self.instructions.push_back(instruction);
    }

    fn count_commands(&mut self, at: u32, event: &Event) {
        let step = &self.steps[at as usize];
        let ran = match event {
            Event::StepStarted { intent: Some(_), .. } | Event::AttemptStarted { .. } => {
                step.uses().is_some_and(|uses| self.outline.runs_here(uses))
            }
            Event::RevertActionStarted { .. } => step
                .intent
                .as_ref()
                .is_some_and(|intent| matches!(&intent.revert, Revert::Action { uses, .. } if self.outline.runs_here(uses))),
            _ => false,
        };
        self.commands_run += usize::from(ran);
    }

    fn add_children(&mut self, at: u32, event: &Event) {
        let path = &self.steps[at as usize].path;
        match event {
            Event::StepExpanded { items, .. } => {
                let (path, outline) = (path.clone(), self.steps[at as usize].outline.clone());
                for (key, _) in items {
                    self.add(path.instance(key), Some(at), outline.as_ref().map(|outline| outline.instance(key)));
                }
            }
            Event::PlaybookCalled { .. } => {
                let path = path.clone();
                let calls = self.steps[at as usize].outline.as_ref().and_then(|outline| outline.calls.as_ref());
                let steps = calls.and_then(|name| self.outline.playbooks.get(name)).cloned().unwrap_or_default();
                for step in steps {
                    self.add(path.child(&step.id), Some(at), Some(step));
                }
            }
            _ => {}
        }
    }

    /// Keeps the list of steps whose effect is, or may be, there.
    fn keep_open(&mut self, at: u32) {
        let step = &self.steps[at as usize];
        if step.intent.as_ref().is_some_and(|intent| !intent.revert.is_nothing()) {
            let key = (step.intent_seq, at);
            if step.effect == EffectState::None {
                self.open.remove(&key)
            } else {
                self.open.insert(key)
            };
        }
    }
}

impl StepView {
    fn apply(&mut self, record: &Record) {
        let at = record.at;
        self.heard_at = Some(at);
        match &record.event {
            Event::StepExpanded { .. } | Event::PlaybookCalled { .. } => {
                self.started_at.get_or_insert(at);
                self.waiting = None;
            }
            Event::StepWaiting { wait, .. } => {
                self.waiting = Some(Box::new(wait.clone()));
                self.approved.clear();
                self.retry = None;
                self.since = Some(at);
            }
            Event::GateApproved { by, open, .. } => {
                self.approved.push(by.clone());
                if *open {
                    self.waiting = None;
                }
            }
            Event::WaitOver { .. } => self.waiting = None,
            Event::StepStarted { occurrence, intent, .. } => {
                self.occurrence = *occurrence;
                (self.checks_passed, self.checking) = (0, false);
                self.started_at = Some(at);
                self.ended_at = None;
                self.waiting = None;
                self.failure = None;
                self.skip = None;
                if let Some(intent) = intent {
                    self.attempt = 1;
                    self.intend(intent, record.seq);
                }
            }
            Event::AttemptStarted { attempt, intent, .. } => {
                self.attempt = *attempt;
                (self.checks_passed, self.checking) = (0, false);
                self.retry = None;
                self.intend(intent, record.seq);
            }
            Event::AttemptEnded { outcome, .. } => match outcome {
                Applied::Applied { .. } => (self.effect, self.checking) = (EffectState::Applied, true),
                Applied::NotApplied { .. } => self.effect = EffectState::None,
                Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => {
                    self.effect = EffectState::Maybe;
                    self.failure = Some(Box::new(failure.clone()));
                }
            },
            Event::Verified { verdict, .. } => match verdict {
                Verdict::Present { .. } => (self.effect, self.checking) = (EffectState::Applied, true),
                Verdict::Absent => self.effect = EffectState::None,
                Verdict::InProgress { .. } | Verdict::CannotTell { .. } => {}
            },
            Event::RetryScheduled { attempt, until, failure, .. } => {
                self.retry = Some(Box::new(NextAttempt { attempt: *attempt, until: *until, failure: failure.clone() }));
            }
            Event::MonitorFired { .. } => self.since = Some(at),
            Event::CheckPassed { phase: Phase::After, index, .. } => self.checks_passed = index + 1,
            Event::CheckPassed { phase: Phase::Before, .. } => {}
            Event::StepSucceeded { outputs, how, .. } => {
                self.end(at);
                self.outputs = outputs.clone();
                self.how.clone_from(how);
                self.failure = None;
                if self.intent.is_some() && *how != Some(Success::Unchanged) {
                    self.effect = EffectState::Applied;
                }
            }
            Event::StepFailed { failure, applied, .. } => {
                self.end(at);
                self.failure = Some(Box::new(failure.clone()));
                if !applied {
                    self.effect = EffectState::None;
                }
            }
            Event::StepSkipped { reason, .. } => {
                self.end(at);
                self.skip = Some(Box::new(reason.clone()));
            }
            Event::StepUnknown { reason, .. } => {
                self.retry = None;
                self.waiting = None;
                self.unknown = Some(reason.as_str().into());
            }
            Event::StepReset { to, .. } => self.reset(*to),
            Event::RevertStarted { .. } => {
                self.revert = Some(Box::new(RevertView { started_at: Some(at), ..RevertView::default() }));
                self.waiting = None;
                self.retry = None;
            }
            Event::RevertIntended { swaps, standings, .. } => self.intend_revert(at, swaps, standings),
            Event::RevertActionStarted { attempt, .. } => {
                self.waiting = None;
                let revert = self.reverting(at);
                revert.attempt = *attempt;
                revert.retry = None;
            }
            Event::RevertEnded { outcome, .. } => match outcome {
                Applied::Applied { .. } => self.swapped(),
                Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => {
                    self.failure = Some(Box::new(failure.clone()));
                }
            },
            Event::RevertVerified { verdict, .. } => {
                if matches!(verdict, Verdict::Present { .. }) {
                    self.swapped();
                }
            }
            Event::RevertRetryScheduled { attempt, until, failure, .. } => {
                self.reverting(at).retry = Some(NextAttempt { attempt: *attempt, until: *until, failure: failure.clone() });
            }
            Event::RevertFollowed { followed, .. } => {
                self.reverting(at).holds = match followed {
                    Followed::Yes => None,
                    Followed::No { holds } => Some(holds.clone()),
                };
            }
            Event::StepRolledBack { note, .. } => {
                self.end_revert(at);
                self.effect = EffectState::None;
                self.failure = None;
                self.note = note.as_deref().map(Into::into);
            }
            Event::StepKept { reason, blocks, .. } => {
                self.end_revert(at);
                self.kept = Some(Box::new(Kept { reason: reason.clone(), blocks: *blocks }));
            }
            Event::StepRollbackFailed { failure, .. } => {
                self.end_revert(at);
                self.failure = Some(Box::new(failure.clone()));
            }
            Event::DriftSeen { what, expected, found, .. } => {
                self.drift.push(Drift { what: what.clone(), expected: expected.clone(), found: found.clone() });
            }
            // What is about the run is applied to the run.
            Event::RunCreated(_)
            | Event::RunOwned { .. }
            | Event::RunStatusChanged { .. }
            | Event::RunOutputs { .. }
            | Event::RollbackBegan { .. }
            | Event::RollbackEnded { .. }
            | Event::CancelBegan
            | Event::Instructed { .. }
            | Event::InstructionRefused { .. } => {}
        }
    }

    fn intend(&mut self, intent: &Intent, seq: u64) {
        // What changes nothing leaves nothing to show; most steps of a large run are such.
        if *intent == Intent::default() {
            return;
        }
        // The ledger's place of a doing is that of its first intent.
        if self.intent.is_none() {
            self.intent_seq = seq;
        }
        self.put_back = vec![false; intent.changes.len()];
        self.intent = Some(Box::new(intent.clone()));
        self.effect = EffectState::Maybe;
    }

    fn end(&mut self, at: Timestamp) {
        self.ended_at = Some(at);
        self.retry = None;
        self.waiting = None;
        self.unknown = None;
    }

    fn reset(&mut self, to: ResetTo) {
        self.waiting = None;
        self.retry = None;
        self.unknown = None;
        self.skip = None;
        match to {
            ResetTo::Pending | ResetTo::NextOccurrence => {
                if to == ResetTo::NextOccurrence {
                    // What it did was put back: the new doing makes a debt of its own.
                    self.intent = None;
                }
                self.attempt = 0;
                self.started_at = None;
                self.ended_at = None;
                self.failure = None;
                self.how = None;
                self.outputs = Value::Null;
                self.approved.clear();
                self.drift.clear();
                self.note = None;
                self.kept = None;
                self.revert = None;
            }
            ResetTo::Verify => self.ended_at = None,
            ResetTo::Revert => self.kept = None,
        }
    }

    fn reverting(&mut self, at: Timestamp) -> &mut RevertView {
        self.revert.get_or_insert_with(|| Box::new(RevertView { started_at: Some(at), ..RevertView::default() }))
    }

    fn intend_revert(&mut self, at: Timestamp, swaps: &[Swap], standings: &[Standing]) {
        for (index, standing) in standings.iter().enumerate() {
            if let (Standing::AlreadyPrior | Standing::TakenBack { .. } | Standing::GivenBack { .. } | Standing::Gone, Some(back)) =
                (standing, self.put_back.get_mut(index))
            {
                *back = true;
            }
        }
        let revert = self.reverting(at);
        revert.retry = None;
        revert.swaps = swaps.to_vec();
        revert.standings = standings.to_vec();
    }

    /// What was to be swapped back has been.
    fn swapped(&mut self) {
        self.failure = None;
        let (Some(intent), Some(revert)) = (&self.intent, &self.revert) else { return };
        for (change, back) in intent.changes.iter().zip(&mut self.put_back) {
            if revert.swaps.iter().any(|swap| swap.object == change.object && swap.field == change.field) {
                *back = true;
            }
        }
    }

    fn end_revert(&mut self, at: Timestamp) {
        self.waiting = None;
        let revert = self.reverting(at);
        revert.ended_at = Some(at);
        revert.retry = None;
    }
}

/// The failure that an outcome carries.
pub(super) fn failure_of(outcome: &Applied) -> Option<&Failure> {
    match outcome {
        Applied::Applied { .. } => None,
        Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Some(failure),
    }
}

/// The steps of a rollback's scope, in words.
pub(super) fn scope_in_words(scope: &crate::model::event::RollbackScope) -> String {
    use crate::model::event::RollbackScope;
    match scope {
        RollbackScope::Run => "what the run did".to_owned(),
        RollbackScope::Call { step } => format!("what {step} did"),
        RollbackScope::Only { steps } => {
            let shown: Vec<_> = steps.iter().take(5).map(StepPath::as_str).collect();
            let more = if steps.len() > shown.len() { format!(" and {} more", steps.len() - shown.len()) } else { String::new() };
            super::text::clean(&format!("{}{more}", shown.join(", ")))
        }
    }
}
