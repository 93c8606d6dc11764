//! What follows from what operators tell a run.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::node::Stage;
use super::state::{Mode, NodeId};
use super::unwind::covers;
use crate::model::event::{Event, GateKind, ResetTo, RollbackScope, SkipReason, Success};
use crate::model::id::StepPath;
use crate::model::instruction::{Command, Instruction};
use crate::model::intent::{Intent, Revert};
use crate::model::monitor::SAMPLES;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Effect, Uses};

impl Draft<'_> {
    /// Takes an instruction, or refuses it with the reason.
    pub fn instruct(&mut self, instruction: Instruction) {
        if self.state.instructed.contains(&instruction.id) {
            return;
        }
        let Instruction { id, by, command, reason } = instruction;
        if let Err(why) = self.allowed(&command, &by) {
            return self.emit(Event::InstructionRefused { id, by, command, why });
        }
        self.emit(Event::Instructed { id, by: by.clone(), command: command.clone(), reason: reason.clone() });
        // Whatever it changes, the way back is worked out anew.
        self.flight.unwind = None;
        match command {
            Command::Approve { step } => self.with(&step, |draft, id| draft.approve(id, by)),
            Command::Reject { step } => self.with(&step, |draft, id| {
                if let Stage::Gate { kind, .. } = draft.state.node(id).stage {
                    let why = reason.map_or_else(|| format!("refused by {by}"), |reason| format!("refused by {by}: {reason}"));
                    draft.gate_shut(id, kind, why);
                }
            }),
            Command::Retry { step } => self.with(&step, |draft, id| draft.retry(id, &by)),
            Command::Skip { step } => self.with(&step, |draft, id| draft.skip(id, by, reason)),
            Command::MarkDone { step, outputs } => self.with(&step, |draft, id| draft.mark_done(id, by, outputs)),
            Command::Pause => {
                self.emit(Event::RunStatusChanged { status: RunStatus::Paused, reason: Some(format!("paused by {by}")) });
            }
            Command::Resume => self.resume(),
            Command::Cancel { rollback: false } => self.emit(Event::CancelBegan),
            Command::Cancel { rollback: true } => self.roll_back(Vec::new(), format!("cancelled by {by}")),
            Command::Rollback { only } => self.roll_back(only, format!("{by} asked for a rollback")),
        }
    }

    fn with(&mut self, step: &StepPath, then: impl FnOnce(&mut Self, NodeId)) {
        if let Some(id) = self.state.by_path.get(step).copied() {
            then(self, id);
        }
    }

    fn approve(&mut self, id: NodeId, by: String) {
        let Stage::Gate { kind, count, .. } = self.state.node(id).stage else { return };
        let so_far = self.state.node(id).detail.as_ref().map_or(0, |detail| detail.approved_by.len());
        let open = so_far + 1 >= count as usize;
        let step = self.path(id);
        self.emit(Event::GateApproved { step: step.clone(), by, open });
        if !open || kind == GateKind::Rollback {
            return;
        }
        self.emit(Event::WaitOver { step });
        if matches!(self.state.step(id).uses, Uses::Approve(_)) && self.state.node(id).status == StepStatus::Running {
            self.succeed(id, Value::Null, None);
        }
    }

    fn retry(&mut self, id: NodeId, by: &str) {
        match self.state.node(id).status {
            StepStatus::RollbackFailed | StepStatus::Kept => {
                self.emit(Event::StepReset { step: self.path(id), to: ResetTo::Revert });
                self.take_rollback_up(format!("tried again by {by}"));
            }
            _ => {
                self.reset(id, true);
                self.go_on();
            }
        }
    }

    /// A failed, unknown or rolled back step begins anew; what it held up may begin after it. `again`: an unknown one is done again, not asked about.
    fn reset(&mut self, id: NodeId, again: bool) {
        let mut at = Some(id);
        while let Some(parent) = at.and_then(|at| self.state.node(at).parent) {
            if self.state.node(parent).status.is_ended() {
                self.emit(Event::StepReset { step: self.path(parent), to: ResetTo::Pending });
                self.reset_those_skipped_for(parent);
            }
            at = Some(parent);
        }
        let node = self.state.node(id);
        let (status, step) = (node.status, node.path.clone());
        let done = node.detail.as_ref().is_some_and(|detail| detail.done && detail.frozen);
        let to = match status {
            StepStatus::RolledBack => ResetTo::NextOccurrence,
            StepStatus::Failed if done && self.state.step(id).effect != Effect::Read => ResetTo::Verify,
            StepStatus::Unknown if !again => ResetTo::Verify,
            // What could not be taken back may be there still.
            StepStatus::Kept if node.detail.as_ref().is_some_and(|detail| detail.frozen) => ResetTo::Verify,
            _ => ResetTo::Pending,
        };
        self.emit(Event::StepReset { step, to });
        if to == ResetTo::Verify {
            self.verify(id);
        }
        if self.state.is_group(id) {
            for child in self.state.children(id) {
                let node = self.state.node(child);
                let cut_short = node.status == StepStatus::Skipped
                    && matches!(node.skip, Some(SkipReason::RunEnded | SkipReason::NotFired | SkipReason::Need { .. }));
                if cut_short || matches!(node.status, StepStatus::Failed | StepStatus::RolledBack | StepStatus::Kept) {
                    self.reset(child, again);
                }
            }
        }
        self.reset_those_skipped_for(id);
    }

    fn reset_those_skipped_for(&mut self, id: NodeId) {
        let mut queue = vec![self.state.graph_node(id)];
        while let Some(at) = queue.pop() {
            for dependent in self.state.dependents(at) {
                if matches!(self.state.node(dependent).skip, Some(SkipReason::Need { .. }))
                    && self.state.node(dependent).status == StepStatus::Skipped
                {
                    self.emit(Event::StepReset { step: self.path(dependent), to: ResetTo::Pending });
                    queue.push(dependent);
                }
            }
        }
    }

    fn skip(&mut self, id: NodeId, by: String, reason: Option<String>) {
        let step = self.path(id);
        let status = self.state.node(id).status;
        if matches!(status, StepStatus::RollbackFailed | StepStatus::Kept | StepStatus::RollingBack) {
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            self.emit(Event::StepKept { step, reason: format!("left as it is by {by}{why}"), blocks: false });
            if status != StepStatus::RollingBack {
                self.take_rollback_up(format!("{} was left as it is by {by}", self.path(id)));
            }
            return;
        }
        if status == StepStatus::Unknown && self.state.rollback_open {
            // Nobody knows whether there is anything to take back, and this is the answer: it stays.
            let why = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            return self.emit(Event::StepKept { step, reason: format!("left as it is by {by}{why}"), blocks: false });
        }
        self.stop_waiting(id);
        self.emit(Event::StepSkipped { step, reason: SkipReason::Operator { by, reason } });
        self.samples_ended(id);
    }

    fn samples_ended(&mut self, id: NodeId) {
        let samples = self.state.node(id).item.as_ref().is_some_and(|item| item.0 == SAMPLES);
        if samples && self.state.is_instance(id) && matches!(self.state.step(id).uses, Uses::Monitor(_)) {
            self.shut_firings(id);
        }
    }

    /// What it waited for comes too late: a slot, a lock, the end of its samples. None of it has reached the target.
    fn stop_waiting(&mut self, id: NodeId) {
        self.flight.queue.remove(&id);
        self.drop_task(id);
    }

    fn mark_done(&mut self, id: NodeId, by: String, outputs: Value) {
        let step = self.path(id);
        if matches!(self.state.node(id).status, StepStatus::RollbackFailed | StepStatus::Kept) {
            self.emit(Event::StepRolledBack { step, note: Some(format!("put back by hand, says {by}")) });
            return self.take_rollback_up(format!("{} was put back by hand, says {by}", self.path(id)));
        }
        self.stop_waiting(id);
        self.emit(Event::StepSucceeded { step, outputs, how: Some(Success::MarkedDone { by }) });
        self.samples_ended(id);
    }

    /// A rollback that had ended goes on.
    fn take_rollback_up(&mut self, reason: String) {
        if matches!(self.state.mode, Mode::RollingBack(_)) {
            return;
        }
        let scope = self.state.last_scope.clone().unwrap_or(RollbackScope::Run);
        self.emit(Event::RollbackBegan { scope, reason });
    }

    fn roll_back(&mut self, only: Vec<StepPath>, reason: String) {
        for id in 0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX) {
            let node = self.state.node(id);
            let failed = node.status == StepStatus::RollbackFailed || (node.status == StepStatus::Kept && node.kept_blocks());
            // Nobody knows whether a rollback action that may run once has happened: only `retry` of just that step sends it again.
            let uncertain = node.detail.as_ref().is_some_and(|detail| {
                let once = |intent: &Arc<Intent>| matches!(intent.revert, Revert::Action { effect: Effect::Once, .. });
                detail.revert_intent.is_some() && detail.intent.as_ref().is_some_and(once)
            });
            if failed && !uncertain && (only.is_empty() || covers(&only, &node.path)) {
                self.emit(Event::StepReset { step: self.path(id), to: ResetTo::Revert });
            }
        }
        let scope = if only.is_empty() { RollbackScope::Run } else { RollbackScope::Only { steps: only } };
        // An unknown outcome is resolved before anything is taken back.
        self.ask_about_unknown();
        self.emit(Event::RollbackBegan { scope, reason });
    }

    fn ask_about_unknown(&mut self) {
        if self.state.counts.unknown == 0 {
            return;
        }
        for id in 0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX) {
            if self.state.node(id).status == StepStatus::Unknown {
                self.emit(Event::StepReset { step: self.path(id), to: ResetTo::Verify });
                self.verify(id);
            }
        }
    }

    fn resume(&mut self) {
        self.ask_about_unknown();
        let rolling_back = self.state.rollback_open;
        if !rolling_back && matches!(self.state.mode, Mode::Paused) {
            for id in self.state.holding.clone() {
                self.reset(id, false);
            }
            if let Some(RollbackScope::Only { steps }) = self.state.last_scope.clone() {
                for id in 0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX) {
                    let node = self.state.node(id);
                    if node.status == StepStatus::RolledBack && !self.state.is_group(id) && covers(&steps, &node.path) {
                        match node.skip.clone() {
                            // Whoever skipped it does not want it done.
                            Some(reason) => self.emit(Event::StepSkipped { step: self.path(id), reason }),
                            None => self.reset(id, false),
                        }
                    }
                }
            }
        }
        self.go_on();
    }

    /// The run goes on from a pause or an end.
    fn go_on(&mut self) {
        match self.state.mode {
            Mode::Paused if self.state.rollback_open => {
                self.emit(Event::RunStatusChanged { status: RunStatus::RollingBack, reason: self.state.reason.clone() });
            }
            Mode::Paused | Mode::Finished => self.emit(Event::RunStatusChanged { status: RunStatus::Running, reason: None }),
            Mode::Forward | Mode::RollingBack(_) | Mode::Cancelling | Mode::Ending(_) => {}
        }
        self.take_all_up();
    }
}
