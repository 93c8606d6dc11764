//! One command in one container: its streams, and what is known of its end.
//!
//! Must not try again and must not judge. Invariant: it ends within its time, and what it prints takes bounded memory; closing the connection ends nothing
//! in the container.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Api;
use kube::api::AttachParams;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use super::input::Input;
use crate::actions::support::within;
use crate::environment::{KubeError, kube_not_answered};
use crate::ports::action::Context;

/// How much of each stream is kept, in bytes: the end of it.
const KEPT: usize = 64 * 1024;

/// How a command ended, as far as it is known.
#[derive(Debug)]
pub(super) enum Ended {
    /// The API server or the node refused it: the status and the words.
    Refused { status: u16, reason: String, message: String },
    /// The request was not answered.
    Unanswered(KubeError),
    /// The connection ended before it was said how the command did.
    Cut(Printed),
    /// The time was over.
    TimedOut(Duration, Printed),
    /// It was said how it did.
    Told(Box<Status>, Printed),
}

/// What a command printed.
#[derive(Debug, Default)]
pub(super) struct Printed {
    pub(super) stdout: Stream,
    pub(super) stderr: Stream,
    pub(super) took: Duration,
}

/// The end of a stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    kept: VecDeque<u8>,
    /// Whether something of its beginning is not kept.
    pub(super) cut: bool,
}

impl Stream {
    fn add(&mut self, bytes: &[u8]) {
        self.kept.extend(bytes);
        let beyond = self.kept.len().saturating_sub(KEPT);
        if beyond > 0 {
            self.cut = true;
            self.kept.drain(..beyond);
        }
    }

    pub(super) fn text(&self) -> String {
        let (front, back) = self.kept.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }
}

/// Runs the command once.
pub(super) async fn run(client: &kube::Client, namespace: &str, pod: &str, input: &Input, cx: &Context) -> Ended {
    let limit = within(cx, input.timeout());
    let begun = Instant::now();
    let mut printed = Printed::default();
    let ended = tokio::time::timeout(limit, exchange(client, namespace, pod, input, &mut printed)).await;
    printed.took = begun.elapsed();
    match ended {
        Err(_) => Ended::TimedOut(limit, printed),
        Ok(Ok(Some(status))) => Ended::Told(Box::new(status), printed),
        Ok(Ok(None)) => Ended::Cut(printed),
        Ok(Err(kube::Error::Api(status))) => {
            Ended::Refused { status: status.code, reason: status.reason.clone(), message: status.message.clone() }
        }
        Ok(Err(error)) => Ended::Unanswered(kube_not_answered(&error)),
    }
}

async fn exchange(
    client: &kube::Client,
    namespace: &str,
    pod: &str,
    input: &Input,
    printed: &mut Printed,
) -> Result<Option<Status>, kube::Error> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let mut wanted = AttachParams::default().stdin(input.stdin.is_some()).stdout(true).stderr(true).tty(false);
    if let Some(container) = &input.container {
        wanted = wanted.container(container);
    }
    let mut process = pods.exec(pod, &input.argv, &wanted).await?;
    let (stdin, stdout, stderr, status) = (process.stdin(), process.stdout(), process.stderr(), process.take_status());
    let write = async {
        if let (Some(mut to), Some(text)) = (stdin, &input.stdin) {
            // A program that does not read to the end is no failure.
            let _ = to.write_all(text.as_bytes()).await;
            let _ = to.shutdown().await;
        }
    };
    let Printed { stdout: out, stderr: err, .. } = printed;
    let told = async {
        match status {
            Some(status) => status.await,
            None => None,
        }
    };
    let mut told = std::pin::pin!(told);
    let mut streams = std::pin::pin!(async { tokio::join!(write, read(stdout, out), read(stderr, err)) });
    let mut over = false;
    loop {
        tokio::select! {
            told = &mut told => {
                // Of a connection that was cut, the streams never end.
                if told.is_some() && !over {
                    (&mut streams).await;
                }
                return Ok(told);
            }
            _ = &mut streams, if !over => over = true,
        }
    }
}

async fn read(from: Option<impl AsyncRead + Unpin>, into: &mut Stream) {
    let Some(mut from) = from else { return };
    let mut bytes = vec![0; 4096];
    while let Ok(read @ 1..) = from.read(&mut bytes).await {
        into.add(&bytes[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_stream_is_kept() {
        let mut stream = Stream::default();
        stream.add(b"beginning");
        stream.add(&vec![b'x'; KEPT - 3]);
        stream.add(b"end");
        assert!(stream.cut && stream.text().len() == KEPT && stream.text().ends_with("xend"), "{}", stream.text().len());
    }
}
