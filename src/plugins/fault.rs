//! What a plugin does wrong when it is talked with.

use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::process::StartError;

/// What went wrong in a talk.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Fault {
    /// It ended before it had answered.
    Ended {
        /// What it was asked.
        asked: &'static str,
        /// How it ended, and its last words.
        how: String,
    },
    /// A line of its stdout is no message.
    Garbage {
        /// What is wrong with the line, as the end of a sentence.
        why: String,
        /// The line's beginning.
        line: String,
    },
    /// A line is longer than messages may be.
    TooLong {
        /// How long they may be, in bytes.
        longest: usize,
    },
    /// It wrote more than it may in all.
    Flood {
        /// How much it may, in bytes.
        most: u64,
    },
    /// It answered what it was not asked.
    UnknownId(u64),
    /// It answered a question twice.
    Twice(&'static str),
    /// Its answer does not fit the protocol.
    Unfit {
        /// What it was asked.
        asked: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It says that it cannot answer.
    Refused {
        /// What it was asked.
        asked: &'static str,
        /// JSON-RPC's code.
        code: i64,
        /// What it says.
        message: String,
    },
    /// Its time was over.
    TimeOver {
        /// What it was asked.
        asked: &'static str,
        /// How long it had.
        within: Span,
    },
    /// Nobody knows how it ended.
    Lost(String),
}

/// Where a talk broke off.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Broken {
    /// The plugin never ran.
    NotStarted(StartError),
    /// It ran, and what matters was never asked: it has not been done.
    Before(Fault),
    /// It had been asked.
    After(Fault),
}

impl Fault {
    /// In words; `plugin` is its name.
    pub(super) fn message(&self, plugin: &str) -> String {
        match self {
            Self::Ended { asked, how } => format!("the plugin {plugin} {how} without an answer to `{asked}`"),
            Self::Garbage { why, line } if line.is_empty() => format!("the plugin {plugin} wrote a line to stdout that {why}"),
            Self::Garbage { why, line } => format!("the plugin {plugin} wrote a line to stdout that {why}: {line}"),
            Self::TooLong { longest } => format!("the plugin {plugin} wrote a message of more than {} KiB", longest / 1024),
            Self::Flood { most } => format!("the plugin {plugin} wrote more than {} MiB to stdout", most >> 20),
            Self::UnknownId(id) => format!("the plugin {plugin} answered a question {id} that it was not asked"),
            Self::Twice(asked) => format!("the plugin {plugin} answered `{asked}` twice"),
            Self::Unfit { asked, why } => format!("the plugin {plugin} answered `{asked}` with what does not fit: {why}"),
            Self::Refused { asked, code, message } => format!("the plugin {plugin} could not answer `{asked}`: {message} (code {code})"),
            Self::TimeOver { asked, within } => format!("the plugin {plugin} did not answer `{asked}` within {within}"),
            Self::Lost(why) => format!("the plugin {plugin} was started, and nobody knows how it ended{why}"),
        }
    }

    /// As a failure.
    pub(super) fn failure(&self, plugin: &str) -> Failure {
        let message = self.message(plugin);
        match self {
            Self::Ended { .. } | Self::TimeOver { .. } | Self::Lost(_) => {
                Failure::transient(message).hint("the step's log has what the plugin wrote to stderr")
            }
            Self::Refused { .. } => Failure::permanent(message).hint("the step's log has what the plugin wrote to stderr"),
            Self::Garbage { .. } => {
                Failure::permanent(message).hint("a plugin writes its messages to stdout, one a line, and everything else to stderr")
            }
            Self::TooLong { .. } | Self::Flood { .. } | Self::UnknownId(_) | Self::Twice(_) | Self::Unfit { .. } => {
                Failure::permanent(message).hint(format!("this is a fault of the plugin: `runsheet plugin check {plugin}` finds such"))
            }
        }
    }
}

impl Broken {
    /// As a failure.
    pub(super) fn failure(&self, plugin: &str) -> Failure {
        match self {
            Self::NotStarted(error) => Failure {
                transient: error.is_transient(),
                ..Failure::permanent(format!("the plugin {plugin} was not started: {error}")).hint(error.hint())
            },
            Self::Before(fault) | Self::After(fault) => fault.failure(plugin),
        }
    }
}
