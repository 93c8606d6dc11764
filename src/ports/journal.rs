//! The journal of runs: what was committed happened, what was not did not.

use std::path::PathBuf;

use async_trait::async_trait;
use jiff::Timestamp;

use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::event::{Event, Record};
use crate::model::id::{ContentHash, RunId};
use crate::model::instruction::Instruction;
use crate::model::ledger::LedgerEntry;

/// One append: all of it is committed, or nothing.
#[derive(Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The seq of the last event that the appender knows; 0 before the first.
    pub after: u64,
    /// The appender's epoch, as [`Journal::own`] gave it.
    pub epoch: u64,
    /// When, by the appender's clock.
    pub at: Timestamp,
    /// What happened.
    pub events: Vec<Event>,
    /// Instructions that these events take out of the inbox, in the same transaction.
    pub taken: Vec<uuid::Uuid>,
}

/// Where events go. After an error of [`append`](Journal::append) the caller stops: a commit is never tried again.
#[async_trait]
pub trait Journal: Send + Sync {
    /// Stores a definition by its hash and the run's first events (the first is `RunCreated`), with epoch 0.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn create(&self, run: RunId, definition: &Definition, at: Timestamp, events: Vec<Event>) -> Result<(), JournalError>;

    /// Makes the caller the run's owner: raises the epoch and returns it. The caller already holds the run's file lock.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn own(&self, run: RunId) -> Result<u64, JournalError>;

    /// Appends, and returns the records as committed.
    ///
    /// # Errors
    /// [`JournalError::Fenced`] when another process became the owner, or events were appended that the caller does not know.
    async fn append(&self, append: Append) -> Result<Vec<Record>, JournalError>;

    /// The run's events after this seq, in order.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn read(&self, run: RunId, after: u64) -> Result<Vec<Record>, JournalError>;

    /// A stored definition.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn definition(&self, hash: &ContentHash) -> Result<Definition, JournalError>;

    /// Puts an instruction into the run's inbox. Any process may.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn instruct(&self, run: RunId, instruction: Instruction) -> Result<(), JournalError>;

    /// What lies in the run's inbox, oldest first. Cheap where nothing has changed.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn inbox(&self, run: RunId) -> Result<Vec<Instruction>, JournalError>;

    /// Every change of this field of this object, of all runs, in the order of their intents.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn ledger(&self, object: &ObjectRef, field: &str) -> Result<Vec<LedgerEntry>, JournalError>;
}

/// Why the journal could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum JournalError {
    /// Another process owns the run now.
    #[error("this process no longer owns run {run}: {why}")]
    Fenced {
        /// The run.
        run: RunId,
        /// What was found.
        why: String,
    },
    /// There is no such run.
    #[error("there is no run {run} in {}", file.display())]
    NoSuchRun {
        /// The run.
        run: RunId,
        /// The database.
        file: PathBuf,
    },
    /// Another process keeps the database locked.
    #[error("the database {} is locked by another process, and was for {waited_ms} ms", file.display())]
    Locked {
        /// The database.
        file: PathBuf,
        /// How long it was waited.
        waited_ms: u64,
    },
    /// There is no room.
    #[error("the disk (or the database's page limit) is full: nothing more can be written to {}", file.display())]
    Full {
        /// The database.
        file: PathBuf,
    },
    /// The database, or a run's journal, is not what was written.
    #[error("{} is damaged: {what}", file.display())]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What does not fit.
        what: String,
    },
    /// The database was written by a newer runsheet.
    #[error("{} was written by a newer runsheet (schema {found}; this one knows up to {known})", file.display())]
    Newer {
        /// The database.
        file: PathBuf,
        /// Its schema's version.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
    /// The database cannot be opened or used at all.
    #[error("{} cannot be used: {why}", file.display())]
    Unusable {
        /// The database.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// The writer thread is gone (after an earlier error).
    #[error("the store stopped after an earlier error")]
    Stopped,
}

impl JournalError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Fenced { .. } => "nothing was lost: `runsheet status` shows who runs it now",
            Self::NoSuchRun { .. } => "`runsheet runs` lists the runs; `--state` names another database",
            Self::Locked { .. } => "close what holds it (a `sqlite3` shell with an open transaction, a backup), then `runsheet resume`",
            Self::Full { .. } => "make room, then `runsheet resume`: what was committed is kept, and what was not is asked of the target",
            Self::Damaged { .. } => {
                "keep a copy of the file; `runsheet runs verify` names the runs that are sound; restore the rest from a backup"
            }
            Self::Newer { .. } => "use the runsheet that wrote it, or name another database with `--state`",
            Self::Unusable { .. } => "check the path and its permissions, or name another database with `--state`",
            Self::Stopped => "see the first error; then `runsheet resume`",
        }
    }
}
