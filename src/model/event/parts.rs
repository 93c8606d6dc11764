//! What events are made of: what waits for what, what was skipped why, what a rollback covers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::id::StepPath;
use crate::model::status::StepStatus;

/// What a rollback covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// The whole run.
    Run,
    /// The steps of one called playbook; afterwards the calling step fails.
    Call {
        /// The calling step.
        step: StepPath,
    },
    /// These steps.
    Only {
        /// Which.
        steps: Vec<StepPath>,
    },
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// A time.
    Time {
        /// Which.
        until: Timestamp,
    },
    /// A monitor's samples, which are taken meanwhile.
    Samples {
        /// Until when, where a time ends them.
        until: Option<Timestamp>,
    },
    /// People.
    Approval {
        /// How many.
        count: u32,
        /// Who may; empty: anybody.
        by: Vec<String>,
        /// What they are asked.
        message: Option<String>,
        /// Until when.
        until: Option<Timestamp>,
        /// What the gate stands before.
        gate: GateKind,
    },
    /// Somebody else's lock.
    Lock {
        /// On what.
        object: crate::model::change::ObjectRef,
        /// Who holds it, as they wrote it there.
        holder: String,
    },
}

/// What a gate stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The step (`approve:` of a step, or the construct).
    Step,
    /// The step, whose time is over (`if_late: ask`).
    Late,
    /// The step's rollback action.
    Rollback,
}

/// Before or after the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// `check.before`
    Before,
    /// `check.after`, or the condition of a `wait`.
    After,
}

/// How a step succeeded, where that was not the plain way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    /// An attempt of unknown outcome turned out to have worked.
    Recovered,
    /// There was nothing to change.
    Unchanged,
    /// An operator saw that it is done.
    MarkedDone {
        /// Who.
        by: String,
    },
    /// A called playbook, or a `for_each`, some of whose steps failed and may.
    WithFailures,
}

/// Why a step is skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `when` is false.
    When,
    /// A need did not end as accepted.
    Need {
        /// Which.
        step: StepPath,
        /// How it ended.
        status: StepStatus,
    },
    /// An operator said so.
    Operator {
        /// Who.
        by: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Its time was over.
    Late,
    /// Its gate stayed shut, and says to skip.
    Gate {
        /// Who refused, or that nobody answered in time.
        why: String,
    },
    /// The run ended before its turn.
    RunEnded,
    /// Its alert did not fire before the monitor ended.
    NotFired,
}

impl SkipReason {
    /// Whether a dependent that accepts `skipped` accepts this.
    pub fn is_on_purpose(&self) -> bool {
        match self {
            Self::When | Self::Operator { .. } | Self::Late | Self::Gate { .. } | Self::NotFired => true,
            Self::Need { .. } | Self::RunEnded => false,
        }
    }
}

/// Where a step goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// From the beginning; attempts are counted anew.
    Pending,
    /// From the beginning, as a new doing of the step (it had been rolled back).
    NextOccurrence,
    /// The target is asked first whether the action is there: it had been applied, or may have been.
    Verify,
    /// The rollback is tried again.
    Revert,
}
