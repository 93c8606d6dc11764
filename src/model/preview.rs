//! What a run would do, as far as that is known before it starts: for people to confirm, and for programs.
//!
//! Must not hold a secret's value. Invariant: what is not known yet is said to be known later, with the expression it depends on; nothing is guessed.

use serde::Serialize;
use serde_json::Value;

use super::change::ObjectRef;
use super::duration::Span;
use super::id::StepPath;
use super::step::Effect;

/// What a run would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Preview {
    /// The playbook.
    pub playbook: String,
    /// What it is for, in one line.
    pub summary: String,
    /// Where it acts; `None` where the playbook names no target.
    pub target: Option<PreviewTarget>,
    /// Every parameter, in the order declared.
    pub params: Vec<PreviewParam>,
    /// The steps in the playbook's order; those of a called playbook follow the step that calls it.
    pub steps: Vec<PreviewStep>,
    /// There are more steps than are listed.
    pub left_out: bool,
    /// The objects that are locked, sorted; those known later are not among them.
    pub locks: Vec<ObjectRef>,
}

/// Where a run acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PreviewTarget {
    /// The environment's name.
    pub environment: String,
    /// What else there is to know: context, namespace, the cluster's UID, the account.
    pub facts: Vec<Fact>,
}

/// One thing to know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// What: `namespace`.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreviewParam {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// Whether it was not given, and is the playbook's default.
    pub default: bool,
}

/// A value, as far as it is known.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreseen {
    /// It is this.
    Known(Value),
    /// A secret of this name.
    Secret(String),
    /// It depends on this, which is known later.
    Later(String),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PreviewStep {
    /// The step.
    pub path: StepPath,
    /// How many playbooks call each other down to it; 0: a step of the playbook itself.
    pub depth: usize,
    /// The action, or `wait`, `approve`, `playbook`, `monitor`.
    pub uses: String,
    /// One line for people.
    pub summary: Option<String>,
    /// Whether it will be done.
    pub starts: Starts,
    /// The keys of its instances, where it has a `for_each` whose items are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instances: Option<Vec<String>>,
    /// What it can do to the target; `None`: it is a construct, and does nothing by itself.
    pub effect: Option<Effect>,
    /// The objects that it would change.
    pub touches: Vec<ObjectRef>,
    /// Its inputs by name; those of one instance where it has several.
    pub inputs: Vec<(String, Foreseen)>,
    /// What is known later, each as `what: expression`.
    pub later: Vec<String>,
    /// What it waits for before it starts, or as what it does.
    pub waits: Vec<PreviewWait>,
    /// How it is taken back.
    pub undo: Undo,
    /// Whether the run may end well though this fails: it goes on then, or may not come to it.
    pub optional: bool,
    /// Why it cannot work as things are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Whether a step will be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Starts {
    /// When its turn comes.
    Yes,
    /// It will be skipped.
    No {
        /// Why.
        why: String,
    },
    /// That is known later.
    Later {
        /// On what it depends.
        on: String,
    },
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PreviewWait {
    /// People.
    Gate {
        /// How many.
        count: u32,
        /// Who may; empty: anybody.
        by: Vec<String>,
        /// What they are asked.
        message: Option<Foreseen>,
    },
    /// A time.
    Time {
        /// Which, or how long.
        until: Foreseen,
    },
    /// A condition.
    Condition {
        /// The expression.
        that: String,
    },
    /// A check that must hold for a time.
    Check {
        /// The expression.
        that: String,
        /// For how long.
        hold: Span,
    },
}

/// How a step is taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Undo {
    /// There is nothing to take back.
    Nothing,
    /// The action puts back what was there.
    Back,
    /// Another action takes it back.
    Action {
        /// Which.
        uses: String,
        /// Whether a person must agree first.
        approve: bool,
    },
    /// It cannot be taken back.
    Kept {
        /// Why.
        why: String,
    },
}
