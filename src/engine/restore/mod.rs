//! `run.restore`: gives back what a set of earlier runs changed, as the ledger has it.
//!
//! It is an action as any other, but lives with the engine: it reads the journal, and lets each change be taken back by the action that made it.
//! Must not take anything back that the ledger does not lead to. Invariant: a field goes back only from the value at the end of an unbroken chain of
//! changes of these runs to the value at its beginning, as a compare-and-swap; whatever else is found there is left alone and told.

mod found;
mod give;
mod inputs;
mod order;
mod past;
#[cfg(test)]
mod tests;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use found::Found;
use inputs::Input;
use past::Past;

use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, OutputField, touches_nothing};
use crate::model::change::ObjectRef;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Actions, Context, Inputs, Plan};
use crate::ports::history::History;
use crate::ports::journal::Journal;

/// The name of the action.
pub const NAME: &str = "run.restore";

/// Gives back what earlier runs changed.
pub struct Restore {
    past: Option<Past>,
}

impl Restore {
    /// With the journal of the runs, and every other action.
    pub fn new(journal: Arc<dyn Journal>, history: Arc<dyn History>, actions: Actions) -> Self {
        Self { past: Some(Past { journal, history, catalogue: Arc::new(actions.catalogue()), actions }) }
    }

    /// Where there is no journal: for what there is to know about it.
    pub fn without_journal() -> Self {
        Self { past: None }
    }

    fn past(&self) -> Result<&Past, Failure> {
        self.past.as_ref().ok_or_else(|| Failure::permanent(format!("{NAME} needs the journal of the runs, and there is none here")))
    }
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    let output = |name: &str, kind: &str, help: &str| OutputField { name: name.to_owned(), kind: kind.to_owned(), help: help.to_owned() };
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Give back what earlier runs changed".to_owned(),
        page: include_str!("restore.md").to_owned(),
        inputs: inputs::schema(),
        outputs: vec![
            output(
                "given_back",
                "list",
                "each field that went back: `object`, `field`, `from`, `to`, and the `run` whose value it had before",
            ),
            output("left", "list", "what was left alone: `object`, `field`, `live`, `wanted` and `why`"),
            output("runs", "list", "the runs that were looked at, the earliest first, by their short ids"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions,
    })
});

/// Which objects it changes, only the journal knows.
fn permissions(_: &Value, _: Option<&TargetSpec>) -> Needs {
    Needs::default()
}

fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let playbooks = inputs.get("playbooks").and_then(Value::as_array).map(|names| {
        names
            .iter()
            .filter_map(Value::as_str)
            .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-'))
            .collect::<Vec<_>>()
    });
    let of = playbooks.filter(|names| !names.is_empty()).map_or_else(String::new, |names| format!(" of {}", names.join(", ")));
    ByHand {
        look: Vec::new(),
        act: vec![
            format!(
                "# put back what the runs{of} changed and still owe, the latest run first; these two only read, the second prints a run's commands:"
            ),
            "runsheet runs".to_owned(),
            "RUN=  # the id of each of these runs in turn".to_owned(),
            "runsheet status \"${RUN}\" --commands".to_owned(),
        ],
        undo: Vec::new(),
    }
}

#[async_trait]
impl Action for Restore {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input = Input::of(inputs)?;
        let found = self.past()?.find(cx, &input).await?;
        serde_json::to_value(found).map_err(|error| Failure::permanent(format!("what was found cannot be written down: {error}")))
    }

    fn plan(&self, _: &Context, inputs: &Inputs, prior: &Value, _: &Rollback) -> Result<Plan, Failure> {
        Input::of(inputs)?;
        let found = Found::of(prior)?;
        if found.give.is_empty() {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(found.outputs()) });
        }
        let reason = "what was given back is not taken again: run the playbook that changed it".to_owned();
        let intent = Intent { changes: found.changes(), gives_back: true, revert: Revert::Keep { reason }, ..Intent::default() };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        let prepared = Input::of(inputs).and_then(|input| Ok((input, self.past()?, Found::of(&intent.prior)?)));
        match prepared {
            Ok((input, past, found)) => past.give(cx, found, input.settle.0).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        self.past()?.is_given(cx, Found::of(&intent.prior)?).await
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (past, found) = (self.past()?, Found::of(&intent.prior)?);
        let mut all = vec![None; intent.changes.len()];
        for giving in &found.give {
            let values = past.live(cx, &giving.action, &giving.intent).await?;
            for (change, live) in intent.changes.iter().zip(&mut all) {
                *live = live.take().or_else(|| values.of(&change.object, &change.field).cloned());
            }
        }
        Ok(all)
    }

    fn touches_as_observed(&self, observed: &Value) -> Vec<ObjectRef> {
        Found::of(observed).map_or_else(|_| Vec::new(), |found| found.changes().into_iter().map(|change| change.object).collect())
    }

    fn lasts_at_most(&self, inputs: &Inputs, intent: &Intent) -> Option<Duration> {
        Some(give::limit(&Found::of(&intent.prior).ok()?, Input::of(inputs).ok()?.settle.0))
    }
}
