//! Whom to tell of what happens to a run, and how a run is confirmed: as an environment's file says it.
//!
//! Must not send anything. Invariant: no value here is a secret; a secret is named by where it comes from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// How a run outside the sandbox is confirmed before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confirm {
    /// By a yes.
    #[default]
    Yes,
    /// By typing the environment's name.
    Name,
}

impl Confirm {
    /// As written in an environment's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Name => "name",
        }
    }
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file, absolute; one line end at its end is not part of the secret.
    File(PathBuf),
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
        }
    }
}

/// What people can be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// The run has started.
    Started,
    /// It waits for a person or a time, or an outcome is unknown.
    Waiting,
    /// A failure has paused it, or ended it.
    Failed,
    /// It is stuck: what could not be taken back needs an operator.
    Stuck,
    /// It has ended.
    Finished,
    /// It has ended and still owes changes.
    Owed,
}

impl Occasion {
    /// Every occasion, in the order documented.
    pub const ALL: [Self; 6] = [Self::Started, Self::Waiting, Self::Failed, Self::Stuck, Self::Finished, Self::Owed];

    /// As written in an environment's file.
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

/// The URL of a webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WebhookUrl {
    /// As written.
    Plain(String),
    /// A secret, because whoever knows the URL may post to it.
    Secret(SecretRef),
}

/// How somebody is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotifyTo {
    /// By an HTTP POST of JSON.
    Webhook {
        /// To this URL.
        url: WebhookUrl,
        /// With this bearer token.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bearer: Option<SecretRef>,
    },
    /// By a command, which reads JSON from its standard input.
    Command {
        /// The program and its arguments; never empty.
        argv: Vec<String>,
    },
}

/// Who is told of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotifyRule {
    /// Of these; never empty.
    pub on: Vec<Occasion>,
    /// In this way.
    pub to: NotifyTo,
}
