//! A step as it was checked at load.

use serde::{Deserialize, Serialize};

use super::duration::Span;
use super::monitor::Monitor;
use super::status::StepStatus;
use super::template::{Source, Template};

/// One step of a playbook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// `[a-z][a-z0-9_]*`, unique within its playbook.
    pub id: String,
    /// 1-based line of the step in its file, for messages.
    pub line: u32,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What must have ended first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<Need>,
    /// Starts when its needs have ended in any status, even in a run that failed or was cancelled.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub always: bool,
    /// What it does.
    pub uses: Uses,
    /// `false`: the step is skipped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<Source>,
    /// Not before this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Box<At>>,
    /// One instance for each item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<Box<ForEach>>,
    /// Conditions before the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Condition>,
    /// Conditions after the action.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<Condition>,
    /// How it is taken back.
    #[serde(default)]
    pub rollback: Rollback,
    /// How often and when it is tried again.
    #[serde(default)]
    pub retry: Retry,
    /// The time for all attempts and checks together; not gates, locks, or the time nobody ran it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Span>,
    /// The time for one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt_timeout: Option<Span>,
    /// What its failure means for the run; `None`: what the caller says, else `pause`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_failure: Option<OnFailure>,
    /// A gate before the step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Box<Gate>>,
    /// What a second execution would mean: the step's own word, else the action's.
    pub effect: Effect,
    /// Values for later steps, evaluated with `result` when the step has succeeded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<(String, Template)>,
}

/// A dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Need {
    /// The id of a step of the same playbook.
    pub step: String,
    /// The statuses in which it may have ended.
    pub accept: Vec<Accept>,
}

/// An ending that a dependent can accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accept {
    /// It succeeded.
    Succeeded,
    /// It was skipped by its `when` or by an operator (never for want of a need of its own: that propagates).
    Skipped,
    /// It failed.
    Failed,
}

impl Accept {
    /// Every ending, in the order documented.
    pub const ALL: [Self; 3] = [Self::Succeeded, Self::Skipped, Self::Failed];

    /// As written in a playbook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }

    /// The status it stands for.
    pub fn status(self) -> StepStatus {
        match self {
            Self::Succeeded => StepStatus::Succeeded,
            Self::Skipped => StepStatus::Skipped,
            Self::Failed => StepStatus::Failed,
        }
    }
}

/// What a step does: an action, or a construct of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Uses {
    /// A built-in action or a plugin's, by its name in the catalogue.
    Action {
        /// `k8s.scale`
        name: String,
        /// Its inputs.
        with: Template,
        /// Which of its inputs are secrets: the place in `with` and the secret's name. At these places `with` holds `null`.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretInput>,
    },
    /// Waits, holding no task and no slot.
    Wait(Wait),
    /// Waits for people.
    Approve(Gate),
    /// Runs another playbook's steps as part of this run.
    Playbook {
        /// Its name, always literal.
        name: String,
        /// Its parameters.
        params: Template,
    },
    /// Samples actions that read, until a time or a condition; an alert starts a playbook.
    Monitor(Box<Monitor>),
}

/// An input that is a secret.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SecretInput {
    /// JSON Pointer (RFC 6901) into the inputs.
    pub at: String,
    /// The secret's name as the playbook declares it.
    pub secret: String,
}

/// The construct `wait`: exactly one of its forms.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// So long from the moment the step starts; the end is fixed then and survives a restart.
    Duration(Template),
    /// Until this time.
    Until(Template),
    /// Until a condition holds.
    That(Box<Condition>),
}

/// An absolute time before which a step does not start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct At {
    /// RFC 3339 with an offset or a zone, or an expression that gives one.
    pub time: Template,
    /// A later time after which starting does harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<Template>,
    /// What happens after `not_after`.
    #[serde(default)]
    pub if_late: IfLate,
}

/// What happens to a step whose time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IfLate {
    /// It starts all the same.
    Run,
    /// It waits for a person's approval.
    #[default]
    Ask,
    /// It is skipped.
    Skip,
}

/// One instance of a step for each item, fixed when it expands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ForEach {
    /// A list: an instance for each distinct value, keyed by it; or a map: keyed by its keys.
    pub items: Template,
    /// How many at once; `None`: as many as the run allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_parallel: Option<u32>,
}

/// A condition of `check.before`, `check.after` or `wait`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// A CEL expression that gives a boolean; may use `result` (the latest reading) and `prior`.
    pub that: Source,
    /// What people are told when it does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
    /// How long it may take to become true; `None`: it is looked at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// How often it is looked at.
    pub every: Span,
    /// How long it must hold without a break.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<Span>,
    /// Where `result` comes from: an action that reads; `None`: the step's own action observes its object anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

/// An action that only reads, with its inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Its name in the catalogue.
    pub uses: String,
    /// Its inputs.
    pub with: Template,
    /// Which of them are secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretInput>,
}

/// How a step is taken back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rollback {
    /// By the action's own revert, where it has one.
    #[default]
    Auto,
    /// Not at all: it is kept, and listed.
    None,
    /// By another action, whose inputs are resolved before the effect and recorded with the intent.
    Action {
        /// Its name in the catalogue.
        uses: String,
        /// Its inputs; may use `prior` and what the step's inputs may, not the step's outputs.
        with: Template,
        /// Which of them are secrets.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        secrets: Vec<SecretInput>,
        /// A person must agree first.
        #[serde(default)]
        approve: bool,
        /// What a second execution of it would mean.
        effect: Effect,
    },
}

/// How often and when a step is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// Attempts in all, the first included; at least 1.
    pub attempts: u32,
    /// How the delay grows.
    pub backoff: Backoff,
    /// The delay before the second attempt.
    pub initial: Span,
    /// The longest delay.
    pub max: Span,
    /// Whether a delay is shortened by up to half, so that many do not come at once. It is a hash of run, step and attempt, never random.
    pub jitter: bool,
}

impl Default for Retry {
    fn default() -> Self {
        Self { attempts: 1, backoff: Backoff::Exponential, initial: Span::seconds(1), max: Span::seconds(60), jitter: true }
    }
}

/// How delays grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Backoff {
    /// Always `initial`.
    Constant,
    /// Doubles each time.
    Exponential,
}

/// What a step's failure means for its run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFailure {
    /// What ran is taken back.
    Rollback,
    /// Nothing new starts; what is done is kept; an operator decides.
    Pause,
    /// The run goes on without what needs the step.
    Continue,
}

/// A gate that people open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gate {
    /// How many different people must approve; at least 1.
    pub count: u32,
    /// Who may; empty: anybody.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub by: Vec<String>,
    /// What they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Template>,
    /// Until when: an absolute time, or a duration from when the gate closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Template>,
    /// What happens when it was refused or the time is over.
    #[serde(default)]
    pub otherwise: Otherwise,
}

/// What a gate that stayed shut means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Otherwise {
    /// The step fails.
    #[default]
    Fail,
    /// The step is skipped.
    Skip,
}

/// What a second execution would mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Changes nothing: it is simply done again.
    Read,
    /// Ends in the same state however often it is done.
    Idempotent,
    /// Must not be done twice: an unknown outcome that `verify` cannot tell waits for an operator.
    Once,
}

impl Effect {
    /// As written in a playbook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Idempotent => "idempotent",
            Self::Once => "once",
        }
    }
}
