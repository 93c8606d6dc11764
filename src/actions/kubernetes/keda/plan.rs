//! What `k8s.keda` would do, and what an intent keeps of it.
//!
//! Must not ask anything. Invariant: what is compared later is what the server made of the inputs, never the inputs themselves; a field that was
//! not there is not there again after a rollback.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::input::Input;
use super::state::Observed;
use crate::actions::kubernetes::created::{Created, EXISTS, marked};
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::scaled_object::{self, CEILING, DEFAULT_CEILING, FLOOR};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::support::kept;
use crate::model::by_hand::word;
use crate::model::change::Change;
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::Plan;

/// What an intent keeps for later, without the inputs.
#[derive(Serialize, Deserialize)]
pub(super) struct Noted {
    #[serde(serialize_with = "as_text")]
    pub(super) workload: Workload,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) selector: String,
    pub(super) min_before: i64,
    pub(super) max_before: i64,
    pub(super) replicas_before: i64,
    pub(super) outputs: Value,
    /// The ScaledObject that is changed; null where one is created.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    uid: Value,
    /// What people are told of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    says: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    creation: Option<Creation>,
}

/// What is created, and by whom.
#[derive(Serialize, Deserialize)]
struct Creation {
    manifest: Value,
    made: Value,
    mark: String,
}

fn as_text<S: serde::Serializer>(workload: &Workload, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(workload)
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        Self::deserialize(&intent.note)
            .map_err(|error| Failure::permanent(format!("what this step recorded does not name a ScaledObject: {error}")))
    }

    /// What the step creates; `None` where it changes what is there.
    pub(super) fn created(&self) -> Option<Created> {
        let Creation { manifest, made, mark } = self.creation.as_ref()?;
        let place = scaled_object::place(&self.namespace, &self.name);
        Some(Created { place, manifest: manifest.clone(), made: made.clone(), mark: mark.clone() })
    }

    /// The most pods there may be once this is taken back.
    pub(super) fn most(&self, intent: &Intent) -> i64 {
        let bounded = |change: &Change| change.field == FLOOR || change.field.starts_with("metadata.annotations");
        if intent.changes.iter().any(bounded) {
            // What KEDA had wanted by itself, above the floor, was there before.
            self.min_before.max(self.replicas_before)
        } else {
            self.max_before
        }
    }
}

/// What it would do.
pub(super) fn plan(target: &TargetSpec, input: &Input, observed: &Observed, mark: &str, rollback: &Rollback) -> Result<Plan, Failure> {
    if let Some(refusal) = input.refusal(observed) {
        return Err(refusal);
    }
    let Observed { name, namespace, .. } = observed;
    let unobserved = || Failure::permanent(format!("what the cluster makes of the ScaledObject {name} was not observed"));
    let object = scaled_object::object_ref(target, namespace, name).ok_or_else(unobserved)?;
    let (creation, changes) = if observed.exists {
        (None, changes(&object, input, observed))
    } else {
        let manifest = marked(input.manifest(namespace), mark);
        let mut made = manifest.clone();
        made["spec"] = observed.wanted.get("spec").ok_or_else(unobserved)?.clone();
        let change = Change { object, field: EXISTS.to_owned(), label: "ScaledObject".to_owned(), prior: Value::Null, after: json!(name) };
        (Some(Creation { manifest, made, mark: mark.to_owned() }), vec![change])
    };
    let outputs = outputs(input, observed, creation.as_ref());
    if changes.is_empty() {
        return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
    }
    let replicas_before = observed.replicas.unwrap_or(0);
    let (by_hand, undo_by_hand) = match &creation {
        Some(creation) => (
            vec![format!("printf '%s' {} | kubectl create -n {namespace} -f -", word(&json!(creation.manifest.to_string())))],
            vec![
                format!("kubectl delete scaledobject {name} -n {namespace}"),
                format!("kubectl scale {} --replicas={replicas_before} -n {namespace}", input.workload),
            ],
        ),
        None => (
            vec![patch_line(name, namespace, &changes, |change| &change.after)],
            vec![patch_line(name, namespace, &changes, |change| &change.prior)],
        ),
    };
    let note = Noted {
        workload: input.workload.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        selector: observed.selector.clone(),
        min_before: observed.min.unwrap_or(0),
        max_before: observed.max.unwrap_or(0),
        replicas_before,
        says: says(input, observed, &outputs),
        outputs,
        uid: observed.uid.clone(),
        creation,
    };
    let intent = Intent {
        changes,
        revert: match kept(rollback) {
            Some(reason) => Revert::Keep { reason },
            None => Revert::Fields { settle: input.settle.unwrap_or(Span::seconds(600)) },
        },
        note: json!(note),
        by_hand,
        undo_by_hand,
        ..Intent::default()
    };
    Ok(Plan { intent, unchanged: None })
}

fn outputs(input: &Input, observed: &Observed, creation: Option<&Creation>) -> Value {
    let spec = creation.map(|creation| &creation.made["spec"]);
    let number = |field: &str, before: Option<i64>, otherwise: i64| {
        let key = field.trim_start_matches("spec.");
        let made = spec.map_or_else(|| observed.wanted.get(field), |spec| spec.get(key));
        made.and_then(Value::as_i64).or(before).unwrap_or(otherwise)
    };
    json!({
        "name": observed.name,
        "min": number(FLOOR, observed.min, 0),
        "max": number(CEILING, observed.max, DEFAULT_CEILING),
        "created": creation.is_some(),
        "previous_min": observed.min,
        "previous_max": observed.max,
        "hpa": observed.hpa.clone().unwrap_or_else(|| format!("keda-hpa-{}", observed.name)),
        "paused": input.pauses_it(observed),
    })
}

/// What is to be known of the change.
fn says(input: &Input, observed: &Observed, outputs: &Value) -> Option<String> {
    let workload = &input.workload;
    if outputs["paused"] == true {
        return Some(format!(
            "KEDA is paused with this: its HPA {} goes, and {workload} neither grows nor shrinks, whatever its floor",
            outputs["hpa"].as_str().unwrap_or_default()
        ));
    }
    (observed.exists && outputs["min"] == 0 && observed.min != Some(0))
        .then(|| format!("with a floor of 0 KEDA takes {workload} down to no pod while no trigger is active"))
}

fn changes(object: &crate::model::change::ObjectRef, input: &Input, observed: &Observed) -> Vec<Change> {
    let change = |(field, label, _): (String, &str, Value)| {
        let prior = observed.fields.get(&field).cloned().unwrap_or_default();
        let after = observed.wanted.get(&field).cloned().unwrap_or_default();
        let label = format!("{label} of the ScaledObject {}", observed.name);
        (prior != after).then(|| Change { object: object.clone(), field, label, prior, after })
    };
    input.fields(observed).into_iter().filter_map(change).collect()
}

/// The line that sets these values; null takes a field away, in a merge patch as in a change.
fn patch_line(name: &str, namespace: &str, changes: &[Change], value: fn(&Change) -> &Value) -> String {
    let mut patch = json!({});
    for change in changes {
        if let Ok(path) = change.field.parse::<FieldPath>() {
            put(&mut patch, path.parts(), value(change));
        }
    }
    format!("kubectl patch scaledobject {name} -n {namespace} --type=merge -p {}", word(&patch))
}

fn put(patch: &mut Value, parts: &[String], value: &Value) {
    let Some((part, rest)) = parts.split_first() else {
        *patch = value.clone();
        return;
    };
    if !patch.is_object() {
        *patch = Value::Object(Map::new());
    }
    put(&mut patch[part.as_str()], rest, value);
}
