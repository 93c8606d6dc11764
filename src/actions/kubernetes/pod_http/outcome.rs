//! What the answers of pods mean, one by one and together: the one place where they become an outcome.
//!
//! Must not ask anything. Invariant: a write is *not applied* to a pod only where the pod certainly did not get it, or refused it itself; what the
//! API server says is never taken for the pod's own answer.

use serde_json::{Value, json};

use super::input::Input;
use crate::actions::http::{Meaning, meaning};
use crate::actions::kubernetes::errors::{Asked, Trouble};
use crate::actions::kubernetes::raw::RawAnswer;
use crate::actions::support::{asked_wait, at_most, redacted};
use crate::environment::KubeError;
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Log;

/// How many answers, and how many names, are listed.
const MOST: usize = 50;
/// The largest JSON of one answer that is kept, in bytes.
const LARGEST_JSON: usize = 512;

/// What came of the request to one pod.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum End {
    /// It answered as expected.
    Good,
    /// It went away between the list and the request.
    Gone,
    /// It did not do it.
    Not { transient: bool },
    /// It may have done something else than was meant.
    WithEffect,
    /// Nobody knows.
    Unknown,
}

/// The answer of one pod, or the want of one.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) pod: String,
    pub(super) end: End,
    pub(super) status: Option<u16>,
    json: Value,
    duration_ms: Option<u64>,
    /// For people; empty where it is as expected.
    pub(super) error: String,
    hint: Option<String>,
    /// How long whoever answered asks to be left alone.
    retry_after: Option<Span>,
    /// Every other pod would be refused, too.
    pub(super) for_all: bool,
}

impl Reply {
    /// A pod that was not asked.
    pub(super) fn unasked(pod: &str, error: impl Into<String>, transient: bool) -> Self {
        let end = End::Not { transient };
        Self {
            pod: pod.to_owned(),
            end,
            status: None,
            json: Value::Null,
            duration_ms: None,
            error: error.into(),
            hint: None,
            retry_after: None,
            for_all: false,
        }
    }

    /// What a pod's answer means.
    pub(super) fn of(input: &Input, namespace: &str, pod: &str, sent: Result<RawAnswer, KubeError>, log: &dyn Log) -> Self {
        let read = input.method.is_read();
        let mut reply = Self::unasked(pod, "", true);
        let answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                if !read && !matches!(error, KubeError::NotSent { .. }) {
                    reply.end = End::Unknown;
                }
                reply.error = log.redact(&error.to_string());
                return reply;
            }
        };
        reply.duration_ms = u64::try_from(answer.duration.as_millis()).ok();
        let json: Value = if answer.truncated { Value::Null } else { serde_json::from_slice(&answer.body).unwrap_or_default() };
        if json["kind"] == "Status" && json["apiVersion"] == "v1" && json["status"] == "Failure" {
            reply.refused(input, namespace, &answer, &json, log);
            return reply;
        }
        reply.status = Some(answer.status);
        let kept = redacted(log, json);
        if kept.to_string().len() <= LARGEST_JSON {
            reply.json = kept;
        }
        let expected = input.expected();
        if expected.iter().any(|range| range.holds(answer.status)) {
            reply.end = End::Good;
            return reply;
        }
        reply.end = match meaning(read, answer.status, answer.retry_after.is_some()) {
            Meaning::NotApplied { transient } => End::Not { transient },
            Meaning::WithEffect => End::WithEffect,
            Meaning::Unknown => End::Unknown,
        };
        reply.retry_after = answer.retry_after.as_deref().and_then(asked_wait);
        let wanted: Vec<String> = expected.iter().map(ToString::to_string).collect();
        let said = log.redact(&String::from_utf8_lossy(&answer.body));
        let said = at_most(said.trim(), 160);
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        reply.error = format!("status {}, not {}{said}", answer.status, wanted.join(", "));
        reply
    }

    /// The API server's own words: the pod was not reached, or its answer did not come back.
    fn refused(&mut self, input: &Input, namespace: &str, answer: &RawAnswer, status: &Value, log: &dyn Log) {
        let text = |key: &str| status[key].as_str().unwrap_or_default();
        let message = log.redact(text("message"));
        let trouble = Trouble::Refused {
            status: answer.status,
            message: at_most(&message, 300).to_owned(),
            reason: text("reason").to_owned(),
            retry_after: answer.retry_after.clone(),
        };
        if trouble.is_gone() {
            self.end = End::Gone;
            "it is gone".clone_into(&mut self.error);
            return;
        }
        if let Some(why) = message.strip_prefix("error trying to reach service: ") {
            // Only a connection that was never made is sure to have brought nothing.
            let unmade = why.starts_with("dial ");
            self.end = if unmade || input.method.is_read() { End::Not { transient: true } } else { End::Unknown };
            self.error = format!("the API server did not reach it: {}", at_most(why, 200));
            return;
        }
        if message == "address not allowed" {
            "it has no address yet".clone_into(&mut self.error);
            return;
        }
        let asked = Asked { verb: input.verb(), resource: "pods/proxy", name: &self.pod, namespace };
        let failure = trouble.failure(asked);
        self.for_all = matches!(answer.status, 401 | 403);
        self.end = match meaning(input.method.is_read(), answer.status, answer.retry_after.is_some()) {
            Meaning::NotApplied { .. } => End::Not { transient: failure.transient },
            Meaning::WithEffect => End::WithEffect,
            Meaning::Unknown => End::Unknown,
        };
        self.error = failure.message;
        self.hint = failure.hint;
        self.retry_after = failure.retry_after;
    }

    fn is_good(&self) -> bool {
        self.end == End::Good
    }

    fn to_value(&self) -> Value {
        let error = if self.error.is_empty() { Value::Null } else { json!(self.error) };
        json!({ "pod": self.pod, "status": self.status, "json": self.json, "duration_ms": self.duration_ms, "error": error })
    }
}

