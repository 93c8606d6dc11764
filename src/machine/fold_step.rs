//! What an event of a step changes of it. Evaluates nothing.

use std::sync::Arc;

use jiff::Timestamp;

use super::node::{Detail, Kind, Stage};
use super::state::{NodeId, State};
use crate::model::event::{Event, GateKind, Phase, ResetTo, Success, Waiting};
use crate::model::outcome::{Applied, Verdict};
use crate::model::status::StepStatus;
use crate::model::step::Uses;

impl State {
    /// Folds an event of this step.
    pub(super) fn fold_step(&mut self, at: Timestamp, id: NodeId, event: &Event) {
        let folded = self.folded;
        // The stage first, the status last: what a change of status sets off looks at the stage.
        match event {
            Event::StepExpanded { items, .. } => {
                self.expand(id, items);
                self.stage(id, Stage::Group);
            }
            Event::PlaybookCalled { params, vars, .. } => {
                let called = match &self.step(id).uses {
                    Uses::Playbook { name, .. } => Some(name.clone()),
                    Uses::Monitor(monitor) => {
                        let alert = self.node(id).item.as_ref().and_then(|item| monitor.alert_of(&item.0));
                        alert.map(|alert| alert.playbook.clone())
                    }
                    Uses::Action { .. } | Uses::Wait(_) | Uses::Approve(_) => None,
                };
                if let Some(name) = called {
                    let scope = self.open_scope(&name, Some(id), params.clone().into(), vars.clone().into());
                    self.node_mut(id).kind = Kind::Call { scope: Some(scope) };
                }
                self.stage(id, Stage::Group);
            }
            Event::StepWaiting { wait, .. } => {
                self.pause_clock(id, at);
                let stage = match wait {
                    Waiting::Time { until } => Stage::Time(*until),
                    Waiting::Samples { until } => Stage::Samples(*until),
                    Waiting::Approval { count, by, until, gate, .. } => {
                        self.node_mut(id).detail().approved_by.clear();
                        Stage::Gate { kind: *gate, count: *count, by: by.clone(), until: *until }
                    }
                    Waiting::Lock { .. } => Stage::Lock,
                };
                self.stage(id, stage);
            }
            Event::MonitorFired { item, .. } => {
                let node = self.node_mut(id);
                let key = node.item.as_ref().map(|known| known.0.clone()).unwrap_or_default();
                node.item = Some(Arc::new((key, item.clone())));
                node.detail().fired = Some(at);
            }
            Event::GateApproved { by, open, .. } => {
                let rollback = matches!(self.node(id).stage, Stage::Gate { kind: GateKind::Rollback, .. });
                let late = matches!(self.node(id).stage, Stage::Gate { kind: GateKind::Late, .. });
                let detail = self.node_mut(id).detail();
                detail.approved_by.push(by.clone());
                if *open {
                    if rollback {
                        detail.revert_gate_cleared = true;
                    } else if late {
                        detail.late_cleared = true;
                    } else {
                        detail.gate_cleared = true;
                    }
                    self.stage(id, if rollback { Stage::RevertReady } else { Stage::Idle });
                }
            }
            Event::WaitOver { .. } => {
                let was_lock = matches!(self.node(id).stage, Stage::Lock);
                let detail = self.node_mut(id).detail();
                detail.time_cleared = true;
                let started = detail.started;
                if started {
                    detail.running_since = Some(at);
                }
                self.stage(id, if was_lock { Stage::Observe } else { Stage::Idle });
            }
            Event::StepStarted { occurrence, inputs, intent, .. } => {
                let has_before = !self.step(id).before.is_empty();
                let detail = self.node_mut(id).detail();
                detail.occurrence = *occurrence;
                detail.inputs = Arc::new(inputs.clone());
                detail.started = true;
                detail.running_since = Some(at);
                detail.spent_ms = 0;
                match intent {
                    Some(intent) => {
                        detail.attempt += 1;
                        detail.freeze(intent, folded);
                        self.stage(id, Stage::Apply);
                    }
                    None if has_before => self.stage(id, Stage::Check(Phase::Before, 0)),
                    None => self.stage(id, Stage::Observe),
                }
            }
            Event::AttemptStarted { attempt, intent, .. } => {
                let detail = self.node_mut(id).detail();
                detail.attempt = *attempt;
                detail.freeze(intent, folded);
                self.stage(id, Stage::Apply);
            }
            Event::AttemptEnded { attempt, outcome, .. } => self.fold_attempt(id, *attempt, outcome),
            Event::Verified { verdict, .. } => match verdict {
                Verdict::Present { outputs } => {
                    let detail = self.node_mut(id).detail();
                    detail.outputs = Arc::new(outputs.clone());
                    detail.recovered = true;
                    detail.done = true;
                    self.stage(id, Stage::Applied);
                }
                Verdict::Absent | Verdict::CannotTell { .. } | Verdict::InProgress { .. } => {
                    if matches!(verdict, Verdict::Absent) {
                        // It did not happen. What was recorded as prior stays: an earlier attempt may have reached the target.
                        let detail = self.node_mut(id).detail();
                        detail.recovered = false;
                        detail.done = false;
                    } else if matches!(verdict, Verdict::CannotTell { .. }) && self.node_mut(id).detail().done {
                        // The attempt itself was answered: only what came after it is in question.
                        self.stage(id, Stage::Applied);
                    }
                }
            },
            Event::RetryScheduled { until, failure, .. } => {
                self.node_mut(id).detail().failure = Some(failure.clone());
                self.stage(id, Stage::Retry(*until));
            }
            Event::CheckPassed { phase, index, .. } => self.stage(id, Stage::Check(*phase, index + 1)),
            Event::StepSucceeded { outputs, how, .. } => {
                if matches!(how, Some(Success::Unchanged)) {
                    self.node_mut(id).detail().frozen = false;
                }
                let detail = self.node_mut(id).detail();
                detail.outputs = Arc::new(outputs.clone());
                // Nothing asks for them again: what takes a step back is in its intent, and one that is done anew works them out anew.
                detail.inputs = Arc::default();
                self.end(id);
            }
            Event::StepFailed { failure, applied, .. } => {
                let detail = self.node_mut(id).detail();
                detail.failure = Some(failure.clone());
                detail.frozen &= *applied;
                self.end(id);
            }
            Event::StepSkipped { reason, .. } => {
                self.node_mut(id).skip = Some(reason.clone());
                self.end(id);
            }
            Event::StepUnknown { .. } => self.stage(id, Stage::Idle),
            Event::StepReset { to, .. } => self.reset(id, *to),
            Event::RevertStarted { .. } => {
                self.node_mut(id).detail().revert_attempt += 1;
                self.stage(id, Stage::RevertRead);
            }
            Event::RevertIntended { swaps, .. } => {
                self.stage(id, if swaps.is_empty() { Stage::RevertFollow } else { Stage::RevertSwap(swaps.clone()) });
            }
            Event::RevertActionStarted { attempt, intent, .. } => {
                let detail = self.node_mut(id).detail();
                detail.revert_attempt = *attempt;
                detail.revert_intent = Some(Arc::new((**intent).clone()));
                self.stage(id, Stage::RevertAct);
            }
            Event::RevertEnded { outcome, .. } => {
                let acting = matches!(self.node(id).stage, Stage::RevertAct);
                match outcome {
                    Applied::Applied { .. } => self.stage(id, Stage::RevertFollow),
                    Applied::Unknown { .. } if acting => self.stage(id, Stage::RevertVerify),
                    // The live values tell what came of it.
                    Applied::Unknown { .. } | Applied::NotApplied { .. } if !acting => self.stage(id, Stage::RevertRead),
                    Applied::Unknown { .. } | Applied::NotApplied { .. } | Applied::FailedWithEffect { .. } => {}
                }
            }
            Event::RevertVerified { verdict, .. } => {
                if matches!(verdict, Verdict::Present { .. }) {
                    self.stage(id, Stage::RevertFollow);
                }
            }
            Event::RevertRetryScheduled { until, attempt, .. } => {
                self.node_mut(id).detail().revert_attempt = attempt - 1;
                self.stage(id, Stage::RevertRetry(*until));
            }
            Event::RevertFollowed { .. } => {}
            Event::StepRolledBack { .. } => {
                let detail = self.node_mut(id).detail();
                detail.frozen = false;
                detail.revert_intent = None;
                self.end(id);
            }
            Event::StepKept { blocks, .. } => {
                self.node_mut(id).detail().kept_blocks = *blocks;
                self.end(id);
            }
            Event::StepRollbackFailed { failure, .. } => {
                let detail = self.node_mut(id).detail();
                detail.failure = Some(failure.clone());
                self.end(id);
            }
            // Run events and those without a bearing on the state.
            Event::RunCreated(_)
            | Event::RunOwned { .. }
            | Event::RunStatusChanged { .. }
            | Event::RunOutputs { .. }
            | Event::RollbackBegan { .. }
            | Event::RollbackEnded { .. }
            | Event::CancelBegan
            | Event::Instructed { .. }
            | Event::InstructionRefused { .. }
            | Event::DriftSeen { .. } => {}
        }
        if let Some(status) = event.step_status() {
            let status = match (status, self.node(id).detail.as_ref().is_some_and(|detail| detail.started)) {
                // A wait that is over within a step that has begun (a lock, the construct) goes on running.
                (StepStatus::Pending, true) if matches!(event, Event::WaitOver { .. }) => StepStatus::Running,
                _ => status,
            };
            self.set_status(id, status);
        }
    }

