//! Whether quorum queues keep their majority when nodes go: a StatefulSet takes away the highest ordinals.
//!
//! Must not guess. Invariant: where it cannot be told (no management API, members of another cluster), nodes do not go.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::RabbitmqCluster;
use crate::actions::kubernetes::swap_fields::Place;
use crate::actions::rabbitmq::{QuorumQueue, quorum_queues};
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// How many queues are named.
const NAMED: usize = 5;

/// What would come of it that nodes go.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Leaving {
    /// The quorum queues that were looked at.
    looked_at: usize,
    /// Those that would have no majority any more, the first few.
    losing: Vec<String>,
    losing_count: usize,
    /// Why it cannot be told.
    untold: Option<String>,
}

/// The ordinal of a node of this cluster: `rabbit@NAME-server-2.NAME-nodes.NAMESPACE`.
fn ordinal(cluster: &RabbitmqCluster, node: &str) -> Option<i64> {
    let (_, host) = node.split_once('@')?;
    let (pod, rest) = host.split_once('.').map_or((host, ""), |(pod, rest)| (pod, rest));
    let own = format!("{}-nodes.{}", cluster.name, cluster.namespace);
    // A node may be called by its short name; by a long one it tells where it is from.
    if !rest.is_empty() && rest != own && !rest.starts_with(&format!("{own}.")) {
        return None;
    }
    pod.strip_prefix(&cluster.name)?.strip_prefix("-server-")?.parse().ok()
}

impl Leaving {
    /// From what the cluster's management API says now.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn of(
        connections: &Arc<Connections>,
        cx: &Context,
        cluster: &RabbitmqCluster,
        replicas: i64,
    ) -> Result<Self, Failure> {
        let Some(queues) = quorum_queues(super::super::NAME, connections, cx).await? else {
            let untold = Some("the environment names no management API of it (`rabbitmq:`)".to_owned());
            return Ok(Self { looked_at: 0, losing: Vec::new(), losing_count: 0, untold });
        };
        Ok(Self::worked_out(cluster, replicas, &queues))
    }

    fn worked_out(cluster: &RabbitmqCluster, replicas: i64, queues: &[QuorumQueue]) -> Self {
        let mut leaving = Self { looked_at: queues.len(), losing: Vec::new(), losing_count: 0, untold: None };
        for queue in queues {
            if let Some(stranger) = queue.members.iter().find(|member| ordinal(cluster, member).is_none()) {
                let text = format!("the queue {} has a member on {stranger}, which is no node of this cluster", queue.shown);
                leaving.untold.get_or_insert(text);
                continue;
            }
            let stays = |node: &&String| ordinal(cluster, node).is_some_and(|nth| nth < replicas);
            let left = queue.online.iter().filter(stays).count();
            if left < queue.members.len() / 2 + 1 {
                leaving.losing_count += 1;
                if leaving.losing.len() < NAMED {
                    leaving.losing.push(format!("{} ({left} of {} members would be left)", queue.shown, queue.members.len()));
                }
            }
        }
        leaving
    }

    /// For what is observed.
    pub(super) fn told(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// From what was observed.
    pub(super) fn read(value: &Value) -> Option<Self> {
        Self::deserialize(value).ok()
    }

    /// That every quorum queue keeps a majority.
    ///
    /// # Errors
    /// Those that would not, or why it cannot be told.
    pub(super) fn must_keep_majorities(&self, place: &Place, replicas: i64) -> Result<(), Failure> {
        if let Some(why) = &self.untold {
            return Err(Failure::permanent(format!(
                "{place} is not made smaller: whether its quorum queues would keep a majority cannot be told: {why}"
            ))
            .hint("add `rabbitmq:` with its management API to the environment, or scale it by hand, knowing what you do"));
        }
        if self.losing_count == 0 {
            return Ok(());
        }
        let more = self.losing_count - self.losing.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        let message = format!(
            "{place} is not made smaller: with {replicas} nodes {} of {} quorum queues would lose their majority: {}{more}",
            self.losing_count,
            self.looked_at,
            self.losing.join(", ")
        );
        Err(Failure::permanent(message)
            .hint("move the members first: `rabbitmq-queues shrink NODE` on each node that is to go, and `grow` on those that stay"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster() -> RabbitmqCluster {
        RabbitmqCluster { name: "rabbitmq".to_owned(), namespace: "messaging".to_owned() }
    }

    fn queue(members: &[i64], online: &[i64]) -> QuorumQueue {
        let named = |ordinals: &[i64]| {
            ordinals.iter().map(|nth| format!("rabbit@rabbitmq-server-{nth}.rabbitmq-nodes.messaging")).collect::<Vec<_>>()
        };
        QuorumQueue { shown: "/q".to_owned(), members: named(members), online: named(online) }
    }

    fn losing(replicas: i64, queue: QuorumQueue) -> usize {
        Leaving::worked_out(&cluster(), replicas, &[queue]).losing_count
    }

    #[test]
    fn a_majority_of_the_members_has_to_be_left_online() {
        assert_eq!(losing(3, queue(&[0, 1, 2], &[0, 1, 2])), 0, "new nodes hold none of them");
        assert_eq!(losing(2, queue(&[0, 1, 2], &[0, 1, 2])), 0);
        assert_eq!(losing(1, queue(&[0, 1, 2], &[0, 1, 2])), 1);
        assert_eq!(losing(2, queue(&[0, 1, 2], &[0, 2])), 1, "one of those that stay is down");
        assert_eq!(losing(3, queue(&[2, 3, 4], &[2, 3, 4])), 1, "its members are on those that go");
        assert_eq!(losing(0, queue(&[0], &[0])), 1);
    }

    #[test]
    fn members_of_another_cluster_cannot_be_judged() {
        for node in ["rabbit@other-server-0.other-nodes.messaging", "rabbit@rabbitmq-server-0.rabbitmq-nodes.elsewhere", "rabbit@host", "x"]
        {
            assert_eq!(ordinal(&cluster(), node), None, "{node}");
        }
        assert_eq!(ordinal(&cluster(), "rabbit@rabbitmq-server-12.rabbitmq-nodes.messaging.svc.cluster.local"), Some(12));
        assert_eq!(ordinal(&cluster(), "rabbit@rabbitmq-server-1"), Some(1));
        let stranger = QuorumQueue { shown: "/q".to_owned(), members: vec!["rabbit@host".to_owned()], online: Vec::new() };
        let leaving = Leaving::worked_out(&cluster(), 1, &[stranger]);
        let refused = leaving.must_keep_majorities(&cluster().place(), 1).unwrap_err();
        assert!(refused.message.contains("cannot be told: the queue /q has a member on rabbit@host"), "{refused}");
        assert_eq!(Leaving::read(&leaving.told()), Some(leaving));
    }
}
