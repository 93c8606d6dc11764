//! What the lines for a person's hands share.

use serde_json::Value;

use crate::model::by_hand::{variable, variables_in, word};
use crate::model::run::TargetSpec;

/// An input as a word for a shell; `None` where it is left out.
pub(super) fn input(inputs: &Value, name: &str) -> Option<String> {
    inputs.get(name).filter(|value| !value.is_null()).map(word)
}

/// ` --region REGION`, where it is known.
pub(super) fn region(target: Option<&TargetSpec>) -> String {
    let region = target.and_then(|target| target.values.get("aws")).and_then(|aws| aws.get("region"));
    region.map(|region| format!(" --region {}", word(region))).unwrap_or_default()
}

/// A shell variable of a step's own, as it is assigned and as it is used: `NODE_TYPE_BEFORE_TICKET_REDIS`.
pub(super) fn own(name: &str, inputs: &Value, of: &str) -> (String, String) {
    let of = inputs.get(of).and_then(Value::as_str).filter(|of| variables_in(of).is_empty());
    let name = of.map_or_else(|| name.to_owned(), |of| format!("{name}_{of}"));
    let used = variable(&name);
    let assigned = variables_in(&used).first().map(|name| (*name).to_owned()).unwrap_or_default();
    (assigned, crate::model::by_hand::quoted(&used))
}
