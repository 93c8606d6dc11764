//! `k8s.scale`: sets the number of replicas through the `scale` subresource, or the floor of the autoscaler (of KEDA: the ScaledObject) that owns
//! them.
//!
//! Must not wait for pods: that is a check's part. Invariant: a field is only ever swapped, from the value that was recorded to the one that
//! is wanted, and back; any other value that is found there is somebody else's and stays. What an autoscaler owns is never set under it.

mod by_hand;
mod form;
mod rabbitmq_cluster;
mod swap;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use self::form::Noted;
use self::rabbitmq_cluster::RabbitmqCluster;
use self::swap::swap_replicas;
use super::api::{Api, asked};
use super::argocd::{self, ARGOCD};
use super::field_path::FieldPath;
use super::followed::{Between, followed};
use super::managed;
use super::permissions::{Asking, On};
use super::pod_count::PodCount;
use super::scaler::{self, Kind, Scaler, ScalerName};
use super::swap_fields::{FieldSwap, Place, UID, back, forth, swap_fields, uid_of};
use super::workload::Workload;
use super::workload_state::WorkloadState;
use super::{cluster, horizontal, namespace, object_ref, scaled_object};
use crate::actions::support::{DurationText, kept, output, parse, schema, whole};
use crate::environment::Connections;
use crate::model::by_hand::ByHand;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

const NAME: &str = "k8s.scale";

/// The inputs of `k8s.scale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`; `rabbitmqcluster/NAME` under RabbitMQ's cluster operator.
    #[schemars(with = "rabbitmq_cluster::AnyWorkload")]
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
        summary: "Set the number of replicas of a Deployment, StatefulSet, ReplicaSet or RabbitmqCluster".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("replicas", "integer", "the replicas that are wanted now (`spec.replicas`, or the floor)"),
            output("ready_replicas", "integer", "the replicas that were ready right after the change; null where that could not be read"),
            output("previous_replicas", "integer", "the replicas that were wanted before; where an autoscaler owns them, its floor before"),
            output("floor", "boolean", "whether an autoscaler owns the replicas, so that its floor was set instead"),
            output("autoscaler", "string", "that autoscaler's name, of KEDA its ScaledObject's; null where there is none"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: lines,
        permissions,
    })
});

fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    if rabbitmq_cluster::wants(inputs) { rabbitmq_cluster::by_hand(inputs, target) } else { self::by_hand::lines(inputs, target) }
}

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    if rabbitmq_cluster::wants(inputs) {
        return rabbitmq_cluster::touches(inputs, target);
    }
    let object = || {
        let workload: Workload = inputs.get("workload")?.as_str()?.parse().ok()?;
        let namespace = namespace(inputs.get("namespace").and_then(Value::as_str), target).ok()?;
        object_ref(target?, &namespace, &workload)
    };
    object().into_iter().collect()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    const OWNED: Extent = Extent::Where("an autoscaler owns the replicas");
    const BY_KEDA: Extent = Extent::Where("a ScaledObject of KEDA owns the replicas");
    if rabbitmq_cluster::wants(inputs) {
        let mut needs = rabbitmq_cluster::permissions(inputs, target);
        argocd::reads(&mut needs, target);
        return needs;
    }
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        let scale = workload.part("scale");
        let from_zero = Extent::Where("there are 0 replicas, and no autoscaler owns them");
        asking.reads("get", &workload);
        asking.add(Purpose::Reads, Extent::Where("there are 0 replicas, or somebody else changes them meanwhile"), "get", &scale);
        asking.add(Purpose::Changes, Extent::Where("no autoscaler owns the replicas"), "patch", &scale);
        asking.add(Purpose::Changes, from_zero, "update", &scale);
    }
    asking.reads("list", &On::pods());
    asking.reads("list", &On::autoscalers());
    asking.add(Purpose::Reads, OWNED, "get", &On::autoscalers());
    asking.add(Purpose::Changes, OWNED, "patch", &On::autoscalers());
    asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
    asking.add(Purpose::Reads, BY_KEDA, "get", &On::scaled_objects());
    asking.add(Purpose::Changes, BY_KEDA, "patch", &On::scaled_objects());
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
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
        let read = self.object(api, &noted.workload, &noted.namespace).await?;
        Ok(read.filter(|(_, object)| noted.place.is(object)).map(|(state, _)| state))
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
        match swap_replicas(api, &noted.workload, &noted.place, from, to).await {
            Ok(()) => self.swapped(cx, api, noted, to).await,
            Err(applied) => applied,
        }
    }

    async fn swap_floor(&self, cx: &Context, api: &Api, noted: &Noted, floor: &Place, swaps: Result<Vec<FieldSwap>, Failure>) -> Applied {
        let swaps = match swaps {
            Ok(swaps) => swaps,
            Err(failure) => return Applied::NotApplied { failure },
        };
        for FieldSwap { field, from, to } in &swaps {
            let from = if from.is_null() { "nothing".to_owned() } else { from.to_string() };
            let to = if to.is_null() { "nothing".to_owned() } else { to.to_string() };
            cx.log.line(&format!("{} owns the replicas of {}: its {field} goes from {from} to {to}", noted.owner(), noted.workload));
        }
        match swap_fields(api, floor, &swaps).await {
            Ok(object) => {
                let floor = match noted.scaler.as_ref().map(|scaler| scaler.kind) {
                    Some(Kind::ScaledObject) => scaled_object::ScaledObject::of(object).map(|one| one.min),
                    _ => horizontal::Horizontal::of(object).map(|one| one.min),
                };
                let floor = floor.unwrap_or(noted.after);
                self.swapped(cx, api, noted, floor).await
            }
            Err(applied) => applied,
        }
    }

    async fn try_apply(&self, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        managed::warn(cx, intent);
        argocd::tell(cx, intent);
        let owner = scaler::of_workload(&api, &noted.workload, &noted.namespace).await?;
        let named = owner.as_ref().map(Scaler::name);
        match (&noted.floor, &named) {
            (None, None) => Ok(self.swap_replicas(cx, &api, &noted, noted.prior, noted.after).await),
            (Some(floor), Some(_)) if noted.scaler == named => {
                if let Some(Scaler::ScaledObject(one, _)) = &owner
                    && let Some(annotation) = one.paused()
                {
                    let message = format!(
                        "KEDA was paused for {} since this was planned (`{annotation}`): a floor would start no pod",
                        noted.workload
                    );
                    return Err(Failure::permanent(message).hint("let KEDA go on first, then `runsheet retry`"));
                }
                Ok(self.swap_floor(cx, &api, &noted, floor, forth(&intent.changes)).await)
            }
            _ => Err(form::changed_hands(&noted.workload, noted.scaler.as_ref(), named.as_ref())),
        }
    }

    async fn try_revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Result<Applied, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        if swaps.is_empty() {
            return Ok(Applied::Applied { outputs: noted.outputs(noted.prior, None) });
        }
        if let Some(floor) = &noted.floor {
            return Ok(self.swap_floor(cx, &api, &noted, floor, back(swaps)).await);
        }
        if let Some(owner) = scaler::of_workload(&api, &noted.workload, &noted.namespace).await? {
            return Err(form::taken_over(&noted.workload, &owner.name()));
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
        if rabbitmq_cluster::wants(&inputs.0) {
            return rabbitmq_cluster::observe(&self.connections, cx, inputs).await;
        }
        let (Input { workload, .. }, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let api = Api::new(&self.connections, cx)?;
        let (state, object) = self.object(&api, &workload, &namespace).await?.ok_or_else(|| missing(&workload, &namespace))?;
        let pods = PodCount::of(&api, &namespace, &state.selector).await?;
        let autoscaler = scaler::of_workload(&api, &workload, &namespace).await?;
        part(cx, state.ready, state.replicas);
        let foretold = form::foretell(&api, cx.target.as_ref(), &object, autoscaler.as_ref()).await?;
        let field: Option<FieldPath> = form::REPLICAS.parse().ok();
        let applied_by = field.as_ref().map(|field| managed::applied_by(&object, [field]));
        let holds = form::holds(&workload, &object, &state, field.as_ref().filter(|_| autoscaler.is_none()));
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
            "uid": uid_of(&object),
            "owner": horizontal::controller(&object).map(|(kind, name)| format!("{}/{name}", kind.to_lowercase())),
            "autoscaler": autoscaler.map(|one| one.shown()),
            "applied_by": applied_by,
            "holds": holds,
            ARGOCD: foretold,
        }))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        if rabbitmq_cluster::wants(&inputs.0) {
            return rabbitmq_cluster::plan(cx, inputs, prior, rollback);
        }
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let Input { workload, replicas, raise_maximum, .. } = input;
        let target = cluster(NAME, cx)?;
        let replicas = i64::from(replicas);
        let wanted = form::Wanted { workload: &workload, namespace: &namespace, replicas, raise_maximum };
        let form::Worked { changes, scaler, previous } = wanted.work_out(target, prior)?;
        if changes.is_empty() {
            let ready = prior.get("ready_replicas").and_then(Value::as_i64);
            let outputs = form::outputs(replicas, ready, previous, scaler.as_ref());
            return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
        }
        let told = argocd::judge(prior, &changes)?;
        let selector = prior.get("selector").and_then(Value::as_str);
        let selector = selector.ok_or_else(|| Failure::permanent(format!("the pods of {workload} were not observed")))?;
        let (what, appliers) = match &scaler {
            Some(scaler) => (format!("the floor of {scaler}"), &prior["autoscaler"]["applied_by"]),
            None => (format!("`spec.replicas` of {workload}"), &prior["applied_by"]),
        };
        let by_hand = |value: fn(&Change) -> &Value| form::by_hand(&workload, &namespace, scaler.as_ref(), &changes, value);
        let intent = Intent {
            revert: match kept(rollback) {
                Some(reason) => Revert::Keep { reason },
                None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
            },
            note: json!({
                "workload": workload.to_string(),
                "namespace": namespace,
                "selector": selector,
                "autoscaler": scaler.as_ref().map(|scaler| &scaler.name),
                "scaler": scaler.as_ref().and_then(ScalerName::noted),
                "floor_before": previous,
                "uid": if scaler.is_some() { prior["autoscaler"][UID].clone() } else { prior[UID].clone() },
                "replicas_before": prior.get("replicas"),
                "warns": managed::warning(&what, appliers),
                ARGOCD: told,
                "says": scaler.as_ref().map(|scaler| form::says(&workload, scaler)),
            }),
            by_hand: vec![by_hand(|change| &change.after)],
            undo_by_hand: vec![by_hand(|change| &change.prior)],
            changes,
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        if let Some(named) = RabbitmqCluster::noted(intent) {
            return named.apply(&self.connections, cx, intent).await;
        }
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        if let Some(named) = RabbitmqCluster::noted(intent) {
            return named.verify(&self.connections, cx, intent).await;
        }
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
            let what = if noted.scaler.is_some() { change.label.clone() } else { format!("replicas of {}", noted.workload) };
            format!("{what} are {live}, neither {} as before nor {} as wanted: somebody else changed them", change.prior, change.after)
        };
        let reasons: Vec<String> = live.iter().zip(&intent.changes).filter(|(live, change)| **live != change.after).map(neither).collect();
        Ok(Verdict::CannotTell { reason: reasons.join("; ") })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        if let Some(named) = RabbitmqCluster::noted(intent) {
            return named.live(&self.connections, cx, intent).await;
        }
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = if noted.scaler.is_none() { self.read(&api, &noted).await? } else { None };
        Ok(match form::live(&api, &noted, intent, state.as_ref()).await? {
            Some(values) => values.into_iter().map(Some).collect(),
            None => vec![None; intent.changes.len()],
        })
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        if RabbitmqCluster::noted(intent).is_some() {
            return rabbitmq_cluster::revert();
        }
        self.try_revert(cx, intent, swaps).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let noted = Noted::of(intent)?;
        let api = Api::new(&self.connections, cx)?;
        let state = self.read(&api, &noted).await?;
        let pods = PodCount::of(&api, &noted.namespace, &noted.selector).await?;
        let holds = form::held(&api, &noted).await?;
        let (least, most) = if state.is_none() {
            (0, 0)
        } else if noted.scaler.is_some() {
            // What the autoscaler had wanted by itself, above the floor, was there before.
            (noted.prior, noted.prior.max(noted.replicas_before))
        } else {
            (noted.prior, noted.prior)
        };
        let wanted = Between { least: u64::try_from(least).unwrap_or(0), most: u64::try_from(most).unwrap_or(0) };
        Ok(followed(&noted.workload.to_string(), state.as_ref(), &pods, wanted, holds.as_deref()))
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod floor_tests;

#[cfg(test)]
mod keda_tests;
