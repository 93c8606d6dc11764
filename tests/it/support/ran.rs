//! What came of a process that has ended.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use serde_json::Value;

/// A process that has ended.
pub struct Ran {
    /// Its exit code; none where a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    args: String,
    status: ExitStatus,
}

impl Ran {
    /// From what the process left.
    pub fn new(args: &str, status: ExitStatus, stdout: String, stderr: String) -> Self {
        Self { code: status.code(), stdout, stderr, args: args.to_owned(), status }
    }

    /// That it ended with this exit code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "another exit code was expected: {self}");
        self
    }

    /// Whether it was killed as by `kill -9`.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// That standard output has this text.
    #[track_caller]
    pub fn stdout_has(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "`{text}` is not in standard output: {self}");
        self
    }

    /// That standard error has this text.
    #[track_caller]
    pub fn stderr_has(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "`{text}` is not in standard error: {self}");
        self
    }

    /// That standard output is this text.
    #[track_caller]
    pub fn stdout_is(self, text: &str) -> Self {
        assert!(self.stdout == text, "standard output is not {text:?}: {self}");
        self
    }

    /// That standard error is this text.
    #[track_caller]
    pub fn stderr_is(self, text: &str) -> Self {
        assert!(self.stderr == text, "standard error is not {text:?}: {self}");
        self
    }

    /// That this text is nowhere.
    #[track_caller]
    pub fn has_nowhere(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text) && !self.stderr.contains(text), "`{text}` is in the output: {self}");
        self
    }

    /// Standard output, which is one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("standard output is no JSON ({error}): {self}"))
    }

    /// Standard output, one JSON document a line.
    #[track_caller]
    pub fn json_lines(&self) -> Vec<Value> {
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("`{line}` is no JSON ({error}): {self}"));
        self.stdout.lines().map(line).collect()
    }
}

impl fmt::Display for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`runsheet {}` ended: {}\n--- stdout\n{}\n--- stderr\n{}", self.args, self.status, self.stdout, self.stderr)
    }
}
