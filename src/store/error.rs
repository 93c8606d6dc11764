//! SQLite's errors as the journal's: what happened, to which file.
//!
//! Invariant: SQLite's bare text never stands alone; the file's name is in every error.

use std::path::Path;
use std::time::Duration;

use rusqlite::ErrorCode;

use crate::ports::journal::JournalError;

/// What this error of SQLite means for the journal in `file`, after waiting this long.
pub(super) fn from_sqlite(error: &rusqlite::Error, file: &Path, waited: Duration) -> JournalError {
    let file = file.to_owned();
    let why = |text: &str| format!("{text} ({error})");
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            JournalError::Locked { file, waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX) }
        }
        Some(ErrorCode::DiskFull) => JournalError::Full { file },
        Some(ErrorCode::NotADatabase) => {
            JournalError::Damaged { file, what: "it is not a SQLite database, or its header is overwritten".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt) => JournalError::Damaged { file, what: why("SQLite finds its pages inconsistent") },
        Some(ErrorCode::ConstraintViolation) => JournalError::Damaged { file, what: why("a row contradicts another") },
        Some(ErrorCode::CannotOpen) => {
            JournalError::Unusable { file, why: why("SQLite cannot open it, or the files `-wal` and `-shm` beside it") }
        }
        Some(ErrorCode::ReadOnly) => JournalError::Unusable { file, why: why("it, or its folder, cannot be written") },
        Some(ErrorCode::PermissionDenied) => JournalError::Unusable { file, why: why("access is refused") },
        Some(ErrorCode::SystemIoFailure) => JournalError::Unusable { file, why: why("reading or writing the disk failed") },
        _ => match error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..)
            | rusqlite::Error::InvalidColumnType(..) => JournalError::Damaged { file, what: why("a row cannot be read") },
            _ => JournalError::Unusable { file, why: why("SQLite refused") },
        },
    }
}

/// Whether the error says that one run's rows do not fit, while the database as such works: other runs go on.
pub(super) fn is_of_one_run(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation))
        || matches!(
            error,
            rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::Utf8Error(..)
                | rusqlite::Error::InvalidColumnType(..)
        )
}

/// What went wrong within a query or an operation: SQLite's error, or one that is already the journal's.
#[derive(Debug)]
pub(super) enum Failure {
    /// SQLite's own.
    Sql(rusqlite::Error),
    /// The journal's: what was asked cannot be done.
    Journal(JournalError),
}

impl Failure {
    /// As the journal says it.
    pub(super) fn into_journal(self, file: &Path, waited: Duration) -> JournalError {
        match self {
            Self::Sql(error) => from_sqlite(&error, file, waited),
            Self::Journal(error) => error,
        }
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Self::Journal(error)
    }
}
