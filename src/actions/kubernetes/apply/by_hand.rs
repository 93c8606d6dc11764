//! A manifest applied by a person's hands.
//!
//! Invariant: made of the inputs alone.

use serde_json::Value;

use crate::actions::kubernetes::by_hand::{assigned, namespace_word, own};
use crate::actions::kubernetes::manifest_text::manifest_word;
use crate::actions::kubernetes::object::kind_word;
use crate::model::by_hand::{ByHand, quoted, variable};
use crate::model::run::TargetSpec;

/// The lines.
pub(super) fn lines(inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
    let Some(manifest) = inputs.get("object").filter(|manifest| manifest.is_object()) else { return ByHand::default() };
    let text = |path: &str| manifest.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let name = text("/metadata/name");
    let object = quoted(&format!("{}/{name}", kind_word(text("/kind"))));
    let namespace = match manifest.pointer("/metadata/namespace").and_then(Value::as_str) {
        Some(own) if inputs.get("namespace").is_none_or(Value::is_null) => quoted(own),
        _ => namespace_word(inputs, target),
    };
    let before = own("OBJECT_BEFORE", name);
    let there = quoted(&variable(&before));
    let force = if inputs.get("force").is_some_and(|force| force == true) { " --force-conflicts" } else { "" };
    ByHand {
        look: vec![format!(
            "{}=$(kubectl get {object} -n {namespace} -o json --ignore-not-found | sed '/\"resourceVersion\":/d')",
            assigned(&before)
        )],
        act: vec![format!(
            "printf '%s' {} | kubectl apply --server-side --field-manager=runsheet{force} -n {namespace} -f -",
            manifest_word(manifest)
        )],
        undo: vec![format!(
            "if [ -n {there} ]; then printf '%s' {there} | kubectl replace -n {namespace} -f -; else kubectl delete {object} -n {namespace}; fi"
        )],
    }
}
