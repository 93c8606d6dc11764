//! The command lines that people are told to type. Every page takes them from here, so that they change in one place.
//!
//! Must not: leave a path unquoted that a shell would read more into.

use super::text::shell_word;
use crate::model::id::{RunId, StepPath};

/// A command to type, and what it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suggestion {
    /// `runsheet rollback 3fa9c1d2`
    pub command: String,
    /// What it does, in a few words.
    pub what: String,
}

/// `runsheet VERB RUN`
pub fn of_run(verb: &str, run: RunId, what: impl Into<String>) -> Suggestion {
    Suggestion { command: format!("runsheet {verb} {}", run.short()), what: what.into() }
}

/// `runsheet VERB RUN STEP`
pub fn of_step(verb: &str, run: RunId, step: &StepPath, what: impl Into<String>) -> Suggestion {
    Suggestion { command: format!("runsheet {verb} {} {}", run.short(), shell_word(step.as_str())), what: what.into() }
}

/// `runsheet VERB RUN STEP --reason '…'`, for what an operator answers for.
pub fn with_reason(verb: &str, run: RunId, step: &StepPath, what: impl Into<String>) -> Suggestion {
    let Suggestion { command, what } = of_step(verb, run, step, what);
    Suggestion { command: format!("{command} --reason '…'"), what }
}
