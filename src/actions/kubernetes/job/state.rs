//! How a Job stands: its fields, as the API gives them.
//!
//! Must not ask anything. Invariant: a Job has ended only where its own conditions say so.

use serde_json::Value;

/// How a Job stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct JobState {
    pub(super) end: Option<End>,
    pub(super) active: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// How many pods are to succeed.
    pub(super) completions: u64,
    /// From its start to its end.
    pub(super) duration_ms: Option<i64>,
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    Succeeded,
    /// Why, in the API's words.
    Failed(String),
}

impl JobState {
    /// From the object.
    pub(super) fn of(job: &Value) -> Self {
        let count = |path: &str| job.pointer(path).and_then(Value::as_u64);
        let conditions = job.pointer("/status/conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let holds = |kind: &str| conditions.iter().find(|condition| condition["type"] == kind && condition["status"] == "True");
        let time = |value: Option<&Value>| value.and_then(Value::as_str).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let (end, at) = if let Some(failed) = holds("Failed") {
            let text = |key: &str| failed.get(key).and_then(Value::as_str).unwrap_or_default();
            let why = [text("reason"), text("message")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(": ");
            (Some(End::Failed(why)), time(failed.get("lastTransitionTime")))
        } else if let Some(complete) = holds("Complete") {
            (Some(End::Succeeded), time(job.pointer("/status/completionTime")).or_else(|| time(complete.get("lastTransitionTime"))))
        } else {
            (None, None)
        };
        let started = time(job.pointer("/status/startTime"));
        Self {
            end,
            active: count("/status/active").unwrap_or(0),
            succeeded: count("/status/succeeded").unwrap_or(0),
            failed: count("/status/failed").unwrap_or(0),
            completions: count("/spec/completions").unwrap_or(1),
            duration_ms: started.zip(at).map(|(from, to)| to.as_millisecond() - from.as_millisecond()),
        }
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        let Self { active, succeeded, failed, completions, .. } = self;
        format!("{succeeded} of {completions} pods have succeeded, {active} are active, {failed} have failed")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_its_conditions_end_it() {
        let of = |status: Value| JobState::of(&json!({ "status": status }));
        let running =
            of(json!({ "active": 1, "startTime": "2026-01-01T00:00:00Z", "conditions": [{ "type": "FailureTarget", "status": "True" }] }));
        assert_eq!((running.end.clone(), running.told().as_str()), (None, "0 of 1 pods have succeeded, 1 are active, 0 have failed"));
        let complete = of(json!({
            "succeeded": 1, "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:02Z",
            "conditions": [{ "type": "Complete", "status": "True" }],
        }));
        assert_eq!((complete.end, complete.duration_ms), (Some(End::Succeeded), Some(2000)));
        let failed = of(
            json!({ "failed": 1, "conditions": [{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "too long" }] }),
        );
        assert_eq!(failed.end, Some(End::Failed("DeadlineExceeded: too long".to_owned())));
        assert_eq!(of(json!({ "conditions": [{ "type": "Complete", "status": "False" }] })).end, None);
    }
}
