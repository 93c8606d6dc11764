//! The one place where anything is decided: an input comes in, events and tasks come out.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::draft::Draft;
use super::flight::Flight;
use super::state::{NodeId, Standing, State};
use super::task::{Planning, Task};
use crate::model::change::{Change, ObjectRef, Standing as Compared};
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::instruction::Instruction;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};

/// A run's state, with what runs of it in this process.
pub struct Machine {
    /// The fold of its events.
    pub state: State,
    /// What is on its way.
    pub flight: Flight,
    /// Works out intents; pure.
    pub planner: Arc<dyn Planning>,
}

/// What came of an input.
#[derive(Debug, Default)]
#[must_use = "events must be committed before their tasks are started"]
pub struct Decision {
    /// What happened. Already folded into the returned machine: if the commit fails, that machine is dropped with its process.
    pub events: Vec<Event>,
    /// What is to be done once the events are committed.
    pub tasks: Vec<Task>,
    /// Tokens of tasks that are no longer wanted: cut them off, their answers are dropped. Only tasks that read or wait.
    pub dropped: Vec<u64>,
}

/// What the machine is told.
#[derive(Debug)]
pub enum Input {
    /// This process became the run's owner.
    Owned {
        /// The process.
        pid: u32,
        /// Its machine.
        host: String,
        /// Who started it.
        by: String,
    },
    /// An operator's instruction.
    Instruction(Instruction),
    /// Time has passed.
    Tick,
    /// A task's answer.
    Answer {
        /// The step.
        node: NodeId,
        /// The task's token.
        token: u64,
        /// What came of it.
        answer: Answer,
    },
    /// A lock that a task needs is held by somebody else; the task goes on trying.
    LockHeld {
        /// The step.
        node: NodeId,
        /// The task's token.
        token: u64,
        /// On what.
        object: ObjectRef,
        /// Who holds it.
        holder: String,
    },
    /// The condition of a monitor's alert holds; the task goes on sampling.
    Alarm {
        /// The step that samples.
        node: NodeId,
        /// The task's token.
        token: u64,
        /// The alert.
        alert: String,
        /// What people are told.
        message: Option<String>,
        /// The latest values of the series.
        series: serde_json::Map<String, Value>,
    },
    /// A value that this run had set is another, after its locks were away.
    Drift {
        /// The step that had set it.
        step: crate::model::id::StepPath,
        /// How it had set it.
        change: Change,
        /// What is there now.
        found: Value,
        /// The other run that has set it, where the ledger knows one.
        by: Option<RunId>,
    },
}

/// What came of a task.
#[derive(Debug)]
pub enum Answer {
    /// Of `Observe`.
    Observed(Result<Value, Failure>),
    /// Of `Check`: whether it held.
    Checked(Result<(), Failure>),
    /// Of `Watch`: what was seen in all.
    Watched(Result<Value, Failure>),
    /// Of `Apply` and `RevertApply`.
    Applied(Applied),
    /// Of `Verify` and `RevertVerify`. `InProgress` here means: still, after the whole time there was.
    Verified(Result<Verdict, Failure>),
    /// Of `ReadLive`: how each change stands, in order.
    Live(Result<Vec<Compared>, Failure>),
    /// Of `Swap`.
    Swapped(Applied),
    /// Of `Follow`.
    Followed(Result<Followed, Failure>),
}

/// Decides. Pure: the same machine, time and input give the same decision.
pub fn decide(machine: Machine, now: Timestamp, input: Input) -> (Machine, Decision) {
    let Machine { state, flight, planner } = machine;
    let mut draft = Draft { state, flight, planner: &planner, now, events: Vec::new(), tasks: Vec::new(), dropped: Vec::new() };
    match input {
        Input::Owned { pid, host, by } => draft.owned(pid, host, by),
        Input::Instruction(instruction) => draft.instruct(instruction),
        Input::Tick => {}
        Input::Answer { node, token, answer } => {
            if draft.flight.holds(node, token) {
                draft.flight.landed(node);
                draft.answered(node, answer);
            }
        }
        Input::LockHeld { node, token, object, holder } => {
            if draft.flight.holds(node, token) {
                draft.lock_held(node, object, holder);
            }
        }
        Input::Alarm { node, token, alert, message, series } => {
            if draft.flight.holds(node, token) {
                draft.alarmed(node, &alert, message, series);
            }
        }
        Input::Drift { step, change, found, by } => {
            // What was looked at may have been taken over by another step of this run, or put back, meanwhile.
            let stands = |standing: Standing| standing.step == step && standing.intent.changes.contains(&change);
            if draft.state.standing_changes().into_iter().any(stands) {
                let by = by.map_or_else(String::new, |run| format!(" (changed by run {})", run.short()));
                let what = format!("{} of {}{by}", change.label, change.object.in_words());
                draft.emit(Event::DriftSeen { step, what, expected: change.after, found });
            }
        }
    }
    draft.due();
    draft.advance();
    let Draft { state, flight, events, tasks, dropped, .. } = draft;
    (Machine { state, flight, planner }, Decision { events, tasks, dropped })
}

impl Draft<'_> {
    fn answered(&mut self, id: NodeId, answer: Answer) {
        match answer {
            Answer::Observed(result) => self.observed(id, result),
            Answer::Checked(result) => self.checked(id, result),
            Answer::Watched(result) => {
                match result {
                    Ok(outputs) => self.emit(Event::StepSucceeded { step: self.path(id), outputs, how: None }),
                    Err(failure) => self.fail(id, failure, false),
                }
                self.shut_firings(id);
            }
            Answer::Applied(outcome) if self.is_reverting(id) => self.revert_ended(id, outcome),
            Answer::Applied(outcome) => self.applied(id, outcome),
            Answer::Verified(result) if self.is_reverting(id) => self.revert_verified(id, result),
            Answer::Verified(result) => self.verified(id, result),
            Answer::Live(result) => self.live_read(id, result),
            Answer::Swapped(outcome) => self.revert_ended(id, outcome),
            Answer::Followed(result) => self.followed(id, result),
        }
        if !self.flight.tasks.contains_key(&id) {
            self.flight.free(id);
        }
    }

    fn is_reverting(&self, id: NodeId) -> bool {
        self.state.node(id).status == crate::model::status::StepStatus::RollingBack
    }

    /// Everything that can go on, goes on; then the run's status is what follows from it.
    fn advance(&mut self) {
        loop {
            let before = (self.events.len(), self.tasks.len());
            self.conclude_groups();
            self.consider_all();
            self.fill_slots();
            self.unwind();
            self.finish();
            if before == (self.events.len(), self.tasks.len()) {
                break;
            }
        }
    }
}
