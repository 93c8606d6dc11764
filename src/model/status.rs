//! The statuses of steps and runs.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! status {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// Every status, in the order documented.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// As stored, printed and used in expressions.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownStatus;
            fn from_str(text: &str) -> Result<Self, UnknownStatus> {
                match text { $($text => Ok(Self::$variant),)* _ => Err(UnknownStatus(text.to_owned())) }
            }
        }
    };
}

/// A text that is no status.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{0}` is no status")]
pub struct UnknownStatus(pub String);

status! {
    /// Where a step stands.
    StepStatus {
        /// Not started.
        Pending = "pending",
        /// Waits for a time, an approval, a condition or a lock; holds no task.
        Waiting = "waiting",
        /// Observed, checked or applied.
        Running = "running",
        /// The target is being asked what an attempt of unknown outcome did.
        Verifying = "verifying",
        /// Done, and its checks held.
        Succeeded = "succeeded",
        /// Not done, or done and its checks did not hold.
        Failed = "failed",
        /// Not done, on purpose or for want of a need.
        Skipped = "skipped",
        /// The target could not tell what an attempt did; an operator must.
        Unknown = "unknown",
        /// Being taken back.
        RollingBack = "rolling_back",
        /// Taken back: what was there is there again, and the platform has followed.
        RolledBack = "rolled_back",
        /// Not taken back: nothing can, or the platform did not follow.
        Kept = "kept",
        /// Taking it back failed, or somebody else changed what it had changed.
        RollbackFailed = "rollback_failed",
    }
}

status! {
    /// Where a run stands.
    RunStatus {
        /// Something is being done.
        Running = "running",
        /// Nothing is being done until a time comes, a person answers or a lock is free.
        Waiting = "waiting",
        /// Stopped by a failure or on request; `resume` goes on.
        Paused = "paused",
        /// Every step succeeded or was skipped on purpose.
        Succeeded = "succeeded",
        /// Done, but for steps whose failure the playbook lets pass.
        SucceededWithFailures = "succeeded_with_failures",
        /// Could not go on.
        Failed = "failed",
        /// What ran is being taken back.
        RollingBack = "rolling_back",
        /// Everything that ran is rolled back or kept.
        RolledBack = "rolled_back",
        /// Something could not be taken back; an operator must decide.
        Stuck = "stuck",
        /// Ended on request, what was done is kept.
        Cancelled = "cancelled",
    }
}

impl StepStatus {
    /// Whether the step has ended, in whatever way.
    pub fn is_ended(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed | Self::Skipped | Self::RolledBack | Self::Kept | Self::RollbackFailed => true,
            Self::Pending | Self::Waiting | Self::Running | Self::Verifying | Self::Unknown | Self::RollingBack => false,
        }
    }
}

impl RunStatus {
    /// Whether nothing more will happen by itself, and `resume` has nothing to do.
    pub fn is_finished(self) -> bool {
        match self {
            Self::Succeeded | Self::SucceededWithFailures | Self::Failed | Self::RolledBack | Self::Cancelled => true,
            Self::Running | Self::Waiting | Self::Paused | Self::RollingBack | Self::Stuck => false,
        }
    }
}
