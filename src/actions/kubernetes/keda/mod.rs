//! `k8s.keda`: changes a ScaledObject of KEDA (floor, maximum, triggers, behaviour, pauses), or creates one.
//!
//! Must not touch the workload, nor the HPA that KEDA makes. Invariant: fields are only ever swapped, from what was recorded to what is wanted; a
//! ScaledObject is only deleted by the very step that created it, and only as it was created.

mod by_hand;
mod input;
mod plan;
mod state;
mod triggers;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::input::{Input, NAME};
use self::plan::Noted;
use self::state::{Observed, observe};
use super::api::Api;
use super::followed::{Between, followed};
use super::horizontal::{self, Horizontal};
use super::permissions::{Asking, On, text};
use super::pod_count::PodCount;
use super::scaled_object::{self, ScaledObject, what_holds};
use super::scaler::{self, ScalerName};
use super::swap_fields::{FieldSwap, Place, back, forth, swap_fields};
use super::workload::Workload;
use super::workload_state::WorkloadState;
use super::{cluster, namespace, object_ref};
use crate::actions::support::{output, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The action.
pub(super) struct Keda {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Change a ScaledObject of KEDA (floor, maximum, triggers, pauses), or create one".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("name", "string", "the ScaledObject's name"),
            output("min", "integer", "the fewest pods (`minReplicaCount`; 0 where it has none)"),
            output("max", "integer", "the most pods (`maxReplicaCount`; 100 where it has none)"),
            output("created", "boolean", "whether it was created; false where it was there and was changed"),
            output("previous_min", "integer", "the fewest pods before; null where it was created"),
            output("previous_max", "integer", "the most pods before; null where it was created"),
            output("hpa", "string", "the name of the HPA that KEDA makes for it"),
            output("paused", "boolean", "whether KEDA is paused for it in both directions, so that its floor is none"),
        ],
        effect: Effect::Idempotent,
        effect_from_step: false,
        observes: true,
        reverts: true,
        needs_target: true,
        immediate: false,
        touches,
        by_hand: self::by_hand::lines,
        permissions,
    })
});

fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let text = |key: &str| inputs.get(key).and_then(Value::as_str);
    let objects = || {
        let (name, workload): (_, Workload) = (text("name")?, text("workload")?.parse().ok()?);
        let namespace = namespace(text("namespace"), target).ok()?;
        Some([scaled_object::object_ref(target?, &namespace, name)?, object_ref(target?, &namespace, &workload)?])
    };
    objects().map(Vec::from).unwrap_or_default()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
    }
    let any = On::scaled_objects();
    let own = text(inputs, "name").map_or_else(On::scaled_objects, |name| any.clone().named(name));
    asking.reads("list", &any);
    asking.reads("list", &On::autoscalers());
    asking.reads("get", &own);
    asking.add(Purpose::Changes, Extent::Where("there is no ScaledObject of this name yet"), "create", &any);
    asking.add(Purpose::Changes, Extent::Where("there is a ScaledObject of this name"), "patch", &own);
    asking.add(Purpose::Reverts, Extent::Where("the step created the ScaledObject"), "delete", &own);
    asking.add(Purpose::Reverts, Extent::Where("the step changed the ScaledObject"), "get", &On::autoscalers());
    asking.reverts("list", &On::pods());
    asking.needs()
}

impl Keda {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    fn asked(&self, cx: &Context, intent: &Intent) -> Result<(Noted, Place, Api), Failure> {
        let noted = Noted::of(intent)?;
        let place = scaled_object::place(&noted.namespace, &noted.name).of(intent);
        Ok((noted, place, Api::new(&self.connections, cx)?))
    }

    async fn try_apply(&self, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let done = match noted.created() {
            Some(created) => {
                // Somebody else's on the same workload would fight ours.
                match scaler::of_workload(&api, &noted.workload, &noted.namespace).await?.map(|one| one.name()) {
                    Some(ScalerName { kind: scaler::Kind::ScaledObject, name }) if name == noted.name => {}
                    Some(other) => {
                        let message =
                            format!("{other} scales {} since this was planned: two on one workload fight each other", noted.workload);
                        return Err(Failure::permanent(message).hint("look at who made it, then `runsheet retry` plans the step anew"));
                    }
                    None => {}
                }
                created.create(&api).await
            }
            None => swap_fields(&api, &place, &forth(&intent.changes)?).await,
        };
        Ok(done.map_or_else(|applied| applied, |_| Applied::Applied { outputs: noted.outputs.clone() }))
    }

