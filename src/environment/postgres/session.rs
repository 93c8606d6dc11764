//! A session with a PostgreSQL server, or with PgBouncer's admin console.
//!
//! Must not write by itself: a session is for reading, and the server is told to refuse writes, unless it was asked for to write. Invariant: getting in and each statement have an end, and a session takes
//! bounded memory; the connection is closed when the session is dropped.

use std::collections::BTreeMap;
use std::io;
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
use super::super::via::{Reach, host_and_port};
use super::error::PostgresError;
use super::tls::Connector;
use super::{PostgresAccess, TlsMode};

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

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose<'a> {
    /// To read: the server refuses writes.
    Reads,
    /// To write.
    Writes,
    /// To talk to PgBouncer itself, which takes no `options`.
    Console {
        /// The name that its certificate is for, where that is not the host.
        server_name: Option<&'a str>,
    },
}

/// A session.
pub struct PostgresSession {
    client: tokio_postgres::Client,
    driver: JoinHandle<()>,
    /// `PostgreSQL, DATABASE at HOST:PORT`
    place: String,
    user: String,
    password: String,
    limit: Duration,
    reach: Reach,
}

impl Drop for PostgresSession {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// One row: the columns as texts, `None` for null.
pub type Row = Vec<Option<String>>;
/// One row by the names of its columns, without those that are null.
pub type NamedRow = BTreeMap<String, String>;

impl Connections {
    /// A session with this server. `within` bounds what it may take, where that is less than 5 s to get in and 10 s for each statement.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn postgres_session(&self, access: &PostgresAccess, within: Duration) -> Result<PostgresSession, PostgresError> {
        let limits = Limits { connect: CONNECT.min(within), statement: STATEMENT.min(within) };
        self.session_for(Purpose::Reads, access, limits).await
    }

    /// A session for one statement that may take as long as `statement`; `writes`: the server lets it write.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub(crate) async fn postgres_statement(
        &self,
        access: &PostgresAccess,
        writes: bool,
        statement: Duration,
    ) -> Result<PostgresSession, PostgresError> {
        let purpose = if writes { Purpose::Writes } else { Purpose::Reads };
        self.session_for(purpose, access, Limits { connect: CONNECT, statement }).await
    }

    /// A session with the admin console of PgBouncer.
    pub(in crate::environment) async fn console_session(
        &self,
        access: &PostgresAccess,
        server_name: Option<&str>,
        within: Duration,
    ) -> Result<PostgresSession, PostgresError> {
        let limits = Limits { connect: CONNECT.min(within), statement: STATEMENT.min(within) };
        self.session_for(Purpose::Console { server_name }, access, limits).await
    }

    async fn session_for(&self, purpose: Purpose<'_>, access: &PostgresAccess, limits: Limits) -> Result<PostgresSession, PostgresError> {
        let late = || PostgresError::TimedOut { place: purpose.place(access), what: "let us in", after: limits.connect };
        tokio::time::timeout(limits.connect, self.connect_to(purpose, access, limits)).await.unwrap_or_else(|_| Err(late()))
    }

    async fn connect_to(&self, purpose: Purpose<'_>, access: &PostgresAccess, limits: Limits) -> Result<PostgresSession, PostgresError> {
        let place = purpose.place(access);
        let reach = self.reach_within(&access.host, access.port, limits.connect).await?;
        // The way to a pod or through another machine is protected by itself, as far as it goes.
        let addresses = reach.addresses().await?;
        if access.tls == TlsMode::Disable && !addresses.iter().all(|address| address.ip().is_loopback()) {
            return Err(ConnectionError::PlainPostgres { host: access.host.clone() }.into());
        }
        let stream = TcpStream::connect(addresses.as_slice()).await;
        let stream = stream.map_err(|error| PostgresError::Unreachable { place: place.clone(), why: chain(&error) })?;
        let stream = Bounded { stream, left: LARGEST };
        let mut config = Config::new();
        let password = access.password.as_ref().map(|password| password.expose_secret().to_owned());
        config.user(&access.user).dbname(&access.database).application_name("runsheet");
        let timeout = limits.statement.as_millis().max(1);
        let _ = match purpose {
            Purpose::Reads => config.options(format!("-c default_transaction_read_only=on -c statement_timeout={timeout}")),
            Purpose::Writes => config.options(format!("-c statement_timeout={timeout}")),
            // By which name it was reached is seen in its list of clients, where several lead to it.
            Purpose::Console { .. } => config.application_name(format!("runsheet at {}:{}", access.host, access.port)),
        };
        if let Some(password) = &password {
            config.password(password);
        }
        let password = password.unwrap_or_default();
        let failed = |error: &tokio_postgres::Error| match reach.failure() {
            Some(failure) => failure.into(),
            None => classified(error, place.clone(), &access.user, &password),
        };
        let (client, driver) = if access.tls == TlsMode::Disable {
            config.ssl_mode(SslMode::Disable);
            let (client, connection) = config.connect_raw(stream, NoTls).await.map_err(|error| failed(&error))?;
            // How the connection ends is told to whoever waits for an answer.
            (client, tokio::spawn(async move { drop(connection.await) }))
        } else {
            config.ssl_mode(SslMode::Require);
            let (client, connection) =
                config.connect_raw(stream, Connector::of(access, purpose.server_name())?).await.map_err(|error| failed(&error))?;
            (client, tokio::spawn(async move { drop(connection.await) }))
        };
        Ok(PostgresSession { client, driver, place, user: access.user.clone(), password, limit: limits.statement, reach })
    }
}

