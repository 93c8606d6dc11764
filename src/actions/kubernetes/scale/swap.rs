//! The guarded swap of `spec.replicas`: from one value to another, only if the first is there.
//!
//! Must not send a write twice. Invariant: where the precondition did not hold, the field is read again, and what is there decides.

use serde_json::{Value, json};

use crate::actions::kubernetes::api::{Api, asked};
use crate::actions::kubernetes::errors::Trouble;
use crate::actions::kubernetes::workload::Workload;
use crate::model::outcome::{Applied, Failure};

/// What became of a swap: `Ok(())` where `to` is there now.
pub(super) async fn swap_replicas(api: &Api, workload: &Workload, namespace: &str, from: i64, to: i64) -> Result<(), Applied> {
    if from == to {
        return Ok(());
    }
    let sent =
        if from == 0 { from_zero(api, workload, namespace, to).await? } else { api.patch_replicas(workload, namespace, from, to).await };
    let Err(trouble) = sent else { return Ok(()) };
    let verb = if from == 0 { "update" } else { "patch" };
    if trouble.is_conflict() {
        return conflict(api, workload, namespace, from, to, &trouble).await;
    }
    Err(trouble.of_write(asked(verb, workload.kind.scale(), workload, namespace)))
}

/// A `Scale` of zero replicas does not hold the field at all, so that a JSON Patch has nothing to test: the object's version stands in.
async fn from_zero(api: &Api, workload: &Workload, namespace: &str, to: i64) -> Result<Result<(), Trouble>, Applied> {
    let read = api.scale(workload, namespace).await;
    let mut scale =
        read.map_err(|trouble| Applied::NotApplied { failure: trouble.failure(asked("get", workload.kind.scale(), workload, namespace)) })?;
    if scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0) != 0 {
        let (message, reason) = ("replicas are not 0 any more".to_owned(), "Conflict".to_owned());
        return Ok(Err(Trouble::Refused { status: 409, message, reason, retry_after: None }));
    }
    scale["spec"] = json!({ "replicas": to });
    Ok(api.put_scale(workload, namespace, scale).await)
}

async fn conflict(api: &Api, workload: &Workload, namespace: &str, from: i64, to: i64, trouble: &Trouble) -> Result<(), Applied> {
    let not_applied = |failure: Failure| Applied::NotApplied { failure };
    let read = match api.scale(workload, namespace).await {
        Ok(scale) => scale.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(0),
        // The swap itself was refused: that it had no effect is certain, whatever the read says.
        Err(again) => return Err(not_applied(again.failure(asked("get", workload.kind.scale(), workload, namespace)))),
    };
    if read == to {
        return Ok(());
    }
    if read == from {
        let mut failure = trouble.failure(asked("patch", workload.kind.scale(), workload, namespace));
        failure.transient = true;
        return Err(not_applied(failure));
    }
    Err(not_applied(
        Failure::permanent(format!(
            "replicas of {workload} in namespace {namespace} are {read}: somebody else changed them from {from} to {read} meanwhile, and they were left alone"
        ))
        .hint("find out who (`kubectl get --show-managed-fields -o yaml`; an autoscaler?), then decide which value holds"),
    ))
}
