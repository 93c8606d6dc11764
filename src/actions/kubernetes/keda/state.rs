//! What is there before a ScaledObject is created or changed: the workload, what scales it, and what the server would make of what is wanted.
//!
//! Must not change anything: the server is asked by a dry run. Invariant: what is refused is refused before the dry run.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::input::{Input, annotation};
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::created;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::horizontal;
use crate::actions::kubernetes::scaled_object::{self, CEILING, FLOOR, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, ScaledObject};
use crate::actions::kubernetes::scaler_step::There;
use crate::actions::kubernetes::swap_fields::{dry_run, uid_of};
use crate::actions::support::redacted;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// What was observed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Observed {
    #[serde(flatten)]
    pub(super) there: There,
    /// The annotation that pauses it, with its value.
    pub(super) paused: Option<String>,
    /// Whether it only grows.
    pub(super) only_grows: bool,
    /// Whether it is being deleted.
    pub(super) leaving: bool,
    /// The name of KEDA's own HPA.
    pub(super) hpa: Option<String>,
    /// Whether that is there.
    pub(super) hpa_exists: bool,
    /// Whether KEDA says that it can work with it: its condition `Ready`.
    pub(super) ready: Option<bool>,
    pub(super) triggers: Value,
    /// `spec.advanced`
    pub(super) advanced: Value,
    /// What each field is that may be changed, by its name; null where it is not there.
    pub(super) fields: Value,
    /// HPAs of the workload that are not this one's.
    pub(super) hpas: Vec<String>,
    /// The container whose variables KEDA reads; the first where it is null.
    pub(super) read_from: Option<String>,
    /// Variables that a trigger is to be read from, and that this container has not.
    pub(super) missing_variables: Vec<String>,
}

impl Observed {
    /// Where a behaviour is put so that nothing stays behind of what is made on the way to it, and what is put there.
    pub(super) fn behavior_field(&self, behavior: Value) -> (String, Value) {
        let config = self.advanced.get("horizontalPodAutoscalerConfig");
        match (self.advanced.is_object(), config.is_some_and(Value::is_object)) {
            (false, _) => ("spec.advanced".to_owned(), json!({ "horizontalPodAutoscalerConfig": { "behavior": behavior } })),
            (true, false) => ("spec.advanced.horizontalPodAutoscalerConfig".to_owned(), json!({ "behavior": behavior })),
            (true, true) => ("spec.advanced.horizontalPodAutoscalerConfig.behavior".to_owned(), behavior),
        }
    }
}

/// Reads it all.
pub(super) async fn observe(api: &Api, input: &Input, namespace: &str, target: Option<&TargetSpec>) -> Result<Observed, Failure> {
    let workload = &input.workload;
    let (mut there, read) = There::of(api, workload, namespace, &input.name).await?;
    let scaled = scaled_object::list(api, namespace).await?;
    let hpas = horizontal::list(api, namespace).await?;
    let own = scaled.iter().find(|one| one.name == input.name);
    let ours = |hpa: &&horizontal::Horizontal| own.is_some_and(|own| own.owns(hpa));
    there.others = scaled.iter().filter(|one| one.name != input.name && one.scales(workload)).map(|one| one.name.clone()).collect();
    let mut observed = Observed { there, ..Observed::default() };
    // The HPA of another ScaledObject goes by that one's name.
    let stray = |hpa: &&horizontal::Horizontal| hpa.scales(workload) && !scaled.iter().any(|one| one.owns(hpa));
    observed.hpas = hpas.iter().filter(stray).map(|hpa| hpa.name.clone()).collect();
    if let Some(one) = own {
        fill(&mut observed, input, one, hpas.iter().find(ours));
    }
    if let Some(object) = &read {
        look_at_containers(&mut observed, input, object);
    }
    let fields: Vec<String> = input.fields(&observed).into_iter().map(|(field, ..)| field).collect();
    let thing = own.map(ScaledObject::thing);
    observed.there.foretell(api, target, thing, fields.iter().map(String::as_str), read.as_ref()).await?;
    if let Some(triggers) = input.triggers()
        && redacted(&*api.log, triggers.clone()) != triggers
    {
        return Err(Failure::permanent(format!(
            "a trigger of {} holds a secret of this run, which everybody could read who may read the ScaledObject",
            input.name
        ))
        .hint("name the variable of the container that holds it (`hostFromEnv`), or a TriggerAuthentication (`authenticationRef`)"));
    }
    if input.refusal(&observed).is_none() {
        observed.there.wanted = match own {
            Some(one) => changed(api, input, &observed, one).await?,
            None => created::dry_run(api, &scaled_object::place(namespace, &input.name), input.manifest(namespace)).await?,
        };
    }
    Ok(observed)
}

