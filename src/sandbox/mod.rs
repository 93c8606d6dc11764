//! The sandbox: a simulated ticket platform on loopback that speaks the real protocols.
//!
//! A first run needs nothing and touches nothing, while the very same client code runs that talks to a real cluster. One listener serves
//! the Kubernetes API, the wire protocols of PostgreSQL and Redis and, by the host `ticket-service.production`, the ticket service; `/sandbox/…` controls it. It is a process of its
//! own ([`ensure_up`]) that outlives the run and keeps its state in a folder.
//!
//! It must not use any other module of this crate, nor listen on anything but 127.0.0.1. Invariant: after the sandbox is killed at any
//! moment and started again, its cluster is as the last answered request left it, and its effect log has one entry for each change.

mod aws;
mod call;
mod client;
mod cluster;
mod connections;
mod control;
mod effects;
mod error;
pub mod fault;
mod field;
mod identity;
mod idle;
mod kubeconfig;
pub mod load;
mod persist;
mod platform;
mod pooler;
mod postgres;
mod process;
mod prometheus;
mod rabbitmq;
mod redis;
mod request_log;
mod routes;
mod server;
mod stream;
mod target;
mod ticket_service;
mod tls;
mod traffic;
mod world;

#[cfg(test)]
mod tests;

pub(crate) use aws::{ACCESS_KEY as AWS_ACCESS_KEY, REGION as AWS_REGION};
pub use cluster::{ArgoCd, Autoscaler};
pub use connections::{Exceeded, Pooled, Usage};
pub use control::Overview;
pub use effects::{Effect, effects};
pub use error::SandboxError;
pub use fault::Fault;
pub use identity::Ready;
pub use kubeconfig::{Account, Kubeconfig, kubeconfig};
pub use pooler::Pooler;
pub use process::{Live, Status, cluster_uid, connections, down, ensure_up, reset, reset_to, reset_with, status};
pub use server::{Options, Running, serve, start};
pub use target::{target_values, target_values_in, target_values_with};
