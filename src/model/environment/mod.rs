//! An environment as its file says it: where things are, where secrets come from, whom to notify.
//!
//! Must not hold a secret or a connection. Invariant: made only by the `playbook` module, from a file in which no mistake was found.

mod argocd;
mod aws;
mod pgbouncer;
mod postgres;
mod prometheus;
mod rabbitmq;
mod redis;
mod tls;
mod via;

pub use argocd::ArgoCdTarget;
pub use aws::AwsTarget;
pub use pgbouncer::{CONSOLE, HostPort, PGBOUNCER_PORT, PgBouncerPlace, PgBouncerTarget};
pub use postgres::PostgresTarget;
pub use prometheus::{PrometheusLogin, PrometheusTarget};
pub use rabbitmq::RabbitmqTarget;
pub use redis::RedisTarget;
pub use tls::TlsMode;
pub use via::{ForwardEnd, PortName, Via, Way};

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::model::duration::Span;
use crate::model::notification::{Confirm, NotifyRule, SecretRef};

/// The name of the built-in environment, which no file may have.
pub const SANDBOX: &str = "sandbox";
/// The keys of a file that playbooks read as `target.KEY`, beside its `values`: the systems.
pub const SYSTEMS: &[&str] = &["kubernetes", "argocd", "aws", "postgres", "pgbouncer", "prometheus", "rabbitmq", "redis"];

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
    /// Its Argo CD, where the file says where that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub argocd: Option<ArgoCdTarget>,
    /// Its AWS account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aws: Option<AwsTarget>,
    /// Its database server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres: Option<PostgresTarget>,
    /// Its Prometheus server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<PrometheusTarget>,
    /// Its RabbitMQ cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rabbitmq: Option<RabbitmqTarget>,
    /// Its Redis server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisTarget>,
    /// Its connection pooler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pgbouncer: Option<PgBouncerTarget>,
    /// The ways to what cannot be reached from here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub via: Vec<Via>,
    /// Where secrets come from, by name. These win over a playbook's own sources.
    pub secrets: BTreeMap<String, SecretRef>,
    /// Whom to notify.
    pub notify: Vec<NotifyRule>,
    /// What playbooks read as `target.NAME`, beside the [`SYSTEMS`].
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

impl EnvironmentDefinition {
    /// Where the passwords and tokens of its systems come from, each by its place in the file (`postgres.password`).
    pub fn credentials(&self) -> Vec<(&'static str, &SecretRef)> {
        let mut all = Vec::new();
        all.extend(self.postgres.iter().flat_map(|postgres| &postgres.password).map(|source| ("postgres.password", source)));
        all.extend(self.redis.iter().flat_map(|redis| &redis.password).map(|source| ("redis.password", source)));
        all.extend(self.rabbitmq.iter().map(|rabbitmq| ("rabbitmq.password", &rabbitmq.password)));
        all.extend(self.prometheus.iter().filter_map(PrometheusTarget::credential));
        all.extend(self.pgbouncer.iter().flat_map(|pooler| &pooler.password).map(|source| ("pgbouncer.password", source)));
        all
    }

    /// `target.*` in expressions: the values, and what playbooks need to know of the cluster and the database. Holds no secret.
    pub fn target_values(&self) -> Map<String, Value> {
        let mut values = self.values.clone();
        if let Some(kubernetes) = &self.kubernetes {
            values.insert("kubernetes".to_owned(), json!({ "namespace": kubernetes.namespace, "cluster": self.name }));
        }
        if self.kubernetes.is_some() || self.argocd.is_some() {
            let ArgoCdTarget { namespace } = self.argocd.clone().unwrap_or_default();
            values.insert("argocd".to_owned(), json!({ "namespace": namespace }));
        }
        if let Some(aws) = &self.aws {
            values.insert("aws".to_owned(), json!({ "region": aws.region, "account": aws.account }));
        }
        if let Some(postgres) = &self.postgres {
            let PostgresTarget { host, port, user, database, .. } = postgres;
            values.insert("postgres".to_owned(), json!({ "host": host, "port": port, "user": user, "database": database }));
        }
        if let Some(redis) = &self.redis {
            values.insert("redis".to_owned(), redis.value());
        }
        if let Some(rabbitmq) = &self.rabbitmq {
            values.insert("rabbitmq".to_owned(), json!({ "url": rabbitmq.url }));
        }
        if let Some(prometheus) = &self.prometheus {
            values.insert("prometheus".to_owned(), json!({ "url": prometheus.url }));
        }
        if let Some(pooler) = &self.pgbouncer {
            values.insert("pgbouncer".to_owned(), pooler.value());
        }
        values
    }
}
