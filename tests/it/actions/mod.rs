//! Every action on the cluster, through the real clients: promise 2 (nothing is repeated, nothing lost) and promise 3 (what was there is put back).
//!
//! The tests know a [`crate::support::Cluster`] and nothing of the sandbox, so that they can be run against another control plane.

mod admission;
mod argocd;
mod autoscaled;
mod created;
mod exec;
mod facts;
mod held;
mod job;
mod keda;
mod late;
mod owners;
mod pod_http;
mod rabbitmq_cluster;
mod reads;
mod refusals;
mod replaced;
mod resized;
mod throttled;
mod top;
mod writes;
