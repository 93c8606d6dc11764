//! What the reading actions share: their entry, and how a reading becomes an action.
//!
//! Must not change anything. Invariant: a reading has no intent, holds no lock, and a failure of it is never unknown.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde_json::Value;

use super::cluster;
use crate::actions::support::schema;
use crate::environment::Connections;
use crate::model::by_hand::ByHandOf;
use crate::model::catalogue::{ActionEntry, OutputField, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::NeedsOf;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// A question to the cluster.
#[async_trait]
pub(super) trait Reading: Send + Sync + 'static {
    /// What there is to know about it.
    fn entry() -> Arc<ActionEntry>;

    /// Whether the inputs fit, as far as can be told without asking.
    ///
    /// # Errors
    /// What does not fit.
    fn check(cx: &Context, inputs: &Inputs) -> Result<(), Failure>;

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
        R::check(cx, inputs)?;
        cluster(&R::entry().name, cx)?;
        R::read(&self.connections, cx, inputs).await
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        R::check(cx, inputs)?;
        cluster(&R::entry().name, cx)?;
        Ok(Plan::default())
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
