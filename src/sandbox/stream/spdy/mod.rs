//! A port-forward as kubectl asks for it: SPDY/3.1 through a WebSocket, with two streams for each connection, one of them for its error.
//!
//! It must not know what a Pod answers. Invariant: what is no SPDY ends the connection; a stream that the client gives up ends with its Pod's connection.

mod frame;
mod inflate;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, WriteHalf};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use self::frame::{Frame, Reader, data, pong, reply};
use super::{Socket, port_forward};
use crate::sandbox::platform::Platform;

/// The protocol by its name.
pub(super) const PROTOCOL: &str = "SPDY/3.1+portforward.k8s.io";

/// One connection to a port: its two streams.
#[derive(Default)]
struct Forwarded {
    error: Option<u32>,
    data: Option<u32>,
}

/// What a Pod's connections have to tell.
enum Told {
    Bytes(u32, Vec<u8>),
    /// The Pod has closed it; by its request's name.
    Over(String),
}

pub(super) async fn serve(socket: Socket, platform: Arc<Platform>, place: (String, String), pod: Arc<Value>) {
    let (mut to_client, mut from_client) = socket.split();
    let (tell, mut told) = mpsc::channel::<Told>(16);
    let mut reader = Reader::new();
    let mut requests: BTreeMap<String, Forwarded> = BTreeMap::new();
    let mut writers: HashMap<u32, WriteHalf<DuplexStream>> = HashMap::new();
    let mut first = true;
    loop {
        let mut answers: Vec<Vec<u8>> = Vec::new();
        tokio::select! {
            one = told.recv() => match one {
                Some(Told::Bytes(stream, bytes)) => answers.push(data(stream, &bytes, false)),
                Some(Told::Over(request)) => {
                    let Forwarded { error, data: bytes } = requests.remove(&request).unwrap_or_default();
                    answers.extend([bytes, error].into_iter().flatten().map(|stream| data(stream, &[], true)));
                }
                // It holds one end itself.
                None => return,
            },
            message = from_client.next() => {
                match message {
                    Some(Ok(Message::Binary(bytes))) => reader.add(&bytes),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => continue,
                }
                loop {
                    match reader.next() {
                        Ok(Some(Frame::Open { stream, headers, .. })) => {
                            answers.push(reply(stream, std::mem::take(&mut first)));
                            let word = |name: &str| headers.get(name).cloned().unwrap_or_default();
                            let request = word("requestid");
                            let known = requests.entry(request.clone()).or_default();
                            if word("streamtype") == "error" {
                                known.error = Some(stream);
                                continue;
                            }
                            known.data = Some(stream);
                            let port = word("port").parse::<u16>().unwrap_or(0);
                            match port_forward::connect(&platform, &place, &pod, port) {
                                Some(connection) => {
                                    let (mut from_pod, to_pod) = tokio::io::split(connection);
                                    writers.insert(stream, to_pod);
                                    let tell = tell.clone();
                                    tokio::spawn(async move {
                                        let mut bytes = vec![0; 16 * 1024];
                                        while let Ok(read @ 1..) = from_pod.read(&mut bytes).await {
                                            if tell.send(Told::Bytes(stream, bytes[..read].to_vec())).await.is_err() {
                                                return;
                                            }
                                        }
                                        let _told = tell.send(Told::Over(request)).await;
                                    });
                                }
                                None => {
                                    let why = port_forward::refusal(&place.1, port);
                                    answers.extend(known.error.map(|error| data(error, why.as_bytes(), true)));
                                    answers.push(data(stream, &[], true));
                                    requests.remove(&request);
                                }
                            }
                        }
                        Ok(Some(Frame::Data { stream, bytes, over })) => {
                            if let Some(writer) = writers.get_mut(&stream) {
                                let _sent = writer.write_all(&bytes).await;
                            }
                            if over && let Some(mut writer) = writers.remove(&stream) {
                                let _closed = writer.shutdown().await;
                            }
                        }
                        Ok(Some(Frame::Reset { stream })) => drop(writers.remove(&stream)),
                        Ok(Some(Frame::Ping { id })) => answers.push(pong(id)),
                        Ok(Some(Frame::Other)) => {}
                        Ok(None) => break,
                        Ok(Some(Frame::GoAway)) | Err(_) => return,
                    }
                }
            },
        }
        for answer in answers {
            if to_client.send(Message::binary(answer)).await.is_err() {
                return;
            }
        }
    }
}
