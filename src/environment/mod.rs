//! Targets: what they say they are, how they are reached, where their secrets come from, and how a secret is kept out of every text.
//!
//! Architecture invariant: nothing here changes anything on a target; the only requests made are reads of its identity. Nothing here writes
//! a secret's value anywhere, `Debug` included.

pub(crate) mod aws;
mod brokers;
mod connections;
mod credentials;
mod exec_plugin;
mod http;
mod http_api;
mod identity;
mod kubeconfig;
mod kubeconfig_error;
mod kubernetes;
mod pgbouncer;
pub(crate) mod postgres;
mod proxy;
mod redactor;
mod redis;
mod secrets;
mod target;
pub mod tls;
mod via;

pub use aws::{
    AllowedNodeTypes, Aws, AwsAccess, AwsError, AwsLogin, DbInstance, Member, NewReplica, NodeGroup, ReplicaCount, ReplicationGroup,
};
pub use connections::{ConnectionError, Connections};
pub use credentials::CredentialsError;
pub use http::{HttpOptions, HttpRoute};
pub use http_api::{ApiAccess, ApiClient, ApiError, ApiLogin, ApiReply, ApiSystem};
pub use identity::{AWS, IDENTITY_PATH, IdentityError, KUBERNETES, Recorded};
pub use kubeconfig::{KubeconfigOptions, Login};
pub use kubeconfig_error::KubeconfigError;
pub use kubernetes::{KubeCall, KubeError, KubeReply, KubernetesAccess, LONGEST_EFFECT};
pub(crate) use kubernetes::{chain as error_chain, not_answered as kube_not_answered};
pub use pgbouncer::{InstancesError, PgBouncerAccess, PgBouncerInstance};
pub use postgres::{NamedRow, PostgresAccess, PostgresError, PostgresSession, TlsMode};
pub use redactor::{Redactor, forms_of};
pub use redis::{REDIS_PORT, RedisAccess, RedisError, RedisSession};
pub use secrets::{SecretProblem, SecretSource, SecretValues, SecretsError, resolve};
pub use target::Environment;
pub use via::{Reach, ViaError};
