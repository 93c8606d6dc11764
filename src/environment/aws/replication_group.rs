//! An ElastiCache replication group, as ElastiCache tells it.
//!
//! Must not judge. Invariant: what is pending is kept apart from what is; a node type that waits stands at the members, since a group itself does not
//! tell it.

/// A replication group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplicationGroup {
    /// Its name.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// `available`, `creating`, `modifying`, `deleting`, `create-failed`, `snapshotting`.
    pub status: String,
    /// The node type of all its members; empty where it is not told.
    pub node_type: String,
    /// Whether it is in cluster mode: several shards.
    pub cluster_mode: bool,
    /// `enabled`, `disabled`, `enabling`, `disabling`.
    pub automatic_failover: String,
    /// `enabled`, `disabled`.
    pub multi_az: String,
    /// Its shards.
    pub node_groups: Vec<NodeGroup>,
    /// Its members, as far as they are told.
    pub members: Vec<Member>,
    /// What else waits to be applied to the group, by name.
    pub pending: Vec<&'static str>,
}

/// A shard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeGroup {
    /// `0001`
    pub id: String,
    /// Its members' names, and whether each is the primary, where that is told.
    pub members: Vec<(String, Option<bool>)>,
}

/// A member: a cache cluster of one node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub id: String,
    /// `available`, `modifying`, …
    pub status: String,
    /// Its node type.
    pub node_type: String,
    /// The node type that waits to be applied.
    pub pending_node_type: Option<String>,
    /// What else waits to be applied, by name.
    pub pending: Vec<&'static str>,
    /// The maintenance window: `sun:05:00-sun:06:00`, in UTC.
    pub window: Option<String>,
}

/// The node types that a group can be changed to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowedNodeTypes {
    /// Larger ones.
    pub up: Vec<String>,
    /// Smaller ones.
    pub down: Vec<String>,
}

/// A wanted number of replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplicaCount {
    /// In each shard.
    pub replicas: i32,
    /// Whether that is more than there are.
    pub increase: bool,
    /// Of a decrease: the members that go; empty: ElastiCache chooses.
    pub remove: Vec<String>,
}
