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
use self::state::{Observed, observe};
use super::api::Api;
use super::cluster;
use super::horizontal::{self, Horizontal};
use super::scaled_object::{ScaledObject, what_holds};
use super::scaler::{Kind, ScalerName};
use super::scaler_step::{self, Holds, Noted, Scaling, Step};
use crate::actions::support::{output, schema};
use crate::model::catalogue::ActionEntry;
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::permission::Needs;
use crate::model::run::TargetSpec;
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Context, Inputs, Plan};

/// The action.
pub(super) type Keda = Step<ScaledObjects>;

/// ScaledObjects, as a step creates or changes them.
pub(super) struct ScaledObjects;

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
    scaler_step::touches(Kind::ScaledObject, inputs, target)
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    scaler_step::permissions(Kind::ScaledObject, inputs, target)
}

#[async_trait]
impl Scaling for ScaledObjects {
    const KIND: Kind = Kind::ScaledObject;

    fn entry() -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    async fn observe(api: &Api, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let (input, namespace) = Input::of(inputs, cx.target.as_ref())?;
        Ok(json!(observe(api, &input, &namespace, cx.target.as_ref()).await?))
    }

    fn plan(cx: &Context, inputs: &Inputs, prior: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let (input, _) = Input::of(inputs, cx.target.as_ref())?;
        let observed: Observed = serde_json::from_value(prior.clone())
            .map_err(|error| Failure::permanent(format!("what was observed of the ScaledObject {} does not fit: {error}", input.name)))?;
        plan::plan(cluster(NAME, cx)?, &input, &observed, &cx.idempotency_key, rollback)
    }

    fn in_the_way(noted: &Noted, other: &ScalerName) -> Failure {
        let message = format!("{other} scales {} since this was planned: two on one workload fight each other", noted.workload);
        Failure::permanent(message).hint("look at who made it, then `runsheet retry` plans the step anew")
    }

    async fn holds(api: &Api, noted: &Noted, object: Value) -> Result<Holds, Failure> {
        let Some(scaled) = ScaledObject::of(object) else { return Ok(Holds::NotYet("the ScaledObject cannot be read".to_owned())) };
        let hpa = horizontal::place(&noted.namespace, &scaled.hpa()).read(api).await?.and_then(Horizontal::of);
        let told = what_holds(&scaled, hpa.as_ref());
        Ok(if hpa.is_none() && scaled.paused().is_none() { Holds::NotYet(told) } else { Holds::Told(told) })
    }
}

#[cfg(test)]
mod tests;
