//! What is counted of steps' statuses, so that no decision has to look at every step.

use super::node::{Kind, Stage};
use super::state::{Mode, NodeId, State};
use crate::model::event::RollbackScope;
use crate::model::id::StepPath;
use crate::model::status::StepStatus;
use crate::model::step::OnFailure;

impl State {
    /// The one place where a status changes, with everything that is counted by it.
    pub(super) fn set_status(&mut self, id: NodeId, new: StepStatus) {
        let new = match self.step_is_group_reset(id, new) {
            Some(status) => status,
            None => new,
        };
        let old = self.node(id).status;
        if old == new {
            return;
        }
        let leaf = !self.is_group(id);
        let old_ended = self.counts_as_ended(id);
        // Of groups only the waiting ones are counted: one that stands at a gate has no leaf that says so.
        let counts = |status: StepStatus| counted(status) && (leaf || status == StepStatus::Waiting);
        *self.counter(old) -= usize::from(counts(old));
        *self.counter(new) += usize::from(counts(new));
        self.node_mut(id).status = new;
        if new == StepStatus::Failed && self.rule(id).0 != OnFailure::Continue && self.holds_up(id) {
            self.holding.insert(id);
        } else {
            self.holding.remove(&id);
        }
        if leaf {
            if new == StepStatus::Pending || new.is_ended() || new == StepStatus::Unknown {
                self.active.remove(&id);
            } else {
                self.active.insert(id);
            }
        } else if new == StepStatus::Waiting {
            self.active.insert(id);
        } else {
            self.active.remove(&id);
        }
        let busy = |status: StepStatus| status != StepStatus::Pending && !status.is_ended();
        if busy(old) != busy(new)
            && let Some(parent) = self.node(id).parent
            && let Kind::Each { busy: count, .. } = &mut self.node_mut(parent).kind
        {
            *count = if busy(new) { *count + 1 } else { count.saturating_sub(1) };
        }
        self.ended_changed(id, old_ended, self.counts_as_ended(id));
        if new == StepStatus::Pending && self.node(id).open_needs == 0 {
            self.considerable.insert(id);
        } else if new != StepStatus::Pending {
            self.considerable.remove(&id);
        }
    }

    /// Whether a failure's rule is still to be carried out: not once the run is ending, nor where the step itself is being taken back.
    fn holds_up(&self, id: NodeId) -> bool {
        match &self.mode {
            Mode::Forward | Mode::Paused => true,
            Mode::RollingBack(RollbackScope::Run) | Mode::Cancelling | Mode::Ending(_) | Mode::Finished => false,
            Mode::RollingBack(scope @ RollbackScope::Call { .. }) => !self.is_within(id, scope),
            Mode::RollingBack(RollbackScope::Only { .. }) => true,
        }
    }

    /// A group that is reset and has children runs on: it is not pending.
    fn step_is_group_reset(&self, id: NodeId, new: StepStatus) -> Option<StepStatus> {
        (new == StepStatus::Pending && self.is_group(id) && matches!(self.node(id).stage, Stage::Group)).then_some(StepStatus::Running)
    }

    /// Whether what comes after may look at it: a failure that holds the run up has not ended in this sense.
    fn counts_as_ended(&self, id: NodeId) -> bool {
        self.node(id).status.is_ended() && !self.holding.contains(&id)
    }

    fn ended_changed(&mut self, id: NodeId, was: bool, is: bool) {
        if was == is {
            return;
        }
        for dependent in self.dependents(id) {
            let node = self.node_mut(dependent);
            if is {
                node.open_needs -= 1;
                if node.open_needs == 0 && node.status == StepStatus::Pending {
                    self.considerable.insert(dependent);
                }
            } else {
                node.open_needs += 1;
                self.considerable.remove(&dependent);
            }
        }
        let Some(parent) = self.node(id).parent else {
            let scope = &mut self.scopes[0];
            scope.open = if is { scope.open - 1 } else { scope.open + 1 };
            return;
        };
        let step = |open: &mut u32| {
            *open = if is { *open - 1 } else { *open + 1 };
            *open
        };
        let open = match self.node(parent).kind {
            Kind::Each { .. } => match &mut self.node_mut(parent).kind {
                Kind::Each { open, .. } => step(open),
                Kind::Leaf | Kind::Call { .. } => unreachable!("just matched"),
            },
            Kind::Call { scope: Some(scope) } => step(&mut self.scopes[scope as usize].open),
            Kind::Leaf | Kind::Call { scope: None } => unreachable!("only groups have children"),
        };
        if open == 0 {
            self.concludable.insert(parent);
        } else {
            self.concludable.remove(&parent);
        }
    }

    /// Failures no longer hold the run up: it is ending.
    pub(super) fn release_holds(&mut self, within: Option<&StepPath>) {
        let prefix = within.map(|path| format!("{path}/"));
        for id in self.holding.clone() {
            if prefix.as_ref().is_none_or(|prefix| self.node(id).path.as_str().starts_with(prefix.as_str())) {
                self.holding.remove(&id);
                self.ended_changed(id, false, self.node(id).status.is_ended());
            }
        }
    }

    fn counter(&mut self, status: StepStatus) -> &mut usize {
        match status {
            StepStatus::Waiting => &mut self.counts.waiting,
            StepStatus::Unknown => &mut self.counts.unknown,
            StepStatus::RollbackFailed => &mut self.counts.rollback_failed,
            StepStatus::Failed => &mut self.counts.failed,
            StepStatus::Running | StepStatus::Verifying | StepStatus::RollingBack => &mut self.counts.working,
            // Not counted: `counted` says so, and the caller adds nothing.
            StepStatus::Pending | StepStatus::Succeeded | StepStatus::Skipped | StepStatus::RolledBack | StepStatus::Kept => {
                &mut self.counts.working
            }
        }
    }
}

fn counted(status: StepStatus) -> bool {
    match status {
        StepStatus::Waiting
        | StepStatus::Unknown
        | StepStatus::RollbackFailed
        | StepStatus::Failed
        | StepStatus::Running
        | StepStatus::Verifying
        | StepStatus::RollingBack => true,
        StepStatus::Pending | StepStatus::Succeeded | StepStatus::Skipped | StepStatus::RolledBack | StepStatus::Kept => false,
    }
}
