//! A session with a PostgreSQL server, for reading.
//!
//! Must not change anything: the server is told to refuse writes. Invariant: getting in and each statement have an end, and a session takes
//! bounded memory; the connection is closed when the session is dropped.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::config::SslMode;
use tokio_postgres::{Config, NoTls, SimpleQueryMessage};

use super::super::connections::{ConnectionError, Connections};
use super::super::kubernetes::chain;
use super::error::PostgresError;
use super::tls::Connector;
use super::{PostgresAccess, PostgresTls};

/// How long getting in may take, and how long a statement may take.
const CONNECT: Duration = Duration::from_secs(5);
const STATEMENT: Duration = Duration::from_secs(10);
/// The most that one session reads, in bytes: 100,000 rows of `pg_stat_activity` take some 10 MiB.
const LARGEST: usize = 32 * 1024 * 1024;

/// How long things may take.
#[derive(Clone, Copy, Debug)]
struct Limits {
    connect: Duration,
    statement: Duration,
}

/// A session that reads.
pub struct PostgresSession {
    client: tokio_postgres::Client,
    driver: JoinHandle<()>,
    place: String,
    user: String,
    password: String,
    limit: Duration,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One row: the columns as texts, `None` for null.
pub type Row = Vec<Option<String>>;

impl Connections {
    /// A session with this server. `within` bounds what it may take, where that is less than 5 s to get in and 10 s for each statement.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn postgres_session(&self, access: &PostgresAccess, within: Duration) -> Result<PostgresSession, PostgresError> {
        let limits = Limits { connect: CONNECT.min(within), statement: STATEMENT.min(within) };
        let late = || PostgresError::TimedOut { place: access.place(), what: "let us in", after: limits.connect };
        tokio::time::timeout(limits.connect, self.connect_to(access, limits)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect_to(&self, access: &PostgresAccess, limits: Limits) -> Result<PostgresSession, PostgresError> {
        let addresses = self.postgres_addresses(access).await?;
        if access.tls == PostgresTls::Disable && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(ConnectionError::PlainPostgres { host: access.host.clone() }.into());
        }
        let stream = TcpStream::connect(addresses.as_slice()).await;
        let stream = stream.map_err(|error| PostgresError::Unreachable { place: access.place(), why: chain(&error) })?;
        let stream = Bounded { stream, left: LARGEST };
        let mut config = Config::new();
        let password = access.password.as_ref().map(|password| password.expose_secret().to_owned());
        config.user(&access.user).dbname(&access.database).application_name("runsheet");
        config.options(format!("-c default_transaction_read_only=on -c statement_timeout={}", limits.statement.as_millis().max(1)));
        if let Some(password) = &password {
            config.password(password);
        }
        let password = password.unwrap_or_default();
        let failed = |error: &tokio_postgres::Error| classified(error, access.place(), &access.user, &password);
        let (client, driver) = if access.tls == PostgresTls::Disable {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|error| failed(&error))?;
            // How the connection ends is told to whoever waits for an answer.
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            config.ssl_mode(SslMode::Require);
            let (client, connection) = config.connect_raw(stream, Connector::of(access)?).await.map_err(|error| failed(&error))?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(PostgresSession { client, driver, place: access.place(), user: access.user.clone(), password, limit: limits.statement })
    }

    async fn postgres_addresses(&self, access: &PostgresAccess) -> Result<Vec<SocketAddr>, ConnectionError> {
        let host = access.host.trim_matches(['[', ']']);
        if let Some(address) = self.address_of(&access.host) {
            return Ok(vec![address]);
        }
        let loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if self.is_confined() && !loopback {
            return Err(ConnectionError::Confined { host: access.host.clone() });
        }
        let lookup = |why: String| ConnectionError::Lookup { host: access.host.clone(), why };
        let found: Vec<SocketAddr> = tokio::net::lookup_host((host, access.port)).await.map_err(|error| lookup(chain(&error)))?.collect();
        if found.is_empty() { Err(lookup("it has none".to_owned())) } else { Ok(found) }
    }
}

impl PostgresSession {
    /// The rows of one statement.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn rows(&self, statement: &str) -> Result<Vec<Row>, PostgresError> {
        // The server ends the statement by itself; this is for a server that does not answer at all.
        let after = self.limit + Duration::from_secs(1);
        let late = || PostgresError::TimedOut { place: self.place.clone(), what: "answer", after };
        let messages = match tokio::time::timeout(after, self.client.simple_query(statement)).await {
            Err(_) => return Err(late()),
            Ok(Err(error)) => return Err(classified(&error, self.place.clone(), &self.user, &self.password)),
            Ok(Ok(messages)) => messages,
        };
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }
}

/// What an error of the client is, by its cause.
fn classified(error: &tokio_postgres::Error, place: String, user: &str, password: &str) -> PostgresError {
    // A server can say anything, also what it was sent.
    let safe = |text: String| if password.is_empty() { text } else { text.replace(password, "[password]") };
    if let Some(refusal) = error.as_db_error() {
        let detail = refusal.detail().map(|detail| format!(" ({detail})")).unwrap_or_default();
        let why: String = safe(format!("{}{detail}", refusal.message())).chars().take(500).collect();
        let code = refusal.code().code().to_owned();
        return match code.as_str() {
            "28P01" | "28000" => PostgresError::Authentication { place, user: user.to_owned(), why },
            "3D000" => PostgresError::NoDatabase { place, why },
            "53300" => PostgresError::Exhausted { place, why },
            "57P01" | "57P02" | "57P03" => PostgresError::NotNow { place, why },
            _ => PostgresError::Refused { place, code, why },
        };
    }
    let why = safe(chain(error));
    // The client tells its kinds apart in its texts alone.
    let text = error.to_string();
    let told = |cause: &str| text.starts_with(cause);
    if told("error performing TLS handshake") {
        PostgresError::Tls { place, why: why.trim_start_matches("error performing TLS handshake: ").to_owned() }
    } else if told("invalid configuration") && why.contains("password missing") {
        let why = "it asks for a password, and the environment gives none".to_owned();
        PostgresError::Authentication { place, user: user.to_owned(), why }
    } else if told("authentication error") {
        PostgresError::Authentication { place, user: user.to_owned(), why }
    } else {
        PostgresError::Cut { place, why }
    }
}

/// A stream from which only so much is read.
struct Bounded {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            let why = format!("it sent more than {} MiB", LARGEST / 1024 / 1024);
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len() - before);
        read
    }
}

impl AsyncWrite for Bounded {
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

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
