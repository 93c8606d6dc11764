//! What `k8s.autoscaler` would do.
//!
//! Must not ask anything. Invariant: what is compared later is what the server made of the inputs, never the inputs themselves.

use serde_json::{Value, json};

use super::input::Input;
use super::state::Observed;
use crate::actions::kubernetes::horizontal::{CEILING, FLOOR};
use crate::actions::kubernetes::scaler::{Kind, ScalerName};
use crate::actions::kubernetes::scaler_step::{Draft, change_of, created_at};
use crate::model::change::{Change, ObjectRef};
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
    let scaler = ScalerName { kind: Kind::Horizontal, name: there.name.clone() };
    let unobserved = || Failure::permanent(format!("what the cluster makes of {scaler} was not observed"));
    let object = scaler.object_ref(target, &there.namespace).ok_or_else(unobserved)?;
    let (creation, changes) = if there.exists {
        (None, changes(&object, &scaler, observed))
    } else {
        let spec = there.wanted.get("spec").ok_or_else(unobserved)?;
        let (creation, change) = created_at(object, &scaler, input.manifest(&there.namespace), spec, mark);
        (Some(creation), vec![change])
    };
    let spec = there.wanted.get("spec").unwrap_or(&there.wanted);
    let number = |key: &str, before: Option<i64>| spec.get(key).and_then(Value::as_i64).or(before);
    let outputs = json!({
        "name": there.name,
        "min": number("minReplicas", there.min),
        "max": number("maxReplicas", there.max),
        "created": creation.is_some(),
        "previous_min": there.min,
        "previous_max": there.max,
    });
    let without_requests = there.without_requests.clone();
    let workload = &input.workload;
    Draft { scaler, workload, there, creation, changes, outputs, without_requests, says: None, settle: input.settle }.plan(target, rollback)
}

fn changes(object: &ObjectRef, scaler: &ScalerName, observed: &Observed) -> Vec<Change> {
    let there = &observed.there;
    let wanted = |key: &str| there.wanted.get(key).cloned().unwrap_or(Value::Null);
    let fields = [
        ("floor", FLOOR, json!(there.min), wanted("minReplicas")),
        ("maximum", CEILING, json!(there.max), wanted("maxReplicas")),
        ("metrics", "spec.metrics", observed.metrics.clone(), wanted("metrics")),
        ("behaviour", "spec.behavior", observed.behavior.clone(), wanted("behavior")),
    ];
    fields.into_iter().filter_map(|(label, field, prior, after)| change_of(object, scaler, label, field, prior, after)).collect()
}
