//! The ledger: what runs changed or may have changed, and what they have put back.
//!
//! Invariant: an entry is there from its intent until it is known that the attempt had no effect. What an earlier attempt may have done
//! stays, whatever comes of later ones: a change that is owed is never lost.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::model::change::{Change, ObjectRef};
use crate::model::id::{RunId, StepPath};
use crate::model::ledger::{LedgerEntry, is_given_back, taken_back_with};

/// From how many entries on a run's debts are counted as they were entered, without a look at other runs.
const LOOKED_AT: u64 = 200;

/// Whether the step of a row of `changes` has succeeded since its intent.
const SETTLED: &str = "EXISTS (SELECT 1 FROM events WHERE events.run_id = changes.run_id AND +events.id > changes.position \
    AND events.kind = 'step_succeeded' AND json_extract(events.body, '$.step_succeeded.step') = changes.step)";

/// Whether the intent of a row of `changes` gives back what others had changed. Few do: the rest is not parsed.
const GIVES_BACK: &str = "coalesce((SELECT CASE WHEN instr(events.body, '\"gives_back\":true') > 0 THEN \
    coalesce(json_extract(events.body, '$.attempt_started.intent.gives_back'), json_extract(events.body, '$.step_started.intent.gives_back')) END \
    FROM events WHERE events.id = changes.position), 0)";

/// The rows of `changes` of a step's latest intent.
const LATEST: &str = "run_id = ?1 AND step = ?2 AND position = coalesce(?3, (SELECT intent FROM steps WHERE run_id = ?1 AND path = ?2))";

/// Enters the changes of an intent that is stored as event `position`. A change that an earlier attempt of the same occurrence may already
/// have made is not entered twice.
pub(super) fn add(
    connection: &Connection,
    run: RunId,
    position: i64,
    step: &StepPath,
    occurrence: u32,
    attempt: u32,
    changes: &[Change],
) -> rusqlite::Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO changes (position, nth, run_id, step, occurrence, attempt, object, field, label, prior, after) \
         SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE NOT EXISTS (SELECT 1 FROM changes WHERE run_id = ?3 AND step = ?4 \
         AND occurrence = ?5 AND object = ?7 AND field = ?8 AND prior = ?10 AND after = ?11 AND reverted = 0)",
    )?;
    for (nth, change) in (0_i64..).zip(changes) {
        insert.execute(params![
            position,
            nth,
            run.0.as_bytes().as_slice(),
            step.as_str(),
            occurrence,
            attempt,
            change.object.0,
            change.field,
            change.label,
            change.prior.to_string(),
            change.after.to_string(),
        ])?;
    }
    Ok(())
}

/// Which doing of the step is under way, as its row says.
pub(super) fn occurrence(connection: &Connection, run: RunId, step: &StepPath) -> rusqlite::Result<u32> {
    let found = connection
        .prepare_cached("SELECT occurrence FROM steps WHERE run_id = ?1 AND path = ?2")?
        .query_row(params![run.0.as_bytes().as_slice(), step.as_str()], |row| row.get(0))
        .optional()?;
    Ok(found.unwrap_or(1))
}

/// Takes out what the step's latest intent entered: the attempt had no effect. `intent` is its event where the step's row does not have it yet.
pub(super) fn take_out(connection: &Connection, run: RunId, step: &StepPath, intent: Option<i64>) -> rusqlite::Result<()> {
    connection.prepare_cached(&format!("DELETE FROM changes WHERE {LATEST}"))?.execute(params![
        run.0.as_bytes().as_slice(),
        step.as_str(),
        intent
    ])?;
    Ok(())
}

/// The same where the target was asked, and does not have all of it: what gives back several fields may have given back some.
pub(super) fn take_out_absent(connection: &Connection, run: RunId, step: &StepPath, intent: Option<i64>) -> rusqlite::Result<()> {
    connection.prepare_cached(&format!("DELETE FROM changes WHERE {LATEST} AND NOT {GIVES_BACK}"))?.execute(params![
        run.0.as_bytes().as_slice(),
        step.as_str(),
        intent
    ])?;
    Ok(())
}

