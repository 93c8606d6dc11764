//! What the machine asks the executor to do, once the events that came with it are committed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::state::NodeId;
use crate::expr::{Bindings, Expression, Root, resolve};
use crate::model::change::{ObjectRef, Swap};
use crate::model::event::Phase;
use crate::model::id::StepPath;
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::step::{Effect, Rollback};
use crate::model::template::{Source, Template};

/// Something to be done for a step. Its answer is one [`Input`](super::Input) with the same node and token.
#[derive(Clone, Debug)]
pub struct Task {
    /// The step.
    pub step: StepPath,
    /// The step's place in the state.
    pub node: NodeId,
    /// Unique within the process: an answer with another token comes too late and is dropped.
    pub token: u64,
    /// What to do.
    pub what: What,
    /// What a second execution would mean.
    pub effect: Effect,
    /// Which doing of the step.
    pub occurrence: u32,
    /// From 1; 0 where nothing is attempted.
    pub attempt: u32,
    /// When it is cut off; `None`: the executor's own limit for what only reads.
    pub timeout: Option<Duration>,
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum What {
    /// Take the locks, then read the action's own object.
    Observe {
        /// The action.
        action: String,
        /// Its inputs.
        inputs: Arc<ResolvedInputs>,
        /// The locks, sorted.
        objects: Vec<ObjectRef>,
    },
    /// Look until the condition holds, or its time is over.
    Check {
        /// Before or after the action.
        phase: Phase,
        /// Which of them.
        index: u32,
        /// The condition.
        check: Arc<Check>,
    },
    /// Take samples until they are over. It only reads, and nothing else waits for it: it counts as no task on its way.
    Watch(Arc<Watch>),
    /// Do it.
    Apply {
        /// The action.
        action: String,
        /// Its inputs.
        inputs: Arc<ResolvedInputs>,
        /// The committed intent.
        intent: Arc<Intent>,
    },
    /// Ask whether an attempt happened; while it is in progress, ask again.
    Verify {
        /// The action.
        action: String,
        /// Its inputs.
        inputs: Arc<ResolvedInputs>,
        /// The committed intent.
        intent: Arc<Intent>,
    },
    /// Read the live values of the intent's changes, and compare them with the ledger.
    ReadLive {
        /// The action.
        action: String,
        /// The committed intent.
        intent: Arc<Intent>,
    },
    /// Swap fields back.
    Swap {
        /// The action.
        action: String,
        /// The committed intent.
        intent: Arc<Intent>,
        /// What to swap.
        swaps: Vec<Swap>,
    },
    /// Look until the platform has followed, or its time is over.
    Follow {
        /// The action.
        action: String,
        /// The committed intent.
        intent: Arc<Intent>,
        /// How long it may take.
        settle: Duration,
    },
    /// Do the step's own rollback action.
    RevertApply {
        /// The action.
        action: String,
        /// Its inputs.
        inputs: Arc<ResolvedInputs>,
        /// The committed intent.
        intent: Arc<Intent>,
    },
    /// Ask whether the step's own rollback action happened.
    RevertVerify {
        /// The action.
        action: String,
        /// Its inputs.
        inputs: Arc<ResolvedInputs>,
        /// The committed intent.
        intent: Arc<Intent>,
    },
}

/// What a monitor samples, with everything it needs but the samples.
#[derive(Clone, Debug)]
pub struct Watch {
    /// From one sample to the next.
    pub every: Duration,
    /// When it ends; `None`: only a condition ends it.
    pub until: Option<jiff::Timestamp>,
    /// It ends when this holds.
    pub that: Option<Source>,
    /// What is read: name, action, inputs.
    pub samples: Vec<(String, String, Arc<ResolvedInputs>)>,
    /// Numbers to be kept, by name.
    pub series: Vec<(String, Template)>,
    /// What is looked out for.
    pub alarms: Vec<Alarm>,
    /// Everything but `result`.
    pub bindings: Bindings,
}

/// What a monitor looks out for.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// The alert.
    pub name: String,
    /// Its condition.
    pub when: Source,
    /// How long it must hold.
    pub hold: Option<Duration>,
    /// What people are told.
    pub message: Option<Template>,
}

/// A condition with everything it needs but its reading.
#[derive(Clone, Debug)]
pub struct Check {
    /// The condition, with its line and column.
    pub that: Source,
    /// What people are told when it does not hold.
    pub message: Option<Template>,
    /// Everything but `result`.
    pub bindings: Bindings,
    /// How long it may take to become true; `None`: looked at once.
    pub within: Option<Duration>,
    /// How often it is looked at.
    pub every: Duration,
    /// How long it must hold without a break.
    pub hold: Option<Duration>,
    /// The action that reads, with its inputs.
    pub reading: Option<(String, Arc<ResolvedInputs>)>,
}

impl Check {
    /// Whether it holds for this reading.
    ///
    /// # Errors
    /// When it has no value, or not a boolean one.
    pub fn holds(&self, result: &Value) -> Result<bool, Failure> {
        let failed = |message: String| Failure::permanent(message);
        let expression = Expression::parse(&self.that.text).map_err(|error| failed(error.to_string()))?;
        match expression.evaluate(&self.bindings.clone().with(Root::Result, result.clone())) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(other) => Err(failed(format!("line {}: `{}` is {other}, not true or false", self.that.line, self.that.text))),
            Err(error) => Err(failed(format!("line {}: `{}`: {error}", self.that.line, self.that.text))),
        }
    }

    /// What people are told when it does not hold.
    pub fn complaint(&self, result: &Value) -> String {
        let said =
            self.message.as_ref().and_then(|message| match resolve(message, &self.bindings.clone().with(Root::Result, result.clone())) {
                Ok(Value::String(text)) => Some(text),
                Ok(other) => Some(other.to_string()),
                Err(_) => None,
            });
        let said = said.unwrap_or_else(|| {
            let seen = at_most(result.to_string(), 300);
            format!("`{}` does not hold; the latest reading is {seen}", self.that.text)
        });
        // A reading may know what keeps it from being as wanted.
        match result.get("holds").and_then(Value::as_str) {
            Some(holds) => format!("{said}; {}", at_most(holds.to_owned(), 600)),
            None => said,
        }
    }
}

/// The text, cut where it is longer than so many characters.
fn at_most(text: String, most: usize) -> String {
    if text.chars().count() > most { text.chars().take(most).chain("…".chars()).collect() } else { text }
}

/// Works out intents. Implemented over the actions' own pure `plan`; must be a function of its arguments alone.
pub trait Planning: Send + Sync {
    /// The intent, and the outputs where nothing has to be done.
    ///
    /// # Errors
    /// When the action says that its inputs cannot be had from this state.
    fn plan(&self, request: PlanRequest<'_>) -> Result<(Intent, Option<Value>), Failure>;
}

/// What a plan is worked out from.
pub struct PlanRequest<'a> {
    /// The state's run.
    pub run: crate::model::id::RunId,
    /// The step.
    pub step: &'a StepPath,
    /// Which doing of it.
    pub occurrence: u32,
    /// The attempt that would be made.
    pub attempt: u32,
    /// Whether the action is the step's rollback, not the step itself.
    pub undo: bool,
    /// The action.
    pub action: &'a str,
    /// Its inputs, with `null` for secrets.
    pub inputs: &'a ResolvedInputs,
    /// What was observed.
    pub prior: &'a Value,
    /// The step's own word on its rollback.
    pub rollback: &'a Rollback,
    /// What a second execution would mean.
    pub effect: Effect,
    /// The run's target.
    pub target: Option<&'a crate::model::run::TargetSpec>,
}
