//! What `k8s.keda` would do.
//!
//! Must not ask anything. Invariant: what is compared later is what the server made of the inputs, never the inputs themselves; a field that was
//! not there is not there again after a rollback.

use serde_json::{Value, json};

use super::input::Input;
use super::state::Observed;
use crate::actions::kubernetes::scaled_object::{CEILING, DEFAULT_CEILING, FLOOR};
use crate::actions::kubernetes::scaler::{Kind, ScalerName};
use crate::actions::kubernetes::scaler_step::{Creation, Draft, change_of, created_at};
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::Plan;

/// What it would do.
pub(super) fn plan(target: &TargetSpec, input: &Input, observed: &Observed, mark: &str, rollback: &Rollback) -> Result<Plan, Failure> {
    if let Some(refusal) = input.refusal(observed) {
        return Err(refusal);
    }
    let there = &observed.there;
    let scaler = ScalerName { kind: Kind::ScaledObject, name: there.name.clone() };
    let unobserved = || Failure::permanent(format!("what the cluster makes of {scaler} was not observed"));
    let object = scaler.object_ref(target, &there.namespace).ok_or_else(unobserved)?;
    let (creation, changes) = if there.exists {
        let change = |(field, label, _): (String, &str, Value)| {
            let prior = observed.fields.get(&field).cloned().unwrap_or_default();
            let after = there.wanted.get(&field).cloned().unwrap_or_default();
            change_of(&object, &scaler, label, &field, prior, after)
        };
        (None, input.fields(observed).into_iter().filter_map(change).collect())
    } else {
        let spec = there.wanted.get("spec").ok_or_else(unobserved)?;
        let (creation, change) = created_at(object, &scaler, input.manifest(&there.namespace), spec, mark);
        (Some(creation), vec![change])
    };
    let outputs = outputs(input, observed, creation.as_ref());
    let says = says(input, observed, &outputs);
    let workload = &input.workload;
    // What needs a request and has none is refused.
    let without_requests = Vec::new();
    Draft { scaler, workload, there, creation, changes, outputs, without_requests, says, settle: input.settle }.plan(target, rollback)
}

fn outputs(input: &Input, observed: &Observed, creation: Option<&Creation>) -> Value {
    let there = &observed.there;
    let spec = creation.map(|creation| &creation.made["spec"]);
    let number = |field: &str, before: Option<i64>, otherwise: i64| {
        let key = field.trim_start_matches("spec.");
        let made = spec.map_or_else(|| there.wanted.get(field), |spec| spec.get(key));
        made.and_then(Value::as_i64).or(before).unwrap_or(otherwise)
    };
    json!({
        "name": there.name,
        "min": number(FLOOR, there.min, 0),
        "max": number(CEILING, there.max, DEFAULT_CEILING),
        "created": creation.is_some(),
        "previous_min": there.min,
        "previous_max": there.max,
        "hpa": observed.hpa.clone().unwrap_or_else(|| format!("keda-hpa-{}", there.name)),
        "paused": input.pauses_it(observed),
    })
}

/// What is to be known of the change.
fn says(input: &Input, observed: &Observed, outputs: &Value) -> Option<String> {
    let (workload, there) = (&input.workload, &observed.there);
    if outputs["paused"] == true {
        return Some(format!(
            "KEDA is paused with this: its HPA {} goes, and {workload} neither grows nor shrinks, whatever its floor",
            outputs["hpa"].as_str().unwrap_or_default()
        ));
    }
    (there.exists && outputs["min"] == 0 && there.min != Some(0))
        .then(|| format!("with a floor of 0 KEDA takes {workload} down to no pod while no trigger is active"))
}
