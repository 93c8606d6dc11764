//! A real control plane, as `tests/kubernetes/up` starts it, and namespaces on it for tests that run side by side.
//!
//! It must not know any action. Invariant: a test touches nothing outside of its own namespace, and leaves none behind.

mod argocd;
mod aws_proxy;
mod cluster;
mod kubernetes;
mod namespace;
mod proxy;
mod stage;

pub use argocd::install as install_argocd;
pub use aws_proxy::{AwsFault, AwsProxy};
pub use cluster::RealCluster;
pub use kubernetes::Kubernetes;
pub use namespace::Namespace;
pub use proxy::{Fault, Proxy};
pub use stage::{RealStage, Way};
