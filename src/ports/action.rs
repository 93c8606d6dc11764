//! Actions: what acts on the world, and can say what it did.
//!
//! Invariant: `observe`, `verify`, `live` and `followed` only read; `plan` is pure; only `apply` and `revert` change anything, and only after their
//! intent was committed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::model::catalogue::{ActionEntry, Catalogue};
use crate::model::change::{ObjectRef, Swap};
use crate::model::id::{RunId, StepPath};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};

/// What an action is given, beyond its inputs.
pub struct Context {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepPath,
    /// A hash of run, step and occurrence: the same for every attempt of one doing. 32 hex digits.
    pub idempotency_key: String,
    /// From 1; 0 where nothing is attempted (a reading).
    pub attempt: u32,
    /// The target, as recorded in the run.
    pub target: Option<TargetSpec>,
    /// How the step is to be treated on a second execution.
    pub effect: Effect,
    /// How long the attempt may take, where the step says; the action ends by itself before, or is cut off.
    pub timeout: Option<Duration>,
    /// Where lines and progress go. Redacts before anything is written.
    pub log: Arc<dyn Log>,
    /// A folder of the step's own for files (captured output, a child's lock and outcome), under the state folder. Made when asked for.
    pub files: std::path::PathBuf,
}

/// Where an action's lines and progress go.
pub trait Log: Send + Sync {
    /// One line, without its line end. Redacted, shown and appended to the step's log file.
    fn line(&self, line: &str);
    /// A part of a whole.
    fn part(&self, done: u64, total: u64, what: &str);
    /// The text without any secret's value.
    fn redact(&self, text: &str) -> String;
}

/// Inputs with secrets in place. Its `Debug` shows nothing; it is never stored or logged.
pub struct Inputs(pub Value);

impl std::fmt::Debug for Inputs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inputs(..)")
    }
}

/// What an action would do, worked out from what it observed.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The intent to be recorded: changes, revert, note, lines for a person's hands. (`prior` is filled in by the engine.)
    pub intent: Intent,
    /// The wanted state is there already: nothing is sent, and the step succeeds with these outputs.
    pub unchanged: Option<Value>,
}

/// One action, built in or a plugin's.
#[async_trait]
pub trait Action: Send + Sync {
    /// What there is to know about it without running it.
    fn entry(&self) -> Arc<ActionEntry>;

    /// Reads the action's own object: `prior` before the first attempt, `result` for checks. An action that observes nothing returns `null`.
    ///
    /// # Errors
    /// A read that failed; never unknown.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure>;

    /// What it would do, given what was observed. Pure. `rollback` is the step's own word; the action honours `none` and ignores `Action`,
    /// which the engine puts in its place.
    ///
    /// # Errors
    /// When the inputs cannot be had from this state (a floor above the maximum): the step fails and nothing is sent.
    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure>;

    /// Does it.
    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied;

    /// Asks the target whether the attempt with this intent happened. Only reads.
    ///
    /// # Errors
    /// A read that failed: it is asked again later.
    async fn verify(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Result<Verdict, Failure>;

    /// The live value of each change of the intent, in order; `None` where the object is gone. Only reads; needs no inputs.
    ///
    /// # Errors
    /// A read that failed.
    async fn live(&self, _cx: &Context, _intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        Ok(Vec::new())
    }

    /// Swaps these fields back, each only if `from` is still there. Idempotent.
    async fn revert(&self, _cx: &Context, _intent: &Intent, _swaps: &[Swap]) -> Applied {
        Applied::NotApplied { failure: Failure::permanent("this action has no revert") }
    }

    /// What it would touch besides what its inputs say, by what it observed: these locks are taken, and it observes anew under them.
    fn touches_as_observed(&self, _observed: &Value) -> Vec<ObjectRef> {
        Vec::new()
    }

    /// How long an attempt may take where the step does not say; `None`: as long as the engine gives any.
    fn lasts_at_most(&self, _inputs: &Inputs, _intent: &Intent) -> Option<Duration> {
        None
    }

    /// For how long an attempt of unknown outcome that is still under way is asked about before a person has to decide; `None`: as long as the engine
    /// asks about any.
    fn under_way_for(&self, _inputs: &Inputs) -> Option<Duration> {
        None
    }

    /// Whether the platform has followed the revert (the pods are gone). Only reads.
    ///
    /// # Errors
    /// A read that failed.
    async fn followed(&self, _cx: &Context, _intent: &Intent) -> Result<Followed, Failure> {
        Ok(Followed::Yes)
    }
}

/// Every action that can be run, by name.
#[derive(Clone, Default)]
pub struct Actions {
    by_name: BTreeMap<String, Arc<dyn Action>>,
}

impl Actions {
    /// These actions.
    pub fn new(actions: impl IntoIterator<Item = Arc<dyn Action>>) -> Self {
        Self { by_name: actions.into_iter().map(|action| (action.entry().name.clone(), action)).collect() }
    }

    /// These and more.
    #[must_use]
    pub fn and(mut self, more: impl IntoIterator<Item = Arc<dyn Action>>) -> Self {
        self.by_name.extend(more.into_iter().map(|action| (action.entry().name.clone(), action)));
        self
    }

    /// The action of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Action>> {
        self.by_name.get(name)
    }

    /// What there is to know about all of them.
    pub fn catalogue(&self) -> Catalogue {
        Catalogue::new(self.by_name.values().map(|action| action.entry()))
    }
}

/// The objects a step would touch, from its inputs (with `null` for secrets).
pub fn touched(entry: &ActionEntry, inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let mut objects = entry.touched(inputs, target);
    objects.sort();
    objects.dedup();
    objects
}
