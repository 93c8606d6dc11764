//! How a target's systems are reached.
//!
//! Invariant: a client is made when it is first needed, and shared; nothing here sends a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use super::aws::{Aws, AwsAccess};
use super::credentials::CredentialsError;
use super::http_api::ApiAccess;
use super::kubernetes::{KubeClient, KubernetesAccess};
use super::pgbouncer::PgBouncerAccess;
use super::postgres::PostgresAccess;
use super::redis::RedisAccess;
use super::via::ViaError;
use crate::model::environment::Via;

/// The ways to a target's systems.
#[derive(Default)]
pub struct Connections {
    kubernetes: Option<KubernetesAccess>,
    pub(super) postgres: BTreeMap<String, PostgresAccess>,
    pub(super) aws: Option<AwsAccess>,
    pub(super) aws_made: OnceLock<Aws>,
    pub(super) hosts: BTreeMap<String, SocketAddr>,
    pub(super) via: Vec<Via>,
    pub(super) confined: bool,
    pub(super) redis: Vec<RedisAccess>,
    pub(super) apis: Vec<ApiAccess>,
    pub(super) pgbouncer: Option<PgBouncerAccess>,
    kube: Mutex<Option<KubeClient>>,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections")
            .field("kubernetes", &self.kubernetes.as_ref().map(KubernetesAccess::url))
            .field("hosts", &self.hosts)
            .field("confined", &self.confined)
            .finish_non_exhaustive()
    }
}

/// Why something cannot be reached, before anything was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectionError {
    /// The environment has no cluster.
    #[error("the environment names no Kubernetes cluster")]
    NoKubernetes,
    /// A client for the cluster cannot be made.
    #[error("no client for the Kubernetes API at {url}: {why}")]
    Kubernetes {
        /// The cluster's URL.
        url: String,
        /// Why.
        why: String,
    },
    /// A URL names no host.
    #[error("the URL `{url}` names no host")]
    NoHost {
        /// The URL.
        url: String,
    },
    /// The environment is confined to its own hosts, and this is not one.
    #[error("{host} is not part of this environment, which reaches only its own hosts and loopback")]
    Confined {
        /// The host.
        host: String,
    },
    /// A host's name has no address.
    #[error("no address found for {host}: {why}")]
    Lookup {
        /// The host.
        host: String,
        /// Why.
        why: String,
    },
    /// The way that the environment names for a host does not lead there.
    #[error("no way to {host} by {way}: {error}")]
    Via {
        /// The host and port.
        host: String,
        /// The way: `k8s:production/service/ticket-service:80`.
        way: String,
        /// Why.
        error: Box<ViaError>,
    },
    /// The TLS server name is not a name.
    #[error("`{name}` is not a host name that a certificate could be checked against")]
    ServerName {
        /// As written.
        name: String,
    },
    /// The certificates to be trusted cannot be read.
    #[error("the certificates in {} cannot be used: {why}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The environment has no AWS account.
    #[error("the environment names no AWS account")]
    NoAws,
    /// The environment knows no such PostgreSQL server.
    #[error("the environment names no PostgreSQL server {asked}{}", known_servers(known))]
    NoPostgres {
        /// What the playbook asks for: `DATABASE at HOST:PORT`.
        asked: String,
        /// Those that it names.
        known: Vec<String>,
    },
    /// A playbook names a PostgreSQL server in a way that says nothing.
    #[error("this names no PostgreSQL server: {why}")]
    PostgresValue {
        /// Why.
        why: String,
    },
    /// The environment has no PgBouncer, or another one than the playbook names.
    #[error("{why}")]
    NoPgBouncer {
        /// In words.
        why: String,
    },
    /// A password would cross a network in plain text.
    #[error("{host} is another machine, and PostgreSQL and PgBouncer are reached without TLS only on this machine")]
    PlainPostgres {
        /// The host.
        host: String,
    },
    /// The environment knows no such server of this system (a key of its file).
    #[error("the environment names no {system} server {asked}{}", known_servers(known))]
    NoSystem {
        /// The system's key: `redis`.
        system: &'static str,
        /// What the playbook asks for.
        asked: String,
        /// Those that it names.
        known: Vec<String>,
    },
    /// A playbook names a system's server in a way that says nothing.
    #[error("this names no {system} server: {why}")]
    SystemValue {
        /// The system's key: `redis`.
        system: &'static str,
        /// Why.
        why: String,
    },
    /// A password would cross a network in plain text.
    #[error("{host} is another machine, and the password for {system} would cross the network in plain text")]
    PlainSystem {
        /// The system, as people call it.
        system: &'static str,
        /// The host.
        host: String,
    },
    /// An HTTP client cannot be made.
    #[error("no HTTP client could be made: {why}")]
    Client {
        /// Why.
        why: String,
    },
}

