//! The objects that a change of resources is made of, each with its fields: one workload, or every one of its pods.
//!
//! Must not decide what is wanted. Invariant: amounts are compared by value and put back in the very text that was there; a pod that is gone took
//! its change with it.

use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::inputs::FIELDS;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::Asked;
use crate::actions::kubernetes::field_path::{FieldPath, NotAField};
use crate::actions::kubernetes::pod_template;
use crate::actions::kubernetes::quantity::same;
use crate::actions::kubernetes::standing::{Stands, Together, field};
use crate::actions::kubernetes::swap_fields::{Judged, Place, apply, foreign, swap_judged};
use crate::actions::kubernetes::workload::Workload;
use crate::model::change::ObjectRef;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Log;

/// The most pods that are resized in place by one step.
pub(super) const MOST_PODS: usize = 200;

/// One amount to be swapped.
pub(super) struct AmountSwap {
    /// As the ledger names it.
    pub(super) field: String,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// One object with its swaps.
pub(super) struct Part {
    pub(super) place: Place,
    pub(super) is_pod: bool,
    swaps: Vec<(FieldPath, AmountSwap)>,
}

/// Where a pod is.
fn pod(name: &str, namespace: &str) -> Place {
    Place {
        path: format!("/api/v1/namespaces/{namespace}/pods/{name}"),
        resource: "pods".to_owned(),
        shown: format!("pod/{name}"),
        name: name.to_owned(),
        namespace: namespace.to_owned(),
        uid: None,
    }
}

/// The objects that swaps belong to, in their order.
pub(super) fn parts(
    workload: &Workload,
    namespace: &str,
    intent: &Intent,
    swaps: impl IntoIterator<Item = (ObjectRef, AmountSwap)>,
) -> Result<Vec<Part>, Failure> {
    let mut parts: Vec<Part> = Vec::new();
    for (object, swap) in swaps {
        let place = match object.0.rsplit_once("/pod/") {
            Some((_, name)) => pod(name, namespace),
            None => pod_template::place(workload, namespace).of(intent),
        };
        let path: FieldPath = swap.field.parse().map_err(|error: NotAField| Failure::permanent(error.to_string()))?;
        match parts.iter_mut().find(|part| part.place == place) {
            Some(part) => part.swaps.push((path, swap)),
            None => parts.push(Part { is_pod: object.0.contains("/pod/"), place, swaps: vec![(path, swap)] }),
        }
    }
    Ok(parts)
}

impl Part {
    /// How the object's amounts stand.
    pub(super) fn stands<'a>(&'a self, object: &'a Value) -> impl Iterator<Item = Stands> + 'a {
        self.swaps
            .iter()
            .map(move |(path, swap)| field(&format!("{} of {}", swap.field, self.place), &path.get(object), &swap.from, &swap.to, same))
    }

