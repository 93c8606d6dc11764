//! What became of an attempt whose engine died.
//!
//! Invariant: the answer is given only under the attempt's lock, so nothing of it is alive; and where it is "never started", it is made true for good before
//! it is given: a supervisor that comes late finds the attempt given up.

use std::path::{Path, PathBuf};

use super::files::{Files, Outcome};
use super::orphans;
use super::outcome::Ended;
use super::start_error::plain;

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Recovered {
    /// The program never ran, and never will under this attempt.
    NeverStarted,
    /// It ended, and this is how.
    Ended(Box<Ended>),
    /// Something of it is still alive: ask again later. Its supervisor is ending it, or is gone and what was left was just killed.
    StillRunning,
    /// It was started, and nobody saw how it ended: its supervisor was killed, or the machine stopped.
    Killed,
}

/// The attempt's files cannot be read or locked.
#[derive(Debug, thiserror::Error)]
#[error("the attempt's file {} cannot be used: {why}", path.display())]
pub struct RecoveryError {
    /// Which.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

/// Asks what became of an attempt. Returns at once; blocks for a few fsyncs at most.
///
/// # Errors
/// [`RecoveryError`]
pub fn recover(folder: &Path, attempt: u32) -> Result<Recovered, RecoveryError> {
    let files = Files::new(folder, attempt);
    let failed = |path: PathBuf| move |error: std::io::Error| RecoveryError { path, why: plain(&error) };
    files.make_folder().map_err(failed(files.folder.clone()))?;
    let marker = files.read_marker().map_err(failed(files.marker_file()))?;
    let Some(_lock) = files.try_lock().map_err(failed(files.lock_file()))? else {
        if let Some(marker) = marker {
            orphans::end(&files, Some(marker.supervisor));
        }
        return Ok(Recovered::StillRunning);
    };
    match files.read_outcome().map_err(failed(files.outcome_file()))? {
        Some(Outcome::Ended(ended)) => return Ok(Recovered::Ended(ended)),
        Some(Outcome::NeverStarted { .. }) => return Ok(Recovered::NeverStarted),
        None => {}
    }
    // Read again: before the lock was ours, a supervisor may have written it.
    if files.read_marker().map_err(failed(files.marker_file()))?.is_some() {
        return Ok(Recovered::Killed);
    }
    let given_up = Outcome::NeverStarted { why: "given up".into() };
    files.write_outcome(&given_up).map_err(failed(files.outcome_file()))?;
    Ok(Recovered::NeverStarted)
}

/// Whether an attempt of this name was begun or given up; then none can be begun under it.
pub fn is_used(folder: &Path, attempt: u32) -> bool {
    Files::new(folder, attempt).lock_file().exists()
}

#[cfg(test)]
mod tests {
    use super::super::files::Marker;
    use super::*;

    #[test]
    fn what_never_started_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(recover(folder.path(), 1).unwrap(), Recovered::NeverStarted);
        assert!(Files::new(folder.path(), 1).read_outcome().unwrap().is_some());
        assert!(Files::new(folder.path(), 2).read_outcome().unwrap().is_none());
    }

    #[test]
    fn a_marker_without_an_outcome_was_killed_once_its_lock_is_free() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::new(folder.path(), 1);
        let lock = files.try_lock().unwrap().unwrap();
        files
            .write_marker(&Marker { supervisor: rustix::process::getpid().as_raw_nonzero().get(), at: jiff::Timestamp::UNIX_EPOCH })
            .unwrap();
        assert_eq!(recover(folder.path(), 1).unwrap(), Recovered::StillRunning);
        drop(lock);
        assert_eq!(recover(folder.path(), 1).unwrap(), Recovered::Killed);
    }

    #[test]
    fn a_damaged_outcome_is_told_and_not_guessed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(Files::new(folder.path(), 1).outcome_file(), "{").unwrap();
        assert!(recover(folder.path(), 1).unwrap_err().to_string().contains("attempt-1.outcome.json cannot be used"));
    }
}
