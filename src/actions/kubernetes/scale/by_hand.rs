//! A scaling by a person's hands.
//!
//! Invariant: made of the inputs alone; whether an autoscaler or KEDA owns the replicas is asked by the lines themselves.

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
    let [keda, keda_floor] = ["SCALED_OBJECT", "KEDA_FLOOR_BEFORE"].map(|name| own(name, written));
    let [autoscaler, floor, before] = ["AUTOSCALER", "FLOOR_BEFORE", "REPLICAS_BEFORE"].map(|name| own(name, written));
    let of_scaler = |path: &str| quoted(&format!("{{.items[?(@.spec.scaleTargetRef.name==\"{name}\")].{path}}}"));
    // A cluster without KEDA knows no such kind.
    let of_keda = |path: &str| format!("kubectl get scaledobject -n {namespace} -o jsonpath={} 2>/dev/null", of_scaler(path));
    let count = replicas.as_str().map_or_else(|| replicas.to_string(), str::to_owned);
    let set = |keda_floor: &str, floor: &str, replicas: &str| {
        let keda = quoted(&variable(&keda));
        let of_keda = quoted(&format!("{{\"spec\":{{\"minReplicaCount\":{keda_floor}}}}}"));
        let of_keda = format!("kubectl patch scaledobject {keda} -n {namespace} --type=merge -p {of_keda}");
        let autoscaler = quoted(&variable(&autoscaler));
        let patch = quoted(&format!("{{\"spec\":{{\"minReplicas\":{floor}}}}}"));
        let scale = format!("kubectl scale {workload} --replicas={} -n {namespace}", quoted(replicas));
        format!(
            "if [ -n {keda} ]; then {of_keda}; elif [ -n {autoscaler} ]; then kubectl patch hpa {autoscaler} -n {namespace} --type=merge -p {patch}; else {scale}; fi"
        )
    };
    ByHand {
        look: vec![
            "# KEDA's ScaledObject, where one owns the replicas; the HPA `keda-hpa-…` is its own, and is left alone then".to_owned(),
            format!("{}=$({} || true)", assigned(&keda), of_keda("metadata.name")),
            format!("{}=$({} | grep . || echo null)", assigned(&keda_floor), of_keda("spec.minReplicaCount")),
            format!("{}=$(kubectl get hpa -n {namespace} -o jsonpath={})", assigned(&autoscaler), of_scaler("metadata.name")),
            format!("{}=$(kubectl get hpa -n {namespace} -o jsonpath={})", assigned(&floor), of_scaler("spec.minReplicas")),
            format!("{}=$(kubectl get {workload} -n {namespace} -o jsonpath='{{.spec.replicas}}')", assigned(&before)),
        ],
        act: vec![set(&count, &count, &count)],
        undo: vec![set(&variable(&keda_floor), &variable(&floor), &variable(&before))],
    }
}
