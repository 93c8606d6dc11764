//! A session with a Redis server, for reading.
//!
//! Must not send a command that changes anything or that is slow. Invariant: getting in and each command have an end, and a session takes bounded
//! memory; the connection is closed when the session is dropped.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, ServerErrorKind, Value};
use rustls::pki_types::ServerName;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::super::connections::{ConnectionError, Connections};
use super::super::kubernetes::chain;
use super::super::tls;
use super::super::via::Reach;
use super::RedisAccess;
use super::error::RedisError;
use crate::model::environment::TlsMode;

/// How long getting in may take, and how long a command may take.
const CONNECT: Duration = Duration::from_secs(5);
const COMMAND: Duration = Duration::from_secs(10);
/// The most that one session reads, in bytes: `INFO` of a large server is some 10 KiB.
const LARGEST: usize = 4 * 1024 * 1024;

/// A session that reads.
pub struct RedisSession {
    connection: MultiplexedConnection,
    driver: JoinHandle<()>,
    of: Of,
    limit: Duration,
    /// The way, which is there as long as the session.
    reach: Option<Reach>,
}

/// Where the way to the server failed, that is why there is no session.
fn reached(session: Result<RedisSession, RedisError>, reach: Reach) -> Result<RedisSession, RedisError> {
    match session {
        Ok(mut session) => {
            session.reach = Some(reach);
            Ok(session)
        }
        Err(error) => Err(reach.failure().map_or(error, RedisError::from)),
    }
}

/// Whose session it is, for messages.
struct Of {
    place: String,
    user: String,
    password: String,
    /// Whether the server has said its last byte.
    ended: Arc<AtomicBool>,
}

impl Drop for RedisSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connections {
    /// A session with this server. `within` bounds what it may take, where that is less than 5 s to get in and 10 s for each command.
    ///
    /// # Errors
    /// [`RedisError`]
    pub async fn redis_session(&self, access: &RedisAccess, within: Duration) -> Result<RedisSession, RedisError> {
        let limit = CONNECT.min(within);
        let late = || RedisError::TimedOut { place: access.place(), what: "let us in".to_owned(), after: limit };
        let getting_in = self.redis_connected(access, COMMAND.min(within));
        tokio::time::timeout(limit, getting_in).await.unwrap_or_else(|_| Err(late()))
    }

    async fn redis_connected(&self, access: &RedisAccess, limit: Duration) -> Result<RedisSession, RedisError> {
        let reach = self.reach(&access.host, access.port).await?;
        let addresses = reach.addresses().await?;
        if access.tls == TlsMode::Disable && access.password.is_some() && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(ConnectionError::PlainSystem { system: "Redis", host: access.host.clone() }.into());
        }
        let stream = TcpStream::connect(addresses.as_slice()).await;
        let stream = stream.map_err(|error| RedisError::Unreachable { place: access.place(), why: chain(&error) })?;
        if access.tls == TlsMode::Disable {
            let session = RedisSession::over(stream, access, limit).await;
            return reached(session, reach);
        }
        let name = ServerName::try_from(access.host.trim_matches(['[', ']']).to_owned())
            .map_err(|_| ConnectionError::ServerName { name: access.host.clone() })?;
        let config = tls::client_config(access.tls, access.ca_file.as_deref())?;
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let failed = |error: io::Error| RedisError::Tls { place: access.place(), why: super::super::http_api::explained(&chain(&error)) };
        let session = match stream.map_err(failed) {
            Ok(stream) => RedisSession::over(stream, access, limit).await,
            Err(error) => Err(error),
        };
        reached(session, reach)
    }
}

