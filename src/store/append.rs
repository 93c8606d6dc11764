//! The operations of the writer, each within the transaction that the writer has open.
//!
//! Invariant: an operation that refuses (a fence, an unknown run) has written nothing. An append checks its epoch and the head that it knows
//! in the same transaction in which it writes.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::Failure;
use super::hash::{self, Link};
use super::projection::Projection;
use crate::model::event::{Event, Record, VERSION};
use crate::model::id::{ContentHash, RunId};
use crate::model::instruction::Instruction;
use crate::model::run::RunSpec;
use crate::model::status::RunStatus;
use crate::ports::journal::JournalError;

/// Events with their stored form: encoded by the caller, so that the writer's thread does not have to.
pub(super) struct Events {
    events: Vec<Event>,
    bodies: Vec<String>,
    at: Timestamp,
}

impl Events {
    /// Encodes them; `at` is cut to the millisecond, as it is stored.
    pub(super) fn new(events: Vec<Event>, at: Timestamp) -> Self {
        let bodies = events.iter().map(crate::model::event::encode).collect();
        Self { events, bodies, at: Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at) }
    }

    /// The specification in the first event, if that is `RunCreated`.
    pub(super) fn spec(&self) -> Option<&RunSpec> {
        match self.events.first() {
            Some(Event::RunCreated(spec)) => Some(spec),
            _ => None,
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }
}

/// A run's fence.
struct Head {
    epoch: i64,
    seq: i64,
    hash: Link,
}

fn head(connection: &Connection, run: RunId, no_such_run: impl FnOnce() -> JournalError) -> Result<Head, Failure> {
    connection
        .prepare_cached("SELECT epoch, head_seq, head_hash FROM runs WHERE id = ?1")?
        .query_row([run.0.as_bytes().as_slice()], |row| Ok(Head { epoch: row.get(0)?, seq: row.get(1)?, hash: row.get(2)? }))
        .optional()?
        .ok_or_else(|| Failure::Journal(no_such_run()))
}

/// Stores a new run with its definition and first events.
pub(super) fn create(connection: &Connection, run: RunId, definition: (&ContentHash, &str), events: Events) -> Result<(), Failure> {
    let Some(spec) = events.spec() else {
        return Err(fenced(run, "the first event of a run must be its creation".to_owned()).into());
    };
    let id = run.0.as_bytes().as_slice();
    let exists = connection.prepare_cached("SELECT 1 FROM runs WHERE id = ?1")?.exists([id])?;
    if exists {
        return Err(fenced(run, "a run of this id exists already".to_owned()).into());
    }
    connection
        .prepare_cached("INSERT INTO definitions (hash, body) VALUES (?1, ?2) ON CONFLICT (hash) DO NOTHING")?
        .execute(params![definition.0.0, definition.1])?;
    let at = events.at.as_millisecond();
    connection
        .prepare_cached(
            "INSERT INTO runs (id, epoch, head_seq, head_hash, playbook, environment, definition, params, started_by, created_at, updated_at, \
             status) VALUES (?1, 0, 1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?8, ?9)",
        )?
        .execute(params![
            id,
            hash::START.as_slice(),
            spec.playbook,
            spec.target.as_ref().map(|target| &target.environment),
            spec.definition.0,
            serde_json::Value::Object(spec.params.clone()).to_string(),
            spec.by,
            at,
            RunStatus::Running.as_str(),
        ])?;
    write(connection, run, &Head { epoch: 0, seq: 0, hash: hash::START }, events)?;
    Ok(())
}

/// Makes the caller the owner: the next epoch.
pub(super) fn own(connection: &Connection, run: RunId, no_such_run: impl FnOnce() -> JournalError) -> Result<u64, Failure> {
    let epoch: Option<i64> = connection
        .prepare_cached("UPDATE runs SET epoch = epoch + 1 WHERE id = ?1 RETURNING epoch")?
        .query_row([run.0.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    epoch.map(i64::cast_unsigned).ok_or_else(|| Failure::Journal(no_such_run()))
}

/// Appends to a run that the caller owns.
pub(super) fn append(
    connection: &Connection,
    run: RunId,
    (after, epoch): (u64, u64),
    events: Events,
    taken: &[uuid::Uuid],
    no_such_run: impl FnOnce() -> JournalError,
) -> Result<Vec<Record>, Failure> {
    let head = head(connection, run, no_such_run)?;
    if head.epoch.cast_unsigned() != epoch {
        let why = format!("another process took it over (epoch {}, and this one has {epoch})", head.epoch);
        return Err(fenced(run, why).into());
    }
    if head.seq.cast_unsigned() != after {
        let why = format!("its journal has {} events, and this process knows {after}", head.seq);
        return Err(fenced(run, why).into());
    }
    if !taken.is_empty() {
        let mut delete = connection.prepare_cached("DELETE FROM inbox WHERE id = ?1 AND run_id = ?2")?;
        for id in taken {
            delete.execute(params![id.as_bytes().as_slice(), run.0.as_bytes().as_slice()])?;
        }
    }
    write(connection, run, &head, events)
}

fn write(connection: &Connection, run: RunId, head: &Head, events: Events) -> Result<Vec<Record>, Failure> {
    if events.len() == 0 {
        return Ok(Vec::new());
    }
    let at = events.at.as_millisecond();
    let (mut seq, mut link) = (head.seq, head.hash);
    let mut projection = Projection::new(run);
    let id = run.0.as_bytes().as_slice();
    {
        let mut insert = connection.prepare_cached(
            "INSERT INTO events (run_id, seq, epoch, at, kind, version, body, hash) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        for (event, body) in events.events.iter().zip(&events.bodies) {
            seq += 1;
            let (kind, version) = (event.kind(), i64::from(VERSION));
            link = hash::link(&link, &hash::Row { run, seq, epoch: head.epoch, at, kind, version, body });
            insert.execute(params![id, seq, head.epoch, at, kind, version, body, link.as_slice()])?;
            projection.event(connection, connection.last_insert_rowid(), at, event)?;
        }
    }
    projection.flush(connection)?;
    connection.prepare_cached("UPDATE runs SET head_seq = ?2, head_hash = ?3, updated_at = ?4 WHERE id = ?1")?.execute(params![
        id,
        seq,
        link.as_slice(),
        at
    ])?;
    let (first, epoch, at) = (head.seq.cast_unsigned() + 1, head.epoch.cast_unsigned(), events.at);
    Ok((first..).zip(events.events).map(|(seq, event)| Record { seq, epoch, at, event }).collect())
}

/// Puts an instruction into the inbox; one of the same id that lies there is left.
pub(super) fn instruct(
    connection: &Connection,
    run: RunId,
    instruction: &Instruction,
    body: &str,
    no_such_run: impl FnOnce() -> JournalError,
) -> Result<(), Failure> {
    head(connection, run, no_such_run)?;
    connection
        .prepare_cached(
            "INSERT INTO inbox (id, run_id, at, by, body) VALUES (?1, ?2, CAST(unixepoch('subsec') * 1000 AS INTEGER), ?3, ?4) \
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(params![instruction.id.as_bytes().as_slice(), run.0.as_bytes().as_slice(), instruction.by, body])?;
    Ok(())
}

fn fenced(run: RunId, why: String) -> JournalError {
    JournalError::Fenced { run, why }
}
