//! Where a request goes: faults first, then the ticket service, the control endpoints or the Kubernetes API, by host and path.
//!
//! It must not know what a handler does. Invariant: each request meets the faults once, before its body is read, and leaves one line in
//! the request log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::response::Response;
use http::Request;
use hyper::body::Incoming;
use serde_json::json;

use super::call::{self, Call};
use super::cluster::api;
use super::cluster::status_error::ApiError;
use super::control;
use super::fault::Act;
use super::platform::{Platform, Refusal};
use super::ticket_service;

/// The largest body of a request.
pub(crate) const LARGEST_BODY: usize = 2 << 20;
/// How long a client may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault cut the connection")]
pub(crate) struct Cut;

/// Answers one request, or has its connection cut.
pub(crate) async fn answer(platform: Arc<Platform>, request: Request<Incoming>) -> Result<Response, Cut> {
    platform.activity().touch();
    let began = Instant::now();
    let (parts, body) = request.into_parts();
    let host = call::host_of(&parts);
    let (method, path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let ticket = host == ticket_service::HOST;
    let control = !ticket && (path == "/sandbox" || path.starts_with("/sandbox/"));
    let acts = if control { Vec::new() } else { faults(&platform, &method, &path, &host).await };
    let result = async {
        for act in &acts {
            match act {
                Act::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Act::CutBefore => return Err(Cut),
                Act::Refuse { status, retry_after } => return Ok(refuse(ticket, *status, *retry_after)),
                Act::CutAfter => {}
            }
        }
        let body = match tokio::time::timeout(BODY_WITHIN, to_bytes(Body::new(body), LARGEST_BODY)).await {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Ok(too_large(ticket)),
            Err(_) => return Err(Cut),
        };
        let call = Arc::new(Call::new(&parts, body));
        let response = if ticket {
            ticket_service::answer(&platform, call).await
        } else if control {
            control::answer(&platform, &call).await
        } else {
            api::answer(&platform, call).await
        };
        if acts.contains(&Act::CutAfter) { Err(Cut) } else { Ok(response) }
    }
    .await;
    let status = result.as_ref().map_or("cut".to_owned(), |response| response.status().as_u16().to_string());
    platform.requests().add(&method, &path, &status, began.elapsed());
    result
}

/// The faults that meet this request; their counts go down on disk before they act.
pub(crate) async fn faults(platform: &Arc<Platform>, method: &str, path: &str, host: &str) -> Vec<Act> {
    if !platform.read().faults.meets(method, path, host) {
        return Vec::new();
    }
    let (method, path, host) = (method.to_owned(), path.to_owned(), host.to_owned());
    match platform.change(move |world| Ok::<_, ()>(world.faults.take(&method, &path, &host))).await {
        Ok(acts) => acts,
        Err(Refusal::Refused(())) => Vec::new(),
        Err(Refusal::Storage(error)) => {
            tracing::error!(%error, "a fault could not be counted");
            Vec::new()
        }
    }
}

fn refuse(ticket: bool, status: u16, retry_after: Option<u32>) -> Response {
    if !ticket {
        return api::refuse(&ApiError::injected(status, retry_after));
    }
    let mut response = api::json(status, &json!({ "error": "refused by a fault of the sandbox" }));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

fn too_large(ticket: bool) -> Response {
    if ticket { api::json(413, &json!({ "error": "the body is too large" })) } else { api::refuse(&ApiError::too_large(LARGEST_BODY)) }
}
