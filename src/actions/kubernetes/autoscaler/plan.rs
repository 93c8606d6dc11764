//! What `k8s.autoscaler` would do, and what an intent keeps of it.
//!
//! Must not ask anything. Invariant: what is compared later is what the server made of the inputs, never the inputs themselves.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::input::Input;
use super::state::Observed;
use crate::actions::kubernetes::argocd;
use crate::actions::kubernetes::created::{Created, EXISTS, marked};
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR};
use crate::actions::kubernetes::object_ref;
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
    /// The autoscaler that is changed; null where one is created.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    uid: Value,
    pub(super) without_requests: Vec<String>,
    #[serde(default, skip_serializing_if = "Value::is_null")]
    argocd: Value,
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
            .map_err(|error| Failure::permanent(format!("what this step recorded does not name an autoscaler: {error}")))
    }

    /// What the step creates; `None` where it changes what is there.
    pub(super) fn created(&self) -> Option<Created> {
        let Creation { manifest, made, mark } = self.creation.as_ref()?;
        let place = horizontal::place(&self.namespace, &self.name);
        Some(Created { place, manifest: manifest.clone(), made: made.clone(), mark: mark.clone() })
    }
}

/// Another autoscaler has come to the workload.
pub(super) fn another(noted: &Noted, other: &str) -> Failure {
    let message =
        format!("{} has another autoscaler since this was planned, {other}: two on one workload fight each other", noted.workload);
    Failure::permanent(message).hint("look at who made it (`kubectl get hpa -o yaml`), then `runsheet retry` plans the step anew")
}

/// What it would do.
pub(super) fn plan(target: &TargetSpec, input: &Input, observed: &Observed, mark: &str, rollback: &Rollback) -> Result<Plan, Failure> {
    if let Some(refusal) = input.refusal(observed) {
        return Err(refusal);
    }
    let Observed { name, namespace, .. } = observed;
    let unobserved = || Failure::permanent(format!("what the cluster makes of the autoscaler {name} was not observed"));
    let object = horizontal::object_ref(target, namespace, name).ok_or_else(unobserved)?;
    let (creation, changes) = if observed.exists {
        (None, changes(&object, observed))
    } else {
        let manifest = marked(input.manifest(namespace), mark);
        let made = marked(
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name, "namespace": namespace }, "spec": observed.wanted.get("spec").ok_or_else(unobserved)? }),
            mark,
        );
        let change = Change { object, field: EXISTS.to_owned(), label: "autoscaler".to_owned(), prior: Value::Null, after: json!(name) };
        (Some(Creation { manifest, made, mark: mark.to_owned() }), vec![change])
    };
    let spec = observed.wanted.get("spec").unwrap_or(&observed.wanted);
    let number = |key: &str, before: Option<i64>| spec.get(key).and_then(Value::as_i64).or(before);
    let outputs = json!({
        "name": name,
        "min": number("minReplicas", observed.min),
        "max": number("maxReplicas", observed.max),
        "created": creation.is_some(),
        "previous_min": observed.min,
        "previous_max": observed.max,
    });
    if changes.is_empty() {
        return Ok(Plan { intent: Intent::default(), unchanged: Some(outputs) });
    }
    let workload = &input.workload;
    let replicas_before = observed.replicas.unwrap_or(0);
    let judged = if creation.is_some() {
        vec![replicas(target, workload, namespace, replicas_before).ok_or_else(unobserved)?]
    } else {
        changes.clone()
    };
    let told = argocd::judge(&json!({ argocd::ARGOCD: observed.argocd }), &judged)?;
    let (by_hand, undo_by_hand) = match &creation {
        Some(creation) => (
            vec![format!("printf '%s' {} | kubectl create -n {namespace} -f -", word(&json!(creation.manifest.to_string())))],
            vec![
                format!("kubectl delete hpa {name} -n {namespace}"),
                format!("kubectl scale {workload} --replicas={replicas_before} -n {namespace}"),
            ],
        ),
        None => (
            vec![patch_line(name, namespace, &changes, |change| &change.after)],
            vec![patch_line(name, namespace, &changes, |change| &change.prior)],
        ),
    };
    let note = Noted {
        workload: workload.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        selector: observed.selector.clone(),
        min_before: observed.min.unwrap_or(0),
        max_before: observed.max.unwrap_or(0),
        replicas_before,
        outputs,
        uid: observed.uid.clone(),
        without_requests: observed.without_requests.clone(),
        argocd: told,
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

/// What an autoscaler that is created changes from then on.
fn replicas(target: &TargetSpec, workload: &Workload, namespace: &str, replicas: i64) -> Option<Change> {
    let object = object_ref(target, namespace, workload)?;
    Some(Change { object, field: "spec.replicas".to_owned(), label: "replicas".to_owned(), prior: json!(replicas), after: Value::Null })
}

fn changes(object: &crate::model::change::ObjectRef, observed: &Observed) -> Vec<Change> {
    let name = &observed.name;
    let wanted = |key: &str| observed.wanted.get(key).cloned().unwrap_or(Value::Null);
    let fields = [
        (FLOOR, format!("floor of the autoscaler {name}"), json!(observed.min), wanted("minReplicas")),
        (CEILING, format!("maximum of the autoscaler {name}"), json!(observed.max), wanted("maxReplicas")),
        ("spec.metrics", format!("metrics of the autoscaler {name}"), observed.metrics.clone(), wanted("metrics")),
        ("spec.behavior", format!("behaviour of the autoscaler {name}"), observed.behavior.clone(), wanted("behavior")),
    ];
    let change = |(field, label, prior, after): (&str, String, Value, Value)| {
        let change = Change { object: object.clone(), field: field.to_owned(), label, prior, after };
        (change.prior != change.after).then_some(change)
    };
    fields.into_iter().filter_map(change).collect()
}

fn patch_line(name: &str, namespace: &str, changes: &[Change], value: fn(&Change) -> &Value) -> String {
    let spec: serde_json::Map<String, Value> =
        changes.iter().map(|change| (change.field.trim_start_matches("spec.").to_owned(), value(change).clone())).collect();
    format!("kubectl patch hpa {name} -n {namespace} --type=merge -p {}", word(&json!({ "spec": spec })))
}
