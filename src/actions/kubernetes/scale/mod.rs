//! `k8s.scale`: sets the number of replicas through the `scale` subresource, or the floor of the autoscaler that owns them.
//!
//! Must not wait for pods: that is a check's part. Invariant: a field is only ever swapped, from the value that was recorded to the one that
//! is wanted, and back; any other value that is found there is somebody else's and stays. What an autoscaler owns is never set under it.

mod by_hand;
mod form;
mod swap;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::form::Noted;
use self::swap::swap_replicas;
use super::api::{Api, asked};
use super::followed::{Between, followed};
use super::pod_count::PodCount;
use super::swap_fields::{FieldSwap, back, forth, swap_fields};
use super::workload::Workload;
use super::workload_state::WorkloadState;
use super::{cluster, horizontal, namespace, object_ref};
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
    /// Where an autoscaler owns the replicas and its maximum is lower: whether the maximum is raised too. Otherwise that is refused.
    #[serde(default)]
    raise_maximum: bool,
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

/// The action.
pub(super) struct Scale {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Set the number of replicas of a Deployment, StatefulSet or ReplicaSet".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replicas", "integer", "the replicas that are wanted now (`spec.replicas`, or the floor)"),
            output("ready_replicas", "integer", "the replicas that were ready right after the change; null where that could not be read"),
            output("previous_replicas", "integer", "the replicas that were wanted before; where an autoscaler owns them, its floor before"),
            output("floor", "boolean", "whether an autoscaler owns the replicas, so that its floor was set instead"),
            output("autoscaler", "string", "that autoscaler's name; null where there is none"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: self::by_hand::lines,
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

    async fn object(&self, api: &Api, workload: &Workload, namespace: &str) -> Result<Option<(WorkloadState, Value)>, Failure> {
        let asked = asked("get", workload.kind.plural(), workload, namespace);
        match api.get(&workload.path(namespace)).await.and_then(|object| Ok((WorkloadState::of(&object)?, object))) {
            Ok(read) => Ok(Some(read)),
            Err(trouble) if trouble.is_gone() => Ok(None),
            Err(trouble) => Err(trouble.failure(asked)),
        }
    }

    async fn read(&self, api: &Api, noted: &Noted) -> Result<Option<WorkloadState>, Failure> {
        Ok(self.object(api, &noted.workload, &noted.namespace).await?.map(|(state, _)| state))
    }

    /// The swap is certain by then; that the reading after it may fail must not make it less so.
    async fn swapped(&self, cx: &Context, api: &Api, noted: &Noted, to: i64) -> Applied {
        let state = self.read(api, noted).await.ok().flatten();
        if let Some(state) = &state {
            part(cx, state.ready, to);
        }
        Applied::Applied { outputs: noted.outputs(to, state.map(|state| state.ready)) }
    }

    async fn swap_replicas(&self, cx: &Context, api: &Api, noted: &Noted, from: i64, to: i64) -> Applied {
        match swap_replicas(api, &noted.workload, &noted.namespace, from, to).await {
            Ok(()) => self.swapped(cx, api, noted, to).await,
            Err(applied) => applied,
        }
    }

    async fn swap_floor(&self, cx: &Context, api: &Api, noted: &Noted, name: &str, swaps: Result<Vec<FieldSwap>, Failure>) -> Applied {
        let swaps = match swaps {
            Ok(swaps) => swaps,
            Err(failure) => return Applied::NotApplied { failure },
        };
        for FieldSwap { field, from, to } in &swaps {
            cx.log.line(&format!("the autoscaler {name} owns the replicas of {}: its {field} goes from {from} to {to}", noted.workload));
        }
        match swap_fields(api, &horizontal::place(&noted.namespace, name), &swaps).await {
            Ok(object) => {
                let floor = horizontal::Horizontal::of(object).map_or(noted.after, |one| one.min);
                self.swapped(cx, api, noted, floor).await
            }
            Err(applied) => applied,
        }
    }

    async fn try_apply(&self, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let owner = horizontal::of_workload(&api, &noted.workload, &noted.namespace).await?.map(|one| one.name);
        match (&noted.autoscaler, owner) {
            (None, None) => Ok(self.swap_replicas(cx, &api, &noted, noted.prior, noted.after).await),
            (Some(name), Some(owner)) if *name == owner => Ok(self.swap_floor(cx, &api, &noted, name, forth(&intent.changes)).await),
            (planned, owner) => Err(form::changed_hands(&noted.workload, planned.as_deref(), owner.as_deref())),
        }
    }

    async fn try_revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Result<Applied, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        if swaps.is_empty() {
            return Ok(Applied::Applied { outputs: noted.outputs(noted.prior, None) });
        }
        if let Some(name) = &noted.autoscaler {
            return Ok(self.swap_floor(cx, &api, &noted, name, back(swaps)).await);
        }
        if let Some(owner) = horizontal::of_workload(&api, &noted.workload, &noted.namespace).await? {
            return Err(form::taken_over(&noted.workload, &owner.name));
        }
        match swaps {
            [Swap { field, from, to, .. }] if field == form::REPLICAS && from.is_i64() && to.is_i64() => {
                Ok(self.swap_replicas(cx, &api, &noted, from.as_i64().unwrap_or_default(), to.as_i64().unwrap_or_default()).await)
            }
            swaps => {
                let fields: Vec<String> = swaps.iter().map(|swap| format!("{} from {} to {}", swap.field, swap.from, swap.to)).collect();
                Err(Failure::permanent(format!("{} cannot put back {}", NAME, fields.join(", "))))
            }
        }
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
        let (state, object) = self.object(&api, &workload, &namespace).await?.ok_or_else(|| missing(&workload, &namespace))?;
        let pods = PodCount::of(&api, &namespace, &state.selector).await?;
        let autoscaler = horizontal::of_workload(&api, &workload, &namespace).await?;
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
            "owner": horizontal::controller(&object).map(|(kind, name)| format!("{}/{name}", kind.to_lowercase())),
            "autoscaler": autoscaler.map(|one| one.shown()),
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let Input { workload, replicas, raise_maximum, .. } = input;
        let target = cluster(NAME, cx)?;
        let replicas = i64::from(replicas);
        let wanted = form::Wanted { workload: &workload, namespace: &namespace, replicas, raise_maximum };
        let form::Worked { changes, autoscaler, previous } = wanted.work_out(target, prior)?;
        if changes.is_empty() {
            let ready = prior.get("ready_replicas").and_then(Value::as_i64);
            let outputs = form::outputs(replicas, ready, previous, autoscaler.as_deref());
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let selector = prior.get("selector").and_then(Value::as_str);
        let selector = selector.ok_or_else(|| Failure::permanent(format!("the pods of {workload} were not observed")))?;
        let by_hand = |value: fn(&Change) -> &Value| form::by_hand(&workload, &namespace, autoscaler.as_deref(), &changes, value);
        let intent = Intent {
            prior: Value::Null,
            revert: match kept(rollback) {
                Some(reason) => Revert::Keep { reason },
                None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
            },
            note: json!({
                "workload": workload.to_string(),
                "namespace": namespace,
                "selector": selector,
                "autoscaler": autoscaler,
                "replicas_before": prior.get("replicas"),
                "says": autoscaler.as_deref().map(|name| form::says(&workload, name)),
            }),
            by_hand: vec![by_hand(|change| &change.after)],
            undo_by_hand: vec![by_hand(|change| &change.prior)],
            changes,
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &noted).await?;
        let live = form::live(&api, &noted, intent, state.as_ref()).await?;
        let gone = || format!("{} is gone from namespace {}", noted.owner(), noted.namespace);
        let Some(live) = live else { return Ok(Verdict::CannotTell { reason: gone() }) };
        if live.iter().zip(&intent.changes).all(|(live, change)| *live == change.after) {
            return Ok(Verdict::Present { outputs: noted.outputs(noted.after, state.map(|state| state.ready)) });
        }
        if live.iter().zip(&intent.changes).all(|(live, change)| *live == change.prior) {
            return Ok(Verdict::Absent);
        }
        let neither = |(live, change): (&Value, &Change)| {
            let what = if noted.autoscaler.is_some() { change.label.clone() } else { format!("replicas of {}", noted.workload) };
            format!("{what} are {live}, neither {} as before nor {} as wanted: somebody else changed them", change.prior, change.after)
        };
        let reasons: Vec<String> = live.iter().zip(&intent.changes).filter(|(live, change)| **live != change.after).map(neither).collect();
        Ok(Verdict::CannotTell { reason: reasons.join("; ") })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = if noted.autoscaler.is_none() { self.read(&api, &noted).await? } else { None };
        Ok(match form::live(&api, &noted, intent, state.as_ref()).await? {
            Some(values) => values.into_iter().map(Some).collect(),
            None => vec![None; intent.changes.len()],
        })
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        self.try_revert(cx, intent, swaps).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &noted).await?;
        let pods = PodCount::of(&api, &noted.namespace, &noted.selector).await?;
        let autoscaler = match &noted.autoscaler {
            Some(name) => horizontal::place(&noted.namespace, name).read(&api).await?,
            None => None,
        };
        let (least, most) = if state.is_none() {
            (0, 0)
        } else if noted.autoscaler.is_some() {
            // What the autoscaler had wanted by itself, above the floor, was there before.
            (noted.prior, noted.prior.max(noted.replicas_before))
        } else {
            (noted.prior, noted.prior)
        };
        let wanted = Between { least: u64::try_from(least).unwrap_or(0), most: u64::try_from(most).unwrap_or(0) };
        Ok(followed(&noted.workload.to_string(), state.as_ref(), &pods, wanted, autoscaler.as_ref()))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod floor_tests;
