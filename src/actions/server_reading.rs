//! What the reading actions on servers beside the cluster share: their entry, which server is meant, and how a reading becomes an action.
//!
//! Must not change anything. Invariant: a reading has no intent, holds no lock, and a failure of it is never unknown.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde_json::{Map, Value};

use super::support::{self, asked_wait, schema};
use crate::environment::{ApiError, Connections};
use crate::model::by_hand::ByHandOf;
use crate::model::catalogue::{ActionEntry, OutputField, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::permission::needs_nothing;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// A question to a server.
#[async_trait]
pub(super) trait ServerReading: Send + Sync + 'static {
    /// What there is to know about it.
    fn entry() -> Arc<ActionEntry>;

    /// Whether the inputs fit and the environment knows the server, as far as can be told without asking.
    ///
    /// # Errors
    /// What does not fit.
    fn check(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<(), Failure>;

    /// Asks; the outputs.
    ///
    /// # Errors
    /// Why there is no answer.
    async fn read(connections: &Connections, cx: &Context, inputs: &Inputs) -> Result<Value, Failure>;
}

/// The entry of a question.
pub(super) fn entry<I: JsonSchema>(
    name: &str,
    summary: &str,
    page: &str,
    outputs: Vec<OutputField>,
    by_hand: ByHandOf,
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
        permissions: needs_nothing,
    })
}

/// The action that asks it.
pub(super) struct ServerReader<R> {
    connections: Arc<Connections>,
    reading: PhantomData<R>,
}

impl<R: ServerReading> ServerReader<R> {
    pub(super) fn new(connections: &Arc<Connections>) -> Self {
        Self { connections: Arc::clone(connections), reading: PhantomData }
    }
}

#[async_trait]
impl<R: ServerReading> Action for ServerReader<R> {
    fn entry(&self) -> Arc<ActionEntry> {
        R::entry()
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        R::check(&self.connections, cx, inputs)?;
        R::read(&self.connections, cx, inputs).await
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        R::check(&self.connections, cx, inputs)?;
        let by_hand = (R::entry().by_hand)(&inputs.0, cx.target.as_ref()).act;
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

/// The server that is meant: the input `server`, else the environment's own one of this system.
///
/// # Errors
/// Where the run has no target, or its environment no such system.
pub(super) fn server(
    action: &str,
    system: &str,
    input: Option<&Map<String, Value>>,
    target: Option<&TargetSpec>,
) -> Result<Value, Failure> {
    let target = support::target(action, target)?;
    if let Some(server) = input {
        return Ok(Value::Object(server.clone()));
    }
    target.values.get(system).cloned().ok_or_else(|| {
        Failure::permanent(format!("{action} needs a {system} server, and the environment {} names none", target.environment))
            .hint(format!("add `{system}:` to the environment"))
    })
}

/// The same for a person's line, where it is known: what `server` or the environment says of it.
pub(super) fn said<'a>(inputs: &'a Value, target: Option<&'a TargetSpec>, system: &str, key: &str) -> Option<&'a Value> {
    let server = inputs.get("server").filter(|server| !server.is_null());
    server.or_else(|| target?.values.get(system))?.get(key)
}

/// Why an API did not answer, as a step's failure.
pub(super) fn failure(error: &ApiError, cx: &Context) -> Failure {
    let message = cx.log.redact(&error.to_string());
    let failure = if error.is_transient() { Failure::transient(message) } else { Failure::permanent(message) };
    failure.hint(error.hint()).retry_after(error.retry_after().and_then(asked_wait))
}
