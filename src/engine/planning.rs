//! The machine's way to the actions' pure `plan`.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::machine::task::{PlanRequest, Planning};
use crate::machine::{idempotency_key, rollback_key};
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::ports::action::{Actions, Context, Inputs, Log};

/// Plans by asking the actions.
pub struct ActionPlanning {
    actions: Actions,
    log: Arc<dyn Log>,
}

struct Mute;

impl Log for Mute {
    fn line(&self, _: &str) {}
    fn part(&self, _: u64, _: u64, _: &str) {}
    fn redact(&self, text: &str) -> String {
        text.to_owned()
    }
}

impl ActionPlanning {
    /// Plans with these actions.
    pub fn new(actions: Actions) -> Self {
        Self { actions, log: Arc::new(Mute) }
    }
}

/// Inputs as an action takes them: nothing at all is an empty map.
pub(super) fn as_given(value: &Value) -> Value {
    if value.is_null() { Value::Object(serde_json::Map::new()) } else { value.clone() }
}

impl Planning for ActionPlanning {
    fn plan(&self, request: PlanRequest<'_>) -> Result<(Intent, Option<Value>), Failure> {
        let Some(action) = self.actions.get(request.action) else {
            return Err(Failure::permanent(format!("there is no action `{}`", request.action)));
        };
        let key = if request.undo { rollback_key } else { idempotency_key };
        let context = Context {
            run: request.run,
            step: request.step.clone(),
            idempotency_key: key(request.run, request.step, request.occurrence),
            attempt: request.attempt,
            target: request.target.cloned(),
            effect: request.effect,
            timeout: None,
            log: Arc::clone(&self.log),
            files: PathBuf::new(),
        };
        let plan = action.plan(&context, &Inputs(as_given(&request.inputs.value)), request.prior, request.rollback)?;
        Ok((plan.intent, plan.unchanged))
    }
}
