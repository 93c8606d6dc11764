//! `k8s.wait`: waits until a condition holds for an object.
//!
//! Must not change anything. Invariant: it ends within its timeout, and says what was seen last; a cluster that is away for a while does not end
//! it, a refusal does.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::api::Api;
use super::get::place;
use super::object::{Found, ObjectName};
use super::permissions::of_object;
use super::{by_hand, cluster};
use crate::actions::support::{DurationText, comment, output, parse, redacted, schema, within};
use crate::environment::Connections;
use crate::expr::{Bindings, Expression, Root};
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::duration::Span;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.wait";
/// The shortest time between two readings, so that no playbook hammers an API server.
const SHORTEST: Duration = Duration::from_millis(100);

/// The inputs of `k8s.wait`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The object: `KIND/NAME` (pod, deployment, statefulset, replicaset, service, configmap, namespace, node, job, hpa) or
    /// `GROUP/VERSION/Kind/NAME`. Never a Secret.
    object: ObjectName,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// A CEL expression without `${{ }}`, true or false, in which `result` is the object: `result.status.readyReplicas >= 4`.
    condition: String,
    /// Values for the condition, which finds them as `vars.NAME`. They are data and never become part of the expression.
    #[serde(default)]
    vars: Map<String, Value>,
    /// How long it may take to become true; `5m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    timeout: Option<Span>,
    /// How often the object is read; `1s` where it is left out, at least `100ms`.
    #[schemars(with = "Option<DurationText>")]
    every: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs) -> Result<(Self, Arc<Expression>), Failure> {
        let input: Self = parse(NAME, inputs)?;
        let condition = Expression::parse(&input.condition).map_err(|error| {
            let failure = Failure::permanent(format!("`condition` is not a CEL expression: {error} (at character {})", error.offset + 1));
            match error.hint {
                Some(hint) => failure.hint(hint),
                None => failure.hint("write it without `${{ }}`: `result.status.readyReplicas >= 4`"),
            }
        })?;
        if let Some(root) = condition.references().roots.iter().find(|root| !matches!(root, Root::Result | Root::Vars)) {
            let message =
                format!("`condition` uses `{}`; only `result` (the object) and `vars` (the step's own) are known there", root.as_str());
            return Err(Failure::permanent(message).hint("give the value to the step: `vars: { wanted: ${{ … }} }`, and use `vars.wanted`"));
        }
        Ok((input, condition))
    }
}

/// The action.
pub(super) struct Wait {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Wait until a condition holds for an object of the cluster".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("object", "map", "the object for which it held, without `metadata.managedFields`"),
            output("holds", "boolean", "whether it held at the last reading: true where the step succeeded"),
            output("waited_ms", "integer", "how long it took, in milliseconds"),
        ],
        effect: Effect::Read,
        effect_from_step: false,
        observes: false,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions: of_object,
    })
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let text = |key: &str| inputs.get(key).and_then(Value::as_str);
    let vars = inputs.get("vars").and_then(Value::as_object).into_iter().flatten();
    let vars: String =
        vars.map(|(name, value)| format!(", vars.{name} is {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned))).collect();
    let limit = text("timeout").unwrap_or("5m");
    let until = format!("until, within {limit}: {} (result is the object{vars})", text("condition").unwrap_or_default());
    by_hand::lines([comment(&until), by_hand::get(inputs, target)])
}

/// One reading.
enum Seen {
    Holds(Value),
    Not { object: Value, why: String },
}

impl Wait {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn look(&self, cx: &Context, input: &Input, condition: &Expression, limit: Duration) -> Result<Seen, Failure> {
        let api = Api::new(&self.connections, cx)?.within(limit);
        let namespace = || super::namespace(input.namespace.as_deref(), cx.target.as_ref());
        let object = match input.object.read(&api, namespace).await? {
            Found::Object(object) => object,
            Found::Missing => {
                let why = format!("there is no {}{}", input.object, place(input.namespace.as_deref(), cx));
                return Ok(Seen::Not { object: Value::Null, why });
            }
        };
        let count = |path: &str| object.pointer(path).and_then(Value::as_u64);
        if let Some(wanted) = count("/spec/replicas") {
            cx.log.part(count("/status/readyReplicas").unwrap_or(0), wanted, "pods ready");
        }
        let shown = redacted(&*cx.log, object.clone());
        Ok(match condition.evaluate(&Bindings::new().with(Root::Result, object).with(Root::Vars, Value::Object(input.vars.clone()))) {
            Ok(Value::Bool(true)) => Seen::Holds(shown),
            Ok(Value::Bool(false)) => Seen::Not { object: shown, why: format!("`{}` is false", input.condition) },
            Ok(other) => {
                return Err(Failure::permanent(format!("`condition` gives {}, not true or false", kind(&other)))
                    .hint("compare it with something: `result.status.phase == \"Running\"`"));
            }
            // A field that is not there yet has no value: it may come.
            Err(error) => Seen::Not { object: shown, why: cx.log.redact(&error.message) },
        })
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[async_trait]
impl Action for Wait {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    /// One reading, which does not wait.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, condition) = Input::of(inputs)?;
        cluster(NAME, cx)?;
        let (object, holds) = match self.look(cx, &input, &condition, Duration::from_secs(10)).await? {
            Seen::Holds(object) => (object, true),
            Seen::Not { object, .. } => (object, false),
        };
        Ok(json!({ "object": object, "holds": holds, "waited_ms": 0 }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        Input::of(inputs)?;
        cluster(NAME, cx)?;
        Ok(Plan::default())
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        let (input, condition) = match Input::of(inputs).and_then(|parsed| cluster(NAME, cx).map(|_| parsed)) {
            Ok(parsed) => parsed,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let limit = within(cx, input.timeout.unwrap_or(Span::seconds(300)).0);
        let every = input.every.unwrap_or(Span::seconds(1)).0.max(SHORTEST);
        let start = Instant::now();
        let mut told = String::new();
        loop {
            let left = limit.saturating_sub(start.elapsed()).max(SHORTEST);
            let why = match self.look(cx, &input, &condition, left).await {
                Ok(Seen::Holds(object)) => {
                    let waited = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                    return Applied::Applied { outputs: json!({ "object": object, "holds": true, "waited_ms": waited }) };
                }
                Ok(Seen::Not { why, .. }) => why,
                Err(failure) if failure.transient => failure.message,
                Err(failure) => return Applied::NotApplied { failure },
            };
            if why != told {
                cx.log.line(&why);
                told.clone_from(&why);
            }
            if start.elapsed() + every >= limit {
                let message = format!("{} did not come to meet the condition within {}: {why}", input.object, Span(limit));
                return Applied::NotApplied {
                    failure: Failure::transient(message).hint("look at the object's status and events; a longer `timeout`?"),
                };
            }
            tokio::time::sleep(every).await;
        }
    }

    async fn verify(&self, _: &Context, _: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        Ok(Verdict::Absent)
    }
}

#[cfg(test)]
mod tests;
