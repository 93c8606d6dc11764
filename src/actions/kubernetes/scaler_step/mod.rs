//! A step that creates or changes what scales a workload: what `k8s.autoscaler` and `k8s.keda` share.
//!
//! Must not touch the workload but for the replicas that a scaler leaves behind. Invariant: fields are only ever swapped, from what was recorded to what
//! is wanted; a scaler is only deleted by the very step that created it, and only as it was created.

mod by_hand;
mod draft;
mod needs;
mod noted;
mod replicas;
mod there;

pub(super) use self::by_hand::{Hands, lines};
pub(super) use self::draft::{Draft, change_of, created_at};
pub(super) use self::needs::{permissions, touches};
pub(super) use self::noted::{Creation, Noted};
use self::replicas::{Held, give_back, is_handed_over};
pub(super) use self::there::There;

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

use super::api::Api;
use super::argocd;
use super::created::{Created, EXISTS};
use super::followed::{Between, followed};
use super::pod_count::PodCount;
use super::scaler::{self, Kind, ScalerName};
use super::swap_fields::{FieldSwap, Place, back, forth, swap_fields};
use super::workload_state::WorkloadState;
use crate::environment::Connections;
use crate::model::catalogue::ActionEntry;
use crate::model::change::{Change, Swap};
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::step::Rollback;
use crate::ports::action::{Action, Context, Inputs, Plan};

/// One kind of scaler, as a step creates or changes it.
#[async_trait]
pub(super) trait Scaling: Send + Sync + 'static {
    /// The kind.
    const KIND: Kind;

    /// What there is to know about the action.
    fn entry() -> Arc<ActionEntry>;

    /// What is there.
    ///
    /// # Errors
    /// A read that failed; inputs that do not fit.
    async fn observe(api: &Api, cx: &Context, inputs: &Inputs) -> Result<Value, Failure>;

    /// What it would do.
    ///
    /// # Errors
    /// Why it is refused.
    fn plan(cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure>;

    /// Why none is created beside this one, which has come since it was planned.
    fn in_the_way(noted: &Noted, other: &ScalerName) -> Failure;

    /// What keeps the pods as many as they are.
    ///
    /// # Errors
    /// A read that failed.
    async fn holds(api: &Api, noted: &Noted, object: Value) -> Result<Holds, Failure>;
}

/// What keeps the pods as many as they are, in words.
pub(super) enum Holds {
    /// Its own measure.
    Told(String),
    /// It does not act yet, so that nothing can have followed.
    NotYet(String),
}

/// The action for a kind.
pub(super) struct Step<S> {
    connections: Arc<Connections>,
    scaling: PhantomData<S>,
}

impl<S: Scaling> Step<S> {
    pub(super) fn new(connections: Arc<Connections>) -> Self {
        Self { connections, scaling: PhantomData }
    }

    fn asked(&self, cx: &Context, intent: &Intent) -> Result<(Noted, Place, Api), Failure> {
        let noted = Noted::of(S::KIND, intent)?;
        let place = noted.scaler(S::KIND).place(&noted.namespace).of(intent);
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
        let done = match noted.created(S::KIND) {
            Some(created) => {
                // Somebody else's on the same workload would fight ours.
                let there = scaler::of_workload(&api, &noted.workload, &noted.namespace).await?.map(|one| one.name());
                match there {
                    Some(other) if other != noted.scaler(S::KIND) => return Err(S::in_the_way(&noted, &other)),
                    Some(_) => {}
                    None => replicas::as_planned(&api, &noted).await?,
                }
                created.create(&api).await
            }
            None => swap_fields(&api, &place, &forth(&intent.changes)?).await,
        };
        Ok(done.map_or_else(|applied| applied, |_| Applied::Applied { outputs: noted.outputs.clone() }))
    }

    async fn try_revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Result<Applied, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let done = match noted.created(S::KIND) {
            Some(created) => Self::take_away(&api, &noted, &created, swaps).await,
            None if !swaps.is_empty() => swap_fields(&api, &place, &back(swaps)?).await.map(drop),
            None => Ok(()),
        };
        Ok(done.map_or_else(|applied| applied, |()| Applied::Applied { outputs: Value::Null }))
    }

    /// Deletes what the step created, and gives the workload the replicas back that it had before.
    async fn take_away(api: &Api, noted: &Noted, created: &Created, swaps: &[Swap]) -> Result<(), Applied> {
        if swaps.iter().any(|swap| swap.field == EXISTS) {
            created.delete(api).await?;
        }
        match swaps.iter().find(|swap| is_handed_over(&swap.field)).and_then(|swap| swap.to.as_i64()) {
            Some(before) => give_back(api, S::KIND, noted, before).await,
            None => Ok(()),
        }
    }

    /// How many pods there may be once the step is taken back; `Err`: what is not yet as it has to be for that.
    fn between(noted: &Noted, intent: &Intent, place: &Place, is_there: bool, state: &WorkloadState) -> Result<(i64, i64), String> {
        if noted.created(S::KIND).is_none() {
            return Ok((noted.least(), noted.most(S::KIND, intent)));
        }
        if is_there {
            let why = match S::KIND {
                Kind::Horizontal => "",
                Kind::ScaledObject => ": KEDA's operator has not let it go",
            };
            return Err(format!("{place} is not gone yet{why}"));
        }
        let Noted { workload, namespace, replicas_before: before, .. } = noted;
        let (now, before) = (state.replicas, *before);
        if now != before {
            return Err(format!(
                "the {} is gone, and {workload} stays at {now} replicas where {before} were wanted before: `kubectl scale {workload} --replicas={before} -n {namespace}`",
                S::KIND.word()
            ));
        }
        Ok((before, before))
    }
}

