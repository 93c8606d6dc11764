//! A ScaledObject by a person's hands.
//!
//! Invariant: made of the inputs alone; whether the ScaledObject is there is asked by the lines themselves.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::{assigned, given, namespace_word, own};
use crate::actions::kubernetes::manifest_text::manifest_word;
use crate::actions::kubernetes::scaled_object::{PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN};
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| given(inputs, key);
    let (Some(name), Some(workload)) = (given("name"), given("workload")) else { return ByHand::default() };
    let namespace = namespace_word(inputs, target);
    let before = own("SCALED_OBJECT_BEFORE", name.as_str().unwrap_or_default());
    let mut spec = Map::new();
    for (input, field) in [("min", "minReplicaCount"), ("max", "maxReplicaCount"), ("triggers", "triggers")] {
        if let Some(value) = given(input) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(behavior) = given("behavior") {
        spec.insert("advanced".to_owned(), json!({ "horizontalPodAutoscalerConfig": { "behavior": behavior } }));
    }
    let annotations = annotations(given);
    let metadata = if annotations.is_empty() { json!({ "name": name }) } else { json!({ "name": name, "annotations": annotations }) };
    let mut manifest = json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": metadata, "spec": spec });
    let mut patch = Map::new();
    if !annotations.is_empty() {
        patch.insert("metadata".to_owned(), json!({ "annotations": annotations }));
    }
    if !spec.is_empty() {
        patch.insert("spec".to_owned(), Value::Object(spec));
    }
    let patch = manifest_word(&Value::Object(patch));
    let (kind, workload_name) =
        workload.as_str().and_then(|text| text.split_once('/')).unwrap_or(("deployment", workload.as_str().unwrap_or_default()));
    let kind = match kind {
        "statefulset" => "StatefulSet",
        "replicaset" => "ReplicaSet",
        _ => "Deployment",
    };
    manifest["spec"]["scaleTargetRef"] = json!({ "apiVersion": "apps/v1", "kind": kind, "name": workload_name });
    let name = word(name);
    let there = quoted(&variable(&before));
    ByHand {
        look: vec![
            "# the whole ScaledObject as it is, without its version; empty where there is none".to_owned(),
            format!(
                "{}=$(kubectl get scaledobject {name} -n {namespace} -o json --ignore-not-found | sed '/\"resourceVersion\":/d')",
                assigned(&before)
            ),
        ],
        act: vec![format!(
            "if [ -n {there} ]; then kubectl patch scaledobject {name} -n {namespace} --type=merge -p {patch}; else printf '%s' {} | kubectl create -n {namespace} -f -; fi",
            manifest_word(&manifest)
        )],
        undo: vec![format!(
            "if [ -n {there} ]; then printf '%s' {there} | kubectl replace -n {namespace} -f -; else kubectl delete scaledobject {name} -n {namespace}; fi"
        )],
    }
}

/// The annotations that the inputs set, and those that they take away (`null`).
fn annotations<'a>(given: impl Fn(&str) -> Option<&'a Value>) -> Map<String, Value> {
    let mut annotations = Map::new();
    let text = |value: &Value| json!(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    match given("paused") {
        Some(Value::Bool(false)) => {
            annotations.insert(PAUSED.to_owned(), Value::Null);
            annotations.insert(PAUSED_REPLICAS.to_owned(), Value::Null);
        }
        Some(value) => drop(annotations.insert(PAUSED.to_owned(), text(value))),
        None => {}
    }
    if let Some(count) = given("paused_replicas") {
        annotations.insert(PAUSED_REPLICAS.to_owned(), text(count));
    }
    match given("paused_scale_in") {
        Some(Value::Bool(false)) => drop(annotations.insert(PAUSED_SCALE_IN.to_owned(), Value::Null)),
        Some(value) => drop(annotations.insert(PAUSED_SCALE_IN.to_owned(), text(value))),
        None => {}
    }
    annotations
}
