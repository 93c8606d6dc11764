//! How a target's systems are reached.
//!
//! Invariant: a client is made when it is first needed, and shared; nothing here sends a request.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::credentials::CredentialsError;
use super::kubernetes::{KubeClient, KubernetesAccess};
use super::postgres::PostgresAccess;

/// The ways to a target's systems.
#[derive(Default)]
pub struct Connections {
    kubernetes: Option<KubernetesAccess>,
    pub(super) postgres: BTreeMap<String, PostgresAccess>,
    hosts: BTreeMap<String, SocketAddr>,
    confined: bool,
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
    /// A password would cross a network in plain text.
    #[error("{host} is another machine, and PostgreSQL is reached without TLS only on this machine")]
    PlainPostgres {
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
            Self::Kubernetes { .. } => "check the environment's cluster URL and certificates",
            Self::NoHost { .. } => "write an absolute URL: `https://HOST/PATH`",
            Self::Confined { .. } => "use a URL from `target.*`, or run it against an environment of its own",
            Self::Lookup { .. } => "check the host's name and this machine's DNS",
            Self::ServerName { .. } => "write a DNS name as `tls.server_name`",
            Self::CaFile { .. } => "name a readable file with PEM certificates as `tls.ca_file`",
            Self::NoPostgres { .. } => "write `database: ${{ target.postgres }}`, or add the server under `postgres:` to the environment",
            Self::PostgresValue { .. } => "write `database: ${{ target.postgres }}`, a map of host, port, user and database",
            Self::PlainPostgres { .. } => "set the environment's `tls` for this server to `verify-full` (or `require`)",
            Self::Client { .. } => "check that this machine has CA certificates (package `ca-certificates`), or name some as `tls.ca_file`",
        }
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
