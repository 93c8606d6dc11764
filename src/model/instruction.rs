//! What operators tell a run.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::StepPath;

/// One instruction, as it lies in the inbox until the run's owner turns it into events.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Instruction {
    /// Unique: an instruction sent twice is done once.
    pub id: uuid::Uuid,
    /// Who said it: `name@host`.
    pub by: String,
    /// What is to happen.
    pub command: Command,
    /// Why, in the operator's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What is to happen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Open a gate.
    Approve {
        /// The step that waits.
        step: StepPath,
    },
    /// Refuse a gate.
    Reject {
        /// The step that waits.
        step: StepPath,
    },
    /// Give a failed step a fresh set of attempts; run an unknown step again; try a failed rollback again.
    Retry {
        /// The step.
        step: StepPath,
    },
    /// Do not do this step; what it may have done stays, until the run is taken back.
    Skip {
        /// The step.
        step: StepPath,
    },
    /// An operator saw that it is done (or, for a failed rollback, put back by hand).
    MarkDone {
        /// The step.
        step: StepPath,
        /// Outputs for later steps.
        outputs: Value,
    },
    /// Start nothing new; what runs finishes; the run stays paused.
    Pause,
    /// Go on: every failed step gets a fresh set of attempts.
    Resume,
    /// End the run.
    Cancel {
        /// Take back what ran.
        rollback: bool,
    },
    /// Take back what ran.
    Rollback {
        /// Only these steps; empty: all.
        only: Vec<StepPath>,
    },
}

impl Command {
    /// The command's name on the command line.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::Retry { .. } => "retry",
            Self::Skip { .. } => "skip",
            Self::MarkDone { .. } => "mark-done",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Cancel { .. } => "cancel",
            Self::Rollback { .. } => "rollback",
        }
    }
}
