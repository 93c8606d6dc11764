//! Redis, read directly.
//!
//! Must not change anything on a server, nor send a command that is slow. Invariant: what is told is what this one server says of itself now.

mod info;
mod statement;

use std::sync::Arc;

use super::reading::Reader;
use crate::environment::Connections;
use crate::ports::action::Action;

/// `redis.info`, with the servers that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(Reader::<info::Info>::new(connections))]
}
