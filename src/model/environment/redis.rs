//! A Redis server, as an environment's file says where it is.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::TlsMode;
use crate::model::notification::SecretRef;

/// A Redis server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RedisTarget {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The user of its access control list; the server's `default` where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Where the password comes from, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM certificates to be trusted, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl RedisTarget {
    /// `target.redis` in expressions.
    pub(super) fn value(&self) -> Value {
        let mut value = json!({ "host": self.host, "port": self.port });
        if let Some(user) = &self.user {
            value["user"] = json!(user);
        }
        value
    }
}
