//! What is there before a ScaledObject is created or changed: the workload, what scales it, and what the server would make of what is wanted.
//!
//! Must not change anything: the server is asked by a dry run. Invariant: what is refused is refused before the dry run.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::input::{Input, annotation};
use crate::actions::kubernetes::api::{Api, asked};
use crate::actions::kubernetes::created;
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::horizontal;
use crate::actions::kubernetes::scaled_object::{self, CEILING, FLOOR, PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN, ScaledObject};
use crate::actions::kubernetes::swap_fields::{apply, uid_of, with_manager};
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::actions::support::redacted;
use crate::model::outcome::Failure;

/// What was observed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Observed {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Whether the ScaledObject is there.
    pub(super) exists: bool,
    /// Its uid.
    pub(super) uid: Value,
    /// Its floor, KEDA's default where it has none; null where it is not there.
    pub(super) min: Option<i64>,
    /// Its maximum, KEDA's default where it has none; null where it is not there.
    pub(super) max: Option<i64>,
    pub(super) idle: Option<i64>,
    /// The annotation that pauses it, with its value.
    pub(super) paused: Option<String>,
    /// Whether it only grows.
    pub(super) only_grows: bool,
    /// The name of KEDA's own HPA.
    pub(super) hpa: Option<String>,
    /// Whether that is there.
    pub(super) hpa_exists: bool,
    pub(super) current: i64,
    pub(super) desired: i64,
    /// Whether KEDA says that it can work with it: its condition `Ready`.
    pub(super) ready: Option<bool>,
    /// Why it does not come down, in words.
    pub(super) holds: Option<String>,
    pub(super) triggers: Value,
    /// `spec.advanced`
    pub(super) advanced: Value,
    /// What each field is that may be changed, by its name; null where it is not there.
    pub(super) fields: Value,
    /// What it scales: `Deployment/x`.
    pub(super) scales: Option<String>,
    /// Whether that is the step's workload.
    pub(super) ours: bool,
    /// Other ScaledObjects of the workload.
    pub(super) others: Vec<String>,
    /// HPAs of the workload that are not this one's.
    pub(super) hpas: Vec<String>,
    /// The workload's replicas; null where there is no such workload.
    pub(super) replicas: Option<i64>,
    /// The workload's pods.
    pub(super) selector: String,
    /// Containers without a request: `app: memory`.
    pub(super) without_requests: Vec<String>,
    /// Variables that a trigger is to be read from, and that the first container has not.
    pub(super) missing_variables: Vec<String>,
    /// What the server makes of what is wanted: the whole object where it is to be created, its fields by name where it is there.
    pub(super) wanted: Value,
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
pub(super) async fn observe(api: &Api, input: &Input, namespace: &str) -> Result<Observed, Failure> {
    let workload = &input.workload;
    let gone = asked("get", workload.kind.plural(), workload, namespace);
    let read = match api.get(&workload.path(namespace)).await {
        Ok(object) => Some(object),
        Err(trouble) if trouble.is_gone() => None,
        Err(trouble) => return Err(trouble.failure(gone)),
    };
    let state = match &read {
        Some(object) => Some(WorkloadState::of(object).map_err(|trouble| trouble.failure(gone))?),
        None => None,
    };
    let scaled = scaled_object::list(api, namespace).await?;
    let hpas = horizontal::list(api, namespace).await?;
    let own = scaled.iter().find(|one| one.name == input.name);
    let ours = |hpa: &&horizontal::Horizontal| own.is_some_and(|own| own.owns(hpa));
    let mut observed = Observed {
        name: input.name.clone(),
        namespace: namespace.to_owned(),
        others: scaled.iter().filter(|one| one.name != input.name && one.scales(workload)).map(|one| one.name.clone()).collect(),
        replicas: state.as_ref().map(|state| state.replicas),
        selector: state.map(|state| state.selector).unwrap_or_default(),
        ..Observed::default()
    };
    // The HPA of another ScaledObject goes by that one's name.
    let stray = |hpa: &&horizontal::Horizontal| hpa.scales(workload) && !scaled.iter().any(|one| one.owns(hpa));
    observed.hpas = hpas.iter().filter(stray).map(|hpa| hpa.name.clone()).collect();
    if let Some(one) = own {
        fill(&mut observed, input, one, hpas.iter().find(ours));
    }
    if let Some(object) = &read {
        look_at_containers(&mut observed, input, object);
    }
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
        observed.wanted = match own {
            Some(one) => changed(api, input, &observed, one).await?,
            None => created::dry_run(api, &scaled_object::place(namespace, &input.name), input.manifest(namespace)).await?,
        };
    }
    Ok(observed)
}

/// What there is to say of the one that is there.
fn fill(observed: &mut Observed, input: &Input, one: &ScaledObject, hpa: Option<&horizontal::Horizontal>) {
    observed.exists = true;
    observed.uid = uid_of(&one.object);
    (observed.min, observed.max, observed.idle) = (Some(one.min), Some(one.max), one.idle());
    (observed.paused, observed.only_grows) = (one.paused(), one.only_grows());
    (observed.hpa, observed.hpa_exists) = (Some(one.hpa()), hpa.is_some());
    (observed.current, observed.desired) = hpa.map_or((0, 0), |hpa| (hpa.current, hpa.desired));
    observed.ready = one.condition("Ready").map(|condition| condition["status"] == "True");
    observed.holds = Some(scaled_object::what_holds(one, hpa));
    observed.triggers = one.object["spec"]["triggers"].clone();
    observed.advanced = one.object["spec"]["advanced"].clone();
    observed.scales = Some(one.scaled());
    observed.ours = one.scales(&input.workload);
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
                observed.without_requests.push(format!("{name}: {resource}"));
            }
        }
    }
    // What a container takes from elsewhere as a whole cannot be told here.
    let Some(first) = containers.first().filter(|first| first["envFrom"].as_array().is_none_or(Vec::is_empty)) else { return };
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
    let (mut patched, mut patch) = (one.object.clone(), Vec::new());
    for (path, value) in &fields {
        patch.extend(path.swap(&patched, value).into_iter().filter(|operation| operation["op"] != "test"));
        apply(&mut patched, path, value);
    }
    let mut wanted = json!({});
    let made = if patch.is_empty() {
        patched
    } else {
        let place = scaled_object::place(&observed.namespace, &one.name);
        let path = format!("{}&dryRun=All", with_manager(&place.path));
        match api.write(Method::PATCH, path, "application/json-patch+json", json!(patch)).await {
            Ok(object) => object,
            Err(trouble) => return Err(trouble.failure(place.asked("patch"))),
        }
    };
    for (path, _) in &fields {
        wanted[path.to_string()] = path.get(&made);
    }
    Ok(wanted)
}
