//! The ids of a writing statement's transactions, kept before each is committed: by them the server tells afterwards what became of it.
//!
//! Must not hold anything of the statement. Invariant: what [`Attempts::add`] returned for is on disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The attempts of one doing of a step.
pub(super) struct Attempts {
    path: PathBuf,
}

impl Attempts {
    /// Those in a step's folder, by its idempotency key.
    pub(super) fn of(folder: &Path, key: &str) -> Self {
        Self { path: folder.join(format!("transactions-{key}")) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Says that there are attempts. What is there already stays.
    pub(super) fn begin(&self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        self.open()?.sync_all()?;
        // The name is on disk with the folder.
        File::open(folder)?.sync_all()
    }

    fn open(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }

    /// Keeps the id of a transaction that is about to be committed.
    pub(super) fn add(&self, id: &str) -> io::Result<()> {
        if id.is_empty() || !id.chars().all(|c| c.is_ascii_digit()) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut file = self.open()?;
        file.write_all(format!("{id}\n").as_bytes())?;
        file.sync_all()
    }

    /// The ids of all transactions whose COMMIT may have been sent; none where no attempt was begun here.
    pub(super) fn ids(&self) -> io::Result<Option<Vec<u64>>> {
        match std::fs::read_to_string(&self.path) {
            // A line that was not finished was not kept, and its COMMIT was not sent.
            Ok(text) => Ok(Some(text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')?.parse().ok()).collect())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_told_and_what_was_not_finished_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let attempts = Attempts::of(&folder.path().join("step"), "key");
        assert_eq!(attempts.ids().unwrap(), None);
        attempts.begin().unwrap();
        assert_eq!(attempts.ids().unwrap(), Some(vec![]));
        attempts.add("731").unwrap();
        attempts.begin().unwrap();
        attempts.add("732").unwrap();
        assert!(attempts.add("1); DROP").is_err());
        std::fs::OpenOptions::new().append(true).open(attempts.path()).unwrap().write_all(b"73").unwrap();
        assert_eq!(attempts.ids().unwrap(), Some(vec![731, 732]));
    }
}
