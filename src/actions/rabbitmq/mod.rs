//! RabbitMQ, by its management API.
//!
//! Must not change anything on a cluster. Invariants: a count is told with how old it may be; what a queue's counts do is told from two samples
//! that cannot be of the same statistics.

mod asked;
mod nodes;
mod queue;
mod queues;
mod trend;

use std::sync::Arc;

use self::asked::{Api, SYSTEM, Which};
use super::reading::Reader;
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::ports::action::{Action, Context};

/// Every action on the clusters that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    vec![Arc::new(Reader::<queues::Queues>::new(connections)), Arc::new(Reader::<nodes::Nodes>::new(connections))]
}

/// A quorum queue, for actions on other systems that take nodes away.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::actions) struct QuorumQueue {
    /// As people know it.
    pub(in crate::actions) shown: String,
    /// The nodes that hold a member of it.
    pub(in crate::actions) members: Vec<String>,
    /// Those of them that are online.
    pub(in crate::actions) online: Vec<String>,
}

/// The quorum queues of the environment's cluster; `None` where it names none.
///
/// # Errors
/// A read that failed.
pub(in crate::actions) async fn quorum_queues(
    action: &str,
    connections: &Connections,
    cx: &Context,
) -> Result<Option<Vec<QuorumQueue>>, Failure> {
    if cx.target.as_ref().is_none_or(|target| !target.values.contains_key(SYSTEM)) {
        return Ok(None);
    }
    let access = asked::access(action, connections, cx, None)?;
    let queues = Api::of(connections, access, cx).await?.queues(Which::default()).await?;
    let quorum = queues.into_iter().filter(queue::Queue::is_quorum);
    Ok(Some(quorum.map(|queue| QuorumQueue { shown: queue.shown(), members: queue.members, online: queue.online }).collect()))
}