/// The outputs. Pods that are gone were not asked.
pub(super) fn outputs(replies: &[Reply]) -> Value {
    let (gone, asked): (Vec<&Reply>, Vec<&Reply>) = replies.iter().partition(|reply| reply.end == End::Gone);
    let mut shown = asked.clone();
    shown.sort_by(|a, b| (a.is_good(), &a.pod).cmp(&(b.is_good(), &b.pod)));
    let names = |replies: &[&Reply]| {
        let mut names: Vec<String> = replies.iter().map(|reply| reply.pod.clone()).collect();
        names.sort_unstable();
        names.truncate(MOST);
        names
    };
    let succeeded = asked.iter().filter(|reply| reply.is_good()).count();
    json!({
        "asked": asked.len(),
        "succeeded": succeeded,
        "failed": asked.len() - succeeded,
        "all_succeeded": succeeded == asked.len() && succeeded > 0,
        "gone": names(&gone),
        "pods": names(&asked),
        "truncated": asked.len() > MOST,
        "responses": shown.iter().take(MOST).map(|reply| reply.to_value()).collect::<Vec<_>>(),
    })
}

/// What came of all of them.
pub(super) fn outcome(input: &Input, what: &str, replies: &[Reply]) -> Applied {
    let failed: Vec<&Reply> = replies.iter().filter(|reply| !matches!(reply.end, End::Good | End::Gone)).collect();
    let good = replies.iter().filter(|reply| reply.is_good()).count();
    if failed.is_empty() && good > 0 {
        return Applied::Applied { outputs: outputs(replies) };
    }
    if failed.is_empty() {
        let message = format!("{}: the pods of {what} were gone before they could be asked", input.shown());
        return Applied::NotApplied { failure: Failure::transient(message).hint("look at the workload: `kubectl get pods`") };
    }
    let named: Vec<String> = failed.iter().take(3).map(|reply| format!("{}: {}", reply.pod, reply.error)).collect();
    let more = if failed.len() > 3 { format!("; and {} more", failed.len() - 3) } else { String::new() };
    let total = failed.len() + good;
    let message =
        format!("{}: {} of {total} pods of {what} did not answer as expected: {}{more}", input.shown(), failed.len(), named.join("; "));
    let failure = |transient: bool| Failure {
        message: message.clone(),
        hint: failed.iter().find_map(|reply| reply.hint.clone()),
        transient,
        // All that failed are asked again together.
        retry_after: failed.iter().filter_map(|reply| reply.retry_after).max(),
    };
    let transient = failed.iter().all(|reply| matches!(reply.end, End::Not { transient: true } | End::Unknown));
    if input.method.is_read() {
        return Applied::NotApplied { failure: failure(transient) };
    }
    if failed.iter().any(|reply| reply.end == End::Unknown) {
        let hint = "a pod may have done it: look there; a step with `effect: idempotent` is sent again, under the same Idempotency-Key for each pod";
        return Applied::Unknown { failure: failure(true).hint(hint) };
    }
    if good > 0 || failed.iter().any(|reply| reply.end == End::WithEffect) {
        return Applied::FailedWithEffect { failure: failure(transient), outputs: outputs(replies) };
    }
    Applied::NotApplied { failure: failure(transient) }
}
