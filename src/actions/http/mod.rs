//! `http.request`: one HTTP request.
//!
//! Must not send a request twice, and must not follow a redirect with a write. Invariant: a secret appears in nothing that comes out.

mod curl;
mod input;
mod outcome;
mod request;
mod send;
mod verify;

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use crate::actions::support::{kept, output, parse, schema};
use crate::environment::Connections;
use crate::model::catalogue::{ActionEntry, touches_nothing};
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::{Applied, Failure, Verdict};
use crate::model::step::{Effect, Rollback};
use crate::ports::action::{Action, Context, Inputs, Plan};
use input::Input;
pub(in crate::actions) use input::{Expect, Method, StatusRange};
pub(in crate::actions) use outcome::{Meaning, meaning};
use request::Request;

const NAME: &str = "http.request";

/// `http.request`, by way of these connections.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(HttpRequest { connections: Arc::clone(connections) })]
}

struct HttpRequest {
    connections: Arc<Connections>,
}

static ENTRY: LazyLock<Arc<ActionEntry>> = LazyLock::new(|| {
    Arc::new(ActionEntry {
        name: NAME.to_owned(),
        summary: "Send one HTTP request".to_owned(),
        page: include_str!("request.md").to_owned(),
        inputs: schema::<Input>(),
        outputs: vec![
            output("status", "integer", "the answer's status; null where a `verify` found out that it was sent"),
            output("headers", "map", "the answer's headers, names in lower case, without cookies and credentials"),
            output("json", "any", "the answer's body where it is JSON and not larger than `max_body`, else null"),
            output("body", "string", "the answer's body as text, at most 4096 bytes"),
            output("truncated", "boolean", "whether the body was larger than `max_body` and cut"),
            output("duration_ms", "integer", "how long it took, in milliseconds"),
        ],
        effect: Effect::Once,
        effect_from_step: true,
        observes: false,
        reverts: false,
        needs_target: false,
        immediate: false,
        touches: touches_nothing,
        by_hand: curl::of_inputs,
        permissions: crate::model::permission::needs_nothing,
    })
});

impl HttpRequest {
    async fn exchange(&self, cx: &Context, request: &Request) -> Applied {
        let sent = request.send(&self.connections, cx.timeout.unwrap_or(Duration::MAX)).await;
        let said = match &sent {
            Ok(answer) => {
                let cut = if answer.truncated { format!(", its body cut at {} bytes", request.max_body) } else { String::new() };
                format!("{}: status {} after {} ms{cut}", request.name(), answer.status, answer.duration.as_millis())
            }
            Err(unanswered) => format!("{}: {unanswered}", request.name()),
        };
        cx.log.line(&said);
        outcome::outcome(request, sent, &*cx.log)
    }
}

#[async_trait]
impl Action for HttpRequest {
    fn entry(&self) -> Arc<ActionEntry> {
        Arc::clone(&ENTRY)
    }

    /// A read is performed, and gives the outputs; a write has nothing to observe.
    async fn observe(&self, cx: &Context, inputs: &Inputs) -> Result<Value, Failure> {
        let input: Input = parse(NAME, inputs)?;
        if !input.method.is_read() {
            return Ok(Value::Null);
        }
        let request = Request::of(&input, &cx.idempotency_key)?;
        match self.exchange(cx, &request).await {
            Applied::Applied { outputs } => Ok(outputs),
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => Err(failure),
        }
    }

    fn plan(&self, cx: &Context, inputs: &Inputs, _: &Value, rollback: &Rollback) -> Result<Plan, Failure> {
        let input: Input = parse(NAME, inputs)?;
        let request = Request::of(&input, &cx.idempotency_key)?;
        if let Some(verify) = &input.verify {
            Request::verifying(&input, verify)?;
        }
        let revert = if input.method.is_read() {
            Revert::Nothing
        } else {
            Revert::Keep { reason: kept(rollback).unwrap_or_else(|| "an HTTP request has no revert of its own".to_owned()) }
        };
        let lines = curl::way(&request, &self.connections).into_iter().chain([curl::line(&input, &request, &self.connections)]);
        let by_hand = lines.map(|line| cx.log.redact(&line)).collect();
        Ok(Plan { intent: Intent { revert, by_hand, ..Intent::default() }, unchanged: None })
    }

    async fn apply(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Applied {
        let request = parse::<Input>(NAME, inputs).and_then(|input| Request::of(&input, &cx.idempotency_key));
        match request {
            Ok(request) => self.exchange(cx, &request).await,
            Err(failure) => Applied::NotApplied { failure },
        }
    }

    async fn verify(&self, cx: &Context, inputs: &Inputs, _: &Intent) -> Result<Verdict, Failure> {
        let input: Input = parse(NAME, inputs)?;
        if input.method.is_read() {
            return Ok(Verdict::Absent);
        }
        let Some(verify) = &input.verify else {
            return Ok(Verdict::CannotTell { reason: "the step gives no `verify`, the read that would tell".to_owned() });
        };
        let request = Request::verifying(&input, verify)?;
        let sent = request.send(&self.connections, cx.timeout.unwrap_or(Duration::MAX)).await;
        let answer = match sent {
            Ok(answer) => answer,
            Err(unanswered) => {
                let message = cx.log.redact(&format!("`verify`, {}: {unanswered}", request.name()));
                return Err(Failure::transient(message));
            }
        };
        cx.log.line(&format!("{}: status {} (verify)", request.name(), answer.status));
        let verdict = verify::verdict(verify, &answer);
        if matches!(verdict, Verdict::CannotTell { .. }) && matches!(answer.status, 408 | 429 | 500..=599) {
            return Err(Failure::transient(format!("`verify` was answered with status {}", answer.status)));
        }
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests;
