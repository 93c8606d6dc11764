//! Targets: what they say they are, how they are reached, where their secrets come from, and how a secret is kept out of every text.
//!
//! Architecture invariant: nothing here changes anything on a target; the only requests made are reads of its identity. Nothing here writes
//! a secret's value anywhere, `Debug` included.

mod connections;
mod credentials;
mod exec_plugin;
mod http;
mod identity;
mod kubeconfig;
mod kubeconfig_error;
mod kubernetes;
pub(crate) mod postgres;
mod proxy;
mod redactor;
mod secrets;
mod target;
pub mod tls;

pub use connections::{ConnectionError, Connections};
pub use credentials::CredentialsError;
pub use http::{HttpOptions, HttpRoute};
pub use identity::{IdentityError, KUBERNETES, Recorded};
pub use kubeconfig::{KubeconfigOptions, Login};
pub use kubeconfig_error::KubeconfigError;
pub use kubernetes::{KubeCall, KubeError, KubeReply, KubernetesAccess};
pub(crate) use kubernetes::{chain as error_chain, not_answered as kube_not_answered};
pub use postgres::{PostgresAccess, PostgresError, PostgresSession, PostgresTls};
pub use redactor::{Redactor, forms_of};
pub use secrets::{SecretProblem, SecretSource, SecretValues, SecretsError, resolve};
pub use target::{Environment, POSTGRES_PASSWORD};
