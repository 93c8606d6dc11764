//! An environment as its file says it: where things are, where secrets come from, whom to notify.
//!
//! Must not hold a secret or a connection. Invariant: made only by the `playbook` module, from a file in which no mistake was found.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::duration::Span;
use super::notification::{Confirm, NotifyRule, SecretRef};

/// The name of the built-in environment, which no file may have.
pub const SANDBOX: &str = "sandbox";

/// A checked environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EnvironmentDefinition {
    /// `[a-z][a-z0-9-]*`, the same as its file's name.
    pub name: String,
    /// One line for people; may be empty.
    pub summary: String,
    /// Its file.
    pub file: PathBuf,
    /// How a run in it is confirmed.
    pub confirm: Confirm,
    /// Its cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesTarget>,
    /// Its database server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresTarget>,
    /// Where secrets come from, by name. These win over a playbook's own sources.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Whom to notify.
    pub notify: Vec<NotifyRule>,
    /// What playbooks read as `target.NAME`, beside `kubernetes` and `postgres`.
    pub values: Map<String, Value>,
}

/// Which credentials a cluster is reached with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterAccount {
    /// A context of a kubeconfig.
    Context {
        /// The context.
        name: String,
        /// The file, absolute; `None`: those of `KUBECONFIG`, else `~/.kube/config`.
        #[serde(skip_serializing_if = "Option::is_none")]
        kubeconfig: Option<PathBuf>,
    },
    /// The service account of the Pod that this program runs in.
    InCluster,
}

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KubernetesTarget {
    /// Which credentials it is reached with.
    pub account: ClusterAccount,
    /// Where steps act that name no namespace.
    pub namespace: String,
    /// The UID of its namespace `kube-system`: what it says it is.
    pub cluster_uid: String,
    /// The line of the file that says so, 1-based.
    pub cluster_uid_line: u32,
    /// The proxy; it wins over the kubeconfig's and the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<String>,
    /// How long a credential plugin of the kubeconfig may take.
    pub exec_timeout: Span,
}

/// How a connection to a database server is protected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PostgresTls {
    /// By TLS, with the server's certificate and name checked.
    #[default]
    VerifyFull,
    /// By TLS, with whatever certificate.
    Require,
    /// Not at all.
    Disable,
}

impl PostgresTls {
    /// As written in an environment's file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::VerifyFull => "verify-full",
            Self::Require => "require",
            Self::Disable => "disable",
        }
    }
}

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
    pub tls: PostgresTls,
    /// PEM certificates to be trusted, absolute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl EnvironmentDefinition {
    /// `target.*` in expressions: the values, and what playbooks need to know of the cluster and the database. Holds no secret.
    pub fn target_values(&self) -> Map<String, Value> {
        let mut values = self.values.clone();
        if let Some(kubernetes) = &self.kubernetes {
            values.insert("kubernetes".to_owned(), json!({ "namespace": kubernetes.namespace, "cluster": self.name }));
        }
        if let Some(postgres) = &self.postgres {
            let PostgresTarget { host, port, user, database, .. } = postgres;
            values.insert("postgres".to_owned(), json!({ "host": host, "port": port, "user": user, "database": database }));
        }
        values
    }
}