/// What there is to say of the one that is there.
fn fill(observed: &mut Observed, input: &Input, one: &ScaledObject, hpa: Option<&horizontal::Horizontal>) {
    let there = &mut observed.there;
    there.exists = true;
    there.uid = uid_of(&one.object);
    (there.min, there.max, there.idle) = (Some(one.min), Some(one.max), one.idle());
    (there.current, there.desired) = hpa.map_or((0, 0), |hpa| (hpa.current, hpa.desired));
    there.holds = Some(scaled_object::what_holds(one, hpa));
    there.scales = Some(one.scaled());
    there.ours = one.scales(&input.workload);
    (observed.paused, observed.only_grows) = (one.paused(), one.only_grows());
    observed.leaving = !one.object["metadata"]["deletionTimestamp"].is_null();
    (observed.hpa, observed.hpa_exists) = (Some(one.hpa()), hpa.is_some());
    observed.ready = one.condition("Ready").map(|condition| condition["status"] == "True");
    observed.read_from = one.read_from().map(str::to_owned);
    observed.triggers = one.object["spec"]["triggers"].clone();
    observed.advanced = one.object["spec"]["advanced"].clone();
    let (behavior, _) = observed.behavior_field(Value::Null);
    let names = [FLOOR.to_owned(), CEILING.to_owned(), "spec.triggers".to_owned(), behavior];
    let annotations = [PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN].map(annotation);
    observed.fields = json!({});
    for name in names.into_iter().chain(annotations) {
        if let Ok(path) = name.parse::<FieldPath>() {
            observed.fields[&name] = path.get(&one.object);
        }
    }
}

/// What the triggers need of the workload's containers.
fn look_at_containers(observed: &mut Observed, input: &Input, workload: &Value) {
    let containers = workload.pointer("/spec/template/spec/containers").and_then(Value::as_array).cloned().unwrap_or_default();
    for container in &containers {
        let name = container["name"].as_str().unwrap_or("?");
        for resource in ["cpu", "memory"] {
            let has = |part: &str| !container["resources"][part][resource].is_null();
            if !has("requests") && !has("limits") {
                observed.there.without_requests.push(format!("{name}: {resource}"));
            }
        }
    }
    // What a container takes from elsewhere as a whole cannot be told here.
    let read_from = |container: &&Value| observed.read_from.as_ref().is_none_or(|name| container["name"] == name.as_str());
    let Some(first) = containers.iter().find(read_from).filter(|first| first["envFrom"].as_array().is_none_or(Vec::is_empty)) else {
        return;
    };
    let has = |variable: &String| first["env"].as_array().is_some_and(|env| env.iter().any(|one| one["name"] == variable.as_str()));
    observed.missing_variables = input.variables().into_iter().filter(|variable| !has(variable)).collect();
}

/// The fields as they would be.
async fn changed(api: &Api, input: &Input, observed: &Observed, one: &ScaledObject) -> Result<Value, Failure> {
    let fields: Vec<(FieldPath, Value)> = input
        .fields(observed)
        .into_iter()
        .map(|(field, _, value)| field.parse().map(|path| (path, value)).map_err(|error| Failure::permanent(format!("{error}"))))
        .collect::<Result<_, _>>()?;
    let place = scaled_object::place(&observed.there.namespace, &one.name);
    let made = dry_run(api, &place, &one.object, &fields).await?;
    let mut wanted = json!({});
    for (path, _) in &fields {
        wanted[path.to_string()] = path.get(&made);
    }
    Ok(wanted)
}
