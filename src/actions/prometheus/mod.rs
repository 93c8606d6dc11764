//! Prometheus, by its HTTP API.
//!
//! Must not change anything on a server. Invariant: a number is told as one only where the query gave exactly one.

mod answer;
mod query;

use std::sync::Arc;

use super::reading::Reader;
use crate::environment::Connections;
use crate::ports::action::Action;

/// `prometheus.query`, with the servers that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(Reader::<query::Query>::new(connections))]
}
