//! The other side of each ratio: raw SQLite that writes the rows of a recorded run, in the same commits, into the same tables and indices.
//!
//! It does what nobody can do without: the store's pragmas, prepared statements, one transaction a commit. It does not decide, plan, encode,
//! hash, check fences or hand work to another thread; the ratio is the price of those. Invariant: what it wrote are the very rows that the
//! engine wrote ([`Raw::compare`]).

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use runsheet::model::definition::Definition;
use runsheet::model::id::RunId;
use runsheet::ports::journal::Journal;
use runsheet::store::{Access, Options, Store};
use rusqlite::{CachedStatement, Connection, params};
use tempfile::TempDir;

use super::measure::Failed;
use super::recording::{Commit, StepWrite};
use super::scene;

/// The pragmas of the store's connections (`src/store/connection.rs`).
const PRAGMAS: &str = "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -2048; PRAGMA temp_store = MEMORY; \
                       PRAGMA trusted_schema = OFF; PRAGMA wal_autocheckpoint = 1000; PRAGMA journal_size_limit = 67108864";

/// A database with the store's schema and one run that has nothing but its first event.
pub struct Raw {
    connection: Connection,
    run: RunId,
    at: usize,
    file: PathBuf,
    _folder: TempDir,
}

impl Raw {
    /// Makes it.
    pub fn new(run: RunId, definition: &Definition) -> Result<Self, Failed> {
        let folder = scene::folder()?;
        let file = folder.path().join("runsheet.db");
        let store = Store::open_with(&file, Access::ReadWrite, Options::default())?;
        scene::create(&store, run, definition, 16)?;
        futures::executor::block_on(store.own(run))?;
        drop(store);
        let connection = Connection::open(&file)?;
        connection.execute_batch(PRAGMAS)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection, run, at: 0, file, _folder: folder })
    }

    /// Writes the next so many commits (fewer where there are no more), and says how long that took and how many they were.
    pub fn write(&mut self, commits: &[Commit], count: usize) -> Result<(Duration, usize), Failed> {
        let until = commits.len().min(self.at + count);
        let mut statements = Statements::of(&self.connection)?;
        let id = self.run.0.as_bytes().as_slice();
        let began = Instant::now();
        for commit in &commits[self.at..until] {
            statements.write(id, commit)?;
        }
        let written = until - self.at;
        self.at = until;
        Ok((began.elapsed(), written))
    }

    /// Fails where the rows are not those of the engine's database.
    pub fn compare(&self, engine: &Path) -> Result<(), Failed> {
        self.connection.execute("ATTACH ?1 AS engine", [engine.to_string_lossy()])?;
        // A run's first event holds the time at which it was made, and so every later hash differs; what was replayed is the same to the byte.
        for (table, rows) in [("events", "WHERE seq > 1"), ("steps", ""), ("changes", "")] {
            let differ = format!(
                "SELECT (SELECT count(*) FROM (SELECT * FROM main.{table} {rows} EXCEPT SELECT * FROM engine.{table})) + \
                 abs((SELECT count(*) FROM main.{table}) - (SELECT count(*) FROM engine.{table}))"
            );
            let differ: i64 = self.connection.query_row(&differ, [], |row| row.get(0))?;
            if differ != 0 {
                return Err(format!("{differ} rows of `{table}` in {} are not those of the engine", self.file.display()).into());
            }
        }
        self.connection.execute("DETACH engine", [])?;
        Ok(())
    }
}

/// What a commit is written with.
struct Statements<'c> {
    begin: CachedStatement<'c>,
    commit: CachedStatement<'c>,
    event: CachedStatement<'c>,
    change: CachedStatement<'c>,
    new_step: CachedStatement<'c>,
    step: CachedStatement<'c>,
    head: CachedStatement<'c>,
}

impl<'c> Statements<'c> {
    fn of(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            begin: connection.prepare_cached("BEGIN IMMEDIATE")?,
            commit: connection.prepare_cached("COMMIT")?,
            event: connection.prepare_cached(
                "INSERT INTO events (run_id, seq, epoch, at, kind, version, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            change: connection.prepare_cached(
                "INSERT INTO changes (position, nth, run_id, step, occurrence, attempt, object, field, label, prior, after) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?,
            new_step: connection.prepare_cached(
                "INSERT INTO steps (run_id, path, status, occurrence, attempt, intent, started_at, ended_at, message) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, NULL)",
            )?,
            step: connection.prepare_cached(
                "UPDATE steps SET status = ?3, occurrence = ?4, attempt = ?5, intent = ?6, started_at = ?7, ended_at = ?8 \
                 WHERE run_id = ?1 AND path = ?2",
            )?,
            head: connection.prepare_cached("UPDATE runs SET head_seq = ?2, head_hash = ?3, updated_at = ?4 WHERE id = ?1")?,
        })
    }

    fn write(&mut self, run: &[u8], commit: &Commit) -> rusqlite::Result<()> {
        self.begin.execute([])?;
        for row in &commit.events {
            self.event.execute(params![run, row.seq, row.epoch, row.at, row.kind, row.version, row.body, row.hash])?;
        }
        for row in &commit.changes {
            let (step, object, field, label) = (&row.step, &row.object, &row.field, &row.label);
            let values = params![row.position, row.nth, run, step, row.occurrence, row.attempt, object, field, label, row.prior, row.after];
            self.change.execute(values)?;
        }
        for StepWrite { new, row } in &commit.steps {
            let statement = if *new { &mut self.new_step } else { &mut self.step };
            let (started, ended) = (row.started_at, row.ended_at);
            statement.execute(params![run, row.path, row.status, row.occurrence, row.attempt, row.intent, started, ended])?;
        }
        if let Some(last) = commit.events.last() {
            self.head.execute(params![run, last.seq, last.hash, last.at])?;
        }
        self.commit.execute([])?;
        Ok(())
    }
}
