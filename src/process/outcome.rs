//! How a child ended, as it is recorded and reported.
//!
//! Holds redacted text only.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// How a child ended. Exactly one of `code` and `signal` is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The exit code.
    pub code: Option<i32>,
    /// The number of the signal that killed it.
    pub signal: Option<i32>,
    /// Who brought the end about.
    pub cause: Cause,
    /// When it was started, by the wall clock.
    pub started: Timestamp,
    /// How long it ran, in milliseconds.
    pub duration_ms: u64,
    /// What it wrote to stdout.
    pub stdout: Captured,
    /// What it wrote to stderr.
    pub stderr: Captured,
}

impl Ended {
    /// How long it ran.
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.duration_ms)
    }

    /// Whether some of its output is in no file.
    pub fn truncated(&self) -> bool {
        self.stdout.truncated() || self.stderr.truncated()
    }
}

/// Who brought a child's end about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The child itself, or somebody outside.
    Itself,
    /// The supervisor, because the time was over.
    Timeout,
    /// The supervisor, because the engine let go of it or died.
    Stopped,
}

/// One stream of a child's output, redacted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// The end of it, at most [`Captured::TAIL`] bytes; invalid UTF-8 replaced.
    pub tail: String,
    /// Whether `tail` is all of it.
    pub whole: bool,
    /// How much there was, in bytes.
    pub bytes: u64,
    /// How much of it is in the file, in bytes.
    pub kept: u64,
    /// Why the file has less than the limit would allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_error: Option<String>,
}

impl Captured {
    /// How much of the end is kept in memory and in the outcome: 64 KiB.
    pub const TAIL: usize = 64 * 1024;

    /// Whether the file lacks some of it.
    pub fn truncated(&self) -> bool {
        self.kept < self.bytes
    }

    /// The last line that is not blank.
    pub fn last_line(&self) -> Option<&str> {
        self.tail.lines().rev().map(str::trim).find(|line| !line.is_empty())
    }
}
