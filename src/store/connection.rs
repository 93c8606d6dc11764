//! Opening the database: its folder, its permissions, its pragmas.
//!
//! Invariant: each connection of this program has the same pragmas, waits for a lock no longer than [`Options::busy_timeout`], and keeps at
//! most 2 MB of pages in memory.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::from_sqlite;
use super::filesystem::network_file_system;
use super::schema;
use crate::ports::journal::JournalError;

/// What the opener is going to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read and write: creates the database, or brings it up to this program's schema.
    ReadWrite,
    /// Only read: changes nothing, and the database must be there.
    ReadOnly,
}

/// How the database is opened. [`Options::from_env`] is what the program uses.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a lock of another process is waited for.
    pub busy_timeout: Duration,
    /// The most pages of 4 KiB that the database may have; `None`: as many as the disk holds.
    pub max_pages: Option<u32>,
}

impl Default for Options {
    fn default() -> Self {
        Self { busy_timeout: Duration::from_secs(5), max_pages: None }
    }
}

impl Options {
    /// The defaults, with `RUNSHEET_BUSY_TIMEOUT_MS` (milliseconds) and `RUNSHEET_MAX_PAGES` (pages of 4 KiB) where they are set.
    ///
    /// # Errors
    /// The name and the text of a variable that is no whole number.
    pub fn from_env() -> Result<Self, String> {
        let mut options = Self::default();
        if let Some(milliseconds) = number("RUNSHEET_BUSY_TIMEOUT_MS")? {
            options.busy_timeout = Duration::from_millis(milliseconds.into());
        }
        options.max_pages = number("RUNSHEET_MAX_PAGES")?;
        Ok(options)
    }
}

fn number(variable: &str) -> Result<Option<u32>, String> {
    match std::env::var(variable) {
        Err(_) => Ok(None),
        Ok(text) => {
            text.parse().map(Some).map_err(|_| format!("{variable} is `{text}`, and must be a whole number: correct it, or leave it out"))
        }
    }
}

/// Makes the folder and the file where they are missing, and refuses what can never work.
pub(super) fn prepare(file: &Path, access: Access) -> Result<(), JournalError> {
    let unusable = |why: String| JournalError::Unusable { file: file.to_owned(), why };
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if file.is_dir() {
        return Err(unusable("it is a folder; the database must be a file".to_owned()));
    }
    if access == Access::ReadOnly && !file.exists() {
        return Err(unusable("it does not exist: no run was started yet".to_owned()));
    }
    if access == Access::ReadWrite {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unusable(format!("its folder {} cannot be made: {}", folder.display(), reason(&error))))?;
    }
    if let Some(kind) = network_file_system(folder) {
        return Err(unusable(format!(
            "it is on a network file system ({kind}), where SQLite's locks do not hold: keep it on a local disk"
        )));
    }
    if access == Access::ReadWrite && !file.exists() {
        // SQLite gives `-wal` and `-shm` the same permissions as this file.
        let made = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
        if let Err(error) = made
            && error.kind() != std::io::ErrorKind::AlreadyExists
        {
            return Err(unusable(format!("it cannot be made in {}: {}", folder.display(), reason(&error))));
        }
    }
    Ok(())
}

/// What the system said, in words.
fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        std::io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only".to_owned(),
        std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists => "a part of the path is a file".to_owned(),
        std::io::ErrorKind::NotFound => "nothing can be made there".to_owned(),
        std::io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        // Without the number that the system gives it.
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
    }
}

/// The connection that writes: in WAL mode and with this program's schema.
pub(super) fn open_writer(file: &Path, options: &Options) -> Result<Connection, JournalError> {
    let mut connection = open(file, OpenFlags::SQLITE_OPEN_READ_WRITE, options)?;
    schema::recognise(&connection, file)?;
    use_wal(&connection, file, options)?;
    schema::migrate(&mut connection, file)?;
    Ok(connection)
}

/// A connection that only reads.
pub(super) fn open_reader(file: &Path, access: Access, options: &Options) -> Result<Connection, JournalError> {
    let flags = match access {
        // A reader of a WAL needs to write its `-shm`: only what may write anyway is opened so.
        Access::ReadWrite => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Access::ReadOnly => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    let connection = open(file, flags, options)?;
    connection.pragma_update(None, "query_only", true).map_err(|error| from_sqlite(&error, file, Duration::ZERO))?;
    Ok(connection)
}

fn open(file: &Path, flags: OpenFlags, options: &Options) -> Result<Connection, JournalError> {
    let began = Instant::now();
    let fail = |error: rusqlite::Error| from_sqlite(&error, file, began.elapsed());
    // Without a mutex of SQLite's: each connection is used by one thread at a time.
    let connection = Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX).map_err(fail)?;
    connection.busy_timeout(options.busy_timeout).map_err(fail)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.pragma_update(None, "synchronous", "FULL").map_err(fail)?;
    connection.pragma_update(None, "foreign_keys", true).map_err(fail)?;
    connection.pragma_update(None, "cache_size", -2048).map_err(fail)?;
    connection.pragma_update(None, "temp_store", "MEMORY").map_err(fail)?;
    connection.pragma_update(None, "trusted_schema", false).map_err(fail)?;
    if let Some(pages) = options.max_pages {
        connection.pragma_update(None, "max_page_count", pages).map_err(fail)?;
    }
    Ok(connection)
}

/// Readers go on while the writer writes. The mode stays in the file, so that this changes something only once.
fn use_wal(connection: &Connection, file: &Path, options: &Options) -> Result<(), JournalError> {
    let began = Instant::now();
    loop {
        let mode = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        match mode {
            Ok(mode) if mode.eq_ignore_ascii_case("wal") => break,
            Ok(mode) => {
                let why = format!("it cannot be put into WAL mode (it stays in `{mode}`)");
                return Err(JournalError::Unusable { file: file.to_owned(), why });
            }
            // SQLite does not wait by itself where two processes change the mode of a new database at once.
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && began.elapsed() < options.busy_timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(error) => return Err(from_sqlite(&error, file, began.elapsed())),
        }
    }
    let fail = |error: rusqlite::Error| from_sqlite(&error, file, began.elapsed());
    connection.pragma_update(None, "wal_autocheckpoint", 1000).map_err(fail)?;
    // After a long reader the WAL may have grown: given back at the next checkpoint.
    connection.pragma_update(None, "journal_size_limit", 64 << 20).map_err(fail)
}
