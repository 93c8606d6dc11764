//! What the lines for a person's hands of the reading actions share.
//!
//! Must not ask anything. Invariant: an input may be a variable's text in the place of any value; a comment is one line.

use serde_json::Value;

use crate::model::by_hand::{ByHand, quoted, word};
use crate::model::run::TargetSpec;

/// An input that is given.
pub(super) fn given<'a>(inputs: &'a Value, key: &str) -> Option<&'a Value> {
    inputs.get(key).filter(|value| !value.is_null())
}

/// ` -n NAMESPACE`, where one can be told.
pub(super) fn place(inputs: &Value, target: Option<&TargetSpec>) -> String {
    namespace(inputs, target).map(|name| format!(" -n {name}")).unwrap_or_default()
}

/// The namespace as a word.
pub(super) fn namespace(inputs: &Value, target: Option<&TargetSpec>) -> Option<String> {
    let default = || target?.values.get("kubernetes")?.get("namespace");
    given(inputs, "namespace").or_else(default).map(word)
}

/// The line that finds the selector of the step's pods, where it takes one, and the selector as a word.
pub(super) fn selector(inputs: &Value, target: Option<&TargetSpec>) -> (Option<String>, String) {
    match (given(inputs, "selector"), given(inputs, "workload")) {
        (Some(selector), _) => (None, word(selector)),
        (None, Some(workload)) => {
            let place = place(inputs, target);
            let line = format!("SELECTOR=$(kubectl get {}{place} --subresource=scale -o jsonpath='{{.status.selector}}')", word(workload));
            (Some(line), "\"$SELECTOR\"".to_owned())
        }
        (None, None) => (None, quoted("")),
    }
}

/// Lines that only read.
pub(super) fn lines(lines: impl IntoIterator<Item = String>) -> ByHand {
    ByHand { act: lines.into_iter().collect(), ..ByHand::default() }
}