    fn judge(&self, object: &Value) -> Judged {
        match Together::of(self.stands(object)) {
            Together::Wanted => return Judged::Done,
            Together::Foreign(message) => return Judged::Foreign(foreign(message)),
            Together::Recorded | Together::Mixed => {}
        }
        let mut patched = object.clone();
        let mut operations = Vec::new();
        for (path, swap) in &self.swaps {
            if same(&path.get(&patched), &swap.to) {
                continue;
            }
            // The map that the last amount leaves goes, too: there was none before the first.
            let above: Option<FieldPath> = swap.field.rsplit_once('.').and_then(|(above, _)| above.parse().ok());
            let emptied = above.filter(|above| swap.to.is_null() && above.get(&patched).as_object().is_some_and(|map| map.len() == 1));
            let path = emptied.as_ref().unwrap_or(path);
            operations.extend(path.swap(&patched, &swap.to));
            apply(&mut patched, path, &swap.to);
        }
        Judged::Write(operations)
    }
}

/// Swaps all parts, one after the other.
///
/// # Errors
/// What became of it: where some parts are done and one is not, it failed and had an effect.
pub(super) async fn swap(api: &Api, parts: &[Part], log: &Arc<dyn Log>) -> Result<(), Applied> {
    let mut done = 0_u64;
    for part in parts {
        let subresource = if part.is_pod { "resize" } else { "" };
        let swapped = swap_judged(api, &part.place, subresource, |object| part.judge(object)).await;
        let failure = match swapped {
            Ok(_) => {
                done += 1;
                log.part(done, parts.len() as u64, if part.is_pod { "pods resized" } else { "templates changed" });
                continue;
            }
            Err(Applied::NotApplied { failure }) => failure,
            Err(other) => return Err(other),
        };
        if part.is_pod && part.place.read(api).await.is_ok_and(|pod| pod.is_none()) {
            log.line(&format!("{} is gone: there is nothing to resize", part.place));
            continue;
        }
        if done == 0 {
            return Err(Applied::NotApplied { failure });
        }
        let message = format!("{failure} ({done} of {} pods were resized before)", parts.len());
        return Err(Applied::FailedWithEffect { failure: Failure { message, ..failure }, outputs: json!({}) });
    }
    Ok(())
}

/// The live amount in the text that the ledger knows it by.
pub(super) fn live(path: &str, object: &Value, prior: &Value, after: &Value) -> Value {
    let Ok(path) = path.parse::<FieldPath>() else { return Value::Null };
    let live = path.get(object);
    [after, prior].into_iter().find(|known| same(&live, known)).cloned().unwrap_or(live)
}

/// The amounts of a container, as they are written there.
pub(super) fn amounts(object: &Value, containers: &str, container: &str) -> Result<Value, Failure> {
    let mut all = json!({ "requests": {}, "limits": {} });
    for name in FIELDS {
        let path: FieldPath = format!("{containers}[{container}].resources.{name}")
            .parse()
            .map_err(|error: NotAField| Failure::permanent(error.to_string()))?;
        if let Some((side, resource)) = name.split_once('.') {
            all[side][resource] = path.get(object);
        }
    }
    Ok(all)
}

/// A pod as far as its resources are concerned.
pub(super) struct PodAmounts {
    pub(super) name: String,
    pub(super) amounts: Value,
    /// What holds its resizing; `None` where it runs with what its spec says.
    pub(super) waits: Option<String>,
}

impl PodAmounts {
    fn of(pod: &Value, container: &str) -> Result<Self, Failure> {
        let amounts = amounts(pod, "spec.containers", container)?;
        let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned();
        Ok(Self { waits: waits(pod, container, &amounts), name, amounts })
    }
}

/// What holds the resizing of a pod.
fn waits(pod: &Value, container: &str, wanted: &Value) -> Option<String> {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let holds = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True");
    let said = |condition: &Value| {
        let text = |key: &str| condition.get(key).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
        [text("reason"), text("message")].into_iter().flatten().collect::<Vec<_>>().join(": ")
    };
    if let Some(pending) = holds("PodResizePending") {
        return Some(format!("the node does not resize it: {}", said(pending)));
    }
    if let Some(working) = holds("PodResizeInProgress") {
        let said = said(working);
        return Some(if said.is_empty() { "it is being resized".to_owned() } else { format!("it is being resized: {said}") });
    }
    let statuses = pod.pointer("/status/containerStatuses").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let runs_with = statuses.iter().find(|status| status["name"] == container).and_then(|status| status.get("resources"));
    let differs = FIELDS.into_iter().find(|name| {
        let pointer = format!("/{}", name.replace('.', "/"));
        let wanted = wanted.pointer(&pointer).unwrap_or(&Value::Null);
        !wanted.is_null() && !same(wanted, runs_with.and_then(|with| with.pointer(&pointer)).unwrap_or(&Value::Null))
    });
    differs.map(|name| format!("it does not run with its new {name} yet"))
}

/// The pods of a workload that take part.
///
/// # Errors
/// A read that failed, or more pods than one step resizes.
pub(super) async fn pods(api: &Api, namespace: &str, selector: &str, container: &str) -> Result<Vec<PodAmounts>, Failure> {
    let asked = Asked { verb: "list", resource: "pods", name: "", namespace };
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods?labelSelector={}&limit={}",
        utf8_percent_encode(selector, NON_ALPHANUMERIC),
        MOST_PODS + 1
    );
    let list = api.get(&path).await.map_err(|trouble| trouble.failure(asked))?;
    let items = list.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    if items.len() > MOST_PODS {
        return Err(Failure::permanent(format!("there are more than {MOST_PODS} pods")).hint("use `mode: rollout`"));
    }
    let takes_part = |pod: &&Value| {
        let leaving = pod.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
        !leaving && !matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
    };
    items.iter().filter(takes_part).map(|pod| PodAmounts::of(pod, container)).collect()
}

/// What holds the resizing of these pods; a pod that is gone holds nothing.
///
/// # Errors
/// A read that failed.
pub(super) async fn held(api: &Api, parts: &[Part], container: &str) -> Result<Option<String>, Failure> {
    for part in parts {
        if let Some(pod) = part.place.read(api).await?
            && let Some(waits) = PodAmounts::of(&pod, container)?.waits
        {
            return Ok(Some(format!("{}: {waits}", part.place.shown)));
        }
    }
    Ok(None)
}

/// Whether this cluster resizes pods in place.
///
/// # Errors
/// A read that failed.
pub(super) async fn resizes(api: &Api) -> Result<bool, Failure> {
    let asked = Asked { verb: "get", resource: "/api/v1", name: "", namespace: "" };
    let list = api.get("/api/v1").await.map_err(|trouble| trouble.failure(asked))?;
    let resources = list.get("resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Ok(resources.iter().any(|resource| resource["name"] == "pods/resize"))
}
