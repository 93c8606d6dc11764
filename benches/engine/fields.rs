//! The action `set`: changes a field of a table in memory, as an action does that observes a prior value and can be reverted.
//!
//! Invariant: it costs the engine all that a real one costs (an observation, an intent with a change, a ledger entry), and its target nothing.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use runsheet::model::catalogue::ActionEntry;
use runsheet::model::change::{Change, ObjectRef, Swap};
use runsheet::model::duration::Span;
use runsheet::model::intent::{Intent, Revert};
use runsheet::model::outcome::{Applied, Failure, Verdict};
use runsheet::model::run::TargetSpec;
use runsheet::model::step::{Effect, Rollback};
use runsheet::ports::action::{Action, Context, Inputs, Plan};
use serde_json::{Value, json};

/// The action, with its table.
pub struct Fields {
    entry: Arc<ActionEntry>,
    fields: Mutex<HashMap<String, Value>>,
}

impl Default for Fields {
    fn default() -> Self {
        let entry = ActionEntry {
            name: "set".to_owned(),
            summary: "Set a field".to_owned(),
            page: String::new(),
            inputs: json!({ "type": "object" }),
            outputs: vec![],
            effect: Effect::Idempotent,
            effect_from_step: false,
            observes: true,
            reverts: true,
            needs_target: false,
            immediate: false,
            touches: table,
            by_hand: runsheet::model::by_hand::nothing_by_hand,
            permissions: runsheet::model::permission::needs_nothing,
        };
        Self { entry: Arc::new(entry), fields: Mutex::default() }
    }
}

impl Fields {
    fn fields(&self) -> MutexGuard<'_, HashMap<String, Value>> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn live(&self, field: &str) -> Value {
        self.fields().get(field).cloned().unwrap_or_else(|| json!(2))
    }
}

/// All fields are of one object: its lock is taken once for a run, as for a run that does several things to one Deployment.
fn table(_: &Value, _: Option<&TargetSpec>) -> Vec<ObjectRef> {
    vec![ObjectRef("memory:table".to_owned())]
}

fn name(inputs: &Inputs) -> &str {
    inputs.0["field"].as_str().unwrap_or_default()
}

#[async_trait]
impl Action for Fields {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&self.entry)
    }

    async fn observe(&self, _: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        Ok(self.live(name(inputs)))
    }

    fn plan(&self, _: &Context, inputs: &Inputs, prior: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let change = Change {
            object: ObjectRef("memory:table".to_owned()),
            field: name(inputs).to_owned(),
            label: "replicas".to_owned(),
            prior: prior.clone(),
            after: inputs.0["value"].clone(),
        };
        let revert = Revert::Fields { settle: Span::seconds(1) };
        Ok(Plan { intent: Intent { changes: vec![change], revert, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, _: &Context, inputs: &Inputs, intent: &Intent) -> Applied {
        for change in &intent.changes {
            self.fields().insert(name(inputs).to_owned(), change.after.clone());
        }
        Applied::Applied { outputs: json!({}) }
    }

    async fn verify(&self, _: &Context, inputs: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let there = intent.changes.iter().all(|change| self.live(name(inputs)) == change.after);
        Ok(if there { Verdict::Present { outputs: json!({}) } } else { Verdict::Absent })
    }

    async fn live(&self, _: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        Ok(intent.changes.iter().map(|change| Some(self.live(&change.field))).collect())
    }

    async fn revert(&self, _: &Context, _: &Intent, swaps: &[Swap]) -> Applied {
        for swap in swaps {
            self.fields().insert(swap.field.clone(), swap.to.clone());
        }
        Applied::Applied { outputs: Value::Null }
    }
}
