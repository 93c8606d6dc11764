//! `k8s.autoscaler`: creates a HorizontalPodAutoscaler, or changes its floor, maximum, metrics and behaviour.
//!
//! Must not touch the workload itself. Invariant: fields are only ever swapped, from what was recorded to what is wanted; an autoscaler is only
//! deleted by the very step that created it, and only as it was created.

mod by_hand;
mod input;
mod plan;
mod state;

use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use serde_json::{Value, json};

use self::input::{Input, NAME};
use self::plan::Noted;
use self::state::{Observed, observe};
use super::api::Api;
use super::argocd;
use super::followed::{Between, followed};
use super::horizontal;
use super::permissions::{Asking, On, text};
use super::pod_count::PodCount;
use super::scaler::{self, Kind, ScalerName};
use super::swap_fields::{FieldSwap, Place, back, forth, swap_fields};
use super::workload::Workload;
use super::workload_state::WorkloadState;
use super::{cluster, namespace, object_ref};
use crate::actions::support::{output, schema};
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{ObjectRef, Swap};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};

/// The action.
pub(super) struct Autoscaler {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Create a HorizontalPodAutoscaler, or change its floor, maximum, metrics and behaviour".to_owned(),
        page: include_str!("page.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("name", "string", "the autoscaler's name"),
            output("min", "integer", "the fewest pods (`minReplicas`)"),
            output("max", "integer", "the most pods (`maxReplicas`)"),
            output("created", "boolean", "whether it was created; false where it was there and was changed"),
            output("previous_min", "integer", "the fewest pods before; null where it was created"),
            output("previous_max", "integer", "the most pods before; null where it was created"),
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
        Some([horizontal::object_ref(target?, &namespace, name)?, object_ref(target?, &namespace, &workload)?])
    };
    objects().map(Vec::from).unwrap_or_default()
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
    }
    let any = On::autoscalers();
    let own = text(inputs, "name").map_or_else(On::autoscalers, |name| any.clone().named(name));
    asking.reads("list", &any);
    asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
    asking.reads("get", &own);
    asking.add(Purpose::Changes, Extent::Where("there is no autoscaler of this name yet"), "create", &any);
    asking.add(Purpose::Changes, Extent::Where("there is an autoscaler of this name"), "patch", &own);
    asking.add(Purpose::Reverts, Extent::Where("the step created the autoscaler"), "delete", &own);
    asking.reverts("list", &On::pods());
    let mut needs = asking.needs();
    argocd::reads(&mut needs, target);
    needs
}

impl Autoscaler {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections }
    }

    fn asked(&self, cx: &Context, intent: &Intent) -> Result<(Noted, Place, Api), Failure> {
        let noted = Noted::of(intent)?;
        let place = horizontal::place(&noted.namespace, &noted.name).of(intent);
        Ok((noted, place, Api::new(&self.connections, cx)?))
    }

    async fn try_apply(&self, cx: &Context, intent: &Intent) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        argocd::tell(cx, intent);
        for missing in &noted.without_requests {
            cx.log.line(&format!(
                "no request for {missing}: a utilisation is a percentage of the request, so this metric will have no value"
            ));
        }
        let done = match noted.created() {
            Some(created) => {
                // Somebody else's on the same workload would fight ours.
                match scaler::of_workload(&api, &noted.workload, &noted.namespace).await?.map(|one| one.name()) {
                    Some(ScalerName { kind: Kind::ScaledObject, name }) => {
                        return Err(scaler::of_keda(&noted.name, &noted.workload, &name));
                    }
                    Some(ScalerName { name, .. }) if name != noted.name => return Err(plan::another(&noted, &name)),
                    _ => {}
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
impl Action for Autoscaler {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        let observed = observe(&Api::new(&self.connections, cx)?, &input, &namespace, cx.target.as_ref()).await?;
        Ok(json!(observed))
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, _) = Input::of(inputs, cx.target.as_ref())?;
        let observed: Observed = serde_json::from_value(prior.clone())
            .map_err(|error| Failure::permanent(format!("what was observed of the autoscaler {} does not fit: {error}", input.name)))?;
        plan::plan(cluster(NAME, cx)?, &input, &observed, &cx.idempotency_key, rollback)
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (noted, place, _) = self.asked(cx, intent)?;
        let live = self.live(cx, intent).await?;
        let all = |wanted: fn(&crate::model::change::Change) -> &Value| {
            live.iter().zip(&intent.changes).all(|(live, change)| live.as_ref() == Some(wanted(change)))
        };
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
            return Ok(vec![Some(created.live(object.as_ref())); intent.changes.len()]);
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
        let object = place.read(&api).await?;
        let most = if noted.created().is_some() {
            if object.is_some() {
                return Ok(Followed::No { holds: format!("{place} is not gone yet") });
            }
            let (now, before) = (state.replicas, noted.replicas_before);
            if now != before {
                let holds = format!(
                    "the autoscaler is gone, and {workload} stays at {now} replicas where {before} were wanted before: `kubectl scale {workload} --replicas={before} -n {namespace}`"
                );
                return Ok(Followed::No { holds });
            }
            before
        } else if intent.changes.iter().any(|change| change.field == horizontal::FLOOR) {
            // What the autoscaler had wanted by itself, above the floor, was there before.
            noted.min_before.max(noted.replicas_before)
        } else {
            noted.max_before
        };
        let least = if noted.created().is_some() { most } else { noted.min_before };
        let pods = PodCount::of(&api, namespace, &noted.selector).await?;
        let wanted = Between { least: u64::try_from(least).unwrap_or(0), most: u64::try_from(most).unwrap_or(0) };
        Ok(followed(&workload.to_string(), Some(&state), &pods, wanted, object.as_ref().map(horizontal::what_holds).as_deref()))
    }
}

#[cfg(test)]
mod tests;
