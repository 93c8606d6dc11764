//! A PostgreSQL server, as an environment's file says where it is.

use std::path::PathBuf;

use serde::Serialize;

use super::TlsMode;
use crate::model::notification::SecretRef;

/// A PostgreSQL server and a database of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PostgresTarget {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database.
    pub database: String,
    /// The user.
    pub user: String,
    /// Where the password comes from, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM certificates to be trusted, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}
