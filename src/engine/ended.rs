//! How the loop of a run ended, or why it could not go on.

use crate::model::change::ObjectRef;
use crate::model::status::RunStatus;
use crate::ports::journal::JournalError;

/// How the loop ended.
#[derive(Debug)]
pub struct Ended {
    /// The run's status.
    pub status: RunStatus,
    /// Why, for people.
    pub reason: Option<String>,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// Whether a signal came after its end, while its locks were given back: whoever sent it does not want to wait for anything.
    pub hurried: bool,
    /// Whether an outcome is unknown and waits for an operator.
    pub unknown: bool,
    /// Instructions that were refused, with the reason.
    pub refused: Vec<(uuid::Uuid, String)>,
}

/// Why the loop could not go on. The run can be resumed.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A commit failed: nothing after it was done.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// What the run would change is locked by somebody else.
    #[error("{} is locked by {by}", object.in_words())]
    Locked {
        /// On what.
        object: ObjectRef,
        /// Who holds it.
        by: String,
    },
    /// A lock could not even be tried.
    #[error(transparent)]
    Lock(#[from] crate::ports::lock::LockError),
}
