//! The one way in which a run's state changes: an event is folded into it. Evaluates nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;

use super::graph::Graphs;
use super::node::Stage;
use super::state::{Counts, Mode, NodeId, State};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::event::{Event, RollbackScope};
use crate::model::id::RunId;
use crate::model::instruction::Command;
use crate::model::run::RunSpec;
use crate::model::status::{RunStatus, StepStatus};

impl State {
    /// The state after the first event, [`Event::RunCreated`].
    pub fn created(run: RunId, at: Timestamp, spec: &RunSpec, definition: Arc<Definition>, catalogue: Arc<Catalogue>) -> Self {
        let mut state = Self {
            run,
            spec: Arc::new(spec.clone()),
            graphs: Arc::new(Graphs::of(&definition)),
            catalogue,
            status: RunStatus::Running,
            reason: None,
            last_at: at,
            folded: 1,
            mode: Mode::Forward,
            nodes: Vec::new(),
            by_path: HashMap::new(),
            scopes: Vec::new(),
            considerable: BTreeSet::new(),
            active: BTreeSet::new(),
            holding: BTreeSet::new(),
            concludable: BTreeSet::new(),
            timers: BTreeSet::new(),
            counts: Counts::default(),
            instructed: BTreeSet::new(),
            last_scope: None,
            rollback_open: false,
            definition,
        };
        let root = state.definition.root.clone();
        state.open_scope(&root, None, spec.params.clone().into(), spec.vars.clone().into());
        state
    }

    /// Folds one event.
    pub fn fold(&mut self, at: Timestamp, event: &Event) {
        match event {
            // Only ever the first event, which made this state.
            Event::RunCreated(_) => {}
            Event::RunOwned { .. } => {
                // The time since the last event, when nobody ran it, counts for nothing.
                let last = self.last_at;
                for id in self.active.clone() {
                    let detail = self.node_mut(id).detail();
                    if let Some(since) = detail.running_since {
                        detail.spent_ms += (last.as_millisecond() - since.as_millisecond()).max(0);
                        detail.running_since = Some(at);
                    }
                }
            }
            Event::RunStatusChanged { status, reason } => self.fold_run_status(*status, reason.clone()),
            Event::RunOutputs { .. } | Event::DriftSeen { .. } => {}
            Event::RollbackBegan { scope, reason } => {
                self.mode = Mode::RollingBack(scope.clone());
                // The status follows with an event of its own, as everything that others read does.
                self.last_scope = Some(scope.clone());
                self.reason = Some(reason.clone());
                self.rollback_open = true;
                match scope {
                    RollbackScope::Run => self.release_holds(None),
                    RollbackScope::Call { step } => self.release_holds(Some(step)),
                    RollbackScope::Only { .. } => {}
                }
            }
            Event::RollbackEnded { complete: false } => {
                self.rollback_open = false;
                self.mode = Mode::Ending(RunStatus::Stuck);
                self.release_holds(None);
            }
            Event::RollbackEnded { complete: true } => {
                self.rollback_open = false;
                self.mode = match &self.last_scope {
                    Some(RollbackScope::Call { .. }) => Mode::Forward,
                    Some(RollbackScope::Only { .. }) => Mode::Paused,
                    Some(RollbackScope::Run) | None => Mode::Ending(RunStatus::RolledBack),
                };
            }
            Event::CancelBegan => {
                self.mode = Mode::Cancelling;
                self.release_holds(None);
            }
            Event::Instructed { id, by, command, .. } => {
                self.instructed.insert(*id);
                if matches!(command, Command::Cancel { .. }) {
                    self.reason = Some(format!("cancelled by {by}"));
                }
            }
            Event::InstructionRefused { id, .. } => {
                self.instructed.insert(*id);
            }
            _ => {
                if let Some(id) = event.step().and_then(|path| self.by_path.get(path).copied()) {
                    self.fold_step(at, id, event);
                }
            }
        }
        self.last_at = at;
        self.folded += 1;
    }

    fn fold_run_status(&mut self, status: RunStatus, reason: Option<String>) {
        self.status = status;
        self.reason = reason;
        match status {
            RunStatus::Paused => self.mode = Mode::Paused,
            RunStatus::Running | RunStatus::Waiting => {
                if matches!(self.mode, Mode::Paused | Mode::Finished) {
                    self.mode = Mode::Forward;
                }
            }
            RunStatus::RollingBack => {
                if let (Mode::Paused, Some(scope)) = (&self.mode, &self.last_scope) {
                    self.mode = Mode::RollingBack(scope.clone());
                }
            }
            RunStatus::Succeeded
            | RunStatus::SucceededWithFailures
            | RunStatus::Failed
            | RunStatus::RolledBack
            | RunStatus::Stuck
            | RunStatus::Cancelled => self.mode = Mode::Finished,
        }
    }

    /// Sets the stage and the timer that goes with it.
    pub(super) fn stage(&mut self, id: NodeId, stage: Stage) {
        let timer = |stage: &Stage| match stage {
            Stage::Time(at) | Stage::Retry(at) | Stage::RevertRetry(at) => Some(*at),
            Stage::Gate { until, .. } => *until,
            _ => None,
        };
        if let Some(at) = timer(&self.node(id).stage) {
            self.timers.remove(&(at, id));
        }
        if let Some(at) = timer(&stage) {
            self.timers.insert((at, id));
        }
        self.node_mut(id).stage = stage;
    }

    /// Nothing is done about it any more.
    pub(super) fn end(&mut self, id: NodeId) {
        self.stage(id, Stage::Idle);
        if let Some(detail) = self.node_mut(id).detail.as_mut() {
            detail.running_since = None;
        }
    }

    /// The time until it goes on counts for nothing.
    pub(super) fn pause_clock(&mut self, id: NodeId, at: Timestamp) {
        let detail = self.node_mut(id).detail();
        if let Some(since) = detail.running_since.take() {
            detail.spent_ms += (at.as_millisecond() - since.as_millisecond()).max(0);
        }
    }

    /// Works the lists of what is to be looked at out anew from the steps: after a takeover, or when a pause is over.
    pub(super) fn rework(&mut self) {
        for id in 0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX) {
            if self.node(id).status == StepStatus::Pending && self.node(id).open_needs == 0 {
                self.considerable.insert(id);
            }
            match self.node(id).stage {
                Stage::Time(at) | Stage::Retry(at) | Stage::RevertRetry(at) => {
                    self.timers.insert((at, id));
                }
                Stage::Gate { until: Some(at), .. } => {
                    self.timers.insert((at, id));
                }
                _ => {}
            }
        }
    }
}
