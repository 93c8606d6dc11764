//! The server: one listener on loopback, its connections, and how it ends.
//!
//! It must not listen on anything but 127.0.0.1. Invariant: one server a folder, by the lock that the kernel frees when the process dies;
//! a connection that a fault cuts is closed before a byte of an answer.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::cluster::store::HISTORY;
use super::cluster::{ArgoCd, Autoscaler};
use super::error::SandboxError;
use super::identity::{Identity, Ready};
use super::persist;
use super::platform::Platform;
use super::pooler::Pooler;
use super::postgres;
use super::redis;
use super::routes;
use super::tls;

/// How many connections are served at the same time; more wait.
const CONNECTIONS: usize = 256;
/// How long connections may take to end when the server does.
const FAREWELL: Duration = Duration::from_secs(1);
/// How long a client may keep its first byte. Longer than clients keep an idle connection, so that none is closed just when a client uses it.
const FIRST_BYTE_WITHIN: Duration = Duration::from_secs(300);

/// How long a client may take to be let in by TLS.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How a sandbox is served.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// The port; none takes the former one if it is free, else any.
    pub port: Option<u16>,
    /// By how much Pods come and go faster than usual; from 0.01 to 1000.
    pub speed: f64,
    /// After how long without a request it stops by itself.
    pub idle: Duration,
    /// How many changes a watch may lie behind before it is told 410.
    pub history: usize,
    /// The autoscaler of a cluster that is made now; one that is there keeps its own.
    pub autoscaler: Autoscaler,
    /// The Argo CD of a cluster that is made now; one that is there keeps its own.
    pub argocd: ArgoCd,
    /// The pooler of a platform that is made now; one that is there keeps its own.
    pub pooler: Pooler,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: None,
            speed: 1.0,
            idle: Duration::from_secs(30 * 60),
            history: HISTORY,
            autoscaler: Autoscaler::None,
            argocd: ArgoCd::Off,
            pooler: Pooler::None,
        }
    }
}

/// A sandbox that is served by this process. Dropping it stops it, without waiting.
#[derive(Debug)]
pub struct Running {
    /// Where it is and how to get in.
    pub ready: Ready,
    platform: Arc<Platform>,
    task: JoinHandle<()>,
}

/// Starts serving the sandbox in `dir` in this process.
///
/// # Errors
/// [`SandboxError::Served`] when another process (or another server of this one) has the folder, [`SandboxError::Bind`],
/// [`SandboxError::Damaged`], [`SandboxError::Io`], [`SandboxError::Option`].
pub async fn start(dir: &Path, options: Options) -> Result<Running, SandboxError> {
    if !(0.01..=1000.0).contains(&options.speed) {
        return Err(SandboxError::Option(format!("a speed of {}: it must be from 0.01 to 1000", options.speed)));
    }
    persist::make_dir(dir)?;
    let lock = persist::lock(dir)?.ok_or_else(|| SandboxError::Served { dir: dir.to_owned() })?;
    let mut identity = Identity::load_or_make(dir)?;
    let listener = bind(options.port, identity.port).await?;
    let address = listener.local_addr().map_err(|source| SandboxError::Bind { port: 0, source })?;
    if identity.port != address.port() {
        identity.port = address.port();
        identity.save(dir)?;
    }
    let mut ready = Ready {
        pooler: Pooler::None,
        address,
        pid: std::process::id(),
        cluster_uid: identity.cluster_uid.clone(),
        admin_token: identity.admin_token.clone(),
        service_token: identity.service_token.clone(),
        postgres_password: identity.postgres_password.clone(),
    };
    let platform = Platform::open(dir, identity, &options)?;
    ready.pooler = platform.read().bouncers.kind;
    ready.cluster_uid = platform.cluster_uid();
    persist::save_json(dir, persist::READY, &ready)?;
    let task = tokio::spawn(run(dir.to_owned(), lock, listener, Arc::clone(&platform), options.idle));
    Ok(Running { ready, platform, task })
}

/// Serves the sandbox in `dir` until it is told to stop, or nobody used it for the time in `options`. Returns at once, without an error,
/// when another process serves it already.
///
/// # Errors
/// As [`start`], but for [`SandboxError::Served`].
pub async fn serve(dir: &Path, options: Options) -> Result<(), SandboxError> {
    match start(dir, options).await {
        Err(SandboxError::Served { dir }) => {
            tracing::info!(dir = %dir.display(), "another process serves this sandbox");
            Ok(())
        }
        Err(error) => Err(error),
        Ok(mut running) => {
            running.ended().await;
            Ok(())
        }
    }
}

