//! `noop`: does nothing, and succeeds. A place for a step's gates, checks and times.
//!
//! Invariant: no input, no output, no effect.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::actions::support::comment;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const PAGE: &str = "\
Does nothing and succeeds at once: a step that only has a gate, a time, checks or dependents.

Effect: `read`. It touches no target, so there is nothing to guard, to verify or to undo.
Errors: none.";

/// Inputs of `noop`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NoopInputs {
    /// A line for the step's log.
    message: Option<String>,
}

/// The action `noop`.
pub struct Noop {
    entry: Arc<ActionEntry>,
}

impl Default for Noop {
    fn default() -> Self {
        let entry = ActionEntry {
            name: "noop".into(),
            summary: "Do nothing, and succeed".into(),
            page: PAGE.into(),
            inputs: schemars::schema_for!(NoopInputs).to_value(),
            outputs: Vec::new(),
            effect: Effect::Read,
            effect_from_step: false,
            observes: false,
            reverts: false,
            needs_target: false,
            immediate: true,
            touches: touches_nothing,
            by_hand,
            permissions: crate::model::permission::needs_nothing,
        };
        Self { entry: Arc::new(entry) }
    }
}

fn by_hand(inputs: &Value, _: Option<&TargetSpec>) -> ByHand {
    let message = inputs.get("message").and_then(Value::as_str).filter(|message| !message.is_empty());
    ByHand { act: message.map(comment).into_iter().collect(), ..ByHand::default() }
}

fn nothing() -> Value {
    Value::Object(Map::new())
}

#[async_trait]
impl Action for Noop {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&self.entry)
    }

    async fn observe(&self, _: &Context, _: &Inputs) -> Result<Value, Failure> {
        Ok(nothing())
    }

    fn plan(&self, _: &Context, _: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        match Option::<NoopInputs>::deserialize(&inputs.0) {
            Ok(inputs) => {
                if let Some(message) = inputs.unwrap_or_default().message {
                    cx.log.line(&message);
                }
                Applied::Applied { outputs: nothing() }
            }
            Err(error) => Applied::NotApplied { failure: Failure::permanent(format!("the inputs of `noop` do not fit: {error}")) },
        }
    }

    async fn verify(&self, _: &Context, _: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(Verdict::Present { outputs: nothing() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::actions::command::testing::{Heard, context};

    #[tokio::test]
    async fn it_does_nothing_but_say_so() {
        let heard = Arc::new(Heard::default());
        let (_folder, cx) = context(&heard, Effect::Read);
        let noop = Noop::default();
        for inputs in [json!(null), json!({}), json!({ "message": "hello" })] {
            let applied = noop.apply(&cx, &Inputs(inputs), &Intent::default()).await;
            assert_eq!(applied, Applied::Applied { outputs: json!({}) });
        }
        assert_eq!(*heard.lines.lock().unwrap(), ["hello"]);
    }

    #[test]
    fn the_same_by_hand() {
        assert_eq!(by_hand(&json!({ "message": "look\nout" }), None).act, ["# look out"]);
        assert!(by_hand(&json!({}), None).act.is_empty());
    }

    #[tokio::test]
    async fn an_unknown_input_is_refused() {
        let heard = Arc::new(Heard::default());
        let (_folder, cx) = context(&heard, Effect::Read);
        let applied = Noop::default().apply(&cx, &Inputs(json!({ "massage": "x" })), &Intent::default()).await;
        assert!(matches!(applied, Applied::NotApplied { failure } if failure.message.contains("unknown field `massage`")));
    }
}
