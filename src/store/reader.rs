//! The connections that read: a few, opened when they are needed, apart from the writer's.
//!
//! Invariant: a reader never waits for the writer nor the writer for a reader (WAL), and one question is answered from one snapshot.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rusqlite::Connection;

use super::connection::{Access, Options, open_reader};
use super::error::Failure;
use super::ledger::json;
use super::schema;
use crate::model::id::RunId;
use crate::model::instruction::Instruction;
use crate::ports::journal::JournalError;

/// How many connections read at once.
const MOST: usize = 4;

/// How many instructions are taken out of an inbox at a time; the others follow.
const INBOX: u32 = 256;

/// The readers of one database.
pub(super) struct Readers {
    pub(super) file: PathBuf,
    access: Access,
    options: Options,
    pool: Mutex<Pool>,
    returned: Condvar,
    inbox: Mutex<Option<Watch>>,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    open: usize,
}

/// The connection that looks into inboxes, and what it found when the database last changed.
struct Watch {
    connection: Connection,
    version: i64,
    empty: HashSet<RunId>,
}

impl Readers {
    /// None is open yet.
    pub(super) fn new(file: PathBuf, access: Access, options: Options) -> Self {
        Self { file, access, options, pool: Mutex::default(), returned: Condvar::new(), inbox: Mutex::new(None) }
    }

    /// Answers a question from one snapshot.
    pub(super) fn ask<T>(&self, question: impl FnOnce(&Connection) -> Result<T, Failure>) -> Result<T, JournalError> {
        let began = Instant::now();
        let connection = Lent { readers: self, connection: Some(self.lend()?) };
        let answer = connection.connection.as_ref().ok_or(JournalError::Stopped).map_err(Failure::from).and_then(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let answer = question(&snapshot)?;
            snapshot.commit()?;
            Ok(answer)
        });
        answer.map_err(|failure| failure.into_journal(&self.file, began.elapsed()))
    }

    fn open(&self) -> Result<Connection, JournalError> {
        let connection = open_reader(&self.file, self.access, &self.options)?;
        schema::require_current(&connection, &self.file)?;
        Ok(connection)
    }

    fn lend(&self) -> Result<Connection, JournalError> {
        let mut pool = lock(&self.pool);
        loop {
            if let Some(connection) = pool.idle.pop() {
                return Ok(connection);
            }
            if pool.open < MOST {
                pool.open += 1;
                drop(pool);
                return self.open().inspect_err(|_| self.give_back(None));
            }
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn give_back(&self, connection: Option<Connection>) {
        let mut pool = lock(&self.pool);
        match connection {
            Some(connection) => pool.idle.push(connection),
            None => pool.open -= 1,
        }
        self.returned.notify_one();
    }

    /// The run's inbox, oldest first. Asks the database only where something was committed since it was last empty.
    pub(super) fn inbox(&self, run: RunId) -> Result<Vec<Instruction>, JournalError> {
        let began = Instant::now();
        let mut watch = lock(&self.inbox);
        let watch = match &mut *watch {
            Some(watch) => watch,
            none => none.insert(Watch { connection: self.open()?, version: 0, empty: HashSet::new() }),
        };
        watch.look(run).map_err(|failure| failure.into_journal(&self.file, began.elapsed()))
    }
}

impl Watch {
    fn look(&mut self, run: RunId) -> Result<Vec<Instruction>, Failure> {
        let version = self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.version != version {
            self.empty.clear();
            self.version = version;
        }
        if self.empty.contains(&run) {
            return Ok(Vec::new());
        }
        let found: Vec<Instruction> = self
            .connection
            .prepare_cached("SELECT body FROM inbox WHERE run_id = ?1 ORDER BY n LIMIT ?2")?
            .query_map((run.0.as_bytes().as_slice(), INBOX), |row| json(row, 0))?
            .collect::<Result<_, _>>()?;
        if found.is_empty() {
            self.empty.insert(run);
        }
        Ok(found)
    }
}

/// A connection that goes back into the pool, whatever happens.
struct Lent<'a> {
    readers: &'a Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.give_back(self.connection.take());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panicking thread leaves behind is a pool of sound connections all the same.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
