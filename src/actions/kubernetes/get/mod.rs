//! `k8s.get`: reads an object.
//!
//! Must not change anything, and must not read a Secret. Invariant: a failure is never unknown, and a missing object is not an empty one.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::object::{Found, ObjectName};
use super::permissions::of_object;
use super::{by_hand, cluster};
use crate::actions::support::{output, parse, redacted, schema};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.get";

/// The inputs of `k8s.get`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The object: `KIND/NAME` (pod, deployment, statefulset, replicaset, service, configmap, namespace, node, job, hpa) or
    /// `GROUP/VERSION/Kind/NAME`. Never a Secret.
    object: ObjectName,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// Whether the step succeeds, with `object: null`, where there is no such object.
    #[serde(default)]
    missing_ok: bool,
}

/// The action.
pub(super) struct Get {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Read an object of the cluster".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![output("object", "map", "the whole object, without `metadata.managedFields`; null where it is missing and may be")],
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
    let missing = inputs.get("missing_ok").is_some_and(|ok| *ok != Value::Bool(false));
    let option = if missing { " --ignore-not-found" } else { "" };
    by_hand::lines([format!("{}{option}", by_hand::get(inputs, target))])
}

impl Get {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for Get {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        cluster(NAME, cx)?;
        let api = Api::new(&self.connections, cx)?;
        let namespace = || super::namespace(input.namespace.as_deref(), cx.target.as_ref());
        match input.object.read(&api, namespace).await? {
            Found::Object(object) => Ok(json!({ "object": redacted(&*cx.log, object) })),
            Found::Missing if input.missing_ok => Ok(json!({ "object": null })),
            Found::Missing => Err(Failure::permanent(format!("there is no {}{}", input.object, place(input.namespace.as_deref(), cx)))
                .hint("check the name, the namespace and the environment, or set `missing_ok: true`")),
        }
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let _: Input = parse(NAME, inputs)?;
        cluster(NAME, cx)?;
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

/// ` in namespace NAME`, where a namespace can be told.
pub(super) fn place(namespace: Option<&str>, cx: &Context) -> String {
    super::namespace(namespace, cx.target.as_ref()).map(|name| format!(" in namespace {name}")).unwrap_or_default()
}

#[cfg(test)]
mod tests;
