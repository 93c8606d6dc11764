//! Answers of the API server that are no objects of its own: logs, and what comes through its proxy.
//!
//! Must not judge. Invariant: a request is sent once, ends within its timeout, and takes bounded memory.

use std::time::{Duration, Instant};

use http::header::{self, HeaderMap};
use http::{Method, Request};
use http_body_util::BodyExt;

use super::api::Api;
use crate::environment::{KubeError, kube_not_answered};

/// A request.
#[derive(Debug)]
pub(super) struct RawCall {
    pub(super) method: Method,
    /// With its query.
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) timeout: Duration,
    /// How much of the answer's body is read, in bytes.
    pub(super) most: usize,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct RawAnswer {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) body: Vec<u8>,
    /// The body was longer than was to be read.
    pub(super) truncated: bool,
    pub(super) duration: Duration,
}

impl Api {
    /// Sends it, once.
    pub(super) async fn raw(&self, call: RawCall) -> Result<RawAnswer, KubeError> {
        let timeout = call.timeout;
        tokio::time::timeout(timeout, self.exchange_raw(call)).await.unwrap_or(Err(KubeError::TimedOut { after: timeout }))
    }

    async fn exchange_raw(&self, call: RawCall) -> Result<RawAnswer, KubeError> {
        let start = Instant::now();
        let mut request = Request::builder().method(call.method).uri(call.path);
        if let Some(headers) = request.headers_mut() {
            *headers = call.headers;
        }
        let request = request.body(kube::client::Body::from(call.body)).map_err(|error| KubeError::NotSent { why: error.to_string() })?;
        let answer = self.client.send(request).await.map_err(|error| kube_not_answered(&error))?;
        let status = answer.status().as_u16();
        let retry_after = answer.headers().get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut stream = answer.into_body();
        let (mut body, mut truncated) = (Vec::new(), false);
        while let Some(frame) = stream.frame().await {
            let frame = frame.map_err(|error| KubeError::Cut { why: crate::environment::error_chain(&error) })?;
            let Ok(data) = frame.into_data() else { continue };
            let room = call.most.saturating_sub(body.len());
            body.extend_from_slice(data.get(..room).unwrap_or(&data));
            if data.len() > room {
                truncated = true;
                break;
            }
        }
        Ok(RawAnswer { status, retry_after, body, truncated, duration: start.elapsed() })
    }
}
