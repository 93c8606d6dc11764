//! A scaler by a person's hands.
//!
//! Invariant: made of the inputs alone; whether the scaler is there is asked by the lines themselves.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::{assigned, given, namespace_word, own};
use crate::actions::kubernetes::manifest_text::manifest_word;
use crate::actions::kubernetes::scaler::Kind;
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::run::TargetSpec;

/// What the inputs come to, for a kind.
pub(in crate::actions::kubernetes) struct Hands {
    pub(in crate::actions::kubernetes) kind: Kind,
    /// Annotations that are set, and those that are taken away (`null`).
    pub(in crate::actions::kubernetes) annotations: Map<String, Value>,
    /// The fields of `spec` that are given.
    pub(in crate::actions::kubernetes) spec: Map<String, Value>,
}

/// The lines.
pub(in crate::actions::kubernetes) fn lines(hands: Hands, inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let Hands { kind, annotations, spec } = hands;
    let (Some(name), Some(workload)) = (given(inputs, "name"), given(inputs, "workload")) else { return ByHand::default() };
    let namespace = namespace_word(inputs, target);
    let (variable_name, kubectl, version, kind_name) = match kind {
        Kind::Horizontal => ("AUTOSCALER_BEFORE", "hpa", "autoscaling/v2", "HorizontalPodAutoscaler"),
        Kind::ScaledObject => ("SCALED_OBJECT_BEFORE", "scaledobject", "keda.sh/v1alpha1", "ScaledObject"),
    };
    let before = own(variable_name, name.as_str().unwrap_or_default());
    let replicas = own("REPLICAS_BEFORE", name.as_str().unwrap_or_default());
    let scaled = word(workload);
    let mut patch = Map::new();
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    if !spec.is_empty() || patch.is_empty() {
        patch.insert("spec".to_owned(), json!(spec));
    }
    let patch = manifest_word(&Value::Object(patch));
    let set: Map<String, Value> = annotations.into_iter().filter(|(_, value)| !value.is_null()).collect();
    let metadata = if set.is_empty() { json!({ "name": name }) } else { json!({ "name": name, "annotations": set }) };
    let mut manifest = json!({ "apiVersion": version, "kind": kind_name, "metadata": metadata, "spec": spec });
    manifest["spec"]["scaleTargetRef"] = scale_target(workload.as_str().unwrap_or_default());
    let name = word(name);
    let there = quoted(&variable(&before));
    ByHand {
        look: vec![
            format!("# the whole {} as it is, without its version; empty where there is none", kind.word()),
            format!(
                "{}=$(kubectl get {kubectl} {name} -n {namespace} -o json --ignore-not-found | sed '/\"resourceVersion\":/d')",
                assigned(&before)
            ),
            format!("{}=$(kubectl get {scaled} -n {namespace} -o jsonpath='{{.spec.replicas}}')", assigned(&replicas)),
        ],
        act: vec![format!(
            "if [ -n {there} ]; then kubectl patch {kubectl} {name} -n {namespace} --type=merge -p {patch}; else printf '%s' {} | kubectl create -n {namespace} -f -; fi",
            manifest_word(&manifest)
        )],
        undo: vec![format!(
            "if [ -n {there} ]; then printf '%s' {there} | kubectl replace -n {namespace} -f -; else kubectl delete {kubectl} {name} -n {namespace} && kubectl scale {scaled} --replicas={} -n {namespace}; fi",
            quoted(&variable(&replicas))
        )],
    }
}

/// The reference to a workload as it is written in a playbook.
fn scale_target(written: &str) -> Value {
    let (kind, name) = written.split_once('/').unwrap_or(("deployment", written));
    let kind = match kind {
        "statefulset" => "StatefulSet",
        "replicaset" => "ReplicaSet",
        _ => "Deployment",
    };
    json!({ "apiVersion": "apps/v1", "kind": kind, "name": name })
}
