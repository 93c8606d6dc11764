//! `k8s.scale`: sets the number of replicas through the `scale` subresource, or the floor of the autoscaler (of KEDA: the ScaledObject) that owns
//! them.
//!
//! Must not wait for pods: that is a check's part. Invariant: a field is only ever swapped, from the value that was recorded to the one that
//! is wanted, and back; any other value that is found there is somebody else's and stays. What an autoscaler owns is never set under it.

mod by_hand;
mod entry;
mod form;
mod input;
mod rabbitmq_cluster;
mod swap;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use self::entry::ENTRY;
use self::form::Noted;
use self::input::{Input, NAME};
use self::rabbitmq_cluster::RabbitmqCluster;
use self::swap::swap_replicas;
use super::api::Api;
use super::argocd::{self, ARGOCD, Thing};
use super::field_path::FieldPath;
use super::followed::{Between, followed};
use super::managed;
use super::pod_count::PodCount;
use super::scaler::{self, Kind, Scaler, ScalerName};
use super::swap_fields::{FieldSwap, Place, UID, back, forth, swap_fields, uid_of};
use super::workload::Workload;
use super::workload_state::WorkloadState;
use super::{cluster, horizontal, scaled_object};
use crate::actions::support::kept;
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, Swap};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::step::Rollback;
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The action.
pub(super) struct Scale {
    connections: Arc<Connections>,
}

impl Scale {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    async fn read(&self, api: &Api, noted: &Noted) -> Result<Option<WorkloadState>, Failure> {
        let read = WorkloadState::read(api, &noted.workload, &noted.namespace).await?;
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
        // While pods go, more are ready than are wanted: that is no part of a whole, and the check tells it.
        if ready <= wanted {
            cx.log.part(ready, wanted, "pods ready");
        }
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
        let (state, object) = WorkloadState::read(&api, &workload, &namespace).await?.ok_or_else(|| missing(&workload, &namespace))?;
        let pods = PodCount::of(&api, &namespace, &state.selector).await?;
        let autoscaler = scaler::of_workload(&api, &workload, &namespace).await?;
        part(cx, state.ready, state.replicas);
        let foretold = form::foretell(&api, cx.target.as_ref(), &object, autoscaler.as_ref()).await?;
        let of_pods = match &autoscaler {
            Some(_) => argocd::foretell_pods(&api, cx.target.as_ref(), Thing::of(&object)).await?,
            None => Value::Null,
        };
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
            form::ARGOCD_PODS: of_pods,
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
        let told = form::judge(target, &wanted, prior, &changes)?;
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
