//! Why a PostgreSQL server did not answer what was asked, by cause.
//!
//! Invariant: each cause has its own words and its own way out, and none repeats a password. A read that failed has had no effect.

use std::time::Duration;

use super::super::connections::ConnectionError;

/// Why there is no answer. `place` is `PostgreSQL, DATABASE at HOST:PORT` or `PgBouncer at HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// There is no way to the server.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nobody listens there, or the network says no.
    #[error("no connection to {place}: {why}")]
    Unreachable {
        /// Which server.
        place: String,
        /// Why.
        why: String,
    },
    /// Nothing came in time.
    #[error("{place}, did not {what} within {} s", after.as_secs_f32())]
    TimedOut {
        /// Which server.
        place: String,
        /// `let us in`, `answer`.
        what: &'static str,
        /// The limit.
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to {place}: {why}")]
    Tls {
        /// Which server.
        place: String,
        /// Why.
        why: String,
    },
    /// The server does not know who we are (28P01, 28000), or wants a password and has been given none.
    #[error("{place}, does not let the user {user} in: {why}")]
    Authentication {
        /// Which server.
        place: String,
        /// The user.
        user: String,
        /// The server's words.
        why: String,
    },
    /// There is no such database (3D000).
    #[error("{place}, has no such database: {why}")]
    NoDatabase {
        /// Which server.
        place: String,
        /// The server's words.
        why: String,
    },
    /// No connection is left (53300).
    #[error("{place}: the server has no connection left, and that is the exhaustion itself: {why}")]
    Exhausted {
        /// Which server.
        place: String,
        /// The server's words.
        why: String,
    },
    /// It is starting up, shutting down or recovering (class 57P).
    #[error("{place}, takes nobody now: {why}")]
    NotNow {
        /// Which server.
        place: String,
        /// The server's words.
        why: String,
    },
    /// It answered with another error.
    #[error("{place}, answered with an error ({code}): {why}")]
    Refused {
        /// Which server.
        place: String,
        /// SQLSTATE.
        code: String,
        /// The server's words.
        why: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to {place}, was cut: {why}")]
    Cut {
        /// Which server.
        place: String,
        /// How.
        why: String,
    },
}

impl PostgresError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.hint(),
            Self::Unreachable { .. } => "check that the server is up and reachable from here: `pg_isready -h HOST -p PORT`",
            Self::TimedOut { .. } => "check the network between here and the server (a firewall drops what it does not let through)",
            Self::Tls { .. } => {
                "check the environment's `tls` and `ca_file` for this server, and that the certificate is for the host that is named"
            }
            Self::Authentication { .. } => {
                "check the user and the password of this environment (`runsheet environment check` tells what its source lacks), and the server's \
                 pg_hba.conf (PgBouncer's `admin_users` and `stats_users`)"
            }
            Self::NoDatabase { .. } => "check the database's name in the environment: `psql -l` lists them",
            Self::Exhausted { .. } => {
                "close what can be closed: `SELECT pid, datname, usename, client_addr, state FROM pg_stat_activity` as a superuser, for whom \
                 connections are reserved"
            }
            Self::NotNow { .. } => "try it again when the server is up",
            Self::Refused { .. } => "the server's log says more",
            Self::Cut { .. } => "try it again; the server's log says who ended the connection",
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_transient(),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::Exhausted { .. } | Self::NotNow { .. } | Self::Cut { .. } => true,
            Self::Tls { .. } | Self::Authentication { .. } | Self::NoDatabase { .. } | Self::Refused { .. } => false,
        }
    }
}
