//! A proxy in front of a real API server that does what networks and busy servers do: cuts, delays, refuses.
//!
//! Invariant: without a fault everything passes through as it is, watches too; each request that came is remembered.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::Notify;

use super::kubernetes::Kubernetes;
use crate::support::settled;

/// A connection that is cut without an answer.
#[derive(Debug, thiserror::Error)]
#[error("cut")]
struct Cut;

/// What happens to the next request on a route.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection is cut before the server has it.
    CutBefore,
    /// It is cut once the server has answered.
    CutAfter,
    /// It is answered in the server's place: the status, and `Retry-After` in seconds.
    Refuse(u16, Option<u32>),
    /// It is kept for so long first.
    Delay(Duration),
    /// It is kept until [`Proxy::let_go`].
    Hold,
    /// The server has it, and its answer is kept until [`Proxy::let_go`].
    HoldAnswer,
    /// The server has it; the connection is kept until [`Proxy::let_go`], and then cut.
    HoldAndCut,
    /// A list is given in pages of one object.
    OneByOne,
}

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `PATCH`
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The status that was answered; none where the connection was cut.
    pub status: Option<u16>,
}

struct Shared {
    kubernetes: Arc<Kubernetes>,
    faults: Mutex<VecDeque<(String, Fault)>>,
    seen: Mutex<Vec<Seen>>,
    written: Mutex<Written>,
    held: Notify,
    let_go: Notify,
    /// Whether the credentials of all requests are made ones that the server does not know.
    revoked: AtomicBool,
}

/// What writes left behind.
#[derive(Default)]
struct Written {
    objects: HashMap<String, Option<Value>>,
    changes: usize,
}

impl Shared {
    /// Counts a write that left its object another than it was after the write before.
    fn note(&self, path: &str, answer: &[u8]) {
        let object = settled(serde_json::from_slice(answer).ok());
        let mut written = lock(&self.written);
        if written.objects.get(path) != Some(&object) {
            written.changes += 1;
            written.objects.insert(path.to_owned(), object);
        }
    }
}

