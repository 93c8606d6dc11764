//! Every action on the cluster, through the real clients: promise 2 (nothing is repeated, nothing lost) and promise 3 (what was there is put back).
//!
//! The tests know a [`crate::support::Cluster`] and nothing of the sandbox, so that they can be run against another control plane.

mod created;
mod job;
mod pod_http;
mod reads;
mod refusals;
mod writes;
