//! Projections derived anew from the events.
//!
//! Invariant: reads nothing but sound events, and never touches `epoch`, `head_seq` and `head_hash`, which are facts of their own: a journal
//! that was tampered with does not become sound by being rebuilt.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior, params};

use super::error::Failure;
use super::ledger::run_id;
use super::projection::Projection;
use super::run_summary::DamagedRun;
use super::verify;
use crate::model::event::{Event, Record};
use crate::model::id::RunId;
use crate::model::status::RunStatus;
use crate::ports::journal::JournalError;

/// What was rebuilt.
#[derive(Debug)]
pub struct Rebuilt {
    /// How many runs.
    pub runs: u64,
    /// Those that were left as they are, and why.
    pub damaged: Vec<DamagedRun>,
}

/// Derives the projections of every run anew, in one transaction.
pub(super) fn rebuild(connection: &mut Connection, file: &Path) -> Result<Rebuilt, Failure> {
    let mut transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let runs: Vec<RunId> = {
        let mut statement = transaction.prepare("SELECT id FROM runs ORDER BY id")?;
        statement.query_map([], |row| run_id(row, 0))?.collect::<Result<_, _>>()?
    };
    let mut rebuilt = Rebuilt { runs: 0, damaged: Vec::new() };
    for run in runs {
        let savepoint = transaction.savepoint()?;
        match of_run(&savepoint, file, run) {
            Ok(()) => {
                savepoint.commit()?;
                rebuilt.runs += 1;
            }
            // Dropping the savepoint takes back what was done for this run.
            Err(Failure::Journal(JournalError::Damaged { what, .. })) => rebuilt.damaged.push(DamagedRun { run, what }),
            Err(failure) => return Err(failure),
        }
    }
    transaction.commit()?;
    Ok(rebuilt)
}

fn of_run(connection: &Connection, file: &Path, run: RunId) -> Result<(), Failure> {
    let id = run.0.as_bytes().as_slice();
    connection.execute("DELETE FROM steps WHERE run_id = ?1", [id])?;
    connection.execute("DELETE FROM changes WHERE run_id = ?1", [id])?;
    verify::walk(connection, file, run, (0, None), |row, record| {
        let Record { at, event, .. } = record;
        let at = at.as_millisecond();
        if let Event::RunCreated(spec) = &event {
            connection
                .prepare_cached(
                    "UPDATE runs SET playbook = ?2, environment = ?3, definition = ?4, params = ?5, started_by = ?6, created_at = ?7, \
                     status = ?8, reason = NULL, owner_pid = NULL, owner_host = NULL, owner_by = NULL WHERE id = ?1",
                )?
                .execute(params![
                    id,
                    spec.playbook,
                    spec.target.as_ref().map(|target| &target.environment),
                    spec.definition.0,
                    serde_json::Value::Object(spec.params.clone()).to_string(),
                    spec.by,
                    at,
                    RunStatus::Running.as_str(),
                ])?;
        }
        connection.prepare_cached("UPDATE runs SET updated_at = ?2 WHERE id = ?1")?.execute(params![id, at])?;
        let mut projection = Projection::new(run);
        projection.event(connection, row, at, &event)?;
        Ok(projection.flush(connection)?)
    })?;
    Ok(())
}
