//! An autoscaler by a person's hands.
//!
//! Invariant: made of the inputs alone; whether the autoscaler is there is asked by the lines themselves.

use serde_json::{Map, Value, json};

use crate::actions::kubernetes::by_hand::{assigned, namespace_word, own};
use crate::actions::kubernetes::manifest_text::manifest_word;
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let given = |key: &str| inputs.get(key).filter(|value| !value.is_null());
    let (Some(name), Some(workload)) = (given("name"), given("workload")) else { return ByHand::default() };
    let namespace = namespace_word(inputs, target);
    let before = own("AUTOSCALER_BEFORE", name.as_str().unwrap_or_default());
    let mut spec = Map::new();
    for (input, field) in [("min", "minReplicas"), ("max", "maxReplicas"), ("behavior", "behavior")] {
        if let Some(value) = given(input) {
            spec.insert(field.to_owned(), value.clone());
        }
    }
    if let Some(metrics) = given("metrics") {
        spec.insert("metrics".to_owned(), metrics_of(metrics));
    }
    let mut manifest =
        json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name }, "spec": spec });
    let patch = manifest_word(&json!({ "spec": manifest["spec"] }));
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
            "# the whole autoscaler as it is, without its version; empty where there is none".to_owned(),
            format!(
                "{}=$(kubectl get hpa {name} -n {namespace} -o json --ignore-not-found | sed '/\"resourceVersion\":/d')",
                assigned(&before)
            ),
        ],
        act: vec![format!(
            "if [ -n {there} ]; then kubectl patch hpa {name} -n {namespace} --type=merge -p {patch}; else printf '%s' {} | kubectl create -n {namespace} -f -; fi",
            manifest_word(&manifest)
        )],
        undo: vec![format!(
            "if [ -n {there} ]; then printf '%s' {there} | kubectl replace -n {namespace} -f -; else kubectl delete hpa {name} -n {namespace}; fi"
        )],
    }
}

fn metrics_of(given: &Value) -> Value {
    let Some(map) = given.as_object() else { return given.clone() };
    let metric = |(name, percent): (&String, &Value)| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": percent } } });
    map.iter().map(metric).collect()
}
