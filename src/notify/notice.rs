//! What is told, as a document.
//!
//! Invariant: whatever goes out goes through the redactor first.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::environment::Redactor;
use crate::model::id::{RunId, StepPath};
use crate::model::notification::Occasion;
use crate::model::status::RunStatus;

/// The version of the document.
const VERSION: u32 = 1;
/// How many of the changes that are owed are listed.
const OWED: usize = 50;
/// The longest message, in characters: a chat shows no more.
const MESSAGE: usize = 1000;

/// Something to be told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it is, the most telling first.
    pub occasions: Vec<Occasion>,
    /// The event's place in the run's journal.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// Its environment.
    pub environment: Option<String>,
    /// Its status.
    pub status: RunStatus,
    /// The step that it is about.
    pub step: Option<StepPath>,
    /// One line for people.
    pub message: String,
    /// What is to be given back.
    pub owed: Vec<Given>,
    /// What can be typed.
    pub next: Vec<Next>,
    /// The machine that works on the run.
    pub host: String,
    /// Who started the run.
    pub operator: String,
}

/// A change that is to be given back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// In one line.
    pub what: String,
    /// The steps that made it.
    pub steps: Vec<StepPath>,
    /// Lines for a shell that undo it.
    pub undo_by_hand: Vec<String>,
}

/// A command to type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Next {
    /// `runsheet resume 3fa9c1d2`
    pub command: String,
    /// What it does.
    pub what: String,
}

impl Notice {
    /// The document that is sent.
    pub fn document(&self, occasion: Occasion, redactor: &Redactor) -> Value {
        let message = self.line();
        let owed = self.owed.iter().take(OWED);
        redactor.value(json!({
            "version": VERSION,
            "id": format!("{}/{}/{}", self.run, self.seq, occasion.as_str()),
            "occasion": occasion,
            "message": message,
            "text": message,
            "run": self.run,
            "short_id": self.run.short(),
            "playbook": self.playbook,
            "environment": self.environment,
            "status": self.status,
            "step": self.step,
            "at": self.at,
            "owed": owed.map(|owed| json!({ "what": owed.what, "steps": owed.steps, "undo_by_hand": owed.undo_by_hand })).collect::<Vec<_>>(),
            "owed_count": self.owed.len(),
            "next": self.next.iter().map(|next| json!({ "command": next.command, "what": next.what })).collect::<Vec<_>>(),
            "host": self.host,
            "operator": self.operator,
        }))
    }

    /// The variables that a command gets.
    pub fn variables(&self, occasion: Occasion, redactor: &Redactor) -> Vec<(String, String)> {
        let all = [
            ("OCCASION", occasion.as_str().to_owned()),
            ("MESSAGE", self.line()),
            ("RUN", self.run.to_string()),
            ("SHORT_ID", self.run.short()),
            ("PLAYBOOK", self.playbook.clone()),
            ("ENVIRONMENT", self.environment.clone().unwrap_or_default()),
            ("STATUS", self.status.as_str().to_owned()),
            ("STEP", self.step.as_ref().map(ToString::to_string).unwrap_or_default()),
        ];
        all.into_iter()
            // No variable can hold a NUL.
            .map(|(name, value)| (format!("RUNSHEET_{name}"), redactor.text(&value).replace('\0', "")))
            .collect()
    }

    fn line(&self) -> String {
        let line = self.message.split_whitespace().collect::<Vec<_>>().join(" ");
        if line.chars().nth(MESSAGE).is_none() { line } else { line.chars().take(MESSAGE - 1).chain(['…']).collect() }
    }
}
