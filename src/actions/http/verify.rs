//! Whether a write happened, by the read that the author gives.
//!
//! Must not guess: an answer that matches neither pattern, or both, does not tell. Invariant: only reads.

use serde_json::Value;

use super::input::{Pattern, StatusRange, Verify};
use super::send::{Answer, outputs_unseen};
use crate::model::outcome::Verdict;

/// What the answer to the author's read says.
pub(super) fn verdict(verify: &Verify, answer: &Answer) -> Verdict {
    let json = answer.json();
    let present = matches(&verify.present, answer.status, json.as_ref());
    let absent = verify.absent.as_ref().is_some_and(|pattern| matches(pattern, answer.status, json.as_ref()));
    let status = answer.status;
    match (present, absent) {
        (true, false) => Verdict::Present { outputs: outputs_unseen() },
        (false, true) => Verdict::Absent,
        (true, true) => {
            Verdict::CannotTell { reason: format!("the answer to `verify` (status {status}) matches both `present` and `absent`") }
        }
        (false, false) if verify.absent.is_none() => Verdict::CannotTell {
            reason: format!(
                "the answer to `verify` (status {status}) does not match `present`, and the step does not say what `absent` looks like"
            ),
        },
        (false, false) => {
            Verdict::CannotTell { reason: format!("the answer to `verify` (status {status}) matches neither `present` nor `absent`") }
        }
    }
}

fn matches(pattern: &Pattern, status: u16, json: Option<&Value>) -> bool {
    let statuses = pattern.status.as_deref().unwrap_or(&[StatusRange::SUCCESS]);
    statuses.iter().any(|range| range.holds(status))
        && pattern.json.as_ref().is_none_or(|wanted| json.is_some_and(|json| is_within(wanted, json)))
}

/// Whether a value holds all that is wanted: maps may hold more, everything else is equal.
fn is_within(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| is_within(wanted, value)))
        }
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() == value.len() && wanted.iter().zip(value).all(|(wanted, value)| is_within(wanted, value))
        }
        (Value::Number(wanted), Value::Number(value)) => wanted == value || wanted.as_f64() == value.as_f64(),
        (wanted, value) => wanted == value,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn maps_may_hold_more_and_the_rest_is_equal() {
        let value = json!({ "a": 1, "b": { "c": [{ "d": true, "e": 2 }], "f": null } });
        for wanted in [json!({}), json!({ "a": 1.0 }), json!({ "b": { "c": [{ "d": true }] } }), json!({ "b": { "f": null } })] {
            assert!(is_within(&wanted, &value), "{wanted}");
        }
        for wanted in [json!({ "a": 2 }), json!({ "a": "1" }), json!({ "b": { "c": [] } }), json!({ "x": null }), json!([])] {
            assert!(!is_within(&wanted, &value), "{wanted}");
        }
    }
}
