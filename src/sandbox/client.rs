//! How this program talks to a running sandbox's control endpoints: one request a connection, on loopback, by no proxy.
//!
//! It must not start or stop processes. Invariant: it sends the admin token only to a server that proved, by the cluster's uid and its
//! process id, to be the one in the folder; each request ends within [`WITHIN`].

use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use http::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

use super::error::SandboxError;
use super::identity::Ready;
use super::persist;

/// How long one request may take.
const WITHIN: Duration = Duration::from_secs(5);
/// The largest answer that is read, 64 MiB.
const LARGEST: usize = 64 << 20;

/// The server in `dir`, if it is there and answers; none where nothing runs.
pub(crate) async fn find(dir: &Path) -> Result<Option<Ready>, SandboxError> {
    let Some(ready) = persist::load::<Ready>(dir, persist::READY)? else { return Ok(None) };
    // A server that was killed leaves its file, and its port may be somebody else's by now.
    match send(&ready, "GET", "/sandbox/health", None, false).await {
        Ok((200, health)) if health["cluster_uid"] == ready.cluster_uid.as_str() && health["pid"] == ready.pid => Ok(Some(ready)),
        _ => Ok(None),
    }
}

/// One request to the server in `dir`; the body of the answer.
pub(crate) async fn ask(dir: &Path, method: &str, path: &str, body: Option<&Value>) -> Result<Value, SandboxError> {
    let ready = find(dir).await?.ok_or_else(|| SandboxError::NotRunning { dir: dir.to_owned() })?;
    let sent = send(&ready, method, path, body, true).await;
    match sent.map_err(|why| SandboxError::Unreachable { address: ready.address, pid: ready.pid, why })? {
        (200, answer) => Ok(answer),
        (status, answer) => {
            let message = answer["error"].as_str().unwrap_or("without a reason").to_owned();
            Err(SandboxError::Refused { status, message })
        }
    }
}

async fn send(ready: &Ready, method: &str, path: &str, body: Option<&Value>, known: bool) -> Result<(u16, Value), String> {
    let exchange = async {
        let stream = TcpStream::connect(ready.address).await.map_err(|error| error.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        let driver = tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, ready.address.to_string());
        if known {
            request = request.header(header::AUTHORIZATION, format!("Bearer {}", ready.admin_token));
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request.header(header::CONTENT_TYPE, "application/json").body(Body::from(text)).map_err(|error| error.to_string())?;
        let response = sender.send_request(request).await.map_err(|error| error.to_string())?;
        let status = response.status().as_u16();
        let body = axum::body::to_bytes(Body::new(response.into_body()), LARGEST).await.map_err(|error| error.to_string())?;
        driver.abort();
        let answer = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok((status, answer))
    };
    tokio::time::timeout(WITHIN, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {} s", WITHIN.as_secs())))
}
