//! What the actions on a workload's pod template share: where it is, its containers, and whether a rollout and its pods have followed.
//!
//! Must not write. Invariant: a container is meant by its name, and one that is not named is meant only where there is no other.

use serde_json::Value;

use super::api::Api;
use super::pod_count::PodCount;
use super::rollout::Rollout;
use super::swap_fields::Place;
use super::workload::{Rolling, Workload};
use super::workload_state::WorkloadState;
use super::{namespace, object_ref};
use crate::model::change::ObjectRef;
use crate::model::intent::Intent;
use crate::model::outcome::{Failure, Followed};
use crate::model::run::TargetSpec;

/// Where a workload is.
pub(super) fn place(workload: &Workload, namespace: &str) -> Place {
    Place {
        path: workload.path(namespace),
        resource: workload.kind.plural().to_owned(),
        shown: workload.to_string(),
        name: workload.name.clone(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

/// The workload and namespace that an intent's note names.
pub(super) fn noted(intent: &Intent) -> Result<(Workload, String), Failure> {
    let text = |key: &str| intent.note.get(key).and_then(Value::as_str);
    let read = || Some((text("workload")?.parse().ok()?, text("namespace")?.to_owned()));
    read().ok_or_else(|| Failure::permanent("what this step recorded does not name a workload"))
}

/// The lock of a step with `workload` and `namespace` among its inputs.
pub(super) fn touches(inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
    let object = || {
        let Rolling(workload) = inputs.get("workload")?.as_str()?.parse().ok()?;
        let namespace = namespace(inputs.get("namespace").and_then(Value::as_str), target).ok()?;
        object_ref(target?, &namespace, &workload)
    };
    object().into_iter().collect()
}

/// The containers of the template, by name.
pub(super) fn containers(object: &Value) -> Vec<&str> {
    let all = object.pointer("/spec/template/spec/containers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    all.iter().filter_map(|container| container.get("name")?.as_str()).collect()
}

/// The container that is meant.
pub(super) fn container(place: &Place, object: &Value, wanted: Option<&str>) -> Result<String, Failure> {
    let all = containers(object);
    match (wanted, all.as_slice()) {
        (Some(name), _) if all.contains(&name) => Ok(name.to_owned()),
        (None, [only]) => Ok((*only).to_owned()),
        (Some(name), _) => Err(Failure::permanent(format!("{place} has no container `{name}`")).hint(format!("it has {}", all.join(", ")))),
        (None, _) => Err(Failure::permanent(format!("{place} has {} containers, and the step names none", all.len()))
            .hint(format!("give the step `container:`, one of {}", all.join(", ")))),
    }
}

/// The workload's selector as text.
pub(super) fn selector(place: &Place, object: &Value) -> Result<String, Failure> {
    WorkloadState::of(object).map(|state| state.selector).map_err(|trouble| trouble.failure(place.asked("get")))
}

/// Whether the rollout has finished and no pod of an older template is left, terminating ones included.
pub(super) async fn followed(api: &Api, workload: &Workload, namespace: &str) -> Result<Followed, Failure> {
    let place = place(workload, namespace);
    let Some(object) = place.read(api).await? else {
        return Ok(Followed::No { holds: format!("there is no {place} any more") });
    };
    let rollout = Rollout::of(workload.kind, &object);
    if !rollout.complete {
        return Ok(Followed::No { holds: format!("{workload}: {}", rollout.message) });
    }
    // The status counts no pod that is on its way out; of those that stay, a complete rollout has none of an older template.
    let pods = PodCount::of(api, namespace, &selector(&place, &object)?).await?;
    if pods.terminating == 0 {
        return Ok(Followed::Yes);
    }
    let listed = pods.listed(pods.terminating);
    Ok(Followed::No { holds: format!("{} of {} pods are still terminating: {listed}", pods.terminating, pods.total) })
}
