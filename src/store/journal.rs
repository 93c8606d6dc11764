//! The store, and how it is the engine's [`Journal`].
//!
//! Must not hold SQL of its own: what is written is in `append`, what is read in `verify`, `ledger`, `run_summary` and `run_search`.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::OptionalExtension;

use super::append::Events;
use super::connection::{self, Access, Options};
use super::reader::Readers;
use super::run_search::{self, FindError};
use super::run_summary::{self, Filter, Runs};
use super::writer::{Answer, Operation, Writer};
use super::{ledger, rebuild, verify};
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::event::{Event, Record};
use crate::model::id::{ContentHash, RunId};
use crate::model::instruction::Instruction;
use crate::model::ledger::LedgerEntry;
use crate::ports::history::History;
use crate::ports::journal::{Append, Journal, JournalError};

/// The journal in one SQLite database. Dropping it finishes what waits in its queue.
pub struct Store {
    readers: Arc<Readers>,
    options: Options,
    writer: Option<Writer>,
}

/// The name under which a definition is stored, and which its runs' `RunSpec::definition` must hold.
pub fn definition_hash(definition: &Definition) -> ContentHash {
    encode(definition).0
}

fn encode(definition: &Definition) -> (ContentHash, String) {
    // Every key of a definition is a string, so that nothing here can fail.
    let text = serde_json::to_string(definition).unwrap_or_else(|error| unreachable!("definitions serialise: {error}"));
    (ContentHash::of(text.as_bytes()), text)
}

impl Store {
    /// Opens the database with [`Options::from_env`].
    ///
    /// # Errors
    /// As [`Store::open_with`]; also when a variable of the environment is no number.
    pub fn open(file: &Path, access: Access) -> Result<Self, JournalError> {
        let options = Options::from_env().map_err(|why| JournalError::Unusable { file: file.to_owned(), why })?;
        Self::open_with(file, access, options)
    }

    /// Opens the database. To write, makes it (mode 0600, its folder 0700) or brings it up to this program's schema.
    ///
    /// # Errors
    /// [`JournalError`]: it cannot be made or opened, is locked, damaged, newer, on a network file system, or not a database of ours.
    pub fn open_with(file: &Path, access: Access, options: Options) -> Result<Self, JournalError> {
        connection::prepare(file, access)?;
        let writer = match access {
            Access::ReadWrite => Some(Writer::start(connection::open_writer(file, &options)?, file.to_owned())?),
            Access::ReadOnly => None,
        };
        let store = Self { readers: Arc::new(Readers::new(file.to_owned(), access, options.clone())), options, writer };
        if access == Access::ReadOnly {
            store.readers.ask(|_| Ok(()))?;
        }
        Ok(store)
    }

    /// The database.
    pub fn file(&self) -> &Path {
        &self.readers.file
    }

    /// How many transactions this store has committed.
    pub fn commits(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::commits)
    }

    /// The runs that the filter lets through, the latest first, at most `limit`. A run whose row cannot be read is listed apart.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn runs(&self, limit: u32, filter: &Filter) -> Result<Runs, JournalError> {
        self.readers.ask(|connection| run_summary::list(connection, limit, filter))
    }

    /// The runs that have not finished, the latest first.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn open_runs(&self) -> Result<Runs, JournalError> {
        self.runs(u32::MAX, &Filter { open: true, ..Filter::default() })
    }

    /// The run that was started last.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn latest_run(&self) -> Result<Option<RunId>, JournalError> {
        self.readers.ask(run_search::latest)
    }

    /// The run that this text means: its id, or at least four hex digits at the id's beginning or end (the short form is its last eight).
    ///
    /// # Errors
    /// [`FindError`]
    pub fn find_run(&self, text: &str) -> Result<RunId, FindError> {
        let digits = run_search::digits(text)?;
        let found = self.readers.ask(|connection| run_search::matching(connection, &digits))?;
        match found.as_slice() {
            [] => Err(FindError::None { text: text.to_owned(), file: self.file().to_owned() }),
            [run] => Ok(*run),
            _ => Err(FindError::Several { text: text.to_owned(), runs: found }),
        }
    }

    /// What the run changed, or may have changed, and has not put back.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn owed(&self, run: RunId) -> Result<Vec<LedgerEntry>, JournalError> {
        self.readers.ask(|connection| Ok(ledger::owed(connection, run)?))
    }

    /// At most `limit` of the run's events after this seq: for following a run, or reading a long one piece by piece.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn read_page(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Record>, JournalError> {
        read(&self.readers, run, after, Some(limit))
    }

    /// Reads the whole of a run's journal, checks every link of its chain, and returns how many events it has.
    ///
    /// # Errors
    /// [`JournalError::Damaged`] says which event of which run does not fit.
    pub fn verify(&self, run: RunId) -> Result<u64, JournalError> {
        self.readers.ask(|connection| verify::walk(connection, self.file(), run, (0, None), |_, _| Ok(())))
    }

    /// Derives all projections anew from the events. What belongs to a damaged run is left as it is, and the run named.
    ///
    /// # Errors
    /// [`JournalError`]
    pub fn rebuild(&self) -> Result<rebuild::Rebuilt, JournalError> {
        self.writer()?;
        let mut connection = connection::open_writer(self.file(), &self.options)?;
        rebuild::rebuild(&mut connection, self.file()).map_err(|failure| failure.into_journal(self.file(), self.options.busy_timeout))
    }

    fn writer(&self) -> Result<&Writer, JournalError> {
        let why = || "it was opened only to be read".to_owned();
        self.writer.as_ref().ok_or_else(|| JournalError::Unusable { file: self.file().to_owned(), why: why() })
    }

    /// Reads: on a thread that may wait for the disk, where there is a runtime whose threads may not; else here and now.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Readers) -> Result<T, JournalError> + Send + 'static,
    ) -> Result<T, JournalError> {
        let readers = Arc::clone(&self.readers);
        if tokio::runtime::Handle::try_current().is_err() {
            return question(&readers);
        }
        tokio::task::spawn_blocking(move || question(&readers)).await.unwrap_or(Err(JournalError::Stopped))
    }
}

