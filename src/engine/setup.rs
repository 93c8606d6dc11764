//! What a run is given by whoever starts it, and how it may be stopped.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use tokio::runtime::Handle;

use super::leases::Tell;
use crate::environment::SecretValues;
use crate::model::instruction::Instruction;
use crate::model::run::TargetSpec;
use crate::ports::action::Actions;
use crate::ports::clock::Clock;
use crate::ports::journal::Journal;
use crate::ports::lock::Locks;
use crate::ports::observer::Observer;

/// Everything a run needs from outside.
pub struct Setup {
    /// The journal.
    pub journal: Arc<dyn Journal>,
    /// The actions.
    pub actions: Actions,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
    /// Locks on what is touched.
    pub locks: Arc<dyn Locks>,
    /// The run's secrets.
    pub secrets: SecretValues,
    /// The run's target.
    pub target: Option<TargetSpec>,
    /// The run's folder for files.
    pub files: PathBuf,
    /// Who runs it: `name@host`.
    pub by: String,
    /// This machine's name.
    pub host: String,
    /// What this process appends with, from [`Journal::own`].
    pub epoch: u64,
    /// Wait for locks that others hold, at the start, instead of refusing.
    pub wait_for_locks: bool,
    /// Who is told, in one line, for which lock it waits then.
    pub tell: Tell,
    /// How long it stays.
    pub stay: Stay,
    /// Instructions that come with the start: `resume`, `rollback`.
    pub instructions: Vec<Instruction>,
    /// Where signals come from.
    pub stop: Receiver<Stop>,
    /// The runtime that tasks run on.
    pub runtime: Handle,
}

/// How long the loop stays with a run that only waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stay {
    /// As long as there is anything to wait for.
    Always,
    /// Not for people, nor for times more than an hour away.
    WhileItGoesOn,
}

/// A signal from outside. They only escalate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Start nothing new, let what runs finish, leave the run paused.
    Gently,
    /// End now; what was on its way is unknown.
    Now,
}
