//! What a step that creates or changes a scaler would do, as a plan.
//!
//! Must not ask anything. Invariant: what is compared later is what the server made of the inputs, never the inputs themselves; what Argo CD would put
//! back is refused here.

use serde_json::{Map, Value, json};

use super::noted::{Creation, Noted};
use super::replicas::{REPLICAS, handed_over};
use super::there::There;
use crate::actions::kubernetes::argocd;
use crate::actions::kubernetes::created::{EXISTS, marked};
use crate::actions::kubernetes::field_path::FieldPath;
use crate::actions::kubernetes::object_ref;
use crate::actions::kubernetes::scaler::{Kind, ScalerName};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::support::kept;
use crate::model::by_hand::word;
use crate::model::change::{Change, ObjectRef};
use crate::model::duration::Span;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::model::step::Rollback;
use crate::ports::action::Plan;

/// What it came to.
pub(in crate::actions::kubernetes) struct Draft<'a> {
    pub(in crate::actions::kubernetes) scaler: ScalerName,
    pub(in crate::actions::kubernetes) workload: &'a Workload,
    pub(in crate::actions::kubernetes) there: &'a There,
    /// What is created; `None` where it is there.
    pub(in crate::actions::kubernetes) creation: Option<Creation>,
    pub(in crate::actions::kubernetes) changes: Vec<Change>,
    pub(in crate::actions::kubernetes) outputs: Value,
    /// Containers without a request that a metric needs.
    pub(in crate::actions::kubernetes) without_requests: Vec<String>,
    /// What is to be known of the change.
    pub(in crate::actions::kubernetes) says: Option<String>,
    pub(in crate::actions::kubernetes) settle: Option<Span>,
}

/// The creation of a scaler that the server made this `spec` of, and its one change: that it is there.
pub(in crate::actions::kubernetes) fn created_at(
    object: ObjectRef,
    scaler: &ScalerName,
    manifest: Value,
    spec: &Value,
    mark: &str,
) -> (Creation, Change) {
    let manifest = marked(manifest, mark);
    let mut made = manifest.clone();
    made["spec"] = spec.clone();
    let label = scaler.kind.word().to_owned();
    let change = Change { object, field: EXISTS.to_owned(), label, prior: Value::Null, after: json!(scaler.name) };
    (Creation { manifest, made, mark: mark.to_owned() }, change)
}

/// The change of a field, where it is one; `label`: what people call it.
pub(in crate::actions::kubernetes) fn change_of(
    object: &ObjectRef,
    scaler: &ScalerName,
    label: &str,
    field: &str,
    prior: Value,
    after: Value,
) -> Option<Change> {
    let label = format!("{label} of {scaler}");
    (prior != after).then(|| Change { object: object.clone(), field: field.to_owned(), label, prior, after })
}

impl Draft<'_> {
    /// The plan.
    ///
    /// # Errors
    /// Where Argo CD would put it back.
    pub(in crate::actions::kubernetes) fn plan(self, target: &TargetSpec, rollback: &Rollback) -> Result<Plan, Failure> {
        if self.changes.is_empty() {
            return Ok(Plan { intent: Intent::default(), unchanged: Some(self.outputs) });
        }
        let argocd = self.judged(target)?;
        let (by_hand, undo_by_hand) = self.by_hand();
        let Self { scaler, workload, there, creation, mut changes, outputs, without_requests, says, settle } = self;
        // No HPA scales what is at 0: whatever it does later, somebody has set the replicas first.
        let before = creation.as_ref().and(there.replicas).filter(|before| *before != 0 || scaler.kind == Kind::ScaledObject);
        let hands = before.zip(object_ref(target, &there.namespace, workload));
        changes.extend(hands.map(|(before, object)| handed_over(object, &scaler, before)));
        let note = Noted {
            workload: workload.clone(),
            namespace: there.namespace.clone(),
            name: scaler.name,
            selector: there.selector.clone(),
            min_before: there.min.unwrap_or(0),
            max_before: there.max.unwrap_or(0),
            idle_before: there.idle,
            replicas_before: there.replicas.unwrap_or(0),
            outputs,
            uid: there.uid.clone(),
            without_requests,
            argocd,
            says,
            creation,
        };
        let intent = Intent {
            changes,
            revert: match kept(rollback) {
                Some(reason) => Revert::Keep { reason },
                None => Revert::Fields { settle: settle.unwrap_or(Span::seconds(600)) },
            },
            note: json!(note),
            by_hand,
            undo_by_hand,
            ..Intent::default()
        };
        Ok(Plan { intent, unchanged: None })
    }

    /// What is told of Argo CD: of the fields, and of the workload's replicas, which the scaler sets from then on.
    fn judged(&self, target: &TargetSpec) -> Result<Value, Failure> {
        let there = self.there;
        let unobserved = || Failure::permanent(format!("{} was not observed", self.scaler));
        let object = object_ref(target, &there.namespace, self.workload).ok_or_else(unobserved)?;
        let prior = json!(there.replicas.unwrap_or(0));
        let replicas = Change { object, field: REPLICAS.to_owned(), label: "replicas".to_owned(), prior, after: Value::Null };
        if self.creation.is_some() {
            return argocd::judge(&json!({ argocd::ARGOCD: there.argocd }), &[replicas]);
        }
        let of_pods = argocd::judge(&json!({ argocd::ARGOCD: there.argocd_pods }), &[replicas])?;
        let of_fields = argocd::judge(&json!({ argocd::ARGOCD: there.argocd }), &self.changes)?;
        Ok(if of_fields.is_null() { of_pods } else { of_fields })
    }

    fn by_hand(&self) -> (Vec<String>, Vec<String>) {
        let (namespace, scaler) = (&self.there.namespace, self.scaler.kubectl());
        match &self.creation {
            Some(creation) => (
                vec![format!("printf '%s' {} | kubectl create -n {namespace} -f -", word(&json!(creation.manifest.to_string())))],
                vec![
                    format!("kubectl delete {scaler} -n {namespace}"),
                    format!("kubectl scale {} --replicas={} -n {namespace}", self.workload, self.there.replicas.unwrap_or(0)),
                ],
            ),
            None => {
                let patch = |value: fn(&Change) -> &Value| {
                    format!("kubectl patch {scaler} -n {namespace} --type=merge -p {}", word(&patch_of(&self.changes, value)))
                };
                (vec![patch(|change| &change.after)], vec![patch(|change| &change.prior)])
            }
        }
    }
}

/// The merge patch that sets these values; null takes a field away, in it as in a change.
fn patch_of(changes: &[Change], value: fn(&Change) -> &Value) -> Value {
    let mut patch = json!({});
    for change in changes {
        if let Ok(path) = change.field.parse::<FieldPath>() {
            put(&mut patch, path.parts(), value(change));
        }
    }
    patch
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