#[async_trait]
impl<S: Scaling> Action for Step<S> {
    fn entry(&self) -> Arc<ActionEntry> {
        S::entry()
    }

    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        S::observe(&Api::new(&self.connections, cx)?, cx, inputs).await
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        S::plan(cx, inputs, prior, rollback)
    }

    async fn apply(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Applied {
        self.try_apply(cx, intent).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn verify(&self, cx: &Context, _: &Inputs, intent: &Intent) -> Result<Verdict, Failure> {
        let (noted, place, _) = self.asked(cx, intent)?;
        let live = self.live(cx, intent).await?;
        // What becomes of the replicas follows from the scaler, and tells nothing of it.
        let changes = || live.iter().zip(&intent.changes).filter(|(_, change)| !is_handed_over(&change.field));
        let all = |wanted: fn(&Change) -> &Value| changes().all(|(live, change)| live.as_ref() == Some(wanted(change)));
        if all(|change| &change.after) {
            return Ok(Verdict::Present { outputs: noted.outputs });
        }
        if all(|change| &change.prior) {
            return Ok(Verdict::Absent);
        }
        let told = changes().filter(|(live, change)| live.as_ref() != Some(&change.after)).map(|(live, change)| {
            let now = live.as_ref().map_or_else(|| "gone".to_owned(), Value::to_string);
            format!("{} is {now}, neither {} as before nor {} as wanted", change.field, change.prior, change.after)
        });
        Ok(Verdict::CannotTell { reason: format!("{place}: {}: somebody else changed it", told.collect::<Vec<_>>().join("; ")) })
    }

    async fn live(&self, cx: &Context, intent: &Intent) -> Result<Vec<Option<Value>>, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let object = place.read(&api).await?;
        if let Some(created) = noted.created(S::KIND) {
            // One that was deleted may be held by a finalizer: KEDA's, until it has put back the replicas.
            let there = object.as_ref().filter(|object| object["metadata"]["deletionTimestamp"].is_null());
            let scaler = created.live(there);
            let held = match there {
                None => Held::Gone,
                Some(object) if created.is_ours(object) => Held::Ours,
                Some(_) => Held::Anothers,
            };
            let handed_over = intent.changes.iter().any(|change| is_handed_over(&change.field));
            let workload = if handed_over { WorkloadState::read(&api, &noted.workload, &noted.namespace).await? } else { None };
            let live = |change: &Change| match is_handed_over(&change.field) {
                true => Some(replicas::live(change, &held, workload.as_ref().map(|(_, object)| object))),
                false => Some(scaler.clone()),
            };
            return Ok(intent.changes.iter().map(live).collect());
        }
        let fields = forth(&intent.changes)?;
        Ok(fields.iter().map(|FieldSwap { field, .. }| object.as_ref().map(|object| field.get(object))).collect())
    }

    async fn revert(&self, cx: &Context, intent: &Intent, swaps: &[Swap]) -> Applied {
        self.try_revert(cx, intent, swaps).await.unwrap_or_else(|failure| Applied::NotApplied { failure })
    }

    async fn followed(&self, cx: &Context, intent: &Intent) -> Result<Followed, Failure> {
        let (noted, place, api) = self.asked(cx, intent)?;
        let Some((state, _)) = WorkloadState::read(&api, &noted.workload, &noted.namespace).await? else {
            return Ok(Followed::Yes);
        };
        let object = place.read(&api).await?;
        let (least, most) = match Self::between(&noted, intent, &place, object.is_some(), &state) {
            Ok(between) => between,
            Err(holds) => return Ok(Followed::No { holds }),
        };
        let holds = match object {
            None => None,
            Some(object) => match S::holds(&api, &noted, object).await? {
                Holds::Told(holds) => Some(holds),
                Holds::NotYet(holds) => return Ok(Followed::No { holds }),
            },
        };
        let pods = PodCount::of(&api, &noted.namespace, &noted.selector).await?;
        let wanted = Between { least: u64::try_from(least).unwrap_or(0), most: u64::try_from(most).unwrap_or(0) };
        Ok(followed(&noted.workload.to_string(), Some(&state), &pods, wanted, holds.as_deref()))
    }
}
