//! Reading one run's events in order, with every link of its chain checked.
//!
//! Invariant: an event that was changed, removed, added or moved is never handed out as if it were sound, and what is wrong with one run says
//! nothing about another.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::error::Failure;
use super::hash::{self, Link};
use crate::model::event::{DecodeError, Record, VERSION, decode};
use crate::model::id::RunId;
use crate::ports::journal::JournalError;

/// Visits the run's events after this seq, at most `limit`, each with its row's id; returns how many. All within one snapshot.
pub(super) fn walk(
    connection: &Connection,
    file: &Path,
    run: RunId,
    (after, limit): (u64, Option<u32>),
    mut visit: impl FnMut(i64, Record) -> Result<(), Failure>,
) -> Result<u64, Failure> {
    let damaged = |what: String| Failure::Journal(JournalError::Damaged { file: file.to_owned(), what: format!("run {run}: {what}") });
    let id = run.0.as_bytes().as_slice();
    let head: Option<(i64, Link)> = connection
        .prepare_cached("SELECT head_seq, head_hash FROM runs WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((head_seq, head_hash)) = head else {
        return Err(JournalError::NoSuchRun { run, file: file.to_owned() }.into());
    };
    let (first, mut seq) = (after.cast_signed(), after.cast_signed());
    if seq > head_seq {
        return Ok(0);
    }
    let mut link = match seq {
        0 => hash::START,
        _ => connection
            .prepare_cached("SELECT hash FROM events WHERE run_id = ?1 AND seq = ?2")?
            .query_row(params![id, seq], |row| row.get(0))
            .optional()?
            .ok_or_else(|| damaged(format!("event {seq} is missing")))?,
    };
    let mut statement = connection.prepare_cached(
        "SELECT id, seq, epoch, at, kind, version, body, hash FROM events WHERE run_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let limit = limit.map_or(-1, i64::from);
    let mut rows = statement.query(params![id, seq, limit])?;
    while let Some(row) = rows.next()? {
        let expected = seq + 1;
        let stored: Link = check(row, run, expected, &link).map_err(damaged)?;
        let record = record(row).map_err(|error| match error {
            Unreadable::Newer(found) => {
                Failure::Journal(JournalError::Newer { file: file.to_owned(), found: found.into(), known: VERSION.into() })
            }
            Unreadable::Not(why) => damaged(format!("event {expected} cannot be read: {why}")),
        })?;
        visit(row.get(0)?, record)?;
        (seq, link) = (expected, stored);
    }
    let read = seq - first;
    let to_the_end = limit < 0 || read < limit;
    if to_the_end && seq < head_seq {
        return Err(damaged(format!("its last events are missing: {head_seq} were written, and {seq} are there")));
    }
    if seq > head_seq {
        return Err(damaged(format!("it has {seq} events, and only {head_seq} were written")));
    }
    if seq == head_seq && link != head_hash {
        return Err(damaged(format!("event {seq}, its last, is not the one that was written")));
    }
    Ok(read.cast_unsigned())
}

/// The row's hash, if the row is the one that follows.
fn check(row: &Row<'_>, run: RunId, expected: i64, previous: &Link) -> Result<Link, String> {
    let unreadable = |error: rusqlite::Error| format!("event {expected} cannot be read: {error}");
    let seq: i64 = row.get(1).map_err(unreadable)?;
    if seq != expected {
        return Err(format!("event {expected} is missing"));
    }
    let text = |column: usize| row.get_ref(column).and_then(|value| Ok(value.as_str()?)).map_err(unreadable);
    let (epoch, at) = (row.get(2).map_err(unreadable)?, row.get(3).map_err(unreadable)?);
    let (version, stored): (i64, Link) = (row.get(5).map_err(unreadable)?, row.get(7).map_err(unreadable)?);
    let found = hash::link(previous, &hash::Row { run, seq, epoch, at, kind: text(4)?, version, body: text(6)? });
    if found != stored {
        return Err(format!("event {seq} is not as it was written, or the one before it is not"));
    }
    Ok(stored)
}

/// Why a sound row is no event of ours.
enum Unreadable {
    Newer(u32),
    Not(String),
}

fn record(row: &Row<'_>) -> Result<Record, Unreadable> {
    let not = |error: rusqlite::Error| Unreadable::Not(error.to_string());
    let body = row.get_ref(6).map_err(not)?;
    let body = body.as_str().map_err(|error| Unreadable::Not(error.to_string()))?;
    let event = decode(row.get(5).map_err(not)?, body).map_err(|error| match error {
        DecodeError::Newer { found } => Unreadable::Newer(found),
        DecodeError::Malformed(error) => Unreadable::Not(error.to_string()),
    })?;
    let at = jiff::Timestamp::from_millisecond(row.get(3).map_err(not)?).map_err(|error| Unreadable::Not(error.to_string()))?;
    let (seq, epoch): (i64, i64) = (row.get(1).map_err(not)?, row.get(2).map_err(not)?);
    Ok(Record { seq: seq.cast_unsigned(), epoch: epoch.cast_unsigned(), at, event })
}
