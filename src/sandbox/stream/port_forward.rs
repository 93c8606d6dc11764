//! A port-forward: the ports of a Pod, each as two channels of one WebSocket, as kubelets serve `v4.channel.k8s.io`.
//!
//! It must not know what a Pod answers. Invariant: a port that no container listens on is refused on its error channel, and the connection ends; the
//! requests that come this way meet faults as all others do.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::{Socket, farewell};
use crate::sandbox::call::Call;
use crate::sandbox::cluster::pod_proxy;
use crate::sandbox::cluster::status_error::ApiError;
use crate::sandbox::platform::Platform;
use crate::sandbox::server;

/// The protocol that is spoken.
pub(super) const PROTOCOL: &str = "v4.channel.k8s.io";
/// How much of a Pod's answer is kept for a client that does not read, in bytes.
const KEPT: usize = 64 * 1024;

/// How long a client may take to leave.
const LEAVING: Duration = Duration::from_secs(5);

/// The ports that a request names.
///
/// # Errors
/// 400 where it names none, or what is none.
pub(super) fn ports(call: &Call) -> Result<Vec<u16>, ApiError> {
    let words: Vec<&str> = call.queries("ports").flat_map(|value| value.split(',')).filter(|word| !word.is_empty()).collect();
    if words.is_empty() {
        return Err(ApiError::bad_request("query parameter \"ports\" is required"));
    }
    let port = |word: &str| {
        let port = word.parse::<u16>().ok().filter(|port| *port > 0);
        port.ok_or_else(|| ApiError::bad_request(format!("unable to parse \"{word}\" as a port")))
    };
    words.into_iter().take(8).map(port).collect()
}

/// What a node says of a port that nobody listens on.
pub(super) fn refusal(pod: &str, port: u16) -> String {
    format!(
        "error forwarding port {port} to pod {pod}, uid : failed to connect to localhost:{port} inside its namespace, IPv4: dial tcp4 127.0.0.1:{port}: connect: \
         connection refused"
    )
}

/// Opens a port of a Pod: what is written to the one end is served by it at the other. `None`: nobody listens there.
pub(super) fn connect(
    platform: &Arc<Platform>,
    (namespace, name): &(String, String),
    pod: &Value,
    port: u16,
) -> Option<tokio::io::DuplexStream> {
    if !pod_proxy::serves(pod, port) {
        return None;
    }
    let (ours, theirs) = tokio::io::duplex(KEPT);
    tokio::spawn(server::serve_pod(theirs, Arc::clone(platform), namespace.clone(), name.clone()));
    Some(ours)
}

pub(super) async fn serve(socket: Socket, platform: Arc<Platform>, place: (String, String), pod: Arc<Value>, ports: Vec<u16>) {
    let (mut to_client, mut from_client) = socket.split();
    let (told, mut tell) = mpsc::channel::<(u8, Bytes)>(16);
    let mut writers: Vec<Option<WriteHalf<tokio::io::DuplexStream>>> = Vec::new();
    for (at, port) in ports.into_iter().enumerate() {
        let channel = u8::try_from(at * 2).unwrap_or(u8::MAX - 1);
        for channel in [channel, channel + 1] {
            if to_client.send(frame(channel, &port.to_le_bytes())).await.is_err() {
                return;
            }
        }
        let Some(stream) = connect(&platform, &place, &pod, port) else {
            writers.push(None);
            let _sent = to_client.send(frame(channel + 1, refusal(&place.1, port).as_bytes())).await;
            continue;
        };
        let (mut from_pod, to_pod) = tokio::io::split(stream);
        writers.push(Some(to_pod));
        let told = told.clone();
        tokio::spawn(async move {
            let mut bytes = vec![0; 16 * 1024];
            while let Ok(read @ 1..) = from_pod.read(&mut bytes).await {
                if told.send((channel, Bytes::copy_from_slice(&bytes[..read]))).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(told);
    loop {
        tokio::select! {
            told = tell.recv() => match told {
                Some((channel, bytes)) => if to_client.send(frame(channel, &bytes)).await.is_err() { return },
                // The Pod has closed every connection.
                None => break,
            },
            message = from_client.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    let Some((channel, bytes)) = bytes.split_first() else { continue };
                    let writer = writers.get_mut(usize::from(channel / 2)).filter(|_| channel % 2 == 0);
                    if let Some(Some(writer)) = writer && writer.write_all(bytes).await.is_err() {
                        continue;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {}
            },
        }
    }
    let _closed = to_client.send(Message::Close(Some(farewell()))).await;
    // A connection that ends with something unread in it takes back what was sent: the refusal of a port.
    let read = async { while let Some(Ok(_)) = from_client.next().await {} };
    let _ended = tokio::time::timeout(LEAVING, read).await;
}

fn frame(channel: u8, bytes: &[u8]) -> Message {
    let mut whole = Vec::with_capacity(bytes.len() + 1);
    whole.push(channel);
    whole.extend_from_slice(bytes);
    Message::binary(whole)
}
