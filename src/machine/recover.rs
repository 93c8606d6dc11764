//! Going on after the process that ran it is gone: every task is lost, and what it did is asked of the target, never assumed.

use super::draft::Draft;
use super::node::Stage;
use super::state::{Mode, NodeId};
use crate::model::event::{Event, Phase, ResetTo};
use crate::model::outcome::{Applied, Failure};
use crate::model::status::StepStatus;
use crate::model::step::{Effect, Uses};

/// The failure of an attempt during which the engine's process ended.
pub(super) const ENGINE_ENDED: &str = "runsheet ended in the middle of it";

/// The failure of an attempt that an operator's second interrupt cut off.
pub const CUT_OFF: &str = "it was cut off by an interrupt";

/// Whether it was runsheet that ended, not the target that failed: such an attempt counts against nothing.
pub(super) fn is_lost(failure: &Failure) -> bool {
    [ENGINE_ENDED, CUT_OFF].contains(&failure.message.as_str())
}

impl Draft<'_> {
    /// This process owns the run now: whatever was on its way is taken up again.
    pub fn owned(&mut self, pid: u32, host: String, by: String) {
        self.flight = super::flight::Flight::default();
        self.emit(Event::RunOwned { pid, host, by });
        self.take_all_up();
        self.apply_held_rules();
    }

    /// Goes on with everything that has begun and holds no task.
    pub fn take_all_up(&mut self) {
        self.state.rework();
        for id in self.state.active.clone() {
            self.take_up(id);
        }
        if !matches!(self.state.mode, Mode::Finished) {
            self.shut_all_firings();
        }
    }

    /// Failures whose rule was not carried out yet: the run's owner, or the rollback of something else, came first.
    pub fn apply_held_rules(&mut self) {
        for id in self.state.holding.clone() {
            let why = self.state.node(id).detail.as_ref().and_then(|detail| detail.failure.as_ref());
            let why = why.map_or_else(String::new, |failure| failure.message.clone());
            self.apply_rule(id, &why);
        }
    }

    /// Goes on with a leaf that has begun and holds no task.
    pub fn take_up(&mut self, id: NodeId) {
        if self.flight.tasks.contains_key(&id) {
            return;
        }
        if self.state.node(id).status == StepStatus::RollingBack {
            // `unwind` finds it, in its order.
            return;
        }
        let finished = matches!(self.state.mode, Mode::Finished);
        let goes_on = self.may_go_on(id);
        match self.state.node(id).stage.clone() {
            _ if finished => {}
            // Nobody ran it for a while: what was about to act may be too late now.
            Stage::Observe | Stage::Lock | Stage::Check(Phase::Before, _) if goes_on && self.is_too_late(id) => self.begin_anew(id),
            Stage::Retry(at) if at <= self.now && goes_on && self.is_too_late(id) => self.begin_anew(id),
            Stage::Idle if matches!(self.state.step(id).uses, Uses::Wait(_) | Uses::Approve(_)) => {
                self.succeed(id, serde_json::Value::Null, None);
            }
            Stage::Samples(_) if goes_on => self.watch(id),
            Stage::Observe if matches!(self.state.step(id).uses, Uses::Wait(_)) => self.next_check(id),
            Stage::Observe | Stage::Lock if goes_on => {
                if matches!(self.state.node(id).stage, Stage::Lock) {
                    self.emit(Event::WaitOver { step: self.path(id) });
                }
                self.flight.take(id);
                self.attempt(id);
            }
            Stage::Check(Phase::Before, _) if goes_on => {
                self.flight.take(id);
                self.next_check(id);
            }
            Stage::Check(Phase::After, _) | Stage::Applied => self.next_check(id),
            Stage::Apply if self.state.step(id).effect == Effect::Read => self.send(id),
            Stage::Apply => {
                let attempt = self.state.node(id).detail.as_ref().map_or(1, |detail| detail.attempt);
                // It may have reached the target.
                let outcome = Applied::Unknown { failure: Failure::transient(ENGINE_ENDED) };
                self.emit(Event::AttemptEnded { step: self.path(id), attempt, outcome });
                self.verify(id);
            }
            Stage::Verify => self.verify(id),
            Stage::Retry(at) if at <= self.now && goes_on => {
                self.flight.queue.insert(id);
            }
            // Nothing new starts, or a timer or a person says when.
            Stage::Idle
            | Stage::Observe
            | Stage::Lock
            | Stage::Check(..)
            | Stage::Time(_)
            | Stage::Samples(_)
            | Stage::Gate { .. }
            | Stage::Retry(_)
            | Stage::Group
            | Stage::RevertRead
            | Stage::RevertSwap(_)
            | Stage::RevertAct
            | Stage::RevertVerify
            | Stage::RevertRetry(_)
            | Stage::RevertFollow
            | Stage::RevertReady => {}
        }
    }

    fn begin_anew(&mut self, id: NodeId) {
        self.emit(Event::StepReset { step: self.path(id), to: ResetTo::Pending });
    }
}
