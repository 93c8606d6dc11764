//! How a replication group stands: what it is, what it becomes, and what keeps it from being as it is wanted.
//!
//! Must not change anything. Invariant: a group has a node type only where all its members have it and none waits for another; a member that is not
//! described may have anything and wait for anything, and `available` alone says nothing.

use serde_json::{Value, json};

use super::errors::{WHILE_BUSY, failure};
use crate::environment::{Aws, ReplicationGroup};
use crate::model::outcome::Failure;
use crate::ports::action::Log;

/// A group as it was read.
pub(super) struct Group(pub(super) ReplicationGroup);

impl Group {
    /// Reads it; `None` where there is none.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn read(aws: &Aws, id: &str, log: &dyn Log) -> Result<Option<Self>, Failure> {
        let read = aws.replication_group(id).await;
        Ok(read.map_err(|error| failure(aws, &format!("look at the replication group {id}"), &error, log))?.map(Self))
    }

    /// The same, where it has to be there.
    ///
    /// # Errors
    /// A read that failed, or found none.
    pub(super) async fn needed(aws: &Aws, id: &str, log: &dyn Log) -> Result<Self, Failure> {
        Self::read(aws, id, log).await?.ok_or_else(|| missing(aws, id))
    }

    /// The node type that all members have; `None` while they differ, or none is described.
    pub(super) fn node_type(&self) -> Option<&str> {
        let mut types = self.0.members.iter().map(|member| member.node_type.as_str());
        let first = types.next()?;
        types.all(|other| other == first).then_some(first)
    }

    /// The node type that waits to be applied.
    pub(super) fn pending_node_type(&self) -> Option<&str> {
        self.0.members.iter().find_map(|member| member.pending_node_type.as_deref().filter(|pending| *pending != member.node_type))
    }

    /// What else waits to be applied, by name.
    pub(super) fn also_pending(&self) -> Vec<&'static str> {
        let mut all = self.0.pending.clone();
        all.extend(self.0.members.iter().flat_map(|member| member.pending.iter().copied()));
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The replicas of each shard; `None` where they differ.
    pub(super) fn replicas(&self) -> Option<i64> {
        let mut counts = self.0.node_groups.iter().map(|shard| i64::try_from(shard.members.len()).unwrap_or(i64::MAX) - 1);
        let first = counts.next()?;
        counts.all(|other| other == first).then_some(first)
    }

    /// Its members' names.
    pub(super) fn members(&self) -> Vec<&str> {
        self.0.node_groups.iter().flat_map(|shard| shard.members.iter().map(|(name, _)| name.as_str())).collect()
    }

    /// Those of them that are replicas, as far as that is told.
    pub(super) fn known_replicas(&self) -> Vec<&str> {
        let members = self.0.node_groups.iter().flat_map(|shard| &shard.members);
        members.filter(|(_, primary)| *primary == Some(false)).map(|(name, _)| name.as_str()).collect()
    }

    /// What is under way with the group or one of its members, in words; `None` where all of them are described and `available`.
    pub(super) fn unrest(&self) -> Option<String> {
        let ReplicationGroup { id, status, members, .. } = &self.0;
        if status != "available" {
            return Some(format!("{id} is `{status}`"));
        }
        if let Some(member) = members.iter().find(|member| member.status != "available") {
            return Some(format!("{id} is `available`, and its member {} is `{}`", member.id, member.status));
        }
        let undescribed: Vec<&str> = self.members().into_iter().filter(|name| !members.iter().any(|member| member.id == *name)).collect();
        if members.is_empty() || !undescribed.is_empty() {
            let which = if undescribed.is_empty() { "its members".to_owned() } else { format!("its members {}", undescribed.join(", ")) };
            return Some(format!("{id} is `available`, and ElastiCache does not describe {which}"));
        }
        None
    }

    /// Whether nothing is under way, for all that is told.
    pub(super) fn is_at_rest(&self) -> bool {
        self.unrest().is_none()
    }

    /// The maintenance window, where a member tells it.
    pub(super) fn window(&self) -> Option<&str> {
        self.0.members.iter().find_map(|member| member.window.as_deref())
    }

    /// Whether nothing is under way, and no node type waits.
    pub(super) fn is_settled(&self) -> bool {
        self.holds().is_none()
    }

    /// What is under way or waits, in words; `None` where nothing does.
    pub(super) fn holds(&self) -> Option<String> {
        let id = &self.0.id;
        match (self.unrest(), self.pending_node_type()) {
            (None, None) if self.node_type().is_some() => None,
            (None, None) => Some(format!("the members of {id} have different node types")),
            (None, Some(pending)) => {
                let window = self.window().map(|window| format!(", or for its maintenance window ({window} UTC)")).unwrap_or_default();
                Some(format!("{id} is `available`, and its change to {pending} waits to be taken up{window}"))
            }
            (Some(unrest), Some(pending)) => Some(format!("{unrest}, on its way to {pending}")),
            (Some(unrest), None) => Some(unrest),
        }
    }

    /// What a step observes.
    pub(super) fn observed(&self) -> Value {
        json!({
            "replication_group": self.0.id,
            "arn": self.0.arn,
            "status": self.0.status,
            "node_type": self.node_type(),
            "pending_node_type": self.pending_node_type(),
            "also_pending": self.also_pending(),
            "shards": self.0.node_groups.len(),
            "replicas": self.replicas(),
            "members": self.members(),
            "automatic_failover": self.0.automatic_failover,
            "multi_az": self.0.multi_az,
            "maintenance_window": self.window(),
            "settled": self.is_settled(),
            "holds": self.holds(),
        })
    }
}

