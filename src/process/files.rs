//! The files of one attempt: `attempt-N.lock`, `.started`, `.outcome.json`, `.stdout`, `.stderr`.
//!
//! Invariant: marker and outcome are written only by who holds the lock; the outcome is the last word and never changes.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::durable;
use super::order::Stream;
use super::outcome::Ended;

/// Where the files of one attempt are.
#[derive(Clone, Debug)]
pub(super) struct Files {
    pub(super) folder: PathBuf,
    pub(super) attempt: u32,
}

/// The last word on an attempt.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Outcome {
    /// The program ran and ended.
    Ended(Box<Ended>),
    /// It never ran and, the attempt being used up, never will.
    NeverStarted { why: String },
}

/// That a program was about to be started.
#[derive(Serialize, Deserialize)]
pub(super) struct Marker {
    /// The supervisor's process id.
    pub(super) supervisor: i32,
    pub(super) at: jiff::Timestamp,
}

impl Files {
    pub(super) fn new(folder: &Path, attempt: u32) -> Self {
        Self { folder: folder.to_owned(), attempt }
    }

    fn named(&self, what: &str) -> PathBuf {
        self.folder.join(format!("attempt-{}.{what}", self.attempt))
    }

    pub(super) fn lock_file(&self) -> PathBuf {
        self.named("lock")
    }

    pub(super) fn marker_file(&self) -> PathBuf {
        self.named("started")
    }

    pub(super) fn outcome_file(&self) -> PathBuf {
        self.named("outcome.json")
    }

    pub(super) fn refusal_file(&self) -> PathBuf {
        self.named("refused.json")
    }

    pub(super) fn output_file(&self, stream: Stream) -> PathBuf {
        self.named(stream.as_str())
    }

    /// Makes the folder, for its owner's eyes only.
    pub(super) fn make_folder(&self) -> io::Result<()> {
        let mut builder = DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(&self.folder)
    }

    /// Takes the attempt's lock; `None`: somebody has it. It is held until the file, and every copy that a child inherited, is closed.
    pub(super) fn try_lock(&self) -> io::Result<Option<File>> {
        let file = private(OpenOptions::new().create(true).truncate(false).write(true)).open(self.lock_file())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Opens an empty file for a stream's output.
    pub(super) fn create_output(&self, stream: Stream) -> io::Result<File> {
        private(OpenOptions::new().create(true).truncate(true).write(true)).open(self.output_file(stream))
    }

    pub(super) fn write_marker(&self, marker: &Marker) -> io::Result<()> {
        durable::write(&self.marker_file(), &serde_json::to_vec(marker)?)
    }

    pub(super) fn read_marker(&self) -> io::Result<Option<Marker>> {
        read(&self.marker_file())
    }

    pub(super) fn write_outcome(&self, outcome: &Outcome) -> io::Result<()> {
        durable::write(&self.outcome_file(), &serde_json::to_vec(outcome)?)
    }

    pub(super) fn read_outcome(&self) -> io::Result<Option<Outcome>> {
        read(&self.outcome_file())
    }
}

fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Reads a JSON file; `None`: it is not there.
pub(super) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
