//! One port of a pod by the two channels of a WebSocket (`v4.channel.k8s.io`): the first carries its bytes, the second what the node says of it.
//!
//! Must not stop to read where it can no longer write: what the node says of a port that refused comes just then. Invariant: why it ended is told before
//! its stream ends. The protocol has no end of one direction: who has nothing more to send is still answered.

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::environment::kubernetes::chain;

/// How much is under way in each direction, in bytes.
const UNDER_WAY: usize = 64 * 1024;
/// How much is sent at once, in bytes.
const AT_ONCE: usize = 16 * 1024;
const BYTES: u8 = 0;
const TROUBLE: u8 = 1;

/// How a forwarded port came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// The other end closed it, or nobody needs it any more.
    Closed,
    /// The node's own words: it is not usable any more.
    Said(String),
    /// The connection ended without a word.
    Lost(String),
}

/// A port that is forwarded.
pub(super) struct Port {
    /// What goes to the port and comes from it.
    pub(super) stream: DuplexStream,
    /// How it ended.
    pub(super) over: oneshot::Receiver<Over>,
    /// Ends it when it is dropped.
    pub(super) held: Held,
}

/// A task that ends when this is dropped.
pub(super) struct Held(JoinHandle<()>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Forwards a port by a WebSocket that was opened for it alone.
pub(super) fn forward<S>(socket: WebSocketStream<S>, port: u16) -> Port
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (stream, ours) = tokio::io::duplex(UNDER_WAY);
    let (tell, over) = oneshot::channel();
    let task = tokio::spawn(async move {
        let (sink, source) = socket.split();
        let (from_client, to_client) = tokio::io::split(ours);
        // Both halves are kept until it is told how it ended.
        let (mut up, mut down) = ((from_client, sink), (source, to_client));
        let ended = tokio::select! {
            ended = receive(&mut down.0, &mut down.1, port) => ended,
            ended = send(&mut up.0, &mut up.1) => ended,
        };
        let _ = tell.send(ended);
    });
    Port { stream, over, held: Held(task) }
}

/// Sends what comes. That it cannot, or has nothing more to send, ends nothing.
async fn send<S>(from: &mut ReadHalf<DuplexStream>, to: &mut SplitSink<WebSocketStream<S>, Message>) -> Over
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut frame = vec![BYTES; AT_ONCE + 1];
    while let Ok(read @ 1..) = from.read(&mut frame[1..]).await {
        if to.send(Message::binary(frame[..=read].to_vec())).await.is_err() {
            break;
        }
    }
    std::future::pending().await
}

async fn receive<S>(from: &mut SplitStream<WebSocketStream<S>>, to: &mut WriteHalf<DuplexStream>, port: u16) -> Over
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // The first frame of each channel is the port's number.
    let mut named = [false; 2];
    loop {
        let bytes = match from.next().await {
            Some(Ok(Message::Binary(bytes))) => bytes,
            Some(Ok(Message::Close(_))) => return Over::Closed,
            Some(Ok(_)) => continue,
            Some(Err(error)) => return Over::Lost(chain(&error)),
            None => return Over::Lost("the connection was closed".to_owned()),
        };
        let Some((channel, bytes)) = bytes.split_first() else { continue };
        let Some(named) = named.get_mut(usize::from(*channel)) else { continue };
        if !std::mem::replace(named, true) {
            if bytes != port.to_le_bytes() {
                return Over::Lost("another port was forwarded than was asked for".to_owned());
            }
        } else if *channel == TROUBLE {
            return Over::Said(String::from_utf8_lossy(bytes).into_owned());
        } else if to.write_all(bytes).await.is_err() {
            return Over::Closed;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_tungstenite::tungstenite::protocol::Role;

    use super::*;

    type End = WebSocketStream<DuplexStream>;

    async fn pair() -> (Port, End) {
        let (ours, theirs) = tokio::io::duplex(UNDER_WAY);
        let [ours, theirs] =
            [(ours, Role::Client), (theirs, Role::Server)].map(|(stream, role)| WebSocketStream::from_raw_socket(stream, role, None));
        let (port, mut node) = (forward(ours.await, 8080), theirs.await);
        for channel in [BYTES, TROUBLE] {
            node.send(frame(channel, &8080_u16.to_le_bytes())).await.unwrap();
        }
        (port, node)
    }

    fn frame(channel: u8, bytes: &[u8]) -> Message {
        Message::binary([&[channel], bytes].concat())
    }

    #[tokio::test]
    async fn what_the_node_says_is_told_whatever_is_sent_meanwhile() {
        for farewell in [true, false] {
            let (mut port, mut node) = pair().await;
            node.send(frame(TROUBLE, b"connection refused")).await.unwrap();
            if farewell {
                node.send(Message::Close(None)).await.unwrap();
            }
            // The node reads nothing of it.
            drop(node);
            let _ = port.stream.write_all(&[b'x'; 3 * AT_ONCE]).await;
            let mut rest = Vec::new();
            let _ = port.stream.read_to_end(&mut rest).await;
            assert_eq!((port.over.await, rest), (Ok(Over::Said("connection refused".to_owned())), Vec::new()), "{farewell}");
        }
    }

    #[tokio::test]
    async fn a_port_that_stays_open_after_its_trouble_is_over_all_the_same() {
        let (mut port, mut node) = pair().await;
        node.send(frame(BYTES, b"half an ans")).await.unwrap();
        node.send(frame(TROUBLE, b"it is gone")).await.unwrap();
        let mut rest = Vec::new();
        port.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!((port.over.await, rest), (Ok(Over::Said("it is gone".to_owned())), b"half an ans".to_vec()));
        drop(node);
    }

    #[tokio::test]
    async fn who_has_nothing_more_to_send_is_still_answered() {
        let (mut port, mut node) = pair().await;
        port.stream.write_all(b"question").await.unwrap();
        port.stream.shutdown().await.unwrap();
        assert_eq!(node.next().await.unwrap().unwrap(), frame(BYTES, b"question"));
        node.send(frame(BYTES, b"answer")).await.unwrap();
        node.send(Message::Close(None)).await.unwrap();
        let mut answer = Vec::new();
        port.stream.read_to_end(&mut answer).await.unwrap();
        assert_eq!((port.over.await, answer), (Ok(Over::Closed), b"answer".to_vec()));
    }

    #[tokio::test]
    async fn an_end_without_a_word_and_another_port_are_told() {
        let (port, node) = pair().await;
        drop(node);
        assert!(matches!(port.over.await, Ok(Over::Lost(_))));
        let (port, mut node) = pair().await;
        node.send(frame(7, b"a channel that nobody opened")).await.unwrap();
        node.send(frame(BYTES, b"x")).await.unwrap();
        drop(port.held);
        assert!(port.over.await.is_err(), "it ends with whoever holds it");
        let (ours, theirs) = tokio::io::duplex(UNDER_WAY);
        let mut theirs = WebSocketStream::from_raw_socket(theirs, Role::Server, None).await;
        let port = forward(WebSocketStream::from_raw_socket(ours, Role::Client, None).await, 8080);
        theirs.send(frame(BYTES, &81_u16.to_le_bytes())).await.unwrap();
        assert_eq!(port.over.await, Ok(Over::Lost("another port was forwarded than was asked for".to_owned())));
    }
}
