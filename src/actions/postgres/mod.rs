//! PostgreSQL, read directly.
//!
//! Must not change anything on a server. Invariant: a sum of connections is made of what the cluster and the server say now, never of what was
//! read before.

mod activity;
mod budget;
mod connection_budget;
mod prove;
mod workload;

pub(crate) use prove::{Question, Replacing, prove};

use std::sync::Arc;

use crate::environment::Connections;
use crate::ports::action::Action;

/// `postgres.connection_budget`, with the cluster and the servers that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(connection_budget::ConnectionBudget::new(Arc::clone(connections)))]
}
