//! What is to be run, and what engine and supervisor tell each other: one JSON value a line.
//!
//! Must not be written anywhere but to the supervisor's stdin: an order holds secrets. `Debug` of what holds them shows names only.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::dialogue::Dialogue;
use super::outcome::Ended;
use super::start_error::StartError;

/// Variables that a child gets from the engine's own environment, where it has them; everything else is cleared.
pub(super) const PASSED_ON: [&str; 6] = ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "USER"];

/// A program to be run once.
#[derive(Clone)]
pub struct Request {
    /// The runsheet binary, which is run as the supervisor.
    pub supervisor_exe: PathBuf,
    /// A name that is looked up in `PATH`, or a path (relative to `cwd`).
    pub program: String,
    /// Its arguments. They are visible in the machine's process list: never a secret.
    pub args: Vec<String>,
    /// Its environment, beside `PATH`, `HOME`, `LANG`, `TZ`, `TMPDIR` and `USER`, which are passed on where not set here. May hold secrets.
    pub env: BTreeMap<String, String>,
    /// Its working folder; `None`: the engine's.
    pub cwd: Option<PathBuf>,
    /// What it reads on stdin; `None`: nothing (`/dev/null`).
    pub stdin: Option<Vec<u8>>,
    /// Whether it is talked with while it runs ([`converse`](super::converse)): then `stdin` is not looked at.
    pub dialogue: Option<Dialogue>,
    /// How long it may run; then it is ended as if it had been cancelled.
    pub timeout: Option<Duration>,
    /// How long it has between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// The folder of the attempt's files: lock, marker, outcome, output. Made when it is missing.
    pub files: PathBuf,
    /// From 1. With `files`, names one execution: a second one under the same name is refused.
    pub attempt: u32,
    /// Secrets that may turn up in its output, by name. Each is replaced before anything is stored or shown.
    pub redactions: Vec<(String, String)>,
    /// How much of each of stdout and stderr is kept in its file, in bytes. The rest is counted and dropped; the child goes on.
    pub capture_limit: u64,
}

impl Request {
    /// How long a program has between SIGTERM and SIGKILL, where nothing else is said.
    pub const GRACE: Duration = Duration::from_secs(5);
    /// How much of each stream a file keeps, where nothing else is said: 10 MiB.
    pub const CAPTURE_LIMIT: u64 = 10 * 1024 * 1024;

    /// This program without arguments, with the default limits.
    pub fn new(supervisor_exe: impl Into<PathBuf>, program: impl Into<String>, files: impl Into<PathBuf>, attempt: u32) -> Self {
        Self {
            supervisor_exe: supervisor_exe.into(),
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            cwd: None,
            stdin: None,
            dialogue: None,
            timeout: None,
            grace: Self::GRACE,
            files: files.into(),
            attempt,
            redactions: Vec::new(),
            capture_limit: Self::CAPTURE_LIMIT,
        }
    }

    /// The child's whole environment.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let mut environment = passed_on();
        environment.extend(self.env.clone());
        environment
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("program", &self.program)
            .field("args", &self.args)
            .field("env", &self.env.keys().collect::<Vec<_>>())
            .field("files", &self.files)
            .field("attempt", &self.attempt)
            .finish_non_exhaustive()
    }
}

/// The engine's own values of the variables that are passed on.
pub(super) fn passed_on() -> BTreeMap<String, String> {
    PASSED_ON.iter().filter_map(|name| std::env::var(name).ok().map(|value| ((*name).to_owned(), value))).collect()
}

/// Which of a child's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

impl Stream {
    /// As files are named.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The first line that the supervisor reads. Afterwards only the end of the pipe means something, and in a dialogue what is said.
#[derive(Serialize, Deserialize)]
pub(super) struct Order {
    /// The program's file, absolute.
    pub(super) path: PathBuf,
    /// What it is called as.
    pub(super) name: String,
    pub(super) args: Vec<String>,
    pub(super) env: BTreeMap<String, String>,
    pub(super) cwd: PathBuf,
    /// Base64.
    pub(super) stdin: Option<String>,
    #[serde(default)]
    pub(super) dialogue: Option<Dialogue>,
    pub(super) timeout_ms: Option<u64>,
    pub(super) grace_ms: u64,
    pub(super) files: PathBuf,
    pub(super) attempt: u32,
    pub(super) redactions: Vec<(String, String)>,
    pub(super) capture_limit: u64,
}

/// What the supervisor writes on its stdout.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Report {
    /// A line of output, redacted and cut; of stdout in a dialogue, as it came.
    Line {
        #[serde(rename = "s")]
        stream: Stream,
        #[serde(rename = "t")]
        text: String,
        /// Whether some of it was dropped.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        cut: bool,
    },
    /// The program never ran. The last report.
    NotStarted(StartError),
    /// The outcome, which is on disk already. The last report.
    Ended(Box<Ended>),
}
