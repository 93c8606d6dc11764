//! `assert`: fails the step where a condition does not hold.
//!
//! Invariant: looks only at its inputs; no effect.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::actions::support::comment;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const PAGE: &str = "\
Fails the step where `that` is false, with `message`. The condition is evaluated once, when the step begins; to wait for something to become true, use
`wait` with `that`, or a check with `within`.

Effect: `read`. It touches no target, so there is nothing to guard, to verify or to undo.
Errors: the condition is false. Trying again cannot help: the inputs of a step are resolved once.";

/// Inputs of `assert`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AssertInputs {
    /// What must hold: `${{ … }}` that gives a boolean.
    that: bool,
    /// What people are told where it does not hold.
    message: Option<String>,
}

/// The action `assert`.
pub struct Assert {
    entry: Arc<ActionEntry>,
}

impl Default for Assert {
    fn default() -> Self {
        let entry = ActionEntry {
            name: "assert".into(),
            summary: "Fail the step where a condition does not hold".into(),
            page: PAGE.into(),
            inputs: schemars::schema_for!(AssertInputs).to_value(),
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
    let text = |key: &str| {
        inputs.get(key).filter(|value| !value.is_null()).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    };
    let told = [text("that"), text("message")].into_iter().flatten().collect::<Vec<_>>().join(", else: ");
    ByHand { act: vec![comment(&format!("check: {told}"))], ..ByHand::default() }
}

fn judge(inputs: &Inputs) -> Result<(), Failure> {
    let inputs =
        AssertInputs::deserialize(&inputs.0).map_err(|error| Failure::permanent(format!("the inputs of `assert` do not fit: {error}")))?;
    if inputs.that {
        return Ok(());
    }
    let message = inputs.message.unwrap_or_else(|| "what the step asserts does not hold".into());
    Err(Failure::permanent(message).hint("look at the values that its `that` compares, mend what they show, then `runsheet resume`"))
}

#[async_trait]
impl Action for Assert {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&self.entry)
    }

    async fn observe(&self, _: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        Ok(json!({ "holds": judge(inputs).is_ok() }))
    }

    fn plan(&self, _: &Context, _: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        Ok(Plan::default())
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        match judge(inputs) {
            Ok(()) => Applied::Applied { outputs: Value::Object(Map::new()) },
            Err(mut failure) => {
                failure.message = cx.log.redact(&failure.message);
                Applied::NotApplied { failure }
            }
        }
    }

    async fn verify(&self, _: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(match judge(inputs) {
            Ok(()) => Verdict::Present { outputs: Value::Object(Map::new()) },
            Err(_) => Verdict::Absent,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::actions::command::testing::{Heard, context};

    async fn apply(inputs: Value) -> Applied {
        let (_folder, cx) = context(&Arc::new(Heard::default()), Effect::Read);
        Assert::default().apply(&cx, &Inputs(inputs), &Intent::default()).await
    }

    #[tokio::test]
    async fn a_condition_that_holds_succeeds() {
        assert_eq!(apply(json!({ "that": true })).await, Applied::Applied { outputs: json!({}) });
    }

    #[tokio::test]
    async fn one_that_does_not_fails_with_its_message_for_good() {
        let Applied::NotApplied { failure } = apply(json!({ "that": false, "message": "8 pods are too few" })).await else { panic!() };
        assert_eq!((failure.message.as_str(), failure.transient), ("8 pods are too few", false));
        assert!(failure.hint.is_some());
    }

    #[test]
    fn the_same_by_hand() {
        let that = crate::model::by_hand::variable("fits");
        let lines = by_hand(&json!({ "that": that, "message": "8 pods\nare too few" }), None).act;
        assert_eq!(lines, ["# check: $FITS, else: 8 pods are too few"]);
        assert_eq!(by_hand(&json!({ "that": true }), None).act, ["# check: true"]);
    }

    #[tokio::test]
    async fn what_is_no_boolean_is_refused() {
        let Applied::NotApplied { failure } = apply(json!({ "that": "true" })).await else { panic!() };
        assert!(failure.message.contains("expected a boolean"), "{}", failure.message);
    }
}
