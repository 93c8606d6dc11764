//! Whom an environment wants told of its runs, when, and how a run in it is confirmed.
//!
//! Must not hold a secret's value: only where it comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Something that people want to hear of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// A run began.
    Started,
    /// A run waits: for a person at a gate or because of an unknown outcome, for a time, or for somebody else's lock.
    Waiting,
    /// A step failed and the run is paused, is taken back or has ended because of it.
    Failed,
    /// A run could not be taken back: an operator must decide.
    Stuck,
    /// A run ended, well or not.
    Finished,
    /// A run ended, and changes of it are to be given back.
    Owed,
}

impl Occasion {
    /// Every occasion, in the order documented.
    pub const ALL: [Self; 6] = [Self::Started, Self::Waiting, Self::Failed, Self::Stuck, Self::Finished, Self::Owed];

    /// As written in an environment's file and in what is told.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Waiting => "waiting",
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Finished => "finished",
            Self::Owed => "owed",
        }
    }
}

/// Who is told on which occasions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyRule {
    /// On any of these. Where several come together, it is told once.
    pub on: Vec<Occasion>,
    /// Whom.
    pub to: NotifyTo,
}

/// Whom a notification goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotifyTo {
    /// An HTTP `POST`.
    Webhook {
        /// Where to.
        url: WebhookUrl,
        /// What is sent as `Authorization: Bearer`.
        bearer: Option<SecretRef>,
    },
    /// A program on this machine.
    Command {
        /// The program and its arguments; at least one.
        argv: Vec<String>,
    },
}

/// Where a webhook is. A chat's webhook is a secret as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebhookUrl {
    /// As written.
    Plain(String),
    /// From a secret.
    Secret(SecretRef),
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file.
    File(PathBuf),
}

/// How a run is confirmed before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// By a yes.
    #[default]
    Yes,
    /// By typing the environment's name.
    Name,
}
