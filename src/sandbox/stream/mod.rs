//! What a client and a Pod say to each other in both directions: `exec` and `portforward`, over WebSocket.
//!
//! It must not know what a Pod answers. Invariants: as on an API server of 1.35 and later, who opens one needs the verb `create` as well as that of the
//! request; none outlives the server.

mod exec;
mod port_forward;
mod spdy;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

use super::call::Call;
use super::cluster::accounts::User;
use super::cluster::api;
use super::cluster::resource::{Resource, ResourcePath};
use super::cluster::status_error::ApiError;
use super::cluster::store::text;
use super::platform::Platform;

/// A connection that both ends write frames to.
type Socket = WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>;

/// What is to be streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Exec,
    PortForward,
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    namespace: String,
    pod: String,
    kind: Kind,
}

impl Asked {
    /// What `path` asks for; none where it is no stream.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let (namespace, rest) = path.strip_prefix("/api/v1/namespaces/")?.split_once("/pods/")?;
        let (pod, kind) = rest.split_once('/')?;
        let kind = match kind {
            "exec" => Kind::Exec,
            "portforward" => Kind::PortForward,
            _ => return None,
        };
        let plain = !namespace.is_empty() && !namespace.contains('/') && !pod.is_empty();
        plain.then(|| Self { namespace: namespace.to_owned(), pod: pod.to_owned(), kind })
    }

    /// What access rules call it.
    fn resource(&self) -> ResourcePath {
        let subresource = if self.kind == Kind::Exec { "exec" } else { "portforward" };
        ResourcePath {
            resource: Resource::Pods,
            namespace: Some(self.namespace.clone()),
            name: Some(self.pod.clone()),
            subresource: Some(subresource.to_owned()),
        }
    }
}

/// A request to speak another protocol from here on.
#[derive(Debug)]
pub(crate) struct Upgrade {
    on: OnUpgrade,
    key: String,
    /// The protocols that the client offers, the best first.
    offered: Vec<String>,
}

impl Upgrade {
    /// Takes it out of a request that is one for WebSocket.
    pub(crate) fn take(parts: &mut Parts) -> Option<Self> {
        let on = parts.extensions.remove::<OnUpgrade>()?;
        let word = |headers: &HeaderMap, name: header::HeaderName| {
            headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let websocket = word(&parts.headers, header::UPGRADE).eq_ignore_ascii_case("websocket");
        let key = word(&parts.headers, header::SEC_WEBSOCKET_KEY);
        let offered = parts.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let offered = offered.flat_map(|value| value.split(',')).map(|name| name.trim().to_owned()).collect();
        (websocket && !key.is_empty()).then_some(Self { on, key, offered })
    }

    /// The first protocol of these that is offered.
    fn choose(&self, known: &[&'static str]) -> Option<&'static str> {
        known.iter().copied().find(|known| self.offered.iter().any(|offered| offered == known))
    }

    /// The answer that accepts it.
    fn accepted(&self, protocol: &'static str) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, header::HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(protocol));
        if let Ok(accept) = derive_accept_key(self.key.as_bytes()).parse() {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        response
    }
}

/// Answers a request for a stream. With `cut`, the connection ends before the client learns how it went.
pub(crate) fn answer(platform: &Arc<Platform>, asked: &Asked, upgrade: Option<Upgrade>, call: &Call, cut: bool) -> Response {
    match open(platform, asked, upgrade, call, cut) {
        Ok(response) => response,
        Err(error) => api::refuse(&error),
    }
}

fn open(platform: &Arc<Platform>, asked: &Asked, upgrade: Option<Upgrade>, call: &Call, cut: bool) -> Result<Response, ApiError> {
    let user = User::of(call, platform.identity())?;
    user.check(&asked.resource(), call)?;
    // The API server says no more than that of the second verb.
    user.check_verb(&asked.resource(), "create").map_err(|_| ApiError::forbidden(Resource::Pods, &asked.pod, ""))?;
    let world = platform.read();
    let entry = world.store.get(Resource::Pods, &asked.namespace, &asked.pod);
    let pod = Arc::clone(&entry.ok_or_else(|| ApiError::not_found(Resource::Pods, &asked.pod))?.object);
    drop(world);
    if text(&pod, "/spec/nodeName").is_empty() {
        return Err(ApiError::bad_request(format!("pod {} does not have a host assigned", asked.pod)));
    }
    let upgrade = |protocols: &[&'static str]| {
        let upgrade = upgrade.ok_or_else(|| ApiError::bad_request("Upgrade request required"))?;
        let protocol = upgrade
            .choose(protocols)
            .ok_or_else(|| ApiError::bad_request(format!("unable to upgrade: no protocol of {:?} is known", upgrade.offered)))?;
        Ok::<_, ApiError>((upgrade, protocol))
    };
    match asked.kind {
        Kind::Exec => {
            let command = exec::Command::of(&pod, &asked.pod, call)?;
            let (upgrade, protocol) = upgrade(&exec::PROTOCOLS)?;
            let response = upgrade.accepted(protocol);
            begin(platform, upgrade, move |socket, _| exec::serve(socket, command, protocol, cut));
            Ok(response)
        }
        Kind::PortForward => {
            let place = (asked.namespace.clone(), asked.pod.clone());
            let (upgrade, protocol) = upgrade(&[port_forward::PROTOCOL, spdy::PROTOCOL])?;
            let response = upgrade.accepted(protocol);
            if protocol == spdy::PROTOCOL {
                begin(platform, upgrade, move |socket, platform| spdy::serve(socket, platform, place, pod));
            } else {
                let ports = port_forward::ports(call)?;
                begin(platform, upgrade, move |socket, platform| port_forward::serve(socket, platform, place, pod, ports));
            }
            Ok(response)
        }
    }
}

/// Serves the stream once the client has got its answer, as long as the server lives.
fn begin<F: Future<Output = ()> + Send + 'static>(
    platform: &Arc<Platform>,
    upgrade: Upgrade,
    serve: impl FnOnce(Socket, Arc<Platform>) -> F + Send + 'static,
) {
    let platform = Arc::clone(platform);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.on.await else { return };
        let socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        tokio::select! {
            () = serve(socket, Arc::clone(&platform)) => {}
            () = platform.stopping() => {}
        }
    });
}

/// The farewell of a stream that has come to its end: kubectl takes one without a code for a connection that broke.
fn farewell() -> CloseFrame {
    CloseFrame { code: CloseCode::Normal, reason: "".into() }
}

/// The value of an environment variable of a Pod's container.
fn variable<'a>(container: &'a Value, name: &str) -> Option<&'a str> {
    let variables = container["env"].as_array().into_iter().flatten();
    variables.into_iter().find(|variable| variable["name"] == name)?["value"].as_str()
}