async fn bind(asked: Option<u16>, former: u16) -> Result<TcpListener, SandboxError> {
    let at = |port| TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    match asked.filter(|port| *port != 0) {
        Some(port) => at(port).await.map_err(|source| SandboxError::Bind { port, source }),
        None => match at(former).await {
            Ok(listener) => Ok(listener),
            Err(_) => at(0).await.map_err(|source| SandboxError::Bind { port: 0, source }),
        },
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.ready.address
    }

    /// Returns once it has stopped.
    pub async fn ended(&mut self) {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the sandbox ended badly");
        }
    }

    /// Stops it and waits until its folder is free.
    pub async fn shutdown(mut self) {
        self.platform.stop();
        self.ended().await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.platform.stop();
    }
}

async fn run(dir: PathBuf, lock: File, listener: TcpListener, platform: Arc<Platform>, idle: Duration) {
    let life = tokio::spawn(Arc::clone(&platform).live());
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let tls = tls::acceptor(&platform.identity().tls_secret);
    let mut connections = JoinSet::new();
    let mut over = pin!(async {
        tokio::select! {
            () = platform.stopping() => {}
            () = platform.activity().idle(idle) => platform.stop(),
        }
    });
    loop {
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = &mut over => break,
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let (platform, tls) = (Arc::clone(&platform), tls.clone());
                    connections.spawn(async move {
                        let _permit = permit;
                        connection(stream, platform, tls).await;
                    });
                }
                Err(error) => {
                    // Out of file descriptors, say: it passes when connections end.
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            () = &mut over => break,
        }
        while connections.try_join_next().is_some() {}
    }
    // First nobody finds it any more, then nobody reaches it, and last the folder is free.
    if let Err(error) = persist::remove(&dir, persist::READY) {
        tracing::warn!(%error, "a stopped sandbox still looks ready");
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(FAREWELL, ended).await.is_err() {
        connections.shutdown().await;
    }
    if let Err(error) = life.await {
        tracing::error!(%error, "the cluster ended badly");
    }
    drop(lock);
}

/// The first byte, by which the protocol is told: PostgreSQL's first packet begins with a length below 16 MiB, Redis's with an array, TLS with
/// a handshake, HTTP with a letter.
async fn first_byte(stream: &TcpStream) -> Option<u8> {
    let mut first = [1; 1];
    matches!(stream.peek(&mut first).await, Ok(1)).then_some(first[0])
}

/// Serves a connection that a port-forward made to a Pod.
pub(crate) async fn serve_pod(stream: DuplexStream, platform: Arc<Platform>, namespace: String, pod: String) {
    let service = service_fn({
        let platform = Arc::clone(&platform);
        move |request| routes::answer_pod(Arc::clone(&platform), request, (namespace.clone(), pod.clone()))
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(FIRST_BYTE_WITHIN);
    tokio::select! {
        ended = builder.serve_connection(TokioIo::new(stream), service) => if let Err(error) = ended {
            tracing::debug!(%error, "a forwarded connection ended early");
        },
        () = platform.stopping() => {}
    }
}

async fn connection(stream: TcpStream, platform: Arc<Platform>, tls: Option<TlsAcceptor>) {
    let first = tokio::select! {
        first = tokio::time::timeout(FIRST_BYTE_WITHIN, first_byte(&stream)) => first,
        () = platform.stopping() => return,
    };
    match (first, tls) {
        (Ok(Some(0)), _) => postgres::serve(stream, platform).await,
        (Ok(Some(redis::FIRST)), _) => redis::serve(stream, platform).await,
        (Ok(Some(tls::FIRST)), Some(tls)) => {
            let accepted = tokio::select! {
                accepted = tokio::time::timeout(HANDSHAKE_WITHIN, tls.accept(stream)) => accepted,
                () = platform.stopping() => return,
            };
            match accepted {
                Ok(Ok(stream)) => serve_http(stream, platform).await,
                Ok(Err(error)) => tracing::debug!(%error, "a client was not let in by TLS"),
                Err(_) => {}
            }
        }
        (Ok(_), _) => serve_http(stream, platform).await,
        (Err(_), _) => {}
    }
}

async fn serve_http(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, platform: Arc<Platform>) {
    let service = service_fn({
        let platform = Arc::clone(&platform);
        // An error of the service makes hyper close the connection without an answer: that is how a fault cuts it.
        move |request| routes::answer(Arc::clone(&platform), request)
    });
    let mut builder = http1::Builder::new();
    // As for the first byte.
    builder.timer(TokioTimer::new()).header_read_timeout(FIRST_BYTE_WITHIN);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = platform.stopping() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
