//! A scaling by a person's hands.
//!
//! Invariant: made of the inputs alone; whether an autoscaler owns the replicas is asked by the lines themselves.

use serde_json::Value;

use super::namespace;
use crate::model::by_hand::{ByHand, quoted, variable, variables_in, word};
use crate::model::run::TargetSpec;

/// A namespace as the inputs or the environment say, or a variable.
pub(super) fn namespace_word(inputs: &Value, target: Option<&TargetSpec>) -> String {
    match inputs.get("namespace").filter(|given| !given.is_null()) {
        Some(given) => word(given),
        None => namespace(None, target).map_or_else(|_| quoted(&variable("namespace")), |name| quoted(&name)),
    }
}

/// A variable's name that is this step's own: of `deployment/x` and `REPLICAS_BEFORE`, `REPLICAS_BEFORE_X`.
pub(super) fn own(name: &str, of: &str) -> String {
    let of = of.rsplit('/').next().unwrap_or_default();
    if of.is_empty() || !variables_in(of).is_empty() { name.to_owned() } else { format!("{name}_{of}") }
}

/// The name of a variable as a shell assigns it.
pub(super) fn assigned(name: &str) -> String {
    variables_in(&variable(name)).first().map_or_else(String::new, |name| (*name).to_owned())
}

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
