//! PgBouncer, as an environment's file says where its instances are.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Value, json};

use super::TlsMode;
use crate::model::notification::SecretRef;

/// PgBouncer's own port.
pub const PGBOUNCER_PORT: u16 = 6432;
/// The database that its admin console has.
pub const CONSOLE: &str = "pgbouncer";

/// PgBouncer with all its instances, which share one configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PgBouncerTarget {
    /// Where its instances are.
    #[serde(flatten)]
    pub place: PgBouncerPlace,
    /// The user of the admin console.
    pub user: String,
    /// The database of the admin console: `pgbouncer`.
    pub database: String,
    /// Where the password comes from, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<SecretRef>,
    /// How the connection is protected.
    pub tls: TlsMode,
    /// PEM certificates to be trusted, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Where the instances are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PgBouncerPlace {
    /// At these hosts and ports, each an instance.
    Instances(Vec<HostPort>),
    /// Behind a Service of the cluster: every pod that it leads to is an instance.
    Service {
        /// The Service.
        name: String,
        /// Its namespace; the cluster's own (`kubernetes.namespace`) where there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// The port of each pod.
        port: u16,
    },
}

/// A host and a port: `HOST:PORT`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    /// The host, an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl HostPort {
    /// Reads `HOST`, `HOST:PORT` or `[ADDRESS]:PORT`; without a port it is `own`.
    pub fn parse(text: &str, own: u16) -> Option<Self> {
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':').or_else(|| rest.is_empty().then_some(""))?)
            }
            None => match text.rsplit_once(':') {
                Some((host, _)) if host.contains(':') => return None,
                Some((host, port)) if !port.is_empty() => (host, port),
                Some(_) => return None,
                None => (text, ""),
            },
        };
        let port = if port.is_empty() { own } else { port.parse().ok().filter(|port| *port > 0)? };
        let plain = |c: char| !c.is_whitespace() && !"/@?#,".contains(c);
        (!host.is_empty() && host.chars().all(plain)).then(|| Self { host: host.to_owned(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') { write!(f, "[{}]:{}", self.host, self.port) } else { write!(f, "{}:{}", self.host, self.port) }
    }
}

impl Serialize for HostPort {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl PgBouncerTarget {
    /// `target.pgbouncer` in expressions. Holds no secret.
    pub fn value(&self) -> Value {
        let Self { place, user, database, .. } = self;
        match place {
            PgBouncerPlace::Instances(instances) => json!({ "instances": instances, "user": user, "database": database }),
            PgBouncerPlace::Service { name, namespace, port } => {
                let mut value = json!({ "service": name, "port": port, "user": user, "database": database });
                if let Some(namespace) = namespace {
                    value["namespace"] = json!(namespace);
                }
                value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_a_port_are_read_and_written() {
        for (text, wanted) in [
            ("10.0.0.5:6433", Some("10.0.0.5:6433")),
            ("pgbouncer.example", Some("pgbouncer.example:6432")),
            ("[::1]:7000", Some("[::1]:7000")),
            ("[::1]", Some("[::1]:6432")),
            ("::1", None),
            ("", None),
            (":6432", None),
            ("host:", None),
            ("host:0", None),
            ("host:x", None),
            ("user@host:6432", None),
            ("a b", None),
        ] {
            let read = HostPort::parse(text, PGBOUNCER_PORT).map(|read| read.to_string());
            assert_eq!(read.as_deref(), wanted, "{text}");
        }
    }
}