fn missing(aws: &Aws, id: &str) -> Failure {
    Failure::permanent(format!("there is no replication group {id} in {}", aws.access().place()))
        .hint("check the name and the environment: `aws elasticache describe-replication-groups` lists them")
}

/// That something is under way, and nothing else can be changed meanwhile.
pub(super) fn busy(group: &Group) -> Failure {
    let holds = group.holds().unwrap_or_else(|| format!("{} is `{}`", group.0.id, group.0.status));
    Failure::transient(format!("{holds}: it can be changed when that is over")).retry_after(Some(WHILE_BUSY))
}

/// That ElastiCache has ended a change without it.
pub(super) fn given_up(id: &str, what: &str) -> Failure {
    Failure::permanent(format!("{id} is `available` with {what} again: ElastiCache has given the change up"))
        .hint(format!("its events say why: `aws elasticache describe-events --source-identifier {id} --source-type replication-group`"))
}

/// A text of what was observed.
pub(super) fn text<'p>(prior: &'p Value, key: &str) -> Option<&'p str> {
    prior.get(key).and_then(Value::as_str)
}

/// That a group can be changed now, by what was observed of it. What only waits for its window is not in the way.
///
/// # Errors
/// What is under way.
pub(super) fn changeable(id: &str, prior: &Value) -> Result<(), Failure> {
    let status = text(prior, "status").unwrap_or_default();
    let unrest = match text(prior, "pending_node_type") {
        Some(_) if status == "available" => None,
        _ => text(prior, "holds"),
    };
    let Some(unrest) = unrest else { return Ok(()) };
    let message = format!("the replication group {id} is changed only while it is `available` and all its members are: {unrest}");
    Err(Failure::permanent(message).hint("wait for it: `check: { before: [{ that: \"${{ result.settled }}\", within: 30m }] }`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Member, NodeGroup};

    fn group(members: &[(&str, &str, Option<&str>)]) -> Group {
        let named = |name: &str| (name.to_owned(), None);
        let member = |(id, status, pending): &(&str, &str, Option<&str>)| Member {
            id: (*id).to_owned(),
            status: (*status).to_owned(),
            node_type: "cache.r6g.large".to_owned(),
            pending_node_type: pending.map(str::to_owned),
            ..Member::default()
        };
        Group(ReplicationGroup {
            id: "cache".to_owned(),
            status: "available".to_owned(),
            node_type: "cache.r6g.large".to_owned(),
            node_groups: vec![NodeGroup { id: "0001".to_owned(), members: vec![named("cache-001"), named("cache-002")] }],
            members: members.iter().map(member).collect(),
            ..ReplicationGroup::default()
        })
    }

    #[test]
    fn a_groups_own_word_is_not_taken_for_its_members() {
        let (first, second) = (("cache-001", "available", None), ("cache-002", "available", None));
        assert_eq!(group(&[first, second]).holds(), None);
        for (members, part) in [
            (vec![], "does not describe its members cache-001, cache-002"),
            (vec![first], "does not describe its members cache-002"),
            (vec![first, ("cache-002", "modifying", None)], "its member cache-002 is `modifying`"),
            (vec![first, ("cache-002", "available", Some("cache.r6g.xlarge"))], "its change to cache.r6g.xlarge waits"),
        ] {
            let group = group(&members);
            let holds = group.holds().unwrap_or_default();
            assert!(holds.contains(part) && !group.is_settled(), "{members:?}: {holds}");
        }
        assert_eq!(group(&[]).node_type(), None);
    }
}
