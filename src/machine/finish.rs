//! The run's status: what follows from its steps.

use super::draft::Draft;
use super::state::Mode;
use crate::model::event::{Event, RollbackScope};
use crate::model::status::{RunStatus, StepStatus};

impl Draft<'_> {
    /// Decides the run's status, where it is no longer what it was.
    pub fn finish(&mut self) {
        match self.state.mode.clone() {
            Mode::Forward => self.finish_forward_mode(),
            Mode::Cancelling => self.finish_cancelling(),
            Mode::Ending(status) => self.finish_ending(status),
            Mode::RollingBack(_) => {
                let idle = self.flight.tasks.is_empty() && self.flight.revert_queue.is_empty() && self.state.counts.working == self.gated();
                let waits = self.state.counts.unknown > 0 || self.gated() > 0;
                self.say(if idle && waits { RunStatus::Waiting } else { RunStatus::RollingBack });
            }
            Mode::Paused => self.drop_readings(),
            Mode::Finished => {}
        }
    }

    /// Steps whose rollback waits for a person: they count as working.
    fn gated(&self) -> usize {
        self.state
            .active
            .iter()
            .filter(|id| {
                let node = self.state.node(**id);
                node.status == StepStatus::RollingBack && matches!(node.stage, super::node::Stage::Gate { .. })
            })
            .count()
    }

    fn finish_forward_mode(&mut self) {
        let queued = !self.flight.queue.is_empty();
        if self.state.counts.working > 0 || queued {
            return self.say(RunStatus::Running);
        }
        if self.state.scopes[0].open == 0 {
            let failed = self.state.counts.failed > 0 || self.any_group_failed();
            let status = if failed { RunStatus::SucceededWithFailures } else { RunStatus::Succeeded };
            return self.finish_forward(status, None);
        }
        if self.state.counts.waiting + self.state.counts.unknown > 0 {
            return self.say(RunStatus::Waiting);
        }
        if let Some(id) = self.state.holding.first().copied() {
            let node = self.state.node(id);
            let why =
                node.detail.as_ref().and_then(|detail| detail.failure.as_ref()).map_or_else(String::new, |failure| failure.message.clone());
            let reason = Some(format!("step {} failed: {why}", node.path));
            self.emit(Event::RunStatusChanged { status: RunStatus::Paused, reason });
        }
    }

    fn any_group_failed(&self) -> bool {
        // Groups are few beside leaves, and a failed group has a failed leaf, unless its expansion itself failed.
        self.state.nodes.iter().any(|node| node.status == StepStatus::Failed)
    }

    fn say(&mut self, status: RunStatus) {
        if self.state.status != status {
            let reason = self.state.reason.clone().filter(|_| matches!(self.state.mode, Mode::RollingBack(_) | Mode::Ending(_)));
            self.emit(Event::RunStatusChanged { status, reason });
        }
    }

    fn finish_cancelling(&mut self) {
        self.drop_waiting_tasks();
        self.end_what_has_not_run(&RollbackScope::Run);
        self.conclude_groups();
        self.finish_ending(RunStatus::Cancelled);
    }

    /// Everything but `always` steps is over.
    fn finish_ending(&mut self, status: RunStatus) {
        self.consider_all();
        self.fill_slots();
        let always_open = (0..u32::try_from(self.state.nodes.len()).unwrap_or(u32::MAX)).any(|id| {
            let node = self.state.node(id);
            !node.status.is_ended() && node.status != StepStatus::Unknown && self.state.is_always(id)
        });
        if always_open {
            let working = self.state.counts.working > 0 || !self.flight.queue.is_empty();
            return self.say(if working { RunStatus::Running } else { RunStatus::Waiting });
        }
        if !self.flight.tasks.is_empty() {
            return;
        }
        let reason = self.state.reason.clone();
        self.emit(Event::RunStatusChanged { status, reason });
    }
}
