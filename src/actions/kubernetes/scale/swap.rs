//! The guarded swap of `spec.replicas`: from one value to another, only if the first is there, and only in the object that was planned for.
//!
//! Must not send a write twice. Invariant: where the precondition did not hold, the field is read again, and what is there decides.

use serde_json::{Value, json};

use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::{Asked, Trouble};
use crate::actions::kubernetes::swap_fields::Place;
use crate::actions::kubernetes::workload::Workload;
use crate::model::outcome::{Applied, Failure};

/// What became of a swap: `Ok(())` where `to` is there now.
pub(super) async fn swap_replicas(api: &Api, workload: &Workload, place: &Place, from: i64, to: i64) -> Result<(), Applied> {
    if from == to {
        return Ok(());
    }
    let asked = |verb| Asked { resource: workload.kind.scale(), ..place.asked(verb) };
    let sent = if from == 0 { from_zero(api, place, asked("get"), to).await? } else { api.patch_replicas(place, from, to).await };
    let Err(trouble) = sent else { return Ok(()) };
    let verb = if from == 0 { "update" } else { "patch" };
    if !trouble.is_conflict() {
        return Err(trouble.of_write(asked(verb)));
    }
    // The swap itself was refused: that it had no effect is certain, whatever the read says.
    let scale = read(api, place, asked("get")).await?;
    match scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0) {
        read if read == to => Ok(()),
        read if read == from => {
            let mut failure = trouble.failure(asked(verb));
            // A rule of the cluster says the same the next time; what was another for a moment does not.
            failure.transient |= trouble.is_failed_test();
            Err(Applied::NotApplied { failure })
        }
        read => {
            let failure = Failure::permanent(format!(
                "replicas of {place} are {read}: somebody else changed them from {from} to {read} meanwhile, and they were left alone"
            ))
            .hint("find out who (`kubectl get --show-managed-fields -o yaml`; an autoscaler?), then decide which value holds");
            Err(Applied::NotApplied { failure })
        }
    }
}

/// The `Scale` of the very object.
async fn read(api: &Api, place: &Place, asked: Asked<'_>) -> Result<Value, Applied> {
    let not_applied = |failure: Failure| Applied::NotApplied { failure };
    let scale = api.scale(place).await.map_err(|trouble| not_applied(trouble.failure(asked)))?;
    if place.is(&scale) { Ok(scale) } else { Err(not_applied(place.replaced())) }
}

/// A `Scale` of zero replicas does not hold the field at all, so that a JSON Patch has nothing to test: the object's version stands in.
async fn from_zero(api: &Api, place: &Place, asked: Asked<'_>, to: i64) -> Result<Result<(), Trouble>, Applied> {
    let mut scale = read(api, place, asked).await?;
    if scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0) != 0 {
        let (message, reason) = ("replicas are not 0 any more".to_owned(), "Conflict".to_owned());
        return Ok(Err(Trouble::Refused { status: 409, message, reason, retry_after: None }));
    }
    scale["spec"] = json!({ "replicas": to });
    Ok(api.put_scale(place, scale).await)
}
