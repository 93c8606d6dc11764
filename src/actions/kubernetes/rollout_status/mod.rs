//! `k8s.rollout_status`: how far a rollout has got.
//!
//! Must not wait: that is a check's part, or a wait's. Invariant: it changes nothing and holds no lock.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::api::Api;
use super::by_hand;
use super::permissions::of_workload;
use super::pod_template::place;
use super::rollout::Rollout;
use super::workload::Rolling;
use super::{cluster, namespace};
use crate::actions::support::{output, parse, schema};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.rollout_status";

/// The inputs of `k8s.rollout_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME` or `statefulset/NAME`.
    workload: Rolling,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
}

/// The action.
pub(super) struct RolloutStatus {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Read how far a rollout has got".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("complete", "boolean", "every pod that is to have the latest template has it and is available, and no other is left"),
            output("message", "string", "the same in words, with what holds it"),
            output("replicas", "integer", "the replicas that are wanted"),
            output("updated_replicas", "integer", "the pods that have the latest template"),
            output("ready_replicas", "integer", "the pods that are ready"),
            output("available_replicas", "integer", "the pods that have been ready for `minReadySeconds`"),
            output("unavailable_replicas", "integer", "the pods that are wanted and not available"),
            output("revision", "string", "a Deployment's revision number, a StatefulSet's update revision; null where it has none yet"),
            output("paused", "boolean", "whether a Deployment's rollout is paused"),
            output("deadline_exceeded", "boolean", "whether a Deployment's rollout made no progress within its deadline"),
            output("conditions", "list", "the conditions, as the object holds them"),
        ],
        effect: Effect::Read,
        effect_from_step: false,
        observes: true,
        reverts: false,
        needs_target: true,
        immediate: false,
        touches: touches_nothing,
        by_hand,
        permissions: of_workload,
    })
});

fn by_hand(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let act = vec![format!("kubectl rollout status {}{}", by_hand::input_word(inputs, "workload"), by_hand::place(inputs, target))];
    ByHand { act, ..ByHand::default() }
}

impl RolloutStatus {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Action for RolloutStatus {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let Input { workload: Rolling(workload), namespace: own } = parse(NAME, inputs)?;
        let place = place(&workload, &namespace(own.as_deref(), cx.target.as_ref())?);
        let object = place.read(&Api::new(&self.connections, cx)?).await?.ok_or_else(|| place.missing())?;
        Ok(Rollout::of(workload.kind, &object).outputs())
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, _: &Rollback) -> Result<Plan, Failure> {
        let input: Input = parse(NAME, inputs)?;
        cluster(NAME, cx)?;
        namespace(input.namespace.as_deref(), cx.target.as_ref())?;
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

#[cfg(test)]
mod tests;