    fn fold_attempt(&mut self, id: NodeId, attempt: u32, outcome: &Applied) {
        let detail = self.node_mut(id).detail();
        detail.attempt = detail.attempt.max(attempt);
        match outcome {
            Applied::Applied { outputs } => {
                let detail = self.node_mut(id).detail();
                detail.outputs = Arc::new(outputs.clone());
                detail.done = true;
                self.stage(id, Stage::Applied);
            }
            Applied::NotApplied { failure } => {
                let detail = self.node_mut(id).detail();
                detail.failure = Some(failure.clone());
                // Certain of this attempt alone: where an earlier one may have reached the target, the prior value stays frozen.
                if detail.frozen_by == attempt {
                    detail.frozen = false;
                }
            }
            Applied::FailedWithEffect { failure, .. } => self.node_mut(id).detail().failure = Some(failure.clone()),
            Applied::Unknown { failure } => {
                let detail = self.node_mut(id).detail();
                if super::recover::is_lost(failure) {
                    detail.lost += 1;
                }
                detail.failure = Some(failure.clone());
                self.stage(id, Stage::Verify);
            }
        }
    }

    fn reset(&mut self, id: NodeId, to: ResetTo) {
        let group = self.is_group(id);
        let instantiated = !self.children(id).is_empty();
        let node = self.node_mut(id);
        node.skip = None;
        let stage = match to {
            ResetTo::Pending | ResetTo::NextOccurrence => {
                if let Some(detail) = node.detail.as_mut() {
                    let next = detail.occurrence.max(1) + u32::from(to == ResetTo::NextOccurrence);
                    // Attempts are counted on, so that their numbers tell them apart, but count no more against `retry.attempts`.
                    let counted = Detail { attempt: detail.attempt, lost: detail.attempt, ..Detail::default() };
                    // A frozen prior outlives the reset; whatever else was known of earlier attempts does not.
                    let fresh = if detail.frozen {
                        let (frozen_by, frozen_at) = (detail.frozen_by, detail.frozen_at);
                        Detail { frozen: true, frozen_by, frozen_at, intent: detail.intent.clone(), ..counted }
                    } else {
                        counted
                    };
                    **detail = Detail {
                        occurrence: next,
                        // What has fired has, and counts on; only what was taken back can fire anew.
                        fired: detail.fired.filter(|_| to == ResetTo::Pending),
                        time_cleared: detail.time_cleared,
                        gate_cleared: detail.gate_cleared,
                        late_cleared: detail.late_cleared,
                        ..fresh
                    };
                }
                if group && instantiated { Stage::Group } else { Stage::Idle }
            }
            ResetTo::Verify => {
                let detail = node.detail();
                detail.lost = detail.attempt;
                Stage::Verify
            }
            ResetTo::Revert => {
                // Tries are counted on, so that their numbers tell them apart, but count no more against the limit.
                let detail = node.detail();
                detail.revert_lost = detail.revert_attempt;
                Stage::RevertRead
            }
        };
        self.stage(id, stage);
        if group && instantiated {
            self.set_status(id, StepStatus::Running);
        }
    }
}
