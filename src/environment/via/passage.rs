//! A port of 127.0.0.1 that leads to a host, for as long as one client needs it.
//!
//! Must not listen on any other address. Invariants: the port is closed, and what it led through is ended, when the passage is dropped; why a way failed
//! is noted before the client sees its connection end.

use std::any::Any;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::error::ViaError;
use super::{Dial, port_forward, ssh};
use crate::environment::kubernetes::chain;

/// How long a way that ended is asked why.
const WHY_WITHIN: Duration = Duration::from_secs(1);
/// How many connections one passage takes at the same time: a client needs one or two.
const CONNECTIONS: usize = 16;

/// Both directions of a way.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A way that is open.
pub(super) struct Tunnel {
    pub(super) stream: Box<dyn Duplex>,
    /// Why it failed, where it did; asked for once the stream has ended.
    pub(super) trouble: BoxFuture<'static, Option<ViaError>>,
    /// Ends what it goes through when it is dropped.
    pub(super) held: Box<dyn Any + Send>,
}

impl Dial {
    /// Opens the way once.
    pub(super) async fn open(&self, within: Duration) -> Result<Tunnel, ViaError> {
        let opened = async {
            match self {
                Self::PortForward(forward) => port_forward::open(forward).await,
                Self::Ssh(login) => ssh::open(login).await,
            }
        };
        tokio::time::timeout(within, opened).await.unwrap_or(Err(ViaError::TimedOut { after: within }))
    }
}

/// Why the way failed, where it did.
#[derive(Default)]
struct Noted(Mutex<Option<ViaError>>);

impl Noted {
    fn note(&self, error: ViaError) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// An open port that leads to a host.
pub(super) struct Passage {
    pub(super) address: SocketAddr,
    noted: Arc<Noted>,
    task: JoinHandle<()>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        // With it go the connections, which it owns.
        self.task.abort();
    }
}

impl Passage {
    /// Opens the way, and then the port; the first connection goes through what is open already.
    pub(super) async fn open(dial: Dial, within: Duration) -> Result<Self, ViaError> {
        let first = dial.open(within).await?;
        let failed = |error: std::io::Error| ViaError::NoListener { why: chain(&error) };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let noted = Arc::new(Noted::default());
        let task = tokio::spawn(serve(listener, dial, first, within, Arc::clone(&noted)));
        Ok(Self { address, noted, task })
    }

    /// Why the way failed, where it did.
    pub(super) fn failure(&self) -> Option<ViaError> {
        self.noted.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn serve(listener: TcpListener, dial: Dial, first: Tunnel, within: Duration, noted: Arc<Noted>) {
    let dial = Arc::new(dial);
    let mut first = Some(first);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < CONNECTIONS => {
                let Ok((client, _)) = accepted else {
                    // Out of file descriptors, say: it passes when connections end.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                };
                let (dial, noted, open) = (Arc::clone(&dial), Arc::clone(&noted), first.take());
                connections.spawn(async move {
                    let opened = match open {
                        Some(tunnel) => Ok(tunnel),
                        None => dial.open(within).await,
                    };
                    match opened {
                        Ok(tunnel) => pass(client, tunnel, &noted).await,
                        Err(error) => noted.note(error),
                    }
                });
            }
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
        }
    }
}

/// Passes bytes both ways until the host's end is over.
async fn pass(client: TcpStream, tunnel: Tunnel, noted: &Noted) {
    let _ = client.set_nodelay(true);
    let Tunnel { stream, trouble, held } = tunnel;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_host, mut to_host) = tokio::io::split(stream);
    let up = async {
        if tokio::io::copy(&mut from_client, &mut to_host).await.is_ok() {
            let _ = to_host.shutdown().await;
        }
        // The client has nothing more to say; the host may have.
        std::future::pending::<()>().await;
    };
    let down = async {
        let mut bytes = vec![0; 16 * 1024];
        let mut any = false;
        loop {
            match from_host.read(&mut bytes).await {
                Ok(0) | Err(_) => return Some(any),
                Ok(read) => {
                    any = true;
                    if to_client.write_all(&bytes[..read]).await.is_err() {
                        return None;
                    }
                }
            }
        }
    };
    let ended = tokio::select! {
        ended = down => ended,
        () = up => None,
    };
    if let Some(any) = ended {
        let why = tokio::time::timeout(WHY_WITHIN, trouble).await.ok().flatten();
        if let Some(error) = why {
            // A way that has brought an answer cannot have failed before it was open.
            noted.note(if any && !error.may_have_arrived() { ViaError::Broken { why: error.to_string() } } else { error });
        }
    }
    drop(held);
}
