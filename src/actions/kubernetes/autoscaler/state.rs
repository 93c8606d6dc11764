//! What is there before an autoscaler is created or changed: the workload, its autoscalers, and what the server would make of what is wanted.
//!
//! Must not change anything: the server is asked by a dry run. Invariant: what is refused is refused before the dry run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::input::Input;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::created;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR, Horizontal};
use crate::actions::kubernetes::scaled_object;
use crate::actions::kubernetes::scaler_step::There;
use crate::actions::kubernetes::swap_fields::{dry_run, uid_of};
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// The fields that may be changed.
const FIELDS: [&str; 4] = [FLOOR, CEILING, "spec.metrics", "spec.behavior"];

/// What was observed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Observed {
    #[serde(flatten)]
    pub(super) there: There,
    pub(super) metrics: Value,
    pub(super) behavior: Value,
    /// KEDA's object that made it.
    pub(super) scaled_object: Option<String>,
    /// KEDA's object that scales the workload.
    pub(super) keda: Option<String>,
}

/// Reads it all.
pub(super) async fn observe(api: &Api, input: &Input, namespace: &str, target: Option<&TargetSpec>) -> Result<Observed, Failure> {
    let workload = &input.workload;
    let (mut there, read) = There::of(api, workload, namespace, &input.name).await?;
    let all = horizontal::list(api, namespace).await?;
    let own = all.iter().find(|one| one.name == input.name);
    there.others = all.iter().filter(|one| one.name != input.name && one.scales(workload)).map(|one| one.name.clone()).collect();
    there.foretell(api, target, own.map(Horizontal::thing), FIELDS, read.as_ref()).await?;
    let keda = scaled_object::list(api, namespace).await?.into_iter().find(|one| one.scales(workload)).map(|one| one.name);
    let mut observed = Observed { there, keda, ..Observed::default() };
    if let Some(one) = own {
        let there = &mut observed.there;
        there.exists = true;
        there.uid = uid_of(&one.object);
        (there.min, there.max) = (Some(one.min), Some(one.max));
        (there.current, there.desired) = (one.current, one.desired);
        there.holds = Some(horizontal::what_holds(&one.object));
        there.scales = Some(one.scaled());
        there.ours = one.scales(workload);
        observed.metrics = one.object["spec"]["metrics"].clone();
        observed.behavior = one.object["spec"]["behavior"].clone();
        observed.scaled_object = one.scaled_object();
    }
    if let Some(object) = &read {
        let metrics = input.metrics().unwrap_or_else(|| observed.metrics.clone());
        observed.there.without_requests = without_requests(object, &metrics);
    }
    if input.refusal(&observed).is_none() {
        let place = horizontal::place(namespace, &input.name);
        observed.there.wanted = match own {
            Some(one) => {
                let parsed = |(field, value): (&'static str, Value)| {
                    field.parse::<FieldPath>().map(|path| (path, value)).map_err(|error| Failure::permanent(error.to_string()))
                };
                let values = input.fields().into_iter().map(parsed).collect::<Result<Vec<_>, _>>()?;
                fields_of(&dry_run(api, &place, &one.object, &values).await?)
            }
            None => created::dry_run(api, &place, input.manifest(namespace)).await?,
        };
    }
    Ok(observed)
}

/// The four fields as they would be.
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
