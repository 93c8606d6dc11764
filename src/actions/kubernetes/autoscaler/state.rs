//! What is there before an autoscaler is created or changed: the workload, its autoscalers, and what the server would make of what is wanted.
//!
//! Must not change anything: the server is asked by a dry run. Invariant: what is refused is refused before the dry run.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::input::Input;
use crate::actions::kubernetes::api::{Api, asked};
use crate::actions::kubernetes::argocd::{self, Thing};
use crate::actions::kubernetes::created;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR, Horizontal};
use crate::actions::kubernetes::scaled_object;
use crate::actions::kubernetes::swap_fields::{uid_of, with_manager};
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// What was observed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Observed {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Whether the autoscaler is there.
    pub(super) exists: bool,
    /// Its uid.
    pub(super) uid: Value,
    pub(super) min: Option<i64>,
    pub(super) max: Option<i64>,
    pub(super) current: i64,
    pub(super) desired: i64,
    /// Why it does not come down, in words.
    pub(super) holds: Option<String>,
    pub(super) metrics: Value,
    pub(super) behavior: Value,
    /// What it scales: `Deployment/x`.
    pub(super) scales: Option<String>,
    /// Whether that is the step's workload.
    pub(super) ours: bool,
    /// KEDA's object that made it.
    pub(super) scaled_object: Option<String>,
    /// KEDA's object that scales the workload.
    pub(super) keda: Option<String>,
    /// Other autoscalers of the workload.
    pub(super) others: Vec<String>,
    /// The workload's replicas; null where there is no such workload.
    pub(super) replicas: Option<i64>,
    /// The workload's pods.
    pub(super) selector: String,
    /// Containers without a request that a metric needs: `app: memory`.
    pub(super) without_requests: Vec<String>,
    /// What Argo CD will make of it: of the four fields, or of the workload's replicas where the autoscaler is to be created.
    pub(super) argocd: Value,
    /// What the server makes of what is wanted: the whole object where it is to be created, the four fields where it is there.
    pub(super) wanted: Value,
}

/// Reads it all.
pub(super) async fn observe(api: &Api, input: &Input, namespace: &str, target: Option<&TargetSpec>) -> Result<Observed, Failure> {
    let workload = &input.workload;
    let read = match api.get(&workload.path(namespace)).await {
        Ok(object) => Some(object),
        Err(trouble) if trouble.is_gone() => None,
        Err(trouble) => return Err(trouble.failure(asked("get", workload.kind.plural(), workload, namespace))),
    };
    let state = match &read {
        Some(object) => {
            Some(WorkloadState::of(object).map_err(|trouble| trouble.failure(asked("get", workload.kind.plural(), workload, namespace)))?)
        }
        None => None,
    };
    let all = horizontal::list(api, namespace).await?;
    let own = all.iter().find(|one| one.name == input.name);
    let others = all.iter().filter(|one| one.name != input.name && one.scales(workload)).map(|one| one.name.clone()).collect();
    let keda = scaled_object::list(api, namespace).await?.into_iter().find(|one| one.scales(workload)).map(|one| one.name);
    let mut observed = Observed {
        keda,
        name: input.name.clone(),
        namespace: namespace.to_owned(),
        others,
        replicas: state.as_ref().map(|state| state.replicas),
        selector: state.map(|state| state.selector).unwrap_or_default(),
        ..Observed::default()
    };
    if let Some(one) = own {
        let shown = one.shown();
        observed.exists = true;
        observed.uid = uid_of(&one.object);
        (observed.min, observed.max) = (Some(one.min), Some(one.max));
        (observed.current, observed.desired) = (one.current, one.desired);
        observed.holds = shown["holds"].as_str().map(str::to_owned);
        observed.metrics = one.object["spec"]["metrics"].clone();
        observed.behavior = one.object["spec"]["behavior"].clone();
        observed.scales = Some(one.scaled());
        observed.ours = one.scales(workload);
        observed.scaled_object = one.scaled_object();
    }
    if let Some(object) = &read {
        let metrics = input.metrics().unwrap_or_else(|| observed.metrics.clone());
        observed.without_requests = without_requests(object, &metrics);
    }
    observed.argocd = match (own, &read) {
        (Some(one), _) => argocd::foretell(api, target, one.thing(), [FLOOR, CEILING, "spec.metrics", "spec.behavior"]).await?,
        // What it is to set, the pods of the workload, may be the repository's.
        (None, Some(object)) => argocd::foretell(api, target, Thing::of(object), ["spec.replicas"]).await?,
        (None, None) => Value::Null,
    };
    if input.refusal(&observed).is_none() {
        observed.wanted = match own {
            Some(one) => changed(api, input, one, namespace).await?,
            None => created::dry_run(api, &horizontal::place(namespace, &input.name), input.manifest(namespace)).await?,
        };
    }
    Ok(observed)
}

/// The four fields as they would be.
async fn changed(api: &Api, input: &Input, one: &Horizontal, namespace: &str) -> Result<Value, Failure> {
    let mut patch = Vec::new();
    for (field, value) in input.fields() {
        let path: FieldPath = field.parse().map_err(|error| Failure::permanent(format!("{error}")))?;
        patch.extend(path.swap(&one.object, &value).into_iter().filter(|operation| operation["op"] != "test"));
    }
    if patch.is_empty() {
        return Ok(fields_of(&one.object));
    }
    let place = horizontal::place(namespace, &one.name);
    let path = format!("{}&dryRun=All", with_manager(&place.path));
    match api.write(Method::PATCH, path, "application/json-patch+json", json!(patch)).await {
        Ok(object) => Ok(fields_of(&object)),
        Err(trouble) => Err(trouble.failure(place.asked("patch"))),
    }
}

fn fields_of(object: &Value) -> Value {
    let of = |key: &str| object["spec"][key].clone();
    json!({ "minReplicas": of("minReplicas"), "maxReplicas": of("maxReplicas"), "metrics": of("metrics"), "behavior": of("behavior") })
}

/// The containers without a request that a utilisation is measured by. A limit stands in for a request, as the API server has it.
fn without_requests(workload: &Value, metrics: &Value) -> Vec<String> {
    let list = |value: Option<&Value>| value.and_then(Value::as_array).cloned().unwrap_or_default();
    let mut missing = Vec::new();
    for metric in list(Some(metrics)) {
        if metric["type"] != "Resource" || metric["resource"]["target"]["type"] != "Utilization" {
            continue;
        }
        let Some(resource) = metric["resource"]["name"].as_str() else { continue };
        for container in list(workload.pointer("/spec/template/spec/containers")) {
            let has = |part: &str| !container["resources"][part][resource].is_null();
            if !has("requests") && !has("limits") {
                missing.push(format!("{}: {resource}", container["name"].as_str().unwrap_or("?")));
            }
        }
    }
    missing
}
