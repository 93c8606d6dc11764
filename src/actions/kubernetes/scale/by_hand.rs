//! A scaling by a person's hands.
//!
//! Invariant: made of the inputs alone; whether an autoscaler owns the replicas is asked by the lines themselves.

use serde_json::Value;

use crate::actions::kubernetes::by_hand::{assigned, namespace_word, own};
use crate::model::by_hand::{ByHand, quoted, variable, word};
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let (Some(workload), Some(replicas)) = (inputs.get("workload"), inputs.get("replicas")) else { return ByHand::default() };
    let namespace = namespace_word(inputs, target);
    let written = workload.as_str().unwrap_or_default();
    let name = written.rsplit('/').next().unwrap_or_default();
    let workload = word(workload);
    let [autoscaler, floor, before] = ["AUTOSCALER", "FLOOR_BEFORE", "REPLICAS_BEFORE"].map(|name| own(name, written));
    let of_autoscaler = |path: &str| quoted(&format!("{{.items[?(@.spec.scaleTargetRef.name==\"{name}\")].{path}}}"));
    let count = replicas.as_str().map_or_else(|| replicas.to_string(), str::to_owned);
    let set = |floor: &str, replicas: &str| {
        let autoscaler = quoted(&variable(&autoscaler));
        let patch = quoted(&format!("{{\"spec\":{{\"minReplicas\":{floor}}}}}"));
        let scale = format!("kubectl scale {workload} --replicas={} -n {namespace}", quoted(replicas));
        format!("if [ -n {autoscaler} ]; then kubectl patch hpa {autoscaler} -n {namespace} --type=merge -p {patch}; else {scale}; fi")
    };
    ByHand {
        look: vec![
            format!("{}=$(kubectl get hpa -n {namespace} -o jsonpath={})", assigned(&autoscaler), of_autoscaler("metadata.name")),
            format!("{}=$(kubectl get hpa -n {namespace} -o jsonpath={})", assigned(&floor), of_autoscaler("spec.minReplicas")),
            format!("{}=$(kubectl get {workload} -n {namespace} -o jsonpath='{{.spec.replicas}}')", assigned(&before)),
        ],
        act: vec![set(&count, &count)],
        undo: vec![set(&variable(&floor), &variable(&before))],
    }
}
