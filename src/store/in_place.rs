//! Whether the database that is written is still the one at its path: SQLite goes on writing a file that was deleted, and what it commits there is lost.
//!
//! Invariant: only looks.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The file and its log, as they were when they were first seen.
pub(super) struct InPlace {
    file: PathBuf,
    log: PathBuf,
    first: Option<Inode>,
    /// Made by the first commit; SQLite leaves it there for as long as a connection is open.
    first_log: Option<Inode>,
}

/// Device and inode.
type Inode = (u64, u64);

impl InPlace {
    /// The database at this path, as it is now.
    pub(super) fn of(file: &Path) -> Self {
        let mut log = file.as_os_str().to_owned();
        log.push("-wal");
        Self { file: file.to_owned(), log: log.into(), first: inode(file), first_log: None }
    }

    /// That what was just committed is where it will be looked for; else why not.
    pub(super) fn check(&mut self) -> Result<(), String> {
        let log = inode(&self.log);
        self.first_log = self.first_log.or(log);
        if self.first.is_none() || inode(&self.file) != self.first {
            return Err("it was deleted or replaced while it was in use, and what is written to it now is lost".to_owned());
        }
        if log.is_none() || log != self.first_log {
            return Err(format!(
                "its log {} was deleted or replaced while it was in use, and what is written to it now is lost",
                self.log.display()
            ));
        }
        Ok(())
    }
}

fn inode(path: &Path) -> Option<Inode> {
    std::fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}
