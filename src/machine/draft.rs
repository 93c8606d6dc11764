//! A decision in the making: each event is folded as it is decided, so that what follows from it is decided from the state after it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::flight::Flight;
use super::state::{NodeId, State};
use super::task::{Planning, Task, What};
use crate::model::event::Event;
use crate::model::id::StepPath;
use crate::model::step::Effect;

pub(super) struct Draft<'a> {
    pub state: State,
    pub flight: Flight,
    pub planner: &'a Arc<dyn Planning>,
    pub now: Timestamp,
    pub events: Vec<Event>,
    pub tasks: Vec<Task>,
    pub dropped: Vec<u64>,
}

impl Draft<'_> {
    /// Decides that this happened.
    pub fn emit(&mut self, event: Event) {
        self.state.fold(self.now, &event);
        self.events.push(event);
    }

    pub fn path(&self, id: NodeId) -> StepPath {
        self.state.node(id).path.clone()
    }

    /// Asks for a task. The step holds it until its answer comes.
    pub fn issue(&mut self, id: NodeId, what: What, effect: Effect, timeout: Option<Duration>) {
        let token = self.flight.token();
        let applies = matches!(what, What::Apply { .. } | What::RevertApply { .. });
        self.flight.tasks.insert(id, (token, applies));
        if matches!(what, What::Watch(_)) {
            self.flight.watching.insert(id);
        }
        let node = self.state.node(id);
        let back = matches!(what, What::RevertApply { .. } | What::RevertVerify { .. });
        let attempt = node.detail.as_ref().map_or(0, |detail| if back { detail.revert_attempt } else { detail.attempt });
        self.tasks.push(Task { step: node.path.clone(), node: id, token, what, effect, occurrence: node.occurrence(), attempt, timeout });
    }

    /// Lets go of a step's task, which only reads or waits.
    pub fn drop_task(&mut self, id: NodeId) {
        self.dropped.extend(self.flight.tasks.remove(&id).map(|(token, _)| token));
        self.flight.watching.remove(&id);
        self.flight.free(id);
    }

    /// How long the next attempt may take: the step's `attempt_timeout`, or what is left of its `timeout`, whichever is less.
    pub fn attempt_limit(&self, id: NodeId) -> Option<Duration> {
        let attempt = self.state.step(id).attempt_timeout.map(|span| span.0);
        let left = self.state.time_left(id, self.now);
        match (attempt, left) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }
}
