//! The request log: a line for each request, for a person who wonders what a client did.
//!
//! It must not hold headers, bodies or queries, so no token can get in. Invariant: two files of at most [`LARGEST`] bytes. A log that
//! cannot be written stops nothing.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

const LARGEST: u64 = 1 << 20;

/// The open log.
#[derive(Debug)]
pub(crate) struct RequestLog {
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
}

impl RequestLog {
    /// The log in `dir`, opened at the first line.
    pub(crate) fn new(dir: &Path) -> Self {
        Self { path: dir.join("requests.log"), open: Mutex::new(None) }
    }

    /// Adds a line; `status` is what happened to the request, a number or a word.
    pub(crate) fn add(&self, method: &str, path: &str, status: &str, took: Duration) {
        let path: String = path.chars().take(300).collect();
        let line = format!("{:.3} {method} {path} {status} {}ms\n", Timestamp::now(), took.as_millis());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.write(&mut open, line.as_bytes()) {
            tracing::debug!(%error, "the request log could not be written");
            *open = None;
        }
    }

    fn write(&self, open: &mut Option<(File, u64)>, line: &[u8]) -> std::io::Result<()> {
        if open.as_ref().is_some_and(|(_, size)| *size >= LARGEST) {
            std::fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *open = None;
        }
        let (file, size) = match open {
            Some(open) => open,
            None => {
                let file = OpenOptions::new().append(true).create(true).open(&self.path)?;
                let size = file.metadata()?.len();
                open.insert((file, size))
            }
        };
        file.write_all(line)?;
        *size += line.len() as u64;
        Ok(())
    }
}
