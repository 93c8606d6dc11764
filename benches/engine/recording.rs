//! What a finished run left in its database, commit by commit: what raw SQLite writes in its turn.
//!
//! The bytes are the database's own; only which of them went into one commit comes from watching the run.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use runsheet::model::event::Event;
use runsheet::model::event::Record;
use runsheet::model::id::{RunId, StepPath};
use runsheet::ports::observer::{Observer, Progress};
use rusqlite::{Connection, params};

use super::measure::Failed;

/// The rows of one commit.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// Rows of `events`.
    pub events: Vec<EventRow>,
    /// Rows of `changes`.
    pub changes: Vec<ChangeRow>,
    /// Rows of `steps`, as they are after this commit.
    pub steps: Vec<StepWrite>,
}

/// A row of `events`.
#[derive(Clone, Debug)]
pub struct EventRow {
    pub id: i64,
    pub seq: i64,
    pub epoch: i64,
    pub at: i64,
    pub kind: String,
    pub version: i64,
    pub body: String,
    pub hash: Vec<u8>,
}

/// A row of `changes`.
#[derive(Clone, Debug)]
pub struct ChangeRow {
    pub position: i64,
    pub nth: i64,
    pub step: String,
    pub occurrence: i64,
    pub attempt: i64,
    pub object: String,
    pub field: String,
    pub label: String,
    pub prior: String,
    pub after: String,
}

/// A row of `steps`.
#[derive(Clone, Debug, Default)]
pub struct StepRow {
    pub path: String,
    pub status: &'static str,
    pub occurrence: u32,
    pub attempt: u32,
    pub intent: Option<i64>,
    pub started_at: Option<i64>,
    pub ended_at: Option<i64>,
}

/// One write of a row of `steps`.
#[derive(Clone, Debug)]
pub struct StepWrite {
    /// Whether it is inserted; else it is there already.
    pub new: bool,
    /// The row.
    pub row: StepRow,
}

/// Notes which events were committed together.
#[derive(Default)]
pub struct Recorder(Mutex<Vec<Vec<Record>>>);

impl Observer for Recorder {
    fn committed(&self, _: RunId, records: &[Record]) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(records.to_vec());
    }

    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}

impl Recorder {
    /// The run's commits, with the rows that are in this database now.
    pub fn commits(self: Arc<Self>, file: &Path) -> Result<Vec<Commit>, Failed> {
        let commits = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let connection = Connection::open(file)?;
        let mut steps = HashMap::new();
        commits.iter().map(|records| read(&connection, records, &mut steps)).collect()
    }
}

fn read(connection: &Connection, records: &[Record], steps: &mut HashMap<String, StepRow>) -> Result<Commit, Failed> {
    let mut commit = Commit::default();
    let mut touched: Vec<(String, bool)> = Vec::new();
    for record in records {
        let row = event(connection, record.seq)?;
        commit.changes.extend(changes(connection, row.id)?);
        if let (Some(path), Some(status)) = (record.event.step(), record.event.step_status()) {
            let new = !steps.contains_key(path.as_str());
            let step = steps.entry(path.to_string()).or_default();
            step.path = path.to_string();
            step.status = status.as_str();
            step.ended_at = status.is_ended().then_some(row.at);
            match &record.event {
                Event::StepStarted { occurrence, intent, .. } => {
                    step.occurrence = *occurrence;
                    step.started_at = Some(row.at);
                    if intent.is_some() {
                        (step.attempt, step.intent) = (1, Some(row.id));
                    }
                }
                Event::AttemptStarted { attempt, .. } => (step.attempt, step.intent) = (*attempt, Some(row.id)),
                _ => {}
            }
            if !touched.iter().any(|(at, _)| at == path.as_str()) {
                touched.push((path.to_string(), new));
            }
        }
        commit.events.push(row);
    }
    commit.steps = touched.into_iter().map(|(path, new)| StepWrite { new, row: steps[&path].clone() }).collect();
    Ok(commit)
}

fn event(connection: &Connection, seq: u64) -> rusqlite::Result<EventRow> {
    let mut statement = connection.prepare_cached("SELECT id, seq, epoch, at, kind, version, body, hash FROM events WHERE seq = ?1")?;
    statement.query_row(params![seq.cast_signed()], |row| {
        Ok(EventRow {
            id: row.get(0)?,
            seq: row.get(1)?,
            epoch: row.get(2)?,
            at: row.get(3)?,
            kind: row.get(4)?,
            version: row.get(5)?,
            body: row.get(6)?,
            hash: row.get(7)?,
        })
    })
}

fn changes(connection: &Connection, position: i64) -> rusqlite::Result<Vec<ChangeRow>> {
    let mut statement = connection.prepare_cached(
        "SELECT position, nth, step, occurrence, attempt, object, field, label, prior, after FROM changes WHERE position = ?1 ORDER BY nth",
    )?;
    let rows = statement.query_map([position], |row| {
        Ok(ChangeRow {
            position: row.get(0)?,
            nth: row.get(1)?,
            step: row.get(2)?,
            occurrence: row.get(3)?,
            attempt: row.get(4)?,
            object: row.get(5)?,
            field: row.get(6)?,
            label: row.get(7)?,
            prior: row.get(8)?,
            after: row.get(9)?,
        })
    })?;
    rows.collect()
}

/// The same rows in half as many commits: each two that follow each other become one.
pub fn paired(commits: Vec<Commit>) -> Vec<Commit> {
    let mut paired: Vec<Commit> = Vec::new();
    for (place, commit) in commits.into_iter().enumerate() {
        match paired.last_mut() {
            Some(last) if place % 2 == 1 => {
                last.events.extend(commit.events);
                last.changes.extend(commit.changes);
                for write in commit.steps {
                    match last.steps.iter_mut().find(|earlier| earlier.row.path == write.row.path) {
                        Some(earlier) => earlier.row = write.row,
                        None => last.steps.push(write),
                    }
                }
            }
            _ => paired.push(commit),
        }
    }
    paired
}
