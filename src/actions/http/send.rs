//! Sends a request once, and tells how far it got.
//!
//! Must not try again and must not judge. Invariant: it ends within its timeout; an answer takes bounded memory.

use std::time::{Duration, Instant};

use http::header::HeaderMap;
use serde_json::{Map, Value, json};

use super::request::Request;
use crate::actions::support::{at_most, redacted};
use crate::environment::{ConnectionError, Connections};
use crate::ports::action::Log;

/// How much of a body is kept as text, in bytes.
const KEPT_BODY: usize = 4096;
/// At least this much is read, so that a secret at the edge of what is kept is seen whole.
const LEAST_READ: usize = 16 * 1024;
/// Headers of answers that say who somebody is.
const DROPPED: [&str; 5] = ["set-cookie", "set-cookie2", "authorization", "proxy-authorization", "proxy-authenticate"];

/// A whole answer, or as much of it as was wanted.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) truncated: bool,
    pub(super) duration: Duration,
}

/// Why there is no whole answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// Nothing was sent, because there is no way to the server.
    #[error("{0}")]
    NoRoute(#[from] ConnectionError),
    /// Nothing was sent: the name does not resolve, the connection was refused, the TLS handshake failed.
    #[error("no connection: {0}")]
    NotConnected(String),
    /// No whole answer within the timeout; the request may have arrived.
    #[error("no answer within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The connection ended before the whole answer was there.
    #[error("the connection was cut before the whole answer was there: {0}")]
    Cut(String),
}

impl Request {
    /// Sends it, within its timeout or this limit.
    pub(super) async fn send(&self, connections: &Connections, limit: Duration) -> Result<Answer, Unanswered> {
        let timeout = self.timeout.min(limit);
        tokio::time::timeout(timeout, self.exchange(connections, timeout)).await.unwrap_or(Err(Unanswered::TimedOut(timeout)))
    }

    async fn exchange(&self, connections: &Connections, timeout: Duration) -> Result<Answer, Unanswered> {
        let mut options = self.options.clone();
        // A connection that is not made in time is known to be none only while the whole request still has time.
        options.connect_timeout = options.connect_timeout.min(timeout.mul_f32(0.9));
        let route = connections.http_client(&self.url, &options).await?;
        let unanswered = |error| match route.reach.failure() {
            // Nobody at the other end has seen anything of it.
            Some(failure) if !failure.may_have_arrived() => Unanswered::NoRoute(failure),
            Some(failure) => Unanswered::Cut(failure.to_string()),
            None => unanswered(error),
        };
        let mut request = route.client.request(self.method.as_http(), route.url.clone()).headers(self.headers.clone());
        if let Some(host) = &route.host {
            request = request.header(http::header::HOST, host);
        }
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let start = Instant::now();
        let mut response = request.send().await.map_err(unanswered)?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Vec::new(),
            truncated: false,
            duration: Duration::ZERO,
        };
        let most = self.max_body.max(LEAST_READ);
        while let Some(chunk) = response.chunk().await.map_err(unanswered)? {
            let room = most - answer.body.len();
            answer.body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                answer.truncated = true;
                break;
            }
        }
        answer.truncated |= answer.body.len() > self.max_body;
        answer.duration = start.elapsed();
        Ok(answer)
    }
}

fn unanswered(error: reqwest::Error) -> Unanswered {
    let (connecting, building) = (error.is_connect(), error.is_builder());
    // The URL stands in the message already, without its query.
    let why = crate::environment::error_chain(&error.without_url());
    if connecting || building { Unanswered::NotConnected(why) } else { Unanswered::Cut(why) }
}

impl Answer {
    /// A header's value as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON, where it is some and was read whole.
    pub(super) fn json(&self) -> Option<Value> {
        let said = self.header("content-type").is_some_and(|media| media.to_ascii_lowercase().contains("json"));
        let looks = matches!(self.body.iter().find(|byte| !byte.is_ascii_whitespace()), Some(b'{' | b'['));
        if self.truncated || !(said || looks) { None } else { serde_json::from_slice(&self.body).ok() }
    }

    /// The body as text, redacted, and at most so many bytes of it.
    pub(super) fn text(&self, log: &dyn Log, most: usize) -> String {
        at_most(&log.redact(&String::from_utf8_lossy(&self.body)), most).to_owned()
    }

    /// The action's outputs.
    pub(super) fn outputs(&self, request: &Request, log: &dyn Log) -> Value {
        let mut headers = Map::new();
        for name in self.headers.keys().filter(|name| !DROPPED.contains(&name.as_str())) {
            let values: Vec<&str> = self.headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
            headers.insert(name.as_str().to_owned(), Value::String(log.redact(&values.join(", "))));
        }
        json!({
            "status": self.status,
            "headers": headers,
            "json": self.json().map(|json| redacted(log, json)),
            "body": self.text(log, KEPT_BODY.min(request.max_body)),
            "truncated": self.truncated,
            "duration_ms": u64::try_from(self.duration.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

/// The outputs of a write whose outcome was found out by a read: what it answered is lost.
pub(super) fn outputs_unseen() -> Value {
    json!({ "status": null, "headers": {}, "json": null, "body": null, "truncated": false, "duration_ms": null })
}
