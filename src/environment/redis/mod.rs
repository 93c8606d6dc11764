//! How a Redis server is reached: which one a playbook's `target.redis` means, and with which credentials.
//!
//! Must not: send anything (the session does), nor show a password. Invariant: a playbook names a server by host and port, and never brings
//! credentials of its own: they are the environment's, for that server alone.

mod error;
mod session;

pub use error::RedisError;
pub use session::RedisSession;

use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::Value;

use super::connections::{ConnectionError, Connections};
use super::via::host_and_port;
use crate::model::environment::TlsMode;

/// Redis's own port.
pub const REDIS_PORT: u16 = 6379;

/// A Redis server, with one user.
#[derive(Clone, Debug)]
pub struct RedisAccess {
    /// The host, as `target.redis.host` names it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user; `default` where there is none.
    pub user: Option<String>,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM certificates to be trusted in the place of the machine's.
    pub ca_file: Option<PathBuf>,
    /// The password; none where the server asks for none.
    pub password: Option<SecretString>,
}

impl RedisAccess {
    /// What people are shown: `redis.production:6379`.
    pub fn place(&self) -> String {
        host_and_port(&self.host, self.port)
    }
}

/// What a playbook says of a server.
struct Asked<'a> {
    host: &'a str,
    port: u16,
    user: Option<&'a str>,
}

impl<'a> Asked<'a> {
    fn of(value: &'a Value) -> Result<Self, ConnectionError> {
        let wrong = |why: &str| ConnectionError::SystemValue { system: "redis", why: why.to_owned() };
        let map = value.as_object().ok_or_else(|| wrong("it is not a map"))?;
        if let Some(key) = map.keys().find(|key| !["host", "port", "user"].contains(&key.as_str())) {
            let key: String = key.chars().take(40).collect();
            return Err(wrong(&format!("it has a key `{key}`; only host, port and user belong there")));
        }
        let text = |key: &str| map.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
        let port = match map.get("port") {
            None | Some(Value::Null) => REDIS_PORT,
            Some(port) => {
                let port = port.as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
                port.ok_or_else(|| wrong("`port` is not a port"))?
            }
        };
        Ok(Self { host: text("host").ok_or_else(|| wrong("it names no `host`"))?, port, user: text("user") })
    }

    fn means(&self, access: &RedisAccess) -> bool {
        access.host.eq_ignore_ascii_case(self.host)
            && access.port == self.port
            && self.user.is_none_or(|user| access.user.as_deref() == Some(user))
    }
}

impl Connections {
    /// With this Redis server.
    #[must_use]
    pub fn with_redis(mut self, access: RedisAccess) -> Self {
        self.redis.push(access);
        self
    }

    /// The environment's access to the server that a playbook names, as `target.redis` does: a map of host, port (6379 where it is left out) and,
    /// where there are several, user.
    ///
    /// # Errors
    /// [`ConnectionError::SystemValue`], [`ConnectionError::NoSystem`]
    pub fn redis_for(&self, value: &Value) -> Result<RedisAccess, ConnectionError> {
        let asked = Asked::of(value)?;
        self.redis.iter().find(|access| asked.means(access)).cloned().ok_or_else(|| ConnectionError::NoSystem {
            system: "redis",
            asked: host_and_port(asked.host, asked.port),
            known: self.redis.iter().map(RedisAccess::place).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn access(host: &str, user: Option<&str>) -> RedisAccess {
        RedisAccess {
            host: host.to_owned(),
            port: REDIS_PORT,
            user: user.map(str::to_owned),
            tls: TlsMode::VerifyFull,
            ca_file: None,
            password: Some("hunter2".to_owned().into()),
        }
    }

    #[test]
    fn a_playbook_names_a_server_and_the_environment_brings_the_credentials() {
        let connections = Connections::new().with_redis(access("redis.example", None)).with_redis(access("redis.example", Some("b")));
        let find = |value: Value| connections.redis_for(&value);
        assert_eq!(find(json!({ "host": "Redis.example", "port": 6379, "user": "b" })).unwrap().user.as_deref(), Some("b"));
        let found = find(json!({ "host": "redis.example" })).unwrap();
        assert!(found.user.is_none() && !format!("{found:?} {connections:?}").contains("hunter2"));
        for other in [json!({ "host": "evil.example" }), json!({ "host": "redis.example", "port": 6380 })] {
            let error = find(other.clone()).unwrap_err();
            assert!(error.to_string().contains("it names redis.example:6379"), "{other}: {error}");
        }
    }

    #[test]
    fn an_ipv6_address_is_told_apart_from_its_port() {
        for host in ["::1", "[::1]"] {
            assert_eq!(access(host, None).place(), "[::1]:6379");
        }
    }

    #[test]
    fn what_names_no_server_is_refused() {
        for (value, text) in [
            (json!("redis://x"), "it is not a map"),
            (json!({}), "it names no `host`"),
            (json!({ "host": "x", "port": 0 }), "`port` is not a port"),
            (json!({ "host": "x", "password": "hunter2" }), "it has a key `password`"),
        ] {
            let error = Connections::new().redis_for(&value).unwrap_err().to_string();
            assert!(error.contains(text) && !error.contains("hunter2"), "{error}");
        }
    }
}
