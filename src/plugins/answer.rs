//! A plugin's answers as what the engine knows: outcomes, verdicts, plans.
//!
//! Must not guess. Invariant: an answer that does not fit, in whatever way, is told as that and never taken for one that does.

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::model::change::{Change, ObjectRef};
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure, Verdict};

/// What a plugin answers to `apply` and `revert`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenOutcome {
    Applied(WrittenOutputs),
    NotApplied(WrittenFailure),
    Failed(WrittenFailure),
    Unknown(WrittenFailure),
}

/// What a plugin answers to `verify`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenVerdict {
    Present(WrittenOutputs),
    Absent(Nothing),
    InProgress(WrittenMessage),
    CannotTell(WrittenMessage),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenOutputs {
    #[serde(default)]
    outputs: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenMessage {
    message: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFailure {
    message: String,
    hint: Option<String>,
    #[serde(default)]
    transient: bool,
    retry_after: Option<u32>,
    outputs: Option<Map<String, Value>>,
}

/// What a plugin answers to `plan`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrittenPlan {
    #[serde(default)]
    changes: Vec<WrittenChange>,
    /// The outputs where nothing has to be done.
    pub(super) unchanged: Option<Value>,
    /// Why it cannot be taken back.
    pub(super) keep: Option<String>,
    /// Whatever else the plugin needs to verify or take it back.
    #[serde(default)]
    pub(super) note: Value,
    #[serde(default)]
    pub(super) by_hand: Vec<String>,
    #[serde(default)]
    pub(super) undo_by_hand: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenChange {
    object: String,
    field: String,
    label: Option<String>,
    prior: Value,
    after: Value,
}

/// What a plugin answers when it is asked how fields stand.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenFields {
    fields: Vec<WrittenField>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WrittenField {
    Value(Value),
    Gone(Nothing),
}

impl From<WrittenFailure> for Failure {
    fn from(written: WrittenFailure) -> Self {
        let WrittenFailure { message, hint, transient, retry_after, outputs: _ } = written;
        Self { message, hint, transient, retry_after: retry_after.map(|seconds| Span::seconds(u64::from(seconds))) }
    }
}

/// The outcome that an answer to `apply` tells, with outputs that fit this schema.
///
/// # Errors
/// What does not fit.
pub(super) fn applied(answer: &Value, outputs: &Value) -> Result<Applied, String> {
    Ok(match WrittenOutcome::deserialize(answer).map_err(|error| error.to_string())? {
        WrittenOutcome::Applied(written) => Applied::Applied { outputs: fitting(written.outputs, outputs)? },
        WrittenOutcome::NotApplied(written) => Applied::NotApplied { failure: written.into() },
        WrittenOutcome::Failed(mut written) => {
            let outputs = written.outputs.take().map_or(Ok(Value::Null), |written| fitting(written, outputs))?;
            Applied::FailedWithEffect { failure: written.into(), outputs }
        }
        WrittenOutcome::Unknown(written) => Applied::Unknown { failure: written.into() },
    })
}

/// The verdict that an answer to `verify` tells.
///
/// # Errors
/// What does not fit.
pub(super) fn verdict(answer: &Value, outputs: &Value) -> Result<Verdict, String> {
    Ok(match WrittenVerdict::deserialize(answer).map_err(|error| error.to_string())? {
        WrittenVerdict::Present(written) => Verdict::Present { outputs: fitting(written.outputs, outputs)? },
        WrittenVerdict::Absent(Nothing {}) => Verdict::Absent,
        WrittenVerdict::InProgress(WrittenMessage { message }) => Verdict::InProgress { message },
        WrittenVerdict::CannotTell(WrittenMessage { message }) => Verdict::CannotTell { reason: message },
    })
}

/// The outputs that an answer to `observe` of a reading action gives.
///
/// # Errors
/// What does not fit.
pub(super) fn reading(answer: &Value, outputs: &Value) -> Result<Value, String> {
    fitting(WrittenOutputs::deserialize(answer).map_err(|error| error.to_string())?.outputs, outputs)
}

/// What an answer to `observe` says is there.
///
/// # Errors
/// What does not fit.
pub(super) fn observed(answer: &Value) -> Result<Map<String, Value>, String> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Written {
        observed: Map<String, Value>,
    }
    let observed = Written::deserialize(answer).map_err(|error| error.to_string())?.observed;
    if observed.contains_key(super::host::PLAN) {
        return Err(format!("`observed` has a key `{}`, which is runsheet's own", super::host::PLAN));
    }
    Ok(observed)
}

/// A plan.
///
/// # Errors
/// What does not fit.
pub(super) fn plan(answer: &Value, outputs: &Value) -> Result<WrittenPlan, String> {
    let mut plan = WrittenPlan::deserialize(answer).map_err(|error| error.to_string())?;
    if let Some(unchanged) = plan.unchanged.take() {
        let Value::Object(unchanged) = unchanged else { return Err("`unchanged` is no map of outputs".to_owned()) };
        plan.unchanged = Some(fitting(unchanged, outputs)?);
    }
    if let Some(change) = plan.changes.iter().find(|change| change.object.trim().is_empty() || change.field.trim().is_empty()) {
        return Err(format!("a change of `{}` has no object or no field", change.field));
    }
    Ok(plan)
}

impl WrittenPlan {
    /// What it changes, for the ledger.
    pub(super) fn changes(&mut self) -> Vec<Change> {
        let change = |written: WrittenChange| Change {
            object: ObjectRef(written.object),
            label: written.label.unwrap_or_else(|| written.field.clone()),
            field: written.field,
            prior: written.prior,
            after: written.after,
        };
        std::mem::take(&mut self.changes).into_iter().map(change).collect()
    }
}

/// How so many fields stand.
///
/// # Errors
/// What does not fit.
pub(super) fn fields(answer: &Value, many: usize) -> Result<Vec<Option<Value>>, String> {
    let fields = WrittenFields::deserialize(answer).map_err(|error| error.to_string())?.fields;
    if fields.len() != many {
        return Err(format!("it told {} of {many} fields", fields.len()));
    }
    let field = |written| match written {
        WrittenField::Value(value) => Some(value),
        WrittenField::Gone(Nothing {}) => None,
    };
    Ok(fields.into_iter().map(field).collect())
}

fn fitting(outputs: Map<String, Value>, schema: &Value) -> Result<Value, String> {
    let outputs = Value::Object(outputs);
    let validator = jsonschema::validator_for(schema).map_err(|error| format!("the schema of its outputs cannot be used: {error}"))?;
    let wrong = validator.iter_errors(&outputs).next().map(|error| {
        let place = error.instance_path().to_string();
        let place = if place.is_empty() { String::new() } else { format!(" `{}`", place.trim_start_matches('/')) };
        // The schema's own words would repeat the value, which may be a secret's.
        format!("the outputs{place} are not as the manifest declares them ({})", error.schema_path())
    });
    wrong.map_or(Ok(outputs), Err)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "properties": { "n": { "type": "integer" } }, "required": ["n"], "additionalProperties": false })
    }

    #[test]
    fn an_outcome_is_one_of_four() {
        let told = |answer: Value| applied(&answer, &schema());
        assert_eq!(told(json!({ "applied": { "outputs": { "n": 1 } } })), Ok(Applied::Applied { outputs: json!({ "n": 1 }) }));
        let failure = Failure { retry_after: Some(Span::seconds(3)), ..Failure::transient("busy").hint("wait") };
        let busy = json!({ "message": "busy", "hint": "wait", "transient": true, "retry_after": 3 });
        assert_eq!(told(json!({ "not_applied": busy })), Ok(Applied::NotApplied { failure: failure.clone() }));
        assert_eq!(told(json!({ "unknown": busy })), Ok(Applied::Unknown { failure: failure.clone() }));
        assert_eq!(told(json!({ "failed": busy })), Ok(Applied::FailedWithEffect { failure, outputs: Value::Null }));
    }

    #[test]
    fn whatever_does_not_fit_is_told() {
        for (answer, wanted) in [
            (json!(null), "expected string or map"),
            (json!({ "applied": {}, "unknown": { "message": "x" } }), "expected map with a single key"),
            (json!({ "done": {} }), "unknown variant `done`"),
            (json!({ "applied": { "output": {} } }), "unknown field `output`"),
            (json!({ "not_applied": {} }), "missing field `message`"),
            (json!({ "applied": { "outputs": {} } }), "the outputs are not as the manifest declares them (/required)"),
            (
                json!({ "applied": { "outputs": { "n": "hunter2" } } }),
                "the outputs `n` are not as the manifest declares them (/properties/n/type)",
            ),
            (
                json!({ "applied": { "outputs": { "n": 1, "m": 2 } } }),
                "the outputs are not as the manifest declares them (/additionalProperties)",
            ),
        ] {
            let error = applied(&answer, &schema()).unwrap_err();
            assert!(error.contains(wanted), "{answer}: {error}");
        }
        assert!(fields(&json!({ "fields": [{ "value": 1 }] }), 2).unwrap_err().contains("1 of 2"));
        assert_eq!(fields(&json!({ "fields": [{ "value": null }, { "gone": {} }] }), 2), Ok(vec![Some(Value::Null), None]));
        assert!(observed(&json!({ "observed": { "plan": 1 } })).is_err());
    }

    #[test]
    fn a_verdict_is_one_of_four() {
        let told = |answer: Value| verdict(&answer, &schema()).unwrap();
        assert_eq!(told(json!({ "absent": {} })), Verdict::Absent);
        assert_eq!(told(json!({ "present": { "outputs": { "n": 2 } } })), Verdict::Present { outputs: json!({ "n": 2 }) });
        assert_eq!(told(json!({ "in_progress": { "message": "m" } })), Verdict::InProgress { message: "m".into() });
        assert_eq!(told(json!({ "cannot_tell": { "message": "m" } })), Verdict::CannotTell { reason: "m".into() });
    }
}
