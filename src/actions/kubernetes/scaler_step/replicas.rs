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

/// The replicas of a workload. While a scaler sets them nobody knows their value: the ledger has the scaler's name in its place.
pub(super) const REPLICAS: &str = "spec.replicas";
/// How long is waited for a scaler that was deleted to be gone, and how often is looked.
const GONE_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// What a controller has begun to write when its scaler goes comes within this.
const LAST_WRITE: Duration = Duration::from_secs(1);

/// The change of hands.
pub(super) fn handed_over(workload: ObjectRef, scaler: &ScalerName, before: i64) -> Change {
    let (field, label) = (REPLICAS.to_owned(), "replicas".to_owned());
    Change { object: workload, field, label, prior: json!(before), after: json!(format!("by {scaler}")) }
}

/// Whether a field of an intent is that: a scaler has no replicas of its own.
pub(super) fn is_handed_over(field: &str) -> bool {
    field == REPLICAS
}

/// The scaler that a step created, as it is now.
pub(super) enum Held {
    /// It is there, and the step's.
    Ours,
    /// Another one has its name.
    Anothers,
    /// It is gone, or going.
    Gone,
}

/// In whose hands they are, for the ledger. `workload`: as it is, where it is there.
pub(super) fn live(change: &Change, held: &Held, workload: Option<&Value>) -> Value {
    match (held, workload) {
        (Held::Ours, _) => change.after.clone(),
        (Held::Anothers, _) => json!(format!("{}, which is somebody else's", change.after.as_str().unwrap_or_default())),
        // There is nothing to give back, and nothing in the way of what else is.
        (Held::Gone, None) => change.prior.clone(),
        (Held::Gone, Some(workload)) => {
            let now = workload.pointer("/spec/replicas").cloned().unwrap_or_else(|| json!(1));
            if now != change.prior && is_left_by_a_scaler(workload) { change.after.clone() } else { now }
        }
    }
}

/// Whether controllers that scale set them last, and nobody has said since that they are to be so: that of HPAs, or KEDA's operator.
fn is_left_by_a_scaler(workload: &Value) -> bool {
    let Ok(field) = REPLICAS.parse() else { return false };
    // Some distributions have all controllers in a program of another name: that which writes the workload's status.
    let controllers = managed::writers_of_status(workload);
    let scales = |manager: &String| manager == "kube-controller-manager" || manager.starts_with("keda") || controllers.contains(manager);
    let set_by = managed::set_by(workload, &field);
    !set_by.is_empty() && set_by.iter().all(scales)
}

/// That they are still what they were when the step was planned: what they were before is what they go back to.
///
/// # Errors
/// Somebody has changed them since, or they cannot be read.
pub(super) async fn as_planned(api: &Api, noted: &Noted) -> Result<(), Failure> {
    let before = noted.replicas_before;
    match WorkloadState::read(api, &noted.workload, &noted.namespace).await? {
        Some((state, _)) if state.replicas != before => {
            let message = format!("replicas of {} are {}, and were {before} when this was planned", noted.workload, state.replicas);
            Err(Failure::permanent(message).hint("`runsheet retry` plans the step anew, with what there is now to go back to"))
        }
        Some(_) | None => Ok(()),
    }
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
                let by_hand = format!("kubectl scale {} --replicas={to} -n {}", noted.workload, noted.namespace);
                let hint = format!("where that is not wanted: `{by_hand}` once it is gone");
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

    fn entry(manager: &str, subresource: &str, field: &str) -> Value {
        let set = json!({ "f:spec": { "f:replicas": {} } });
        let set = if field == "replicas" { set } else { json!({ "f:status": { "f:readyReplicas": {} } }) };
        json!({ "manager": manager, "operation": "Update", "subresource": subresource, "fieldsV1": set })
    }

    fn workload(replicas: i64, managers: &[&str]) -> Value {
        let mut entries: Vec<Value> = managers.iter().map(|manager| entry(manager, "scale", "replicas")).collect();
        entries.push(entry("k3s", "status", "status"));
        json!({ "spec": { "replicas": replicas }, "metadata": { "managedFields": entries } })
    }

    #[test]
    fn they_are_the_scalers_until_somebody_else_has_set_them() {
        let scaler = ScalerName { kind: Kind::Horizontal, name: "h".to_owned() };
        let change = handed_over(ObjectRef("k8s:u/n/deployment/t".to_owned()), &scaler, 2);
        let ours = json!("by the autoscaler h");
        let gone = |workload: Value| live(&change, &Held::Gone, Some(&workload));
        assert_eq!(live(&change, &Held::Ours, Some(&workload(2, &["kubectl"]))), ours, "whatever they are at the moment");
        assert_eq!(gone(workload(2, &["kube-controller-manager"])), json!(2), "as before");
        for controller in ["kube-controller-manager", "keda", "keda-operator", "k3s"] {
            assert_eq!(gone(workload(6, &[controller])), ours, "{controller} left them there");
        }
        assert_eq!(gone(workload(6, &["kubectl"])), json!(6), "somebody else's");
        assert_eq!(
            gone(workload(6, &["kube-controller-manager", "argocd-controller"])),
            json!(6),
            "somebody has said since that they are to be 6"
        );
        assert_eq!(gone(json!({ "spec": { "replicas": 6 } })), json!(6), "nobody knows who it was");
        assert_eq!(live(&change, &Held::Anothers, None), json!("by the autoscaler h, which is somebody else's"));
        assert_eq!(live(&change, &Held::Gone, None), json!(2), "the workload is gone, and with it what would be given back");
    }
}
