//! How one step is taken back: read the live values, swap what is ours, follow the platform; or the step's own rollback action.

use std::time::Duration;

use serde_json::Value;

use super::draft::Draft;
use super::forward::later;
use super::key;
use super::node::Stage;
use super::state::NodeId;
use super::task::{PlanRequest, What};
use crate::model::change::{Standing, Swap};
use crate::model::duration::Span;
use crate::model::event::{Event, GateKind, Waiting};
use crate::model::intent::Revert;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::step::{Backoff, Effect, Retry, Rollback};

/// How often a revert is tried before it has failed, and how the delay grows.
const TRIES: Retry = Retry { attempts: 5, backoff: Backoff::Exponential, initial: Span::seconds(1), max: Span::seconds(15), jitter: true };

impl Draft<'_> {
    /// Starts a step's revert, or goes on with it from where it stands.
    pub fn start_revert(&mut self, id: NodeId) {
        let intent = self.intent_of(id);
        match intent.revert.clone() {
            Revert::Nothing => {
                self.emit(Event::StepRolledBack { step: self.path(id), note: Some("nothing to put back".to_owned()) });
                self.unwound(id, true);
            }
            Revert::Keep { reason } => {
                self.emit(Event::StepKept { step: self.path(id), reason, blocks: false });
                self.unwound(id, true);
            }
            Revert::Fields { settle } => {
                if matches!(self.state.node(id).stage, Stage::RevertFollow) {
                    return self.follow(id, settle.0);
                }
                self.emit(Event::RevertStarted { step: self.path(id) });
                self.read_live(id);
            }
            Revert::Action { uses, inputs, effect, approve } => match self.state.node(id).stage {
                Stage::RevertFollow => self.rolled_back(id, None),
                Stage::RevertAct => {
                    let failure = Failure::transient(super::recover::ENGINE_ENDED);
                    self.revert_ended(id, Applied::Unknown { failure });
                }
                Stage::RevertVerify => self.verify_revert(id),
                _ => {
                    let cleared = self.state.node(id).detail.as_ref().is_some_and(|detail| detail.revert_gate_cleared);
                    if approve && !cleared {
                        let message = Some(format!("take back {} with {uses}?", self.path(id)));
                        let gate = GateKind::Rollback;
                        let wait = Waiting::Approval { count: 1, by: Vec::new(), message, until: None, gate };
                        return self.emit(Event::StepWaiting { step: self.path(id), wait });
                    }
                    self.act(id, &uses, &inputs, effect);
                }
            },
        }
    }

    fn read_live(&mut self, id: NodeId) {
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        let intent = self.intent_of(id);
        self.issue(id, What::ReadLive { action, intent }, Effect::Read, None);
    }

    fn act(&mut self, id: NodeId, uses: &str, inputs: &crate::model::inputs::ResolvedInputs, effect: Effect) {
        let attempt = self.state.node(id).detail.as_ref().map_or(0, |detail| detail.revert_attempt) + 1;
        let node = self.state.node(id);
        let planned = self.planner.plan(PlanRequest {
            run: self.state.run,
            step: &node.path,
            occurrence: node.occurrence(),
            attempt,
            undo: true,
            action: uses,
            inputs,
            prior: &Value::Null,
            rollback: &Rollback::None,
            effect,
            target: self.state.spec.target.as_ref(),
        });
        match planned {
            Err(failure) => self.revert_failed(id, failure),
            Ok((_, Some(_))) => self.rolled_back(id, Some("it was as it was before already".to_owned())),
            Ok((intent, None)) => {
                self.emit(Event::RevertActionStarted { step: self.path(id), attempt, intent: Box::new(intent) });
                let intent = self.revert_intent(id);
                let what = What::RevertApply { action: uses.to_owned(), inputs: std::sync::Arc::new(inputs.clone()), intent };
                self.issue(id, what, effect, None);
            }
        }
    }

    fn revert_intent(&self, id: NodeId) -> std::sync::Arc<crate::model::intent::Intent> {
        self.state.node(id).detail.as_ref().and_then(|detail| detail.revert_intent.clone()).unwrap_or_default()
    }

    fn verify_revert(&mut self, id: NodeId) {
        let Revert::Action { uses, inputs, effect, .. } = self.intent_of(id).revert.clone() else { return };
        let what = What::RevertVerify { action: uses, inputs: std::sync::Arc::new(inputs), intent: self.revert_intent(id) };
        self.issue(id, what, effect, None);
    }

    /// The live values were compared with what the ledger knows.
    pub fn live_read(&mut self, id: NodeId, result: Result<Vec<Standing>, Failure>) {
        let standings = match result {
            Ok(standings) => standings,
            Err(failure) => return self.try_revert_again(id, failure),
        };
        let intent = self.intent_of(id);
        let mut foreign = Vec::new();
        let mut swaps = Vec::new();
        let mut taken_back = Vec::new();
        for (change, standing) in intent.changes.iter().zip(&standings) {
            match standing {
                Standing::AlreadyPrior => {}
                Standing::GivenBack { run, step } => taken_back.push(format!("{} was given back by step {step} of run {}", change.label, run.short())),
                Standing::TakenBack { run, step } => taken_back.push(format!("{} was taken back with what step {step} of run {} had set", change.label, run.short())),
                Standing::Ours { live } => swaps.push(Swap {
                    object: change.object.clone(),
                    field: change.field.clone(),
                    label: change.label.clone(),
                    from: live.clone(),
                    to: change.prior.clone(),
                }),
                Standing::Foreign { live } => foreign.push(format!(
                    "{} of {} is {live}: this run had changed it from {} to {}, and somebody else, or the rollback of another run, has changed it since",
                    change.label, change.object.in_words(), change.prior, change.after
                )),
                Standing::Gone => foreign.push(format!("{} is gone: somebody else has deleted it, and another of its name would be theirs", change.object.in_words())),
            }
        }
        let step = self.path(id);
        if !foreign.is_empty() {
            // Left alone, all of it: half of a step put back is worse than none.
            self.emit(Event::RevertIntended { step, swaps: Vec::new(), standings });
            let failure = Failure::permanent(foreign.join("; "))
                .hint("put it right by hand and `runsheet mark-done`, leave it as it is with `runsheet skip`, or `runsheet retry` once it is ours again");
            return self.revert_failed(id, failure);
        }
        self.emit(Event::RevertIntended { step, swaps: swaps.clone(), standings });
        if swaps.is_empty() && !taken_back.is_empty() {
            // What was there before is another run's value, and is not there: the platform has nothing to follow.
            return self.rolled_back(id, Some(taken_back.join("; ")));
        }
        if swaps.is_empty() {
            let settle = match &intent.revert {
                Revert::Fields { settle } => settle.0,
                Revert::Nothing | Revert::Keep { .. } | Revert::Action { .. } => Duration::ZERO,
            };
            return self.follow(id, settle);
        }
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        self.issue(id, What::Swap { action, intent, swaps }, Effect::Idempotent, None);
    }

    fn follow(&mut self, id: NodeId, settle: Duration) {
        let Some(action) = self.state.action(id).map(str::to_owned) else { return };
        let intent = self.intent_of(id);
        self.issue(id, What::Follow { action, intent, settle }, Effect::Read, None);
    }

    /// A swap or a rollback action came to an end.
    pub fn revert_ended(&mut self, id: NodeId, outcome: Applied) {
        let acting = matches!(self.state.node(id).stage, Stage::RevertAct);
        self.emit(Event::RevertEnded { step: self.path(id), outcome: outcome.clone() });
        match outcome {
            Applied::Applied { .. } if acting => self.rolled_back(id, None),
            Applied::Applied { .. } => {
                let settle = match &self.intent_of(id).revert {
                    Revert::Fields { settle } => settle.0,
                    Revert::Nothing | Revert::Keep { .. } | Revert::Action { .. } => Duration::ZERO,
                };
                self.follow(id, settle);
            }
            Applied::Unknown { .. } if acting => self.verify_revert(id),
            // What is there now tells what came of the swap, and whether it is still ours.
            Applied::Unknown { failure } => self.try_revert_again(id, failure),
            Applied::NotApplied { failure } if acting && !failure.transient => self.revert_failed(id, failure),
            Applied::NotApplied { failure } => self.try_revert_again(id, failure),
            Applied::FailedWithEffect { failure, .. } => {
                let once = matches!(&self.intent_of(id).revert, Revert::Action { effect: Effect::Once, .. });
                if once { self.revert_failed(id, failure) } else { self.try_revert_again(id, failure) }
            }
        }
    }

    /// The target was asked about a rollback action of unknown outcome.
    pub fn revert_verified(&mut self, id: NodeId, result: Result<Verdict, Failure>) {
        let verdict = match result {
            Ok(verdict) => verdict,
            Err(failure) => return self.revert_failed(id, failure),
        };
        self.emit(Event::RevertVerified { step: self.path(id), verdict: verdict.clone() });
        let once = matches!(&self.intent_of(id).revert, Revert::Action { effect: Effect::Once, .. });
        match verdict {
            Verdict::Present { .. } => self.rolled_back(id, None),
            Verdict::Absent => self.try_revert_again(id, Failure::transient("the rollback action did not reach the target")),
            Verdict::InProgress { message } => self.revert_failed(id, Failure::transient(format!("still in progress: {message}"))),
            Verdict::CannotTell { reason } if once => {
                let failure = Failure::permanent(format!("nobody knows whether its rollback action happened: {reason}"))
                    .hint("look at the target; then `runsheet mark-done` if it is put back, or `runsheet retry`");
                self.revert_failed(id, failure);
            }
            Verdict::CannotTell { reason } => self.try_revert_again(id, Failure::transient(reason)),
        }
    }

    /// The platform was looked at until it had followed, or its time was over.
    pub fn followed(&mut self, id: NodeId, result: Result<Followed, Failure>) {
        match result {
            Ok(Followed::Yes) => self.rolled_back(id, None),
            Ok(Followed::No { holds }) => {
                let step = self.path(id);
                self.emit(Event::RevertFollowed { step: step.clone(), followed: Followed::No { holds: holds.clone() } });
                let reason = format!("the value is put back, but the platform has not followed: {holds}");
                self.emit(Event::StepKept { step, reason, blocks: true });
                self.unwound(id, false);
            }
            Err(failure) => self.try_revert_again(id, failure),
        }
    }

    fn rolled_back(&mut self, id: NodeId, note: Option<String>) {
        self.emit(Event::StepRolledBack { step: self.path(id), note });
        self.unwound(id, true);
    }

    fn revert_failed(&mut self, id: NodeId, failure: Failure) {
        self.emit(Event::StepRollbackFailed { step: self.path(id), failure });
        self.unwound(id, false);
    }

    fn try_revert_again(&mut self, id: NodeId, failure: Failure) {
        let (made, lost) = self.state.node(id).detail.as_ref().map_or((0, 0), |detail| (detail.revert_attempt, detail.revert_lost));
        let made = made.max(lost + 1);
        let tried = made - lost;
        if tried >= TRIES.attempts || key::asks_for_too_much(&failure) {
            let message = format!("{failure} (try {tried} of {})", TRIES.attempts);
            return self.revert_failed(id, Failure { message, ..failure });
        }
        let step = self.path(id);
        let delay = key::delay_after(&failure, &TRIES, self.state.run, &step, self.state.node(id).occurrence(), tried + 1);
        self.emit(Event::RevertRetryScheduled { step, attempt: made + 1, until: later(self.now, delay), failure });
    }
}