impl Purpose<'_> {
    fn server_name(&self) -> Option<&str> {
        match self {
            Self::Reads | Self::Writes => None,
            Self::Console { server_name } => *server_name,
        }
    }

    fn place(self, access: &PostgresAccess) -> String {
        match self {
            Self::Reads | Self::Writes => format!("PostgreSQL, {}", access.place()),
            Self::Console { .. } => format!("PgBouncer at {}", host_and_port(&access.host, access.port)),
        }
    }
}

impl PostgresSession {
    /// The rows of one statement.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn rows(&self, statement: &str) -> Result<Vec<Row>, PostgresError> {
        let messages = self.ask(statement).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        });
        Ok(rows.collect())
    }

    /// The same by the names of the columns, which differ in number and order from version to version; null is left out.
    ///
    /// # Errors
    /// [`PostgresError`]
    pub async fn named_rows(&self, statement: &str) -> Result<Vec<NamedRow>, PostgresError> {
        let messages = self.ask(statement).await?;
        let rows = messages.iter().filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                let cells = row.columns().iter().enumerate();
                Some(cells.filter_map(|(at, column)| Some((column.name().to_owned(), row.get(at)?.to_owned()))).collect())
            }
            _ => None,
        });
        Ok(rows.collect())
    }

    /// One statement by the simple protocol.
    async fn ask(&self, statement: &str) -> Result<Vec<SimpleQueryMessage>, PostgresError> {
        // The server ends the statement by itself; this is for a server that does not answer at all.
        let after = self.limit + Duration::from_secs(1);
        let late = || PostgresError::TimedOut { place: self.place.clone(), what: "answer", after };
        match tokio::time::timeout(after, self.client.simple_query(statement)).await {
            Err(_) => Err(late()),
            Ok(Err(error)) => Err(self.classified(&error)),
            Ok(Ok(messages)) => Ok(messages),
        }
    }

    fn classified(&self, error: &tokio_postgres::Error) -> PostgresError {
        match self.reach.failure() {
            // A statement may have been on its way.
            Some(failure) => PostgresError::Cut { place: self.place.clone(), why: failure.to_string() },
            None => classified(error, self.place.clone(), &self.user, &self.password),
        }
    }

    /// The same, without the session.
    pub(super) fn classifier(&self) -> impl Fn(&tokio_postgres::Error) -> PostgresError + use<> {
        let (place, user, password) = (self.place.clone(), self.user.clone(), self.password.clone());
        move |error| classified(error, place.clone(), &user, &password)
    }

    pub(super) fn place(&self) -> &str {
        &self.place
    }

    pub(super) fn client_mut(&mut self) -> &mut tokio_postgres::Client {
        &mut self.client
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
            // What PgBouncer says is told apart by its texts alone.
            "08P01" if why.contains("password authentication failed") || why.contains("not allowed") || why.contains("no such user") => {
                PostgresError::Authentication { place, user: user.to_owned(), why }
            }
            "08P01" if why.contains("no more connections allowed") => PostgresError::Exhausted { place, why },
            "08P01" if why.contains("no such database") => PostgresError::NoDatabase { place, why },
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
