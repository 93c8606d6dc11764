//! `k8s.scale`: sets the number of replicas through the `scale` subresource.
//!
//! Must not wait for pods: that is a check's part. Invariant: the field is only ever swapped, from the value that was recorded to the one that
//! is wanted, and back; any other value that is found there is somebody else's and stays.

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Api, asked};
use super::swap::swap_replicas;
use super::workload::Workload;
use super::workload_state::{WorkloadState, outputs};
use super::{cluster, namespace, object_ref};
use crate::actions::support::{DurationText, kept, output, parse, schema, whole};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.scale";
const FIELD: &str = "spec.replicas";

/// The inputs of `k8s.scale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    workload: Workload,
    /// How many replicas there are to be.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    replicas: i32,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits for the pods to go; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    settle: Option<Span>,
}

impl Input {
    fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.replicas < 0 {
            return Err(Failure::permanent(format!("replicas cannot be {}", input.replicas)).hint("0 or more"));
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }
}

/// What an intent keeps for later: which workload, without the inputs.
struct Noted {
    workload: Workload,
    namespace: String,
    selector: String,
    prior: i64,
    after: i64,
}

impl Noted {
    fn of(intent: &Intent) -> Result<Self, Failure> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
        let change = intent.changes.first();
        let read = || {
            Some(Self {
                workload: text("workload")?.parse().ok()?,
                namespace: text("namespace")?.to_owned(),
                selector: text("selector")?.to_owned(),
                prior: change?.prior.as_i64()?,
                after: change?.after.as_i64()?,
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a workload and its replicas"))
    }
}

/// The action.
pub(super) struct Scale {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set the number of replicas of a Deployment, StatefulSet or ReplicaSet".to_owned(),
        page: include_str!("scale.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replicas", "integer", "the replicas that are wanted now (`spec.replicas`)"),
            output("ready_replicas", "integer", "the replicas that were ready right after the change; null where that could not be read"),
            output("previous_replicas", "integer", "the replicas that were wanted before"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: crate::model::by_hand::nothing_by_hand,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let object = || {
        let workload: Workload = inputs.get("workload")?.as_str()?.parse().ok()?;
        let namespace = namespace(inputs.get("namespace").and_then(Value::as_str), target).ok()?;
        object_ref(target?, &namespace, &workload)
    };
    object().into_iter().collect()
}

impl Scale {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn read(&self, api: &Api, workload: &Workload, namespace: &str) -> Result<Option<WorkloadState>, Failure> {
        let asked = asked("get", workload.kind.plural(), workload, namespace);
        match api.get(&workload.path(namespace)).await.and_then(|object| WorkloadState::of(&object)) {
            Ok(state) => Ok(Some(state)),
            Err(trouble) if trouble.is_gone() => Ok(None),
            Err(trouble) => Err(trouble.failure(asked)),
        }
    }

    async fn swap(&self, cx: &Context, noted: &Noted, from: i64, to: i64) -> Applied {
        let api = match Api::new(&self.connections, cx) {
            Ok(api) => api,
            Err(failure) => return Applied::NotApplied { failure },
        };
        if let Err(applied) = swap_replicas(&api, &noted.workload, &noted.namespace, from, to).await {
            return applied;
        }
        // The swap is certain; that the reading after it may fail must not make it less so.
        let state = self.read(&api, &noted.workload, &noted.namespace).await.ok().flatten();
        if let Some(state) = &state {
            part(cx, state.ready, to);
        }
        Applied::Applied { outputs: outputs(to, state.map(|state| state.ready), from) }
    }
}

fn part(cx: &Context, ready: i64, wanted: i64) {
    if let (Ok(ready), Ok(wanted)) = (u64::try_from(ready), u64::try_from(wanted)) {
        // While pods go, more may be ready than are wanted.
        cx.log.part(ready.min(wanted), wanted, "pods ready");
    }
}

fn missing(workload: &Workload, namespace: &str) -> Failure {
    Failure::permanent(format!("there is no {workload} in namespace {namespace}")).hint("check the name, the namespace and the environment")
}

#[async_trait]
impl Action for Scale {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (Input { workload, .. }, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &workload, &namespace).await?.ok_or_else(|| missing(&workload, &namespace))?;
        let pods = api.pods(&namespace, &state.selector).await;
        let pods = pods
            .map_err(|trouble| trouble.failure(super::errors::Asked { verb: "list", resource: "pods", name: "", namespace: &namespace }))?;
        part(cx, state.ready, state.replicas);
        Ok(json!({
            "replicas": state.replicas,
            "ready_replicas": state.ready,
            "available_replicas": state.available,
            "updated_replicas": state.updated,
            "pods": pods.total,
            "terminating": pods.terminating,
            "generation": state.generation,
            "observed_generation": state.observed_generation,
            "name": workload.name,
            "namespace": namespace,
            "selector": state.selector,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let Input { workload, replicas, .. } = input;
        let target = cluster(NAME, cx)?;
        let object = object_ref(target, &namespace, &workload).ok_or_else(|| missing(&workload, &namespace))?;
        let unobserved = || Failure::permanent(format!("the replicas of {workload} were not observed"));
        let was = prior.get("replicas").and_then(Value::as_i64).ok_or_else(unobserved)?;
        let selector = prior.get("selector").and_then(Value::as_str).ok_or_else(unobserved)?;
        let after = i64::from(replicas);
        if was == after {
            let ready = prior.get("ready_replicas").and_then(Value::as_i64);
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs(after, ready, was)) });
        }
        let by_hand = |count: i64| format!("kubectl scale {workload} --replicas={count} -n {namespace}");
        let (revert, undo_by_hand) = match kept(rollback) {
            Some(reason) => (Revert::Keep { reason }, vec![by_hand(was)]),
            None => (Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) }, vec![by_hand(was)]),
        };
        let change = Change { object, field: FIELD.to_owned(), label: "replicas".to_owned(), prior: json!(was), after: json!(after) };
        let intent = Intent {
            prior: Value::Null,
            changes: vec![change],
            revert,
            note: json!({ "workload": workload.to_string(), "namespace": namespace, "selector": selector }),
            by_hand: vec![by_hand(after)],
            undo_by_hand,
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        match Noted::of(intent) {
            Ok(noted) => self.swap(cx, &noted, noted.prior, noted.after).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        Ok(match self.read(&api, &noted.workload, &noted.namespace).await? {
            None => Verdict::CannotTell { reason: format!("{} is gone from namespace {}", noted.workload, noted.namespace) },
            Some(state) if state.replicas == noted.after => {
                Verdict::Present { outputs: outputs(noted.after, Some(state.ready), noted.prior) }
            }
            Some(state) if state.replicas == noted.prior => Verdict::Absent,
            Some(state) => Verdict::CannotTell {
                reason: format!(
                    "replicas of {} are {}, neither {} as before nor {} as wanted: somebody else changed them",
                    noted.workload, state.replicas, noted.prior, noted.after
                ),
            },
        })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &noted.workload, &noted.namespace).await?;
        Ok(vec![state.map(|state| json!(state.replicas))])
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        let noted = match Noted::of(intent) {
            Ok(noted) => noted,
            Err(failure) => return Applied::NotApplied { failure },
        };
        let mut last = Applied::Applied { outputs: outputs(noted.prior, None, noted.prior) };
        for swap in swaps {
            let (Some(from), Some(to), FIELD) = (swap.from.as_i64(), swap.to.as_i64(), swap.field.as_str()) else {
                let message = format!("{} of {} cannot be put back from {} to {}", swap.field, swap.object, swap.from, swap.to);
                return Applied::NotApplied { failure: Failure::permanent(message) };
            };
            last = self.swap(cx, &noted, from, to).await;
            if !matches!(last, Applied::Applied { .. }) {
                return last;
            }
        }
        last
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &noted.workload, &noted.namespace).await?;
        let asked = super::errors::Asked { verb: "list", resource: "pods", name: "", namespace: &noted.namespace };
        let pods = api.pods(&noted.namespace, &noted.selector).await.map_err(|trouble| trouble.failure(asked))?;
        let wanted = if state.is_some() { u64::try_from(noted.prior).unwrap_or(0) } else { 0 };
        let holds = if state.is_some_and(|state| !state.is_observed()) {
            format!("the controller of {} has not taken up the change yet", noted.workload)
        } else if pods.total <= wanted && pods.total - pods.terminating < wanted {
            format!("{} of {wanted} pods are there", pods.total - pods.terminating)
        } else if pods.total <= wanted {
            return Ok(Followed::Yes);
        } else if pods.terminating > 0 {
            format!("{} of {} pods are still terminating: {}", pods.terminating, pods.total, listed(&pods.names, pods.terminating))
        } else {
            format!("{} pods are there where {wanted} are wanted: {}", pods.total, listed(&pods.names, pods.total))
        };
        Ok(Followed::No { holds })
    }
}

fn listed(names: &[String], all: u64) -> String {
    let more = all.saturating_sub(names.len() as u64);
    if more == 0 { names.join(", ") } else { format!("{} and {more} more", names.join(", ")) }
}

#[cfg(test)]
#[path = "scale_tests.rs"]
mod tests;
