//! Runs as lists show them, from the projections alone.
//!
//! Invariant: a run whose row cannot be read is listed as damaged, and hides none of the others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::error::{Failure, is_of_one_run};
use super::ledger::{self, run_id};
use crate::model::id::RunId;
use crate::model::status::{RunStatus, StepStatus};

/// Which runs are listed; what is `None` or false lets all through.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those that have not finished.
    pub open: bool,
    /// Only this run.
    pub run: Option<RunId>,
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those against this environment.
    pub environment: Option<String>,
}

/// One run, as lists show it.
#[derive(Clone, Debug, PartialEq)]
pub struct RunSummary {
    /// Its id.
    pub run: RunId,
    /// The playbook's name.
    pub playbook: String,
    /// The environment's name; `None` where the playbook names no target.
    pub environment: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// Why, where that was said.
    pub reason: Option<String>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its last event was committed.
    pub updated_at: Timestamp,
    /// Who started it.
    pub by: String,
    /// How many steps stand where. A step that had no event yet is not counted.
    pub steps: BTreeMap<StepStatus, u64>,
    /// How many changes it made, or may have made, and has not put back.
    pub owed: u64,
    /// The process that owned it last; whether it is alive, its file lock tells.
    pub owner: Option<Owner>,
    /// How many events it has.
    pub events: u64,
}

/// A process that owned a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its id.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Who started it.
    pub by: String,
}

/// What a list holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runs {
    /// Those that can be read, the latest first.
    pub runs: Vec<RunSummary>,
    /// Those that cannot.
    pub damaged: Vec<DamagedRun>,
}

/// A run whose rows are not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedRun {
    /// Which.
    pub run: RunId,
    /// What does not fit.
    pub what: String,
}

/// The statuses of [`RunStatus::is_finished`] that are not; the index `runs_open` has the same list.
const OPEN: &str = "status IN ('running', 'waiting', 'paused', 'rolling_back', 'stuck')";

/// The runs that the filter lets through, the latest first.
pub(super) fn list(connection: &Connection, limit: u32, filter: &Filter) -> Result<Runs, Failure> {
    let open = if filter.open { OPEN } else { "TRUE" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, playbook, environment, status, reason, created_at, updated_at, started_by, owner_pid, owner_host, owner_by, head_seq, \
         (SELECT count(*) FROM changes WHERE run_id = runs.id AND reverted = 0) \
         FROM runs WHERE {open} AND (?1 IS NULL OR id = ?1) AND (?2 IS NULL OR playbook = ?2) AND (?3 IS NULL OR environment = ?3) \
         ORDER BY id DESC LIMIT ?4"
    ))?;
    let run = filter.run.map(|run| *run.0.as_bytes());
    let mut rows = statement.query(params![run.as_ref().map(<[u8; 16]>::as_slice), filter.playbook, filter.environment, limit])?;
    let mut listed = Runs::default();
    while let Some(row) = rows.next()? {
        let run = run_id(row, 0)?;
        let summary = summary(row, run).and_then(|summary| {
            Ok(RunSummary { steps: count(connection, run)?, owed: ledger::count_owed(connection, run, summary.owed)?, ..summary })
        });
        match summary {
            Ok(summary) => listed.runs.push(summary),
            Err(error) if is_of_one_run(&error) => listed.damaged.push(DamagedRun { run, what: error.to_string() }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(listed)
}

/// The runs of these playbooks to which anything has happened since, the earliest first.
pub(super) fn active_since(connection: &Connection, playbooks: &[String], since: Timestamp) -> rusqlite::Result<Vec<RunId>> {
    let names = serde_json::Value::from(playbooks.to_vec()).to_string();
    connection
        .prepare_cached("SELECT id FROM runs WHERE playbook IN (SELECT value FROM json_each(?1)) AND updated_at >= ?2 ORDER BY id")?
        .query_map(params![names, since.as_millisecond()], |row| run_id(row, 0))?
        .collect()
}

fn summary(row: &Row<'_>, run: RunId) -> rusqlite::Result<RunSummary> {
    let owner = match row.get(8)? {
        Some(pid) => Some(Owner { pid, host: row.get(9)?, by: row.get(10)? }),
        None => None,
    };
    Ok(RunSummary {
        run,
        playbook: row.get(1)?,
        environment: row.get(2)?,
        status: parse(row, 3)?,
        reason: row.get(4)?,
        created_at: time(row, 5)?,
        updated_at: time(row, 6)?,
        by: row.get(7)?,
        steps: BTreeMap::new(),
        owed: row.get::<_, i64>(12)?.cast_unsigned(),
        owner,
        events: row.get::<_, i64>(11)?.cast_unsigned(),
    })
}

fn count(connection: &Connection, run: RunId) -> rusqlite::Result<BTreeMap<StepStatus, u64>> {
    connection
        .prepare_cached("SELECT status, count(*) FROM steps WHERE run_id = ?1 GROUP BY status")?
        .query_map([run.0.as_bytes().as_slice()], |row| Ok((parse(row, 0)?, row.get::<_, i64>(1)?.cast_unsigned())))?
        .collect()
}

/// A column that holds a status.
fn parse<T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    text.parse().map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error)))
}

/// A column that holds milliseconds since 1970.
fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    Timestamp::from_millisecond(row.get(column)?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Integer, Box::new(error)))
}