/// The proxy. It ends with the runtime that it was started on.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Proxy {
    /// In front of this API server, in plain HTTP.
    pub async fn start(kubernetes: Arc<Kubernetes>) -> Self {
        let shared = Arc::new(Shared {
            kubernetes,
            faults: Mutex::default(),
            seen: Mutex::default(),
            written: Mutex::default(),
            held: Notify::new(),
            let_go: Notify::new(),
            revoked: AtomicBool::new(false),
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let passing = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&passing);
                let service = service_fn(move |request| pass(Arc::clone(&shared), request));
                // It ends with an error where it is cut.
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades());
            }
        });
        Self { address, shared }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A fault for the next request on this route: `PATCH */deployments/x`, where `*` stands for any text. A route with a `?` is one of paths with
    /// their queries.
    pub fn fault(&self, route: &str, fault: Fault) {
        lock(&self.shared.faults).push_back((route.to_owned(), fault));
    }

    /// Ends all faults.
    pub fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many writes changed something.
    pub fn changes(&self) -> usize {
        lock(&self.shared.written).changes
    }

    /// From now on the server does not know who asks, or does again: a token that was revoked or has expired.
    pub fn revoke(&self, revoked: bool) {
        self.shared.revoked.store(revoked, Ordering::SeqCst);
    }

    /// Waits until a request is held.
    pub async fn until_held(&self) {
        self.shared.held.notified().await;
    }

    /// Lets the request go that is held.
    pub fn let_go(&self) {
        self.shared.let_go.notify_one();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a request's `METHOD PATH` (without its query) is on a route.
fn is_on(route: &str, request: &str) -> bool {
    let mut parts = route.split('*');
    let Some(mut rest) = parts.next().and_then(|first| request.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

async fn pass(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let (mut parts, body) = request.into_parts();
    let upgrade = parts.extensions.remove::<hyper::upgrade::OnUpgrade>().filter(|_| parts.headers.contains_key(header::UPGRADE));
    let mut path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (line, whole) = (format!("{} {}", parts.method, parts.uri.path()), format!("{} {path}", parts.method));
    let fault = {
        let mut faults = lock(&shared.faults);
        let at = faults.iter().position(|(route, _)| is_on(route, if route.contains('?') { &whole } else { &line }));
        at.and_then(|at| faults.remove(at)).map(|(_, fault)| fault)
    };
    let asked = path.clone();
    let seen = |status: Option<u16>| lock(&shared.seen).push(Seen { method: parts.method.to_string(), path: asked.clone(), status });
    match &fault {
        Some(Fault::CutBefore) => {
            seen(None);
            return Err(Cut);
        }
        Some(Fault::Refuse(status, retry)) => {
            seen(Some(*status));
            return Ok(refusal(*status, *retry));
        }
        Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
        Some(Fault::Hold) => {
            shared.held.notify_one();
            shared.let_go.notified().await;
        }
        Some(Fault::OneByOne) => path = path.replace("limit=500", "limit=1"),
        Some(Fault::CutAfter | Fault::HoldAnswer | Fault::HoldAndCut) | None => {}
    }
    let Ok(body) = to_bytes(Body::new(body), 8 << 20).await else { return Err(Cut) };
    let mut headers = parts.headers.clone();
    for name in [header::HOST, header::CONTENT_LENGTH, header::CONNECTION] {
        headers.remove(name);
    }
    if shared.revoked.load(Ordering::SeqCst) {
        headers.insert(header::AUTHORIZATION, header::HeaderValue::from_static("Bearer of-yesterday"));
    }
    if let Some(upgrade) = upgrade {
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        let answered = pass_both_ways(&shared, headers, &path, upgrade, matches!(fault, Some(Fault::CutAfter))).await;
        seen(answered.as_ref().ok().map(|answer| answer.status().as_u16()));
        return answered;
    }
    let url = format!("{}{path}", shared.kubernetes.server());
    let sent = shared.kubernetes.client().request(parts.method.clone(), url).headers(headers).body(body).send().await;
    let Ok(answer) = sent else {
        seen(None);
        return Err(Cut);
    };
    let status = answer.status();
    let response_headers: HeaderMap = answer
        .headers()
        .iter()
        .filter(|(name, _)| ![header::TRANSFER_ENCODING, header::CONTENT_LENGTH].contains(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let writes = ![Method::GET, Method::HEAD].contains(&parts.method);
    let body = if writes {
        // It is carried out to its end, and then looked at.
        let Ok(bytes) = answer.bytes().await else { return Err(Cut) };
        if status.is_success() && !path.contains("dryRun=All") && !path.contains("reviews") {
            shared.note(parts.uri.path(), &bytes);
        }
        Body::from(bytes)
    } else {
        Body::from_stream(answer.bytes_stream())
    };
    if matches!(fault, Some(Fault::HoldAnswer | Fault::HoldAndCut)) {
        shared.held.notify_one();
        shared.let_go.notified().await;
    }
    if matches!(fault, Some(Fault::CutAfter | Fault::HoldAndCut)) {
        seen(None);
        return Err(Cut);
    }
    seen(Some(status.as_u16()));
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = response_headers;
    Ok(response)
}

/// Passes an upgraded connection on. One that is to be cut ends when the server says how it went, before the client has that.
async fn pass_both_ways(
    shared: &Arc<Shared>,
    headers: HeaderMap,
    path: &str,
    upgrade: hyper::upgrade::OnUpgrade,
    cut: bool,
) -> Result<Response<Body>, Cut> {
    let url = format!("{}{path}", shared.kubernetes.server());
    let answer = shared.kubernetes.client().get(url).headers(headers).send().await.map_err(|_| Cut)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = answer.status();
    *response.headers_mut() = answer.headers().clone();
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        response.headers_mut().remove(header::TRANSFER_ENCODING);
        *response.body_mut() = Body::from(answer.bytes().await.map_err(|_| Cut)?);
        return Ok(response);
    }
    let mut server = answer.upgrade().await.map_err(|_| Cut)?;
    tokio::spawn(async move {
        let Ok(client) = upgrade.await else { return };
        let mut client = TokioIo::new(client);
        if cut {
            let mut bytes = Vec::new();
            while !String::from_utf8_lossy(&bytes).contains("\"status\":") {
                if !matches!(tokio::io::AsyncReadExt::read_buf(&mut server, &mut bytes).await, Ok(1..)) {
                    return;
                }
            }
            return;
        }
        let _ended = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    Ok(response)
}

/// An answer in the server's place.
fn refusal(status: u16, retry: Option<u32>) -> Response<Body> {
    let body = serde_json::json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": status,
        "message": format!("the test's proxy answers {status}"),
        "reason": match status { 410 => "Expired", 429 => "TooManyRequests", _ => "InternalError" },
    });
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status");
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    if let Some(seconds) = retry {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}
