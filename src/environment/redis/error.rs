//! Why a Redis server did not answer what was asked, by cause.
//!
//! Invariant: each cause has its own words and its own way out, and none repeats a password. A read that failed has had no effect.

use std::time::Duration;

use super::super::connections::ConnectionError;

/// Why there is no answer. `place` is `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no way to the server.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// Nobody listens there, or the network says no.
    #[error("no connection to Redis, {place}: {why}")]
    Unreachable {
        /// Which server.
        place: String,
        /// Why.
        why: String,
    },
    /// Nothing came in time.
    #[error("Redis, {place}, did not {what} within {} s", after.as_secs_f32())]
    TimedOut {
        /// Which server.
        place: String,
        /// `let us in`, `answer INFO`.
        what: String,
        /// The limit.
        after: Duration,
    },
    /// The TLS handshake failed.
    #[error("no TLS connection to Redis, {place}: {why}")]
    Tls {
        /// Which server.
        place: String,
        /// Why.
        why: String,
    },
    /// The server does not know who we are (`WRONGPASS`, `NOAUTH`).
    #[error("Redis, {place}, does not let the user {user} in: {why}")]
    Authentication {
        /// Which server.
        place: String,
        /// The user.
        user: String,
        /// The server's words.
        why: String,
    },
    /// The user may not ask this (`NOPERM`).
    #[error("Redis, {place}, does not let the user {user} ask {command}: {why}")]
    Forbidden {
        /// Which server.
        place: String,
        /// The user.
        user: String,
        /// What was asked.
        command: &'static str,
        /// The server's words.
        why: String,
    },
    /// It is loading its data, busy, full of clients, or its master is away.
    #[error("Redis, {place}, answers nobody now: {why}")]
    NotNow {
        /// Which server.
        place: String,
        /// The server's words.
        why: String,
    },
    /// It answered with another error.
    #[error("Redis, {place}, answered {command} with an error: {why}")]
    Refused {
        /// Which server.
        place: String,
        /// What was asked.
        command: &'static str,
        /// The server's words.
        why: String,
    },
    /// What came is no answer of a Redis server.
    #[error("what answers at {place} is no Redis server: {why}")]
    Garbled {
        /// Where.
        place: String,
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended in the middle.
    #[error("the connection to Redis, {place}, was cut: {why}")]
    Cut {
        /// Which server.
        place: String,
        /// How.
        why: String,
    },
}

impl RedisError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Connection(error) => error.hint(),
            Self::Unreachable { .. } => "check that the server is up and reachable from here: `redis-cli -h HOST -p PORT PING`",
            Self::TimedOut { .. } => {
                "a firewall drops what it does not let through, and a slow command holds up all others (`redis-cli SLOWLOG GET`)"
            }
            Self::Tls { .. } => {
                "check the environment's `tls` and `ca_file` for this server, and that the certificate is for the host that is named"
            }
            Self::Authentication { .. } => {
                "check the user and the password of this environment (`runsheet environment check` tells what its source lacks)"
            }
            Self::Forbidden { .. } => "let the user ask it: `ACL SETUSER NAME +info +ping`",
            Self::NotNow { .. } => "try it again when the server is up",
            Self::Refused { .. } => "the server's log says more",
            Self::Garbled { .. } => "check `host`, `port` and `tls` of `redis` in the environment",
            Self::Cut { .. } => {
                "try it again; a server that speaks TLS cuts whoever does not: check `tls` in the environment, and the server's log"
            }
        }
    }

    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Connection(error) => error.is_transient(),
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NotNow { .. } | Self::Cut { .. } => true,
            Self::Tls { .. } | Self::Authentication { .. } | Self::Forbidden { .. } | Self::Refused { .. } | Self::Garbled { .. } => false,
        }
    }
}
