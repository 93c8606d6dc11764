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
use self::state::{Observed, observe};
use super::api::Api;
use super::cluster;
use super::horizontal;
use super::scaler::{self, Kind, ScalerName};
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
pub(super) type Autoscaler = Step<Horizontals>;

/// HorizontalPodAutoscalers, as a step creates or changes them.
pub(super) struct Horizontals;

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
    scaler_step::touches(Kind::Horizontal, inputs, target)
}

fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    scaler_step::permissions(Kind::Horizontal, inputs, target)
}

#[async_trait]
impl Scaling for Horizontals {
    const KIND: Kind = Kind::Horizontal;

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
            .map_err(|error| Failure::permanent(format!("what was observed of the autoscaler {} does not fit: {error}", input.name)))?;
        plan::plan(cluster(NAME, cx)?, &input, &observed, &cx.idempotency_key, rollback)
    }

    fn in_the_way(noted: &Noted, other: &ScalerName) -> Failure {
        let Noted { name, workload, .. } = noted;
        match other.kind {
            Kind::ScaledObject => scaler::of_keda(name, workload, &other.name),
            Kind::Horizontal => Failure::permanent(format!(
                "{workload} has another autoscaler since this was planned, {}: two on one workload fight each other",
                other.name
            ))
            .hint("look at who made it (`kubectl get hpa -o yaml`), then `runsheet retry` plans the step anew"),
        }
    }

    async fn holds(_: &Api, _: &Noted, object: Value) -> Result<Holds, Failure> {
        Ok(Holds::Told(horizontal::what_holds(&object)))
    }
}

#[cfg(test)]
mod tests;
