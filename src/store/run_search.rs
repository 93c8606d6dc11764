//! Which run a person means.

use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension};

use super::error::Failure;
use super::ledger::run_id;
use crate::model::id::RunId;
use crate::ports::journal::JournalError;

/// The fewest digits that name a run.
const FEWEST: usize = 4;

/// How many runs are named where a text fits several.
const NAMED: u32 = 10;

/// Why a text names no run.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It cannot be an id.
    #[error("`{text}` is no run's id: write the {FEWEST} or more hex digits with which the id begins or ends")]
    NotAnId {
        /// The text.
        text: String,
    },
    /// No run fits.
    #[error("there is no run `{text}` in {}", file.display())]
    None {
        /// The text.
        text: String,
        /// The database.
        file: PathBuf,
    },
    /// More than one fits.
    #[error("`{text}` fits several runs: {}", list(runs))]
    Several {
        /// The text.
        text: String,
        /// The latest of them, at most ten.
        runs: Vec<RunId>,
    },
    /// The journal could not be asked.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

fn list(runs: &[RunId]) -> String {
    runs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The hex digits of a text that may be an id or a part of one.
pub(super) fn digits(text: &str) -> Result<String, FindError> {
    let digits: String =
        text.trim().chars().filter(|character| *character != '-').map(|character| character.to_ascii_uppercase()).collect();
    if !(FEWEST..=32).contains(&digits.len()) || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(FindError::NotAnId { text: text.to_owned() });
    }
    Ok(digits)
}

/// The runs whose id begins or ends with these digits, the latest first. Reads every id: there are as many as there were runs, 16 bytes each.
pub(super) fn matching(connection: &Connection, digits: &str) -> Result<Vec<RunId>, Failure> {
    let mut statement = connection
        .prepare_cached("SELECT id FROM runs WHERE hex(id) LIKE ?1 || '%' OR hex(id) LIKE '%' || ?1 OR substr(hex(id), 25) LIKE ?1 || '%' ORDER BY id DESC LIMIT ?2")?;
    let found = statement.query_map((digits, NAMED), |row| run_id(row, 0))?;
    Ok(found.collect::<Result<_, _>>()?)
}

/// The run that was started last.
pub(super) fn latest(connection: &Connection) -> Result<Option<RunId>, Failure> {
    let mut statement = connection.prepare_cached("SELECT id FROM runs ORDER BY id DESC LIMIT 1")?;
    Ok(statement.query_row([], |row| run_id(row, 0)).optional()?)
}