fn read(readers: &Readers, run: RunId, after: u64, limit: Option<u32>) -> Result<Vec<Record>, JournalError> {
    let mut records = Vec::new();
    readers.ask(|connection| {
        verify::walk(connection, &readers.file, run, (after, limit), |_, record| {
            records.push(record);
            Ok(())
        })
    })?;
    Ok(records)
}

fn definition(readers: &Readers, hash: &ContentHash) -> Result<Definition, JournalError> {
    let damaged = |what: String| JournalError::Damaged { file: readers.file.clone(), what };
    let text: Option<String> = readers.ask(|connection| {
        let mut statement = connection.prepare_cached("SELECT body FROM definitions WHERE hash = ?1")?;
        Ok(statement.query_row([&hash.0], |row| row.get(0)).optional()?)
    })?;
    let text = text.ok_or_else(|| damaged(format!("the definition {hash} is missing")))?;
    if ContentHash::of(text.as_bytes()) != *hash {
        return Err(damaged(format!("the definition {hash} is not as it was written")));
    }
    let mut definition: Definition =
        serde_json::from_str(&text).map_err(|error| damaged(format!("the definition {hash} cannot be read: {error}")))?;
    // It stays in memory for as long as its run does, and reading has left room for as many steps again.
    definition.playbooks.values_mut().for_each(|playbook| playbook.steps.shrink_to_fit());
    Ok(definition)
}

#[async_trait]
impl Journal for Store {
    async fn create(&self, run: RunId, definition: &Definition, at: Timestamp, events: Vec<Event>) -> Result<(), JournalError> {
        let (hash, text) = encode(definition);
        let events = Events::new(events, at);
        if events.spec().is_some_and(|spec| spec.definition != hash) {
            let why = format!("run {run} names another definition than the one it is to be stored with ({hash})");
            return Err(JournalError::Unusable { file: self.file().to_owned(), why });
        }
        self.writer()?.ask(Operation::Create { run, hash, definition: text, events }).await.map(drop)
    }

    async fn own(&self, run: RunId) -> Result<u64, JournalError> {
        match self.writer()?.ask(Operation::Own { run }).await? {
            Answer::Epoch(epoch) => Ok(epoch),
            Answer::Done | Answer::Records(_) => Err(JournalError::Stopped),
        }
    }

    async fn append(&self, append: Append) -> Result<Vec<Record>, JournalError> {
        let Append { run, after, epoch, at, events, taken } = append;
        let events = Events::new(events, at);
        match self.writer()?.ask(Operation::Append { run, after, epoch, events, taken }).await? {
            Answer::Records(records) => Ok(records),
            Answer::Done | Answer::Epoch(_) => Err(JournalError::Stopped),
        }
    }

    async fn read(&self, run: RunId, after: u64) -> Result<Vec<Record>, JournalError> {
        self.ask(move |readers| read(readers, run, after, None)).await
    }

    async fn definition(&self, hash: &ContentHash) -> Result<Definition, JournalError> {
        let hash = hash.clone();
        self.ask(move |readers| definition(readers, &hash)).await
    }

    async fn instruct(&self, run: RunId, instruction: Instruction) -> Result<(), JournalError> {
        let body = serde_json::to_string(&instruction).unwrap_or_else(|error| unreachable!("instructions serialise: {error}"));
        self.writer()?.ask(Operation::Instruct { run, instruction, body }).await.map(drop)
    }

    async fn inbox(&self, run: RunId) -> Result<Vec<Instruction>, JournalError> {
        self.ask(move |readers| readers.inbox(run)).await
    }

    async fn ledger(&self, object: &ObjectRef, field: &str) -> Result<Vec<LedgerEntry>, JournalError> {
        let (object, field) = (object.clone(), field.to_owned());
        self.ask(move |readers| readers.ask(|connection| Ok(ledger::of_field(connection, &object, &field)?))).await
    }
}

#[async_trait]
impl History for Store {
    async fn runs_of(&self, playbooks: &[String], since: Timestamp) -> Result<Vec<RunId>, JournalError> {
        let playbooks = playbooks.to_vec();
        self.ask(move |readers| readers.ask(|connection| Ok(run_summary::active_since(connection, &playbooks, since)?))).await
    }
}
