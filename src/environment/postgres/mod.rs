//! How a PostgreSQL server is reached: which one a playbook's `target.postgres` means, and with which credentials.
//!
//! Must not: send anything (the session does), nor show a password. Invariant: a playbook names a server by host, port and database, and never
//! brings credentials of its own: they are the environment's, for that server alone.

mod cell;
mod error;
mod session;
#[cfg(test)]
pub(crate) mod stand_in;
mod statement;
mod tls;

pub use error::PostgresError;
pub use session::{NamedRow, PostgresSession};
pub(crate) use statement::{Statement, StatementError};

pub use crate::model::environment::TlsMode;

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::Value;

use super::connections::{ConnectionError, Connections};
use super::via::host_and_port;

/// PostgreSQL's own port.
pub const POSTGRES_PORT: u16 = 5432;

/// A PostgreSQL server, with one database and one user.
#[derive(Clone, Debug)]
pub struct PostgresAccess {
    /// The host, as `target.postgres.host` names it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The database.
    pub database: String,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM certificates to be trusted in the place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// The password; none where the server asks for none.
    pub password: Option<SecretString>,
}

impl PostgresAccess {
    /// What people are shown: `tickettoken at postgres.production:5432`.
    pub fn place(&self) -> String {
        format!("{} at {}", self.database, host_and_port(&self.host, self.port))
    }
}

/// What a playbook says of a server.
struct Asked<'a> {
    host: &'a str,
    port: u16,
    database: &'a str,
    user: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(value: &'a Value) -> Result<Self, ConnectionError> {
        let wrong = |why: &str| ConnectionError::PostgresValue { why: why.to_owned() };
        let map = value.as_object().ok_or_else(|| wrong("it is not a map"))?;
        if let Some(key) = map.keys().find(|key| !["host", "port", "user", "database"].contains(&key.as_str())) {
            let key: String = key.chars().take(40).collect();
            return Err(wrong(&format!("it has a key `{key}`; only host, port, user and database belong there")));
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let port = match map.get("port") {
            None | Some(Value::Null) => POSTGRES_PORT,
            Some(port) => {
                let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
                port.ok_or_else(|| wrong("`port` is not a port"))?
            }
        };
        Ok(Self {
            host: text("host").ok_or_else(|| wrong("it names no `host`"))?,
            port,
            database: text("database").ok_or_else(|| wrong("it names no `database`"))?,
            user: text("user"),
        })
    }

    fn means(&self, access: &PostgresAccess) -> bool {
        access.host.eq_ignore_ascii_case(self.host)
            && access.port == self.port
            && access.database == self.database
            && self.user.is_none_or(|user| access.user == user)
    }
}

impl Connections {
    /// With this PostgreSQL server, under the name that the environment gives it.
    #[must_use]
    pub fn with_postgres(mut self, name: impl Into<String>, access: PostgresAccess) -> Self {
        self.postgres.insert(name.into(), access);
        self
    }

    /// The environment's access to the server that a playbook names, as `target.postgres` does: a map of host, port (5432 where it is left
    /// out), database and, where there are several, user.
    ///
    /// # Errors
    /// [`ConnectionError::PostgresValue`], [`ConnectionError::NoPostgres`]
    pub fn postgres_for(&self, value: &Value) -> Result<PostgresAccess, ConnectionError> {
        let asked = Asked::of(value)?;
        self.postgres.values().find(|access| asked.means(access)).cloned().ok_or_else(|| ConnectionError::NoPostgres {
            asked: format!("{} at {}", asked.database, host_and_port(asked.host, asked.port)),
            known: self.postgres.values().map(PostgresAccess::place).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(host: &str, user: &str) -> PostgresAccess {
        PostgresAccess {
            host: host.to_owned(),
            port: 5432,
            user: user.to_owned(),
            database: "tickettoken".to_owned(),
            tls: TlsMode::VerifyFull,
            ca_file: None,
            password: Some("hunter2".to_owned().into()),
        }
    }

    #[test]
    fn a_playbook_names_a_server_and_the_environment_brings_the_credentials() {
        let connections =
            Connections::new().with_postgres("main", access("db.example", "a")).with_postgres("other", access("db.example", "b"));
        let find = |value: Value| connections.postgres_for(&value);
        let found = find(json!({ "host": "DB.example", "port": 5432, "user": "b", "database": "tickettoken" })).unwrap();
        assert_eq!(found.user, "b");
        assert_eq!(find(json!({ "host": "db.example", "database": "tickettoken" })).unwrap().user, "a");
        assert!(!format!("{found:?} {connections:?}").contains("hunter2"));
        for other in [
            json!({ "host": "evil.example", "database": "tickettoken" }),
            json!({ "host": "db.example", "port": 5433, "database": "tickettoken" }),
            json!({ "host": "db.example", "database": "postgres" }),
            json!({ "host": "db.example", "database": "tickettoken", "user": "c" }),
        ] {
            let error = find(other.clone()).unwrap_err();
            assert!(matches!(error, ConnectionError::NoPostgres { .. }), "{other}: {error}");
            assert!(error.to_string().contains("tickettoken at db.example:5432"), "what there is, is named: {error}");
        }
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for (value, text) in [
            (json!("postgres://x"), "it is not a map"),
            (json!({}), "it names no `host`"),
            (json!({ "host": "x" }), "it names no `database`"),
            (json!({ "host": "x", "database": "y", "port": 0 }), "`port` is not a port"),
            (json!({ "host": "x", "database": "y", "port": "5432" }), "`port` is not a port"),
            (json!({ "host": "x", "database": "y", "password": "hunter2" }), "it has a key `password`"),
        ] {
            let error = Connections::new().postgres_for(&value).unwrap_err().to_string();
            assert!(error.contains(text) && !error.contains("hunter2"), "{error}");
        }
    }
}
