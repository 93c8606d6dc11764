//! PostgreSQL, asked directly.
//!
//! Must not change anything on a server but what `postgres.query` is told to. Invariant: a sum of connections is made of what the cluster and the server say now, never of what was
//! read before.

mod activity;
mod attempts;
mod budget;
mod connection_budget;
mod connections;
mod pooled;
mod prove;
mod query;
mod workload;

pub(crate) use prove::{Question, Replacing, Through, prove};

use std::sync::Arc;

use super::reading::Reader;
use crate::environment::Connections;
use crate::ports::action::Action;

/// The actions on the servers that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![
        Arc::new(connection_budget::ConnectionBudget::new(Arc::clone(connections))),
        Arc::new(Reader::<connections::ConnectionsReading>::new(connections)),
        Arc::new(query::Query::new(Arc::clone(connections))),
    ]
}