    async fn try_revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let done = match noted.created() {
            Some(created) if !swaps.is_empty() => created.delete(&api).await,
            None if !swaps.is_empty() => swap_fields(&api, &place, &back(swaps)?).await.map(drop),
            _ => Ok(()),
        };
        Ok(done.map_or_else(|applied| applied, |()| Applied::Applied { outputs: Value::Null }))
    }
}

#[async_trait]
impl Action for Keda {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let observed = observe(&Api::new(&self.connections, cx)?, &input, &namespace).await?;
        Ok(json!(observed))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, _) = Input::of(inputs, cx.target.as_ref())?;
        let observed: Observed = serde_json::from_value(prior.clone())
            .map_err(|error| Failure::permanent(format!("what was observed of the ScaledObject {} does not fit: {error}", input.name)))?;
        plan::plan(cluster(NAME, cx)?, &input, &observed, &cx.idempotency_key, rollback)
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (noted, place, _) = self.asked(cx, intent)?;
        let live = self.live(cx, intent).await?;
        let all =
            |wanted: fn(&Change) -> &Value| live.iter().zip(&intent.changes).all(|(live, change)| live.as_ref() == Some(wanted(change)));
        if all(|change| &change.after) {
            return Ok(Verdict::Present { outputs: noted.outputs });
        }
        if all(|change| &change.prior) {
            return Ok(Verdict::Absent);
        }
        let told = live.iter().zip(&intent.changes).filter(|(live, change)| live.as_ref() != Some(&change.after)).map(|(live, change)| {
            let now = live.as_ref().map_or_else(|| "gone".to_owned(), Value::to_string);
            format!("{} is {now}, neither {} as before nor {} as wanted", change.field, change.prior, change.after)
        });
        Ok(Verdict::CannotTell { reason: format!("{place}: {}: somebody else changed it", told.collect::<Vec<_>>().join("; ")) })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?;
        if let Some(created) = noted.created() {
            // One that was deleted is held by KEDA's finalizer until KEDA has put back the replicas.
            let there = object.as_ref().filter(|object| object["metadata"]["deletionTimestamp"].is_null());
            return Ok(vec![Some(created.live(there)); intent.changes.len()]);
        }
        let fields = forth(&intent.changes)?;
        Ok(fields.iter().map(|FieldSwap { field, .. }| object.as_ref().map(|object| field.get(object))).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        self.try_revert(cx, intent, swaps).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let Noted { workload, namespace, .. } = &noted;
        let asked = super::api::asked("get", workload.kind.plural(), workload, namespace);
        let state = match api.get(&workload.path(namespace)).await.and_then(|object| WorkloadState::of(&object)) {
            Ok(state) => state,
            Err(trouble) if trouble.is_gone() => return Ok(Followed::Yes),
            Err(trouble) => return Err(trouble.failure(asked)),
        };
        let object = place.read(&api).await?.and_then(ScaledObject::of);
        let hpa = match &object {
            Some(one) => horizontal::place(namespace, &one.hpa()).read(&api).await?.and_then(Horizontal::of),
            None => None,
        };
        let (least, most) = if noted.created().is_some() {
            if object.is_some() {
                return Ok(Followed::No { holds: format!("{place} is not gone yet: KEDA's operator has not let it go") });
            }
            let (now, before) = (state.replicas, noted.replicas_before);
            if now != before {
                let holds = format!(
                    "the ScaledObject is gone, and {workload} stays at {now} replicas where {before} were wanted before: `kubectl scale {workload} --replicas={before} -n {namespace}`"
                );
                return Ok(Followed::No { holds });
            }
            (before, before)
        } else {
            (noted.min_before, noted.most(intent))
        };
        if let (Some(one), None) = (&object, &hpa)
            && one.paused().is_none()
        {
            return Ok(Followed::No { holds: what_holds(one, None) });
        }
        let holds = object.as_ref().map(|one| what_holds(one, hpa.as_ref()));
        let pods = PodCount::of(&api, namespace, &noted.selector).await?;
        let wanted = Between { least: u64::try_from(least).unwrap_or(0), most: u64::try_from(most).unwrap_or(0) };
        Ok(followed(&workload.to_string(), Some(&state), &pods, wanted, holds.as_deref()))
    }
}

#[cfg(test)]
mod tests;
