//! Where a request goes: faults first, then the ticket service, AWS, RabbitMQ, Prometheus, the control endpoints or the Kubernetes API, by host and path.
//!
//! It must not know what a handler does. Invariant: each request meets the faults once, before anything of it is done, and leaves one line in
//! the request log. A request to AWS is known by its action, `/ModifyReplicationGroup`, which stands in its body.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
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
use super::stream::{self, Upgrade};
use super::{aws, prometheus, rabbitmq, ticket_service};

/// The largest body of a request.
pub(crate) const LARGEST_BODY: usize = 2 << 20;
/// How long a client may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// The connection is to be closed without an answer.
#[derive(Debug, thiserror::Error)]
#[error("a fault cut the connection")]
pub(crate) struct Cut;

/// Whose host a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// The ticket service's.
    TicketService,
    /// A service's of AWS.
    Aws(&'static str),
    /// RabbitMQ's management API.
    RabbitMq,
    /// Prometheus's API.
    Prometheus,
    /// Any other: the Kubernetes API, and below `/sandbox` the control endpoints.
    Cluster,
}

impl Place {
    fn of(host: &str) -> Self {
        match aws::service_of(host) {
            Some(service) => Self::Aws(service),
            None if host == ticket_service::HOST => Self::TicketService,
            None if host == rabbitmq::HOST => Self::RabbitMq,
            None if host == prometheus::HOST => Self::Prometheus,
            None => Self::Cluster,
        }
    }
}

/// A body, read whole within its time.
async fn read(body: Incoming) -> Result<Result<Bytes, axum::Error>, tokio::time::error::Elapsed> {
    tokio::time::timeout(BODY_WITHIN, to_bytes(Body::new(body), LARGEST_BODY)).await
}

/// Answers one request, or has its connection cut.
pub(crate) async fn answer(platform: Arc<Platform>, request: Request<Incoming>) -> Result<Response, Cut> {
    respond(platform, request, None).await
}

/// The same for a request that a port-forward brought to this Pod, whatever host it names.
pub(crate) async fn answer_pod(platform: Arc<Platform>, request: Request<Incoming>, pod: (String, String)) -> Result<Response, Cut> {
    respond(platform, request, Some(pod)).await
}

async fn respond(platform: Arc<Platform>, request: Request<Incoming>, pod: Option<(String, String)>) -> Result<Response, Cut> {
    platform.activity().touch();
    let began = Instant::now();
    let (mut parts, body) = request.into_parts();
    let upgrade = Upgrade::take(&mut parts);
    let host = call::host_of(&parts);
    let (method, mut path) = (parts.method.to_string(), parts.uri.path().to_owned());
    let place = if pod.is_some() { Place::TicketService } else { Place::of(&host) };
    let mut body = Some(body);
    let mut whole = None;
    if let Place::Aws(_) = place
        && let Some(body) = body.take()
    {
        let read = read(body).await;
        if let Ok(Ok(body)) = &read {
            path = format!("/{}", aws::action_of(body));
        }
        whole = Some(read);
    }
    let control = place == Place::Cluster && (path == "/sandbox" || path.starts_with("/sandbox/"));
    let acts = if control { Vec::new() } else { faults(&platform, &method, &path, &host).await };
    let result = async {
        for act in &acts {
            match act {
                Act::Delay { ms } => tokio::time::sleep(Duration::from_millis(*ms)).await,
                Act::CutBefore => return Err(Cut),
                Act::Refuse { status, retry_after } => return Ok(refuse(place, *status, *retry_after)),
                Act::CutAfter => {}
            }
        }
        let read = match (whole.take(), body.take()) {
            (Some(read), _) => read,
            (None, Some(body)) => read(body).await,
            (None, None) => return Err(Cut),
        };
        let body = match read {
            Ok(Ok(body)) => body,
            Ok(Err(_)) => return Ok(too_large(place)),
            Err(_) => return Err(Cut),
        };
        let call = Arc::new(Call::new(&parts, body));
        if let Some(asked) = stream::Asked::parse(&call.path).filter(|_| place == Place::Cluster) {
            // What is cut is the stream, once it is under way.
            return Ok(stream::answer(&platform, &asked, upgrade, &call, acts.contains(&Act::CutAfter)));
        }
        let response = match (place, &pod) {
            (Place::TicketService, Some((namespace, pod))) => ticket_service::answer_pod(&platform, call, namespace, pod).await,
            (Place::TicketService, None) => ticket_service::answer(&platform, call).await,
            (Place::Aws(service), _) => aws::answer(&platform, &call, service).await,
            (Place::RabbitMq, _) => rabbitmq::answer(&platform, &call),
            (Place::Prometheus, _) => prometheus::answer(&platform, &call),
            (Place::Cluster, _) if control => control::answer(&platform, &call).await,
            (Place::Cluster, _) => api::answer(&platform, call).await,
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

fn refuse(place: Place, status: u16, retry_after: Option<u32>) -> Response {
    match place {
        Place::Cluster => return api::refuse(&ApiError::injected(status, retry_after)),
        Place::Aws(service) => return aws::refuse(service, status, retry_after),
        Place::TicketService | Place::RabbitMq | Place::Prometheus => {}
    }
    let mut response = api::json(status, &json!({ "error": "refused by a fault of the sandbox" }));
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(http::header::RETRY_AFTER, seconds.into());
    }
    response
}

fn too_large(place: Place) -> Response {
    match place {
        Place::TicketService | Place::RabbitMq | Place::Prometheus => api::json(413, &json!({ "error": "the body is too large" })),
        Place::Aws(service) => aws::too_large(service),
        Place::Cluster => api::refuse(&ApiError::too_large(LARGEST_BODY)),
    }
}