fn known_servers(known: &[String]) -> String {
    if known.is_empty() { String::new() } else { format!("; it names {}", known.join(", ")) }
}

impl ConnectionError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoKubernetes => "run it against an environment that has a cluster",
            Self::NoAws => "run it against an environment that has an account: `aws: { region: …, account: … }`",
            Self::Kubernetes { .. } => "check the environment's cluster URL and certificates",
            Self::NoHost { .. } => "write an absolute URL: `https://HOST/PATH`",
            Self::Confined { .. } => "use a URL from `target.*`, or run it against an environment of its own",
            Self::Lookup { .. } => "check the host's name and this machine's DNS",
            Self::Via { error, .. } => error.hint(),
            Self::ServerName { .. } => "write a DNS name as `tls.server_name`",
            Self::CaFile { .. } => "name a readable file with PEM certificates as `tls.ca_file`",
            Self::NoPostgres { .. } => "write `database: ${{ target.postgres }}`, or add the server under `postgres:` to the environment",
            Self::PostgresValue { .. } => "write `database: ${{ target.postgres }}`, a map of host, port, user and database",
            Self::NoPgBouncer { .. } => {
                "write `${{ target.pgbouncer }}`, and name the pooler's instances under `pgbouncer:` in the environment"
            }
            Self::PlainPostgres { .. } => "set the environment's `tls` for this server to `verify-full` (or `require`)",
            Self::NoSystem { .. } => {
                "name the server by `${{ target.NAME }}`, or add it under its own key to the environment (`redis:`, `rabbitmq:`, `prometheus:`)"
            }
            Self::SystemValue { .. } => "leave `server` out, or name it by `${{ target.NAME }}`: the environment brings the credentials",
            Self::PlainSystem { .. } => "use TLS: an `https://` URL, or `tls: verify-full` where there is no URL",
            Self::Client { .. } => "check that this machine has CA certificates (package `ca-certificates`), or name some as `tls.ca_file`",
        }
    }
}

impl ConnectionError {
    /// Whether trying again can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Lookup { .. } => true,
            Self::Via { error, .. } => error.is_transient(),
            _ => false,
        }
    }

    /// Whether something may have been sent all the same: only where a way broke down.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Via { error, .. } if error.may_have_arrived())
    }
}

impl Connections {
    /// No cluster, and every host as this machine resolves it.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this cluster.
    #[must_use]
    pub fn with_kubernetes(mut self, access: KubernetesAccess) -> Self {
        self.kubernetes = Some(access);
        self
    }

    /// With this host's name leading to an address, whatever DNS says.
    #[must_use]
    pub fn with_host(mut self, host: impl Into<String>, address: SocketAddr) -> Self {
        self.hosts.insert(host.into().to_ascii_lowercase(), address);
        self
    }

    /// Reaching its own hosts and loopback, and nothing else.
    #[must_use]
    pub fn confined(mut self) -> Self {
        self.confined = true;
        self
    }

    /// Whether only its own hosts and loopback are reached.
    pub fn is_confined(&self) -> bool {
        self.confined
    }

    /// The address that a host's name leads to, where the environment says.
    pub fn address_of(&self, host: &str) -> Option<SocketAddr> {
        self.hosts.get(&host.to_ascii_lowercase()).copied()
    }

    /// The hosts' names that lead to an address of their own.
    pub fn hosts(&self) -> impl Iterator<Item = (&str, SocketAddr)> {
        self.hosts.iter().map(|(host, address)| (host.as_str(), *address))
    }

    /// The cluster, where there is one.
    pub fn kubernetes(&self) -> Option<&KubernetesAccess> {
        self.kubernetes.as_ref()
    }

    /// The cluster's client: made at the first call, which must be within a Tokio runtime, and shared.
    ///
    /// # Errors
    /// [`ConnectionError::NoKubernetes`], [`ConnectionError::Kubernetes`]
    pub fn kube_client(&self) -> Result<kube::Client, ConnectionError> {
        self.kube().map(|kube| kube.client)
    }

    /// Gets the credentials for the cluster, where they have to be asked for: a plugin may take longer than any request does.
    ///
    /// # Errors
    /// As [`kube_client`](Self::kube_client), and why there are no credentials.
    pub async fn log_in(&self) -> Result<Result<(), CredentialsError>, ConnectionError> {
        match self.kube()?.fresh {
            Some(fresh) => Ok(fresh.client().await.map(drop)),
            None => Ok(Ok(())),
        }
    }

    fn kube(&self) -> Result<KubeClient, ConnectionError> {
        let access = self.kubernetes.as_ref().ok_or(ConnectionError::NoKubernetes)?;
        let mut made = self.kube.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kube) = &*made {
            return Ok(kube.clone());
        }
        let kube = access.client().map_err(|why| ConnectionError::Kubernetes { url: access.url().to_owned(), why })?;
        *made = Some(kube.clone());
        Ok(kube)
    }
}
