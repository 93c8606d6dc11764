//! `k8s.scale` of a RabbitmqCluster (rabbitmq.com/v1beta1): what the cluster operator scales by, in the place of its StatefulSet.
//!
//! Must not set the StatefulSet. Invariants: `spec.replicas` is only ever swapped; nodes are taken away only where every quorum queue keeps a majority of
//! its members, as the cluster says right before; nothing here is taken back by itself, because nodes that go take what they hold with them.

mod asked;
mod majority;

use std::sync::Arc;

use serde_json::{Value, json};

use self::asked::Wanted;
use self::majority::Leaving;
use super::form;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::argocd::{self, ARGOCD, Thing};
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::pod_count::PodCount;
use crate::actions::kubernetes::swap_fields::{Place, UID, forth, swap_fields, uid_of};
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::actions::kubernetes::{cluster, horizontal, managed, named_ref};
use crate::actions::support::kept;
use crate::environment::Connections;
use crate::model::change::{Change, ObjectRef};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::{Context, Inputs, Plan};

pub(super) use self::asked::{AnyWorkload, by_hand, permissions, wants};

/// The kind, as a step names it.
const KIND: &str = "rabbitmqcluster";
const GROUP: &str = "rabbitmq.com";
const PLURAL: &str = "rabbitmqclusters";
/// Why it is kept.
const KEPT: &str = "a RabbitMQ cluster is never made smaller by itself: nodes that go take their members of queues with them";

/// The same, with the way to what was there before.
fn kept_words(named: &RabbitmqCluster, was: i64, wanted: i64) -> String {
    let RabbitmqCluster { name, namespace } = named;
    if wanted < was {
        return format!("a RabbitMQ cluster is never scaled by a rollback: `k8s.scale` with {was} replicas brings the nodes back, empty");
    }
    format!(
        "{KEPT}. Where it is to be smaller again, run `k8s.scale` with {was} replicas, which refuses what would cost a queue its majority (as a playbook: \
         `runsheet run scale-rabbitmq -p cluster={name} -p namespace={namespace} -p nodes={was} -p smaller=true`); RabbitMQ's own cluster operator does not \
         follow it"
    )
}

/// A RabbitmqCluster that a step is about: by its inputs, or by what its intent noted.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RabbitmqCluster {
    name: String,
    namespace: String,
}

impl RabbitmqCluster {
    /// What an intent was made for; `None` where it is not a RabbitmqCluster.
    pub(super) fn noted(intent: &Intent) -> Option<Self> {
        let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
        let name = text("workload")?.strip_prefix(KIND)?.strip_prefix('/')?.to_owned();
        Some(Self { name, namespace: text("namespace")?.to_owned() })
    }

    fn place(&self) -> Place {
        Place {
            path: format!("/apis/{GROUP}/v1beta1/namespaces/{}/{PLURAL}/{}", self.namespace, self.name),
            resource: PLURAL.to_owned(),
            shown: format!("{KIND}/{}", self.name),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            uid: None,
        }
    }

    /// The StatefulSet that the operator keeps for it.
    fn stateful_set(&self) -> Place {
        let name = format!("{}-server", self.name);
        Place {
            path: format!("/apis/apps/v1/namespaces/{}/statefulsets/{name}", self.namespace),
            resource: "statefulsets".to_owned(),
            shown: format!("statefulset/{name}"),
            name,
            namespace: self.namespace.clone(),
            uid: None,
        }
    }

    async fn state(&self, api: &Api) -> Result<Option<WorkloadState>, Failure> {
        let place = self.stateful_set();
        let Some(object) = place.read(api).await? else { return Ok(None) };
        WorkloadState::of(&object).map(Some).map_err(|trouble| trouble.failure(place.asked("get")))
    }

    /// As [`Place::read_certain`], with what to do where the cluster does not know the kind.
    async fn object(&self, api: &Api) -> Result<Value, Failure> {
        self.place().read(api).await?.ok_or_else(|| {
            Failure::permanent(format!("there is no {}", self.place()))
                .hint("check the name, the namespace and the environment, and that RabbitMQ's cluster operator is there (`kubectl get rabbitmqclusters -A`)")
        })
    }
}

fn field() -> Result<FieldPath, Failure> {
    form::REPLICAS.parse().map_err(|_| Failure::permanent("`spec.replicas` is no field"))
}

