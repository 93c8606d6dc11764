//! The schema's versions: numbered migrations that only go forward, recorded in `PRAGMA user_version`.
//!
//! Invariant: a migration that was released is never edited. A database of a newer program is refused, and one of another program is never
//! touched.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, TransactionBehavior};

use super::error::from_sqlite;
use crate::ports::journal::JournalError;

/// `rsht`: in the header of each of our databases, so that `file` and we can tell them from others.
pub(super) const APPLICATION_ID: i64 = 0x7273_6874;

/// Each brings the database from the version of its index to the next.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_journal.sql")];

/// The schema that this program reads and writes.
pub(super) const KNOWN: i64 = MIGRATIONS.len() as i64;

/// Brings the database up to [`KNOWN`].
pub(super) fn migrate(connection: &mut Connection, file: &Path) -> Result<(), JournalError> {
    let began = Instant::now();
    if recognise(connection, file)? == KNOWN {
        return Ok(());
    }
    let fail = |error: rusqlite::Error| from_sqlite(&error, file, began.elapsed());
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(fail)?;
    // Asked again now that nobody else can write: another process may have just done it.
    let found = recognise(&transaction, file)?;
    for migration in &MIGRATIONS[usize::try_from(found).unwrap_or_default()..] {
        transaction.execute_batch(migration).map_err(fail)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(fail)?;
    transaction.pragma_update(None, "user_version", KNOWN).map_err(fail)?;
    transaction.commit().map_err(fail)
}

/// Refuses what cannot be read as it is: a database that would have to be migrated first.
pub(super) fn require_current(connection: &Connection, file: &Path) -> Result<(), JournalError> {
    match recognise(connection, file)? {
        KNOWN => Ok(()),
        0 => Err(JournalError::Unusable { file: file.to_owned(), why: "it is empty: no run was ever started with it".to_owned() }),
        found => Err(JournalError::Unusable {
            file: file.to_owned(),
            why: format!("it has schema {found} and must be brought up to {KNOWN} first, which any command that writes does"),
        }),
    }
}

/// The database's schema version: 0 for a new one. Refuses what is not ours, before anything of it is touched.
pub(super) fn recognise(connection: &Connection, file: &Path) -> Result<i64, JournalError> {
    if !connection.is_autocommit() {
        return version(connection, file);
    }
    // From one snapshot: another process may be making the database just now, and half of it looks like nobody's.
    let began = Instant::now();
    let snapshot = connection.unchecked_transaction().map_err(|error| from_sqlite(&error, file, began.elapsed()))?;
    version(&snapshot, file)
}

fn version(connection: &Connection, file: &Path) -> Result<i64, JournalError> {
    let fail = |error: rusqlite::Error| from_sqlite(&error, file, Duration::ZERO);
    let read = |pragma: &str| connection.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).map_err(fail);
    let (application, found) = (read("application_id")?, read("user_version")?);
    if application == APPLICATION_ID {
        return match found {
            ..1 => Err(JournalError::Damaged { file: file.to_owned(), what: format!("its schema version says {found}") }),
            1..=KNOWN => Ok(found),
            _ => Err(JournalError::Newer { file: file.to_owned(), found, known: KNOWN }),
        };
    }
    let objects: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(fail)?;
    if application == 0 && found == 0 && objects == 0 {
        return Ok(0);
    }
    Err(JournalError::Unusable { file: file.to_owned(), why: "it is a SQLite database of another program".to_owned() })
}
