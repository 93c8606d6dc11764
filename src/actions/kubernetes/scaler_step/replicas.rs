//! The replicas of a workload, which a scaler that a step creates has in its hands from then on, and which go back when it goes.
//!
//! An HPA that is deleted leaves them where it had them. KEDA puts them back before it deletes its HPA, which may set them once more.
//!
//! Invariant: they are set only once nothing scales the workload any more, and only where a scaler had set them: what somebody else has set is left alone.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::noted::Noted;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::Asked;
use crate::actions::kubernetes::managed;
use crate::actions::kubernetes::pod_template;
use crate::actions::kubernetes::scaler::{self, Kind, ScalerName};
use crate::actions::kubernetes::swap_fields::foreign;
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::model::change::{Change, ObjectRef};
use crate::model::outcome::{Applied, Failure};

/// The replicas of a workload.
pub(super) const REPLICAS: &str = "spec.replicas";
/// What the ledger calls them. Not [`REPLICAS`] itself: nobody knows the value of that while a scaler sets it.
const HANDED_OVER: &str = "spec.replicas under ";
/// How long is waited for a scaler that was deleted to be gone, and how often is looked.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a controller has begun to write when its scaler goes comes within this.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The change of hands.
pub(super) fn handed_over(workload: ObjectRef, scaler: &ScalerName, before: i64) -> Change {
    let (field, label) = (format!("{HANDED_OVER}{scaler}"), "replicas".to_owned());
    Change { object: workload, field, label, prior: json!(before), after: json!(format!("by {scaler}")) }
}

/// Whether a field of an intent is that.
pub(super) fn is_handed_over(field: &str) -> bool {
    field.starts_with(HANDED_OVER)
}

/// In whose hands they are, for the ledger. `scaler`: how the scaler stands, null where it is gone; `workload`: as it is, where it is there.
pub(super) fn live(change: &Change, noted: &Noted, scaler: &Value, workload: Option<&Value>) -> Option<Value> {
    let workload = workload?;
    if scaler == noted.name.as_str() {
        return Some(change.after.clone());
    }
    if !scaler.is_null() {
        return Some(json!(format!("by {}", scaler.as_str().unwrap_or_default())));
    }
    let now = workload.pointer("/spec/replicas").cloned().unwrap_or_else(|| json!(1));
    Some(if now != change.prior && is_left_by_a_scaler(workload) { change.after.clone() } else { now })
}

/// Whether it was a controller that scales which set them last: the HPA's, or KEDA's operator.
fn is_left_by_a_scaler(workload: &Value) -> bool {
    let Ok(field) = REPLICAS.parse() else { return false };
    managed::set_by(workload, &field).iter().any(|manager| manager == "kube-controller-manager" || manager.starts_with("keda"))
}

/// Waits until the scaler is gone, and sets them to what they were. Where it does not go, nothing is set: whoever looks whether it has followed says so.
///
/// # Errors
/// What became of the attempt: not applied, or unknown.
pub(super) async fn give_back(api: &Api, kind: Kind, noted: &Noted, to: i64) -> Result<(), Applied> {
    let not_applied = |failure| Applied::NotApplied { failure };
    let deadline = Instant::now() + GONE_WITHIN;
    loop {
        match scaler::of_workload(api, &noted.workload, &noted.namespace).await.map_err(not_applied)?.map(|one| one.name()) {
            None => break,
            Some(one) if one == noted.scaler(kind) || one.name == noted.outputs["hpa"].as_str().unwrap_or_default() => {
                if Instant::now() >= deadline {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
            Some(other) => {
                let message = format!("{other} scales {} by now: its replicas are left to it", noted.workload);
                let hint = format!("where that is not wanted: `kubectl scale {} --replicas={to}` once it is gone", noted.workload);
                return Err(not_applied(Failure::permanent(message).hint(hint)));
            }
        }
    }
    tokio::time::sleep(LAST_WRITE).await;
    let Some((state, object)) = WorkloadState::read(api, &noted.workload, &noted.namespace).await.map_err(not_applied)? else {
        return Ok(());
    };
    if state.replicas != to && !is_left_by_a_scaler(&object) {
        let message =
            format!("replicas of {} are {}: somebody else changed them, and they were left alone", noted.workload, state.replicas);
        return Err(not_applied(foreign(message)));
    }
    if state.replicas == to || state.replicas == 0 {
        // No HPA goes down to none, and KEDA, which does, has put them back itself.
        return Ok(());
    }
    let place = pod_template::place(&noted.workload, &noted.namespace);
    let asked = Asked { resource: noted.workload.kind.scale(), ..place.asked("patch") };
    match api.patch_replicas(&place, state.replicas, to).await {
        Ok(()) => Ok(()),
        // It was refused as a whole; what is there is looked at anew.
        Err(trouble) if trouble.is_failed_test() => Err(not_applied(Failure { transient: true, ..trouble.failure(asked) })),
        Err(trouble) => Err(trouble.of_write(asked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(replicas: i64, manager: &str) -> Value {
        let entry =
            json!({ "manager": manager, "operation": "Update", "subresource": "scale", "fieldsV1": { "f:spec": { "f:replicas": {} } } });
        json!({ "spec": { "replicas": replicas }, "metadata": { "managedFields": [entry] } })
    }

    #[test]
    fn they_are_the_scalers_until_somebody_else_has_set_them() {
        let noted: Noted = serde_json::from_value(json!({
            "workload": "deployment/t", "namespace": "n", "name": "h", "selector": "app=t", "min_before": 0, "max_before": 0,
            "replicas_before": 2, "outputs": {},
        }))
        .unwrap();
        let scaler = ScalerName { kind: Kind::Horizontal, name: "h".to_owned() };
        let change = handed_over(ObjectRef("k8s:u/n/deployment/t".to_owned()), &scaler, 2);
        let ours = Some(json!("by the autoscaler h"));
        let stands = |scaler: Value, workload: Value| live(&change, &noted, &scaler, Some(&workload));
        assert_eq!(stands(json!("h"), workload(2, "kubectl")), ours, "whatever they are at the moment");
        assert_eq!(stands(Value::Null, workload(2, "kube-controller-manager")), Some(json!(2)), "as before");
        for controller in ["kube-controller-manager", "keda", "keda-operator"] {
            assert_eq!(stands(Value::Null, workload(6, controller)), ours, "{controller} left them there");
        }
        assert_eq!(stands(Value::Null, workload(6, "kubectl")), Some(json!(6)), "somebody else's");
        let changed = json!("h (changed since at spec.maxReplicas)");
        assert_eq!(stands(changed, workload(6, "kubectl")), Some(json!("by h (changed since at spec.maxReplicas)")));
        assert_eq!(live(&change, &noted, &Value::Null, None), None, "the workload is gone");
    }
}