/// The replicas that an object asks for; the operator takes 1 where they are left out.
fn replicas(value: &Value) -> i64 {
    value.as_i64().unwrap_or(1)
}

/// What keeps the nodes from being as many as they are to be, in the operator's words.
fn holds(object: &Value, state: Option<&WorkloadState>, wanted: i64) -> Option<String> {
    let conditions = object.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let bad = |kind: &str, value: &str| {
        let found = conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == value)?;
        let text = |key: &str| found.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        Some(text("message").or_else(|| text("reason")).unwrap_or(kind).to_owned())
    };
    let refused = bad("ReconcileSuccess", "False").map(|why| format!("the cluster operator could not follow: {why}"));
    let Some(state) = state else { return Some(refused.unwrap_or_else(|| "the cluster operator has made no StatefulSet yet".to_owned())) };
    if state.replicas != wanted {
        return Some(
            refused
                .unwrap_or_else(|| format!("the cluster operator has not taken up the change yet: its StatefulSet has {}", state.replicas)),
        );
    }
    refused.or_else(|| (state.ready != wanted).then(|| format!("{} of {wanted} nodes are ready", state.ready)))
}

/// The observed state, in the form of every scaling's.
pub(super) async fn observe(connections: &Arc<Connections>, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
    let wanted = Wanted::of(inputs, cx.target.as_ref())?;
    let api = Api::new(connections, cx)?;
    let object = wanted.cluster.object(&api).await?;
    let state = wanted.cluster.state(&api).await?;
    let pods = match &state {
        Some(state) => PodCount::of(&api, &wanted.cluster.namespace, &state.selector).await?,
        None => PodCount::default(),
    };
    let field = field()?;
    let now = field.get(&object);
    let leaving = match wanted.replicas {
        count if count < replicas(&now) => Some(Leaving::of(connections, cx, &wanted.cluster, count).await?.told()),
        _ => None,
    };
    let count = |of: fn(&WorkloadState) -> i64| state.as_ref().map_or(0, of);
    Ok(json!({
        "replicas": replicas(&now),
        "field": now,
        "ready_replicas": count(|state| state.ready),
        "available_replicas": count(|state| state.available),
        "updated_replicas": count(|state| state.updated),
        "pods": pods.total,
        "terminating": pods.terminating,
        "generation": object.pointer("/metadata/generation"),
        "observed_generation": object.pointer("/status/observedGeneration"),
        "name": wanted.cluster.name,
        "namespace": wanted.cluster.namespace,
        "selector": state.as_ref().map(|state| &state.selector),
        "uid": uid_of(&object),
        "owner": horizontal::controller(&object).map(|(kind, name)| format!("{}/{name}", kind.to_lowercase())),
        "autoscaler": null,
        "applied_by": managed::applied_by(&object, [&field]),
        "holds": holds(&object, state.as_ref(), replicas(&now)),
        "leaving": leaving,
        ARGOCD: argocd::foretell(&api, cx.target.as_ref(), Thing::of(&object), [form::REPLICAS]).await?,
    }))
}

/// What would be changed.
pub(super) fn plan(cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
    let Wanted { cluster: named, replicas: wanted } = Wanted::of(inputs, cx.target.as_ref())?;
    let target = cluster(super::NAME, cx)?;
    let place = named.place();
    let unobserved = || Failure::permanent(format!("the replicas of {place} were not observed"));
    let was = prior.get("replicas").and_then(Value::as_i64).ok_or_else(unobserved)?;
    if let Some(owner) = prior.get("owner").and_then(Value::as_str) {
        return Err(
            Failure::permanent(format!("{place} belongs to {owner}, which puts its replicas back")).hint(format!("scale {owner} instead"))
        );
    }
    if was == wanted {
        let ready = prior.get("ready_replicas").and_then(Value::as_i64);
        return Ok(Plan { intent: Intent::default(), unchanged: Some(form::outputs(wanted, ready, was, None)) });
    }
    if wanted < was {
        Leaving::read(&prior["leaving"]).ok_or_else(unobserved)?.must_keep_majorities(&place, wanted)?;
    }
    let object = object_ref(target, &named).ok_or_else(unobserved)?;
    let change = Change {
        object,
        field: form::REPLICAS.to_owned(),
        label: "nodes".to_owned(),
        prior: prior.get("field").cloned().unwrap_or_default(),
        after: json!(wanted),
    };
    let told = argocd::judge(prior, std::slice::from_ref(&change))?;
    let line = |count: i64| {
        let patch = crate::model::by_hand::word(&json!({ "spec": { "replicas": count } }));
        format!("kubectl patch {KIND} {} -n {} --type=merge -p {patch}", named.name, named.namespace)
    };
    let says = "the cluster operator makes its StatefulSet follow; scaling neither drains queues nor gives those that are there members on new nodes";
    let intent = Intent {
        revert: Revert::Keep { reason: kept(rollback).unwrap_or_else(|| kept_words(&named, was, wanted)) },
        note: json!({
            "workload": place.shown,
            "namespace": named.namespace,
            "uid": prior[UID],
            "replicas_before": was,
            "warns": managed::warning(&format!("`spec.replicas` of {}", place.shown), &prior["applied_by"]),
            ARGOCD: told,
            "says": says,
        }),
        by_hand: vec![line(wanted)],
        undo_by_hand: Vec::new(),
        changes: vec![change],
        ..Intent::default()
    };
    Ok(Plan { intent, unchanged: None })
}

