//! A playbook as commands for a person's hands, before it is laid out for reading.
//!
//! Invariant: holds no secret's value; what is not known yet is a variable that `variables` or a step's `notes` names.

use serde::Serialize;

/// The whole playbook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Sheet {
    /// The playbook's name.
    pub playbook: String,
    /// Its line for people.
    pub summary: String,
    /// The environment whose values were filled in, where one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// How `kubectl` is led to the right cluster, where any command needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<HandCluster>,
    /// What the person sets first.
    pub variables: Vec<Variable>,
    /// The steps, in an order in which they may be done.
    pub steps: Vec<HandStep>,
}

/// How `kubectl` is led to the right cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandCluster {
    /// What is typed before anything else; the last one only looks.
    pub lines: Vec<String>,
    /// What the person must see, and why.
    pub must: String,
}

/// A shell variable that has to be set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Variable {
    /// `EVENT_ID`
    pub name: String,
    /// Where its value comes from, for people.
    pub from: String,
}

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HandStep {
    /// `scale`, or `caller/scale` in a called playbook.
    pub path: String,
    /// Its line for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// The action or construct.
    pub uses: String,
    /// When it is done at all, what it waits for, who must agree: each a sentence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remarks: Vec<String>,
    /// What is worked out from what was noted at earlier steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sets: Vec<Variable>,
    /// What must hold before it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<HandCheck>,
    /// Lines that show what is there before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub look: Vec<String>,
    /// Lines that do it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub act: Vec<String>,
    /// What must hold after it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after: Vec<HandCheck>,
    /// What to write down from its answer, for later steps.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<Variable>,
    /// Lines that take it back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<String>,
    /// Why it is not taken back, where it changes something and is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<String>,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HandCheck {
    /// The condition in words, and how long it may take.
    pub that: String,
    /// What the playbook says while it does not hold, with a name in angle brackets for each value that is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<String>,
    /// Lines that show it, where another action reads it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub look: Vec<String>,
}