/// The step has been taken back.
pub(super) fn mark_reverted(connection: &Connection, run: RunId, step: &StepPath) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE changes SET reverted = 1 WHERE run_id = ?1 AND step = ?2 AND reverted = 0")?
        .execute(params![run.0.as_bytes().as_slice(), step.as_str()])?;
    Ok(())
}

/// Every change of this field of this object, of all runs, in the order of their intents.
pub(super) fn of_field(connection: &Connection, object: &ObjectRef, field: &str) -> rusqlite::Result<Vec<LedgerEntry>> {
    connection
        .prepare_cached(&format!(
            // `+` keeps the search within the events of that one run.
            "SELECT run_id, step, occurrence, object, field, label, prior, after, reverted, position, \
             CASE WHEN reverted = 1 THEN (SELECT min(events.id) FROM events WHERE events.run_id = changes.run_id \
             AND +events.id > changes.position AND events.kind = 'step_rolled_back' \
             AND json_extract(events.body, '$.step_rolled_back.step') = changes.step) END, \
             {SETTLED}, {GIVES_BACK} \
             FROM changes WHERE object = ?1 AND field = ?2 ORDER BY position, nth",
        ))?
        .query_map(params![object.0, field], entry)?
        .collect()
}

/// What this run changed, or may have, and has not put back, but for what its intents say is kept.
pub(super) fn owed(connection: &Connection, run: RunId) -> rusqlite::Result<Vec<LedgerEntry>> {
    connection
        .prepare_cached(&format!(
            "SELECT run_id, step, occurrence, object, field, label, prior, after, reverted, position, NULL, \
             {SETTLED}, {GIVES_BACK} \
             FROM changes \
             WHERE run_id = ?1 AND reverted = 0 AND NOT EXISTS (SELECT 1 FROM events WHERE events.id = changes.position \
             AND coalesce(json_extract(events.body, '$.attempt_started.intent.revert.keep'), \
             json_extract(events.body, '$.step_started.intent.revert.keep')) IS NOT NULL) ORDER BY position, nth",
        ))?
        .query_map([run.0.as_bytes().as_slice()], entry)?
        .collect()
}

fn entry(row: &Row<'_>) -> rusqlite::Result<LedgerEntry> {
    Ok(LedgerEntry {
        run: run_id(row, 0)?,
        step: StepPath::new(row.get::<_, String>(1)?),
        occurrence: row.get(2)?,
        change: Change {
            object: ObjectRef(row.get(3)?),
            field: row.get(4)?,
            label: row.get(5)?,
            prior: json(row, 6)?,
            after: json(row, 7)?,
        },
        reverted: row.get(8)?,
        position: row.get(9)?,
        reverted_at: row.get(10)?,
        settled: row.get(11)?,
        gives_back: row.get(12)?,
    })
}

/// How many fields this run still has to give back: those of [`owed`] that were not given back since, by another run or with what another run gave back.
pub(super) fn count_owed(connection: &Connection, run: RunId, entered: u64) -> rusqlite::Result<u64> {
    if entered == 0 || entered > LOOKED_AT {
        return Ok(entered);
    }
    let mut count = 0;
    let mut kept = connection.prepare_cached("SELECT 1 FROM steps WHERE run_id = ?1 AND path = ?2 AND status = 'kept'")?;
    for entry in owed(connection, run)? {
        // Put back, though the platform has not followed; or left as it is by an operator.
        if kept.exists(params![run.0.as_bytes().as_slice(), entry.step.as_str()])? {
            continue;
        }
        let history = of_field(connection, &entry.change.object, &entry.change.field)?;
        count += u64::from(taken_back_with(&history, &entry).is_empty() && !is_given_back(&history, &entry));
    }
    Ok(count)
}

/// A column that holds a run's id.
pub(super) fn run_id(row: &Row<'_>, column: usize) -> rusqlite::Result<RunId> {
    Ok(RunId(uuid::Uuid::from_bytes(row.get(column)?)))
}

/// A column that holds JSON.
pub(super) fn json<T: serde::de::DeserializeOwned>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    let text = row.get_ref(column)?.as_str()?;
    serde_json::from_str(text)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, Box::new(error)))
}