fn object_ref(target: &TargetSpec, named: &RabbitmqCluster) -> Option<ObjectRef> {
    named_ref(target, &named.namespace, &format!("{KIND}/{}", named.name))
}

/// The locks of a step.
pub(super) fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let wanted = Wanted::named(inputs, target);
    wanted.and_then(|named| object_ref(target?, &named)).into_iter().collect()
}

/// What an intent changes: from, to.
fn change(intent: &Intent) -> Result<(&Change, i64), Failure> {
    let read = || Some((intent.changes.first()?, intent.changes.first()?.after.as_i64()?));
    read().ok_or_else(|| Failure::permanent("what this step recorded does not name a RabbitMQ cluster and its replicas"))
}

fn outputs(intent: &Intent, after: i64, ready: Option<i64>) -> Value {
    let before = intent.note.get("replicas_before").and_then(Value::as_i64).unwrap_or(after);
    form::outputs(after, ready, before, None)
}

impl RabbitmqCluster {
    /// Does it.
    pub(super) async fn apply(&self, connections: &Arc<Connections>, cx: &Context, intent: &Intent) -> Applied {
        self.try_apply(connections, cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn try_apply(&self, connections: &Arc<Connections>, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let (change, after) = change(intent)?;
        let api = Api::new(connections, cx)?;
        managed::warn(cx, intent);
        argocd::tell(cx, intent);
        if after < replicas(&change.prior) {
            // Members may have gone since it was planned.
            Leaving::of(connections, cx, self, after).await?.must_keep_majorities(&self.place(), after)?;
        }
        let swaps = forth(&intent.changes)?;
        Ok(match swap_fields(&api, &self.place().of(intent), &swaps).await {
            // That the reading after it may fail must not make it less certain.
            Ok(_) => Applied::Applied { outputs: outputs(intent, after, self.ready(&api).await) },
            Err(applied) => applied,
        })
    }

    async fn ready(&self, api: &Api) -> Option<i64> {
        self.state(api).await.ok().flatten().map(|state| state.ready)
    }

    /// Whether it happened.
    pub(super) async fn verify(&self, connections: &Arc<Connections>, cx: &Context, intent: &Intent) -> Result<Verdict, Failure> {
        let (change, after) = change(intent)?;
        let api = Api::new(connections, cx)?;
        let place = self.place().of(intent);
        let Some(object) = place.read(&api).await? else {
            return Ok(Verdict::CannotTell { reason: format!("{place} is gone") });
        };
        let live = field()?.get(&object);
        if live == change.after {
            return Ok(Verdict::Present { outputs: outputs(intent, after, self.ready(&api).await) });
        }
        if live == change.prior {
            return Ok(Verdict::Absent);
        }
        let reason =
            format!("replicas of {place} are {live}, neither {} as before nor {after} as wanted: somebody else changed them", change.prior);
        Ok(Verdict::CannotTell { reason })
    }

    /// The live value; `None` where it is gone.
    pub(super) async fn live(&self, connections: &Arc<Connections>, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let api = Api::new(connections, cx)?;
        let object = self.place().of(intent).read(&api).await?;
        let field = field()?;
        Ok(vec![object.map(|object| field.get(&object))])
    }
}

/// It is never taken back.
pub(super) fn revert() -> Applied {
    Applied::NotApplied { failure: Failure::permanent(KEPT) }
}

#[cfg(test)]
mod tests;