impl RedisSession {
    async fn over<S>(stream: S, access: &RedisAccess, limit: Duration) -> Result<Self, RedisError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let password = access.password.as_ref().map(|password| password.expose_secret().to_owned());
        let of = Of {
            place: access.place(),
            user: access.user.clone().unwrap_or_else(|| "default".to_owned()),
            password: password.clone().unwrap_or_default(),
            ended: Arc::default(),
        };
        let stream = Bounded { stream, left: LARGEST, ended: Arc::clone(&of.ended) };
        // Nobody logs in here: the client would swallow the server's words.
        let nobody = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
        let made = MultiplexedConnection::new_with_config(&nobody, stream, config).await;
        let (connection, driver) = made.map_err(|error| of.classified(&error, "PING"))?;
        let mut session = Self { connection, driver: tokio::spawn(driver), of, limit, reach: None };
        if let Some(password) = password {
            let mut command = redis::cmd("AUTH");
            if let Some(user) = &access.user {
                command.arg(user);
            }
            command.arg(password);
            session.ask(&command, "AUTH").await?;
        }
        Ok(session)
    }

    /// What the server says of itself, as `INFO` gives it.
    ///
    /// # Errors
    /// [`RedisError`]
    pub async fn info(&mut self) -> Result<String, RedisError> {
        match self.ask(&redis::cmd("INFO"), "INFO").await? {
            Value::BulkString(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text),
            _ => Err(self.of.garbled("it answered INFO with something else than a text")),
        }
    }

    async fn ask(&mut self, command: &redis::Cmd, name: &'static str) -> Result<Value, RedisError> {
        match tokio::time::timeout(self.limit, self.connection.send_packed_command(command)).await {
            Err(_) => Err(RedisError::TimedOut { place: self.of.place.clone(), what: format!("answer {name}"), after: self.limit }),
            Ok(Err(error)) => {
                let failure = self.reach.as_ref().and_then(Reach::failure);
                Err(failure.map_or_else(|| self.of.classified(&error, name), RedisError::from))
            }
            Ok(Ok(Value::ServerError(error))) => Err(self.of.refused(error.code(), error.details().unwrap_or_default(), name)),
            Ok(Ok(value)) => Ok(value),
        }
    }
}

impl Of {
    /// A text of the server's, in one line. It can say anything, also what it was sent.
    fn said(&self, text: &str) -> String {
        let safe = if self.password.is_empty() { text.to_owned() } else { text.replace(&self.password, "[password]") };
        safe.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(300).collect()
    }

    fn garbled(&self, why: &str) -> RedisError {
        RedisError::Garbled { place: self.place.clone(), why: self.said(why) }
    }

    /// What an error that the server answered with is.
    fn refused(&self, code: &str, details: &str, command: &'static str) -> RedisError {
        let (place, user) = (self.place.clone(), self.user.clone());
        let why = self.said(&format!("{code} {details}"));
        match code {
            "WRONGPASS" | "NOAUTH" => RedisError::Authentication { place, user, why },
            "NOPERM" => RedisError::Forbidden { place, user, command, why },
            "LOADING" | "BUSY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" => RedisError::NotNow { place, why },
            "ERR" if details.contains("max number of clients") => RedisError::NotNow { place, why },
            // Before there were users, this was said of a wrong password, and of one that is not asked for.
            "ERR" if command == "AUTH" => RedisError::Authentication { place, user, why },
            // A server that lets only its own machine in (`protected-mode`).
            "DENIED" => RedisError::Authentication { place, user, why },
            _ => RedisError::Refused { place, command, why },
        }
    }

    /// What an error of the client is, by its cause.
    fn classified(&self, error: &redis::RedisError, command: &'static str) -> RedisError {
        match error.kind() {
            ErrorKind::Server(ServerErrorKind::ResponseError) => self.refused("ERR", error.detail().unwrap_or_default(), command),
            ErrorKind::Server(_) | ErrorKind::Extension => {
                self.refused(error.code().unwrap_or_default(), error.detail().unwrap_or_default(), command)
            }
            ErrorKind::Parse if self.ended.load(Ordering::Relaxed) => {
                RedisError::Cut { place: self.place.clone(), why: format!("it ended in the middle of the answer to {command}") }
            }
            ErrorKind::Parse | ErrorKind::UnexpectedReturnType => {
                self.garbled(&format!("it answered {command} with what is not its protocol"))
            }
            _ if error.to_string().contains(TOO_MUCH) => self.garbled(&format!("it answered {command} and {TOO_MUCH}")),
            _ => {
                let why = self.said(&chain(error));
                RedisError::Cut { place: self.place.clone(), why: if why.is_empty() { "it ended".to_owned() } else { why } }
            }
        }
    }
}

const TOO_MUCH: &str = "sent more than 4 MiB";

/// A stream from which only so much is read.
struct Bounded<S> {
    stream: S,
    left: usize,
    ended: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let length = buffer.filled().len() - before;
        self.left = self.left.saturating_sub(length);
        if matches!(read, Poll::Ready(Ok(()))) && length == 0 {
            self.ended.store(true, Ordering::Relaxed);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
