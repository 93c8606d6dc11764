//! What operators may tell a run, when, and what follows.

use std::sync::Arc;

use serde_json::Value;

use super::draft::Draft;
use super::node::{Kind, Stage};
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

    /// Whether the run may be told this now; if not, why, and what to do instead.
    fn allowed(&self, command: &Command, by: &str) -> Result<(), String> {
        let status = self.state.status;
        let find = |step: &StepPath| self.find(step);
        match command {
            Command::Approve { step } => match &self.state.node(find(step)?).stage {
                Stage::Gate { by: may, .. } => {
                    let name = by.split('@').next().unwrap_or(by);
                    let detail = self.state.node(find(step)?).detail.as_ref();
                    if !may.is_empty() && !may.iter().any(|who| who == by || who == name) {
                        return Err(format!("{by} may not approve {step}: only {} may", may.join(", ")));
                    }
                    if detail.is_some_and(|detail| detail.approved_by.iter().any(|who| who == by)) {
                        return Err(format!("{by} has approved {step} already, and it takes different people"));
                    }
                    Ok(())
                }
                _ => Err(self.no_gate(step)),
            },
            Command::Reject { step } => match self.state.node(find(step)?).stage {
                Stage::Gate { .. } => Ok(()),
                _ => Err(self.no_gate(step)),
            },
            Command::Retry { step } => {
                let id = find(step)?;
                let node = self.state.node(id);
                match (node.status, &self.state.mode) {
                    (_, Mode::Cancelling) => Err("the run is being cancelled".to_owned()),
                    (StepStatus::RollbackFailed, _) => Ok(()),
                    (StepStatus::Kept, _) if node.detail.as_ref().is_some_and(|detail| detail.kept_blocks) => Ok(()),
                    (StepStatus::Unknown, Mode::Finished) if matches!(status, RunStatus::Cancelled | RunStatus::RolledBack) => {
                        Err(format!("the run is {status} and does nothing any more: look at the target, then `mark-done` or `skip`"))
                    }
                    (StepStatus::Unknown, _) => Ok(()),
                    (StepStatus::Failed | StepStatus::RolledBack, _) if self.state.rollback_open => {
                        Err(format!("the run is being rolled back: {step} cannot be done again in it"))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, Mode::RollingBack(_) | Mode::Ending(_)) => {
                        Err(format!("the run is {status}: {step} cannot be done again in it"))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, _)
                        if matches!(status, RunStatus::Cancelled | RunStatus::RolledBack | RunStatus::Stuck) =>
                    {
                        Err(format!("the run is {status}: start a new one with `runsheet run {}`", self.state.spec.playbook))
                    }
                    (StepStatus::Failed | StepStatus::RolledBack, _) => Ok(()),
                    (other, _) => Err(format!("{step} is {other}: only what failed, or whose outcome is unknown, can be tried again")),
                }
            }
            Command::Skip { step } => {
                let id = find(step)?;
                let node = self.state.node(id);
                match node.status {
                    StepStatus::Pending | StepStatus::Waiting if status.is_finished() => Err(format!("the run is {status}")),
                    StepStatus::Pending | StepStatus::Waiting | StepStatus::Failed | StepStatus::Unknown | StepStatus::RollbackFailed => {
                        Ok(())
                    }
                    StepStatus::Kept if node.detail.as_ref().is_some_and(|detail| detail.kept_blocks) => Ok(()),
                    StepStatus::RollingBack if matches!(node.stage, Stage::Gate { .. }) => Ok(()),
                    StepStatus::Running if matches!(node.stage, Stage::Retry(_)) => Ok(()),
                    StepStatus::Running if matches!(self.state.step(id).uses, Uses::Monitor(_)) && !self.state.is_instance(id) => {
                        Err(format!(
                            "{step} samples: `runsheet skip {step}[{SAMPLES}]` ends that, and leaves what its alerts started to itself"
                        ))
                    }
                    other => Err(format!("{step} is {other}: only what has not run, failed, or is unknown can be skipped")),
                }
            }
            Command::MarkDone { step, outputs } => {
                let id = find(step)?;
                if !matches!(outputs, Value::Null | Value::Object(_)) {
                    return Err("outputs are given as NAME=VALUE".to_owned());
                }
                let node = self.state.node(id);
                match node.status {
                    StepStatus::Pending | StepStatus::Waiting if status.is_finished() => Err(format!("the run is {status}")),
                    StepStatus::Pending | StepStatus::Waiting | StepStatus::Failed | StepStatus::Unknown | StepStatus::RollbackFailed => {
                        Ok(())
                    }
                    StepStatus::Kept if node.detail.as_ref().is_some_and(|detail| detail.kept_blocks) => Ok(()),
                    other => Err(format!("{step} is {other}: only what has not run, failed, or is unknown can be marked as done")),
                }
            }
            Command::Pause => match self.state.mode {
                Mode::Forward => Ok(()),
                Mode::RollingBack(_) => Ok(()),
                Mode::Paused => Err("the run is paused already".to_owned()),
                Mode::Cancelling | Mode::Ending(_) => Err("the run is ending".to_owned()),
                Mode::Finished => Err(format!("the run is {status}")),
            },
            Command::Resume => match self.state.mode {
                Mode::Finished if status == RunStatus::Stuck => {
                    Err("the run is stuck: `runsheet status` shows what is left, and what to type".to_owned())
                }
                Mode::Finished => Err(format!("the run is {status}: there is nothing left to do")),
                Mode::Forward | Mode::Paused | Mode::RollingBack(_) | Mode::Cancelling | Mode::Ending(_) => Ok(()),
            },
            Command::Cancel { .. } => match self.state.mode {
                Mode::Finished if status == RunStatus::Stuck => Ok(()),
                Mode::Finished if matches!(status, RunStatus::RolledBack | RunStatus::Cancelled) => {
                    Err(format!("the run is {status} already: there is nothing left to end"))
                }
                Mode::Finished => Err(format!("the run is {status} already: `runsheet rollback` takes back what it did")),
                Mode::Cancelling => Err(format!("the run is being cancelled already{}", self.still_to_come())),
                Mode::RollingBack(_) => Err("the run is being rolled back: wait for its end, or pause it".to_owned()),
                Mode::Ending(_) => Err(format!("the run is ending{}", self.still_to_come())),
                Mode::Paused if self.state.rollback_open && *command == (Command::Cancel { rollback: false }) => {
                    Err("a rollback of the run is paused halfway: `runsheet resume` ends it".to_owned())
                }
                Mode::Forward | Mode::Paused => Ok(()),
            },
            Command::Rollback { only } => self.rollback_allowed(only),
        }
    }

    fn find(&self, step: &StepPath) -> Result<NodeId, String> {
        self.state.by_path.get(step).copied().ok_or_else(|| {
            let near = self
                .state
                .nodes
                .iter()
                .map(|node| (strsim::damerau_levenshtein(node.path.as_str(), step.as_str()), &node.path))
                .min()
                .filter(|(distance, _)| *distance <= 3);
            match near {
                Some((_, near)) => format!("the run has no step {step}; did you mean {near}?"),
                None => format!("the run has no step {step}: `runsheet status` lists them"),
            }
        })
    }

    /// What a run that is ending still waits for, and how not to wait for it.
    fn still_to_come(&self) -> String {
        let open = |id: &NodeId| {
            let node = self.state.node(*id);
            node.parent.is_none() && !node.status.is_ended() && self.state.is_always(*id)
        };
        match (0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX)).find(open) {
            Some(id) => {
                let step = &self.state.node(id).path;
                format!(", and {step} is still to come: wait for it, or end the run without it (`runsheet skip {step}`)")
            }
            None => ": wait for its end".to_owned(),
        }
    }

    fn no_gate(&self, step: &StepPath) -> String {
        match self.state.step_status(step) {
            Some(status) => format!("{step} waits for no approval: it is {status}"),
            None => format!("the run has no step {step}"),
        }
    }

    fn rollback_allowed(&self, only: &[StepPath]) -> Result<(), String> {
        let status = self.state.status;
        match self.state.mode {
            Mode::RollingBack(_) => return Err("the run is being rolled back already".to_owned()),
            Mode::Cancelling | Mode::Ending(_) => return Err(format!("the run is ending{}", self.still_to_come())),
            Mode::Forward | Mode::Paused | Mode::Finished => {}
        }
        let left = self.state.nodes.iter().any(|node| node.may_have_run() && node.status != StepStatus::Kept)
            || self.state.counts.unknown > 0
            || !status.is_finished();
        if status == RunStatus::RolledBack || (!left && only.is_empty()) {
            return Err(format!("the run is {status}, and nothing that it did is left to be taken back"));
        }
        if only.is_empty() {
            return Ok(());
        }
        for step in only {
            let id = self.find(step)?;
            let ran = |id: NodeId| self.state.node(id).may_have_run() || self.state.node(id).status == StepStatus::Succeeded;
            let within = || self.state.nodes.iter().zip(0_u32..).any(|(node, id)| covers(only, &node.path) && ran(id));
            let found = ran(id) || (self.state.is_group(id) && within());
            if !found {
                return Err(format!("{step} is {}: there is nothing of it to take back", self.state.node(id).status));
            }
        }
        if !self.flight.tasks.is_empty() {
            return Err("the run is at work: pause it first (`runsheet cancel`, or Ctrl-C in its terminal)".to_owned());
        }
        let relying = self.relying_on(only);
        if !relying.is_empty() {
            let names: Vec<&str> = relying.iter().map(StepPath::as_str).collect();
            return Err(format!(
                "{} ran after, and need what would be taken back: name them too (--only {})",
                names.join(", "),
                names.join(" --only ")
            ));
        }
        Ok(())
    }

    /// The steps that ran, are not among these, and need one of these.
    fn relying_on(&self, only: &[StepPath]) -> Vec<StepPath> {
        let mut seen = vec![false; self.state.nodes.len()];
        let mut queue: Vec<NodeId> = only.iter().filter_map(|step| self.state.by_path.get(step).copied()).collect();
        let mut relying = Vec::new();
        while let Some(id) = queue.pop() {
            let mut next = self.state.dependents(self.state.graph_node(id));
            // What needs the call needs what is in it.
            next.extend(self.state.node(id).parent);
            for id in next {
                if std::mem::replace(&mut seen[id as usize], true) {
                    continue;
                }
                queue.push(id);
                queue.extend(self.state.children(id).filter(|_| !covers_parent(only, &self.state.node(id).path)));
                let node = self.state.node(id);
                if matches!(node.kind, Kind::Leaf) && node.may_have_run() && node.status != StepStatus::Kept && !covers(only, &node.path) {
                    relying.push(node.path.clone());
                }
            }
        }
        relying.sort();
        relying
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
            let failed = node.status == StepStatus::RollbackFailed
                || (node.status == StepStatus::Kept && node.detail.as_ref().is_some_and(|detail| detail.kept_blocks));
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
                        self.reset(id, false);
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

fn covers_parent(only: &[StepPath], path: &StepPath) -> bool {
    only.iter().any(|step| step.as_str().starts_with(path.as_str()))
}
