//! What came of what was asked of a target.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::duration::Span;

/// Why something did not work, for people and for the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// What happened, to what. Redacted before it gets here.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether trying again can help: a refused connection, yes; a forbidden verb, no.
    #[serde(default)]
    pub transient: bool,
    /// How long the target asks to be left alone before the next try (HTTP's `Retry-After`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Span>,
}

impl Failure {
    /// A failure that trying again cannot mend.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, transient: false, retry_after: None }
    }

    /// A failure that may pass.
    pub fn transient(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, transient: true, retry_after: None }
    }

    /// The same with a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same with the wait that the target asks for, where it asks for one.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Span>) -> Self {
        self.retry_after = wait;
        self
    }

    /// How long to leave the target alone; at most [`LONGEST_WAIT`].
    pub fn asked_wait(&self) -> Duration {
        self.retry_after.unwrap_or_default().min(LONGEST_WAIT).0
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

/// The longest wait that a target may ask for: one that wants more is not waited for, and the step has failed.
pub const LONGEST_WAIT: Span = Span::seconds(3600);

/// What came of one attempt. There is no default: whoever applies must say which.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// The target has it.
    Applied {
        /// The action's outputs by name.
        outputs: Value,
    },
    /// The target certainly does not have it.
    NotApplied {
        /// Why.
        failure: Failure,
    },
    /// It ended in failure and may have had an effect (a command's non-zero exit, an assertion of the target). Tried again only if `read` or `idempotent`.
    FailedWithEffect {
        /// Why.
        failure: Failure,
        /// What it left: exit code and the like.
        outputs: Value,
    },
    /// Nobody knows: a timeout, a cut connection, a 5xx, a killed child.
    Unknown {
        /// What happened.
        failure: Failure,
    },
}

/// The target's answer to whether an attempt happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It did: the attempt succeeded.
    Present {
        /// The action's outputs by name.
        outputs: Value,
    },
    /// It did not: it may be tried again under the same key.
    Absent,
    /// It is under way: ask again later.
    InProgress {
        /// What is seen.
        message: String,
    },
    /// The target does not say.
    CannotTell {
        /// Why.
        reason: String,
    },
}

/// Whether the platform has followed a revert.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// It has: the pods are gone.
    Yes,
    /// Not yet, or never.
    No {
        /// What holds it.
        holds: String,
    },
}
