//! What every reading action shares: its entry, and how a reading becomes an action.
//!
//! Must not change anything. Invariant: a reading intends nothing but the lines for a person's hands, holds no lock, and a failure of it is never unknown.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde_json::Value;

use super::support::schema;
use crate::environment::Connections;
use crate::model::by_hand::ByHandOf;
use crate::model::catalogue::{ActionEntry, OutputField, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::NeedsOf;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// A question to a system.
#[async_trait]
pub(super) trait Reading: Send + Sync + 'static {
    /// What there is to know about it.
    fn entry() -> Arc<ActionEntry>;

    /// Whether the inputs fit and the environment knows the system, as far as can be told without asking.
    ///
    /// # Errors
    /// What does not fit.
    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure>;

    /// Asks; the outputs.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn read(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure>;
}

/// The entry of a question.
pub(super) fn entry<I: JsonSchema>(
    name: &str,
    summary: &str,
    page: &str,
    outputs: Vec<OutputField>,
    by_hand: ByHandOf,
    permissions: NeedsOf,
) -> Arc<ActionEntry> {
    Arc::new(ActionEntry {
        name: name.to_owned(),
        summary: summary.to_owned(),
        page: page.to_owned(),
        inputs: schema::<I>(),
        outputs,
        effect: Effect::Read,
        effect_from_step: false,
        observes: false,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions,
    })
}

/// The action that asks it.
pub(super) struct Reader<R> {
    connections: Arc<Connections>,
    reading: PhantomData<R>,
}

impl<R: Reading> Reader<R> {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self { connections: Arc::clone(connections), reading: PhantomData }
    }
}

#[async_trait]
impl<R: Reading> Action for Reader<R> {
    fn entry(&self) -> Arc<ActionEntry> {
        R::entry()
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        R::check(&self.connections, cx, inputs)?;
        R::read(&self.connections, cx, inputs).await
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        R::check(&self.connections, cx, inputs)?;
        // The inputs have their secrets in place here, and the lines are kept.
        let lines = (R::entry().by_hand)(&inputs.0, cx.target.as_ref()).act;
        let by_hand = lines.iter().map(|line| cx.log.redact(line)).collect();
        Ok(Plan { intent: Intent { by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        match self.observe(cx, inputs).await {
            Ok(outputs) => Applied::Applied { outputs },
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, _: &Context, _: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(Verdict::Absent)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;

    use super::*;
    use crate::actions::trial::context;
    use crate::model::by_hand::{ByHand, word};
    use crate::model::permission::needs_nothing;

    #[derive(Debug, serde::Deserialize, JsonSchema)]
    struct Asked {}

    struct Said;

    static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
        let line = |inputs: &Value, _: Option<&crate::model::run::TargetSpec>| ByHand {
            act: vec![format!("ask {}", word(&inputs["who"]))],
            ..ByHand::default()
        };
        entry::<Asked>("a.reading", "Ask", "", Vec::new(), line, needs_nothing)
    });

    #[async_trait]
    impl Reading for Said {
        fn entry() -> Arc<ActionEntry> {
            Arc::clone(&ENTRY)
        }

        fn check(_: &Connections, _: &Context, _: &Inputs) -> Result<(), Failure> {
            Ok(())
        }

        async fn read(_: &Arc<Connections>, _: &Context, inputs: &Inputs) -> Result<Value, Failure> {
            Ok(inputs.0.clone())
        }
    }

    #[tokio::test]
    async fn a_reading_intends_nothing_and_its_line_holds_no_secret() {
        let (cx, _) = context(None, &[("who", "s3cretly-asked")]);
        let inputs = Inputs(json!({ "who": "s3cretly-asked" }));
        let reader = Reader::<Said>::new(&Arc::new(Connections::new()));
        let intent = reader.plan(&cx, &inputs, &Value::Null, &Rollback::Auto).unwrap().intent;
        assert_eq!(intent.by_hand, ["ask [secret who]"]);
        assert_eq!(Intent { by_hand: Vec::new(), ..intent }, Intent::default());
        assert!(matches!(reader.apply(&cx, &inputs, &Intent::default()).await, Applied::Applied { outputs } if outputs == inputs.0));
    }
}
