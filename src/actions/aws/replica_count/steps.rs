//! A change of the replicas, from what its intent keeps.
//!
//! Invariant: the number stands only where every shard has it and every member is described and `available`.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::aws::group::Group;
use crate::actions::aws::group_change::{GroupChange, Standing};
use crate::environment::{Aws, AwsError, ReplicaCount};
use crate::model::change::Swap;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// What an intent keeps for later.
pub(super) struct Noted {
    id: String,
    /// The names of the nodes that there were before.
    members: Vec<String>,
    prior: i64,
    after: i64,
}

/// The outputs.
pub(super) fn outputs(now: i64, before: i64, members: &Value) -> Value {
    json!({ "replicas": now, "previous_replicas": before, "members": members })
}

/// The number that stands; `None` while it changes.
fn settled(group: &Group) -> Option<i64> {
    group.replicas().filter(|_| group.is_at_rest())
}

fn now(group: &Group) -> String {
    group.replicas().map_or_else(|| "different numbers of".to_owned(), |count| count.to_string())
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let read = || {
            let change = intent.changes.first()?;
            let members = intent.note.get("members")?.as_array()?;
            Some(Self {
                id: intent.note.get("replication_group")?.as_str()?.to_owned(),
                members: members.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect(),
                prior: change.prior.as_i64()?,
                after: change.after.as_i64()?,
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a replication group and its replicas"))
    }

    fn outputs(&self, group: &Group) -> Value {
        outputs(group.replicas().unwrap_or(self.after), self.prior, &json!(group.members()))
    }

    /// The replicas that were added, where all of them are still replicas; none: ElastiCache chooses.
    fn added(&self, group: &Group, each: i64) -> Vec<String> {
        let replicas = group.known_replicas();
        let added: Vec<String> =
            replicas.into_iter().filter(|name| !self.members.iter().any(|former| former == name)).map(str::to_owned).collect();
        let wanted = usize::try_from(each).unwrap_or(0) * group.0.node_groups.len();
        if added.len() == wanted { added } else { Vec::new() }
    }
}

fn count(to: i64, from: i64, remove: Vec<String>) -> ReplicaCount {
    ReplicaCount { replicas: i32::try_from(to).unwrap_or(i32::MAX), increase: to > from, remove }
}

#[async_trait]
impl GroupChange for Noted {
    fn id(&self) -> &str {
        &self.id
    }

    fn wanted(&self) -> String {
        format!("the replicas of {} to {} a shard", self.id, self.after)
    }

    fn before(&self) -> String {
        format!("{} replicas a shard", self.prior)
    }

    fn standing(&self, group: &Group) -> Standing {
        match settled(group) {
            Some(now) if now == self.after => Standing::Done(self.outputs(group)),
            Some(now) if now == self.prior => Standing::Before,
            Some(_) => Standing::Another,
            None => Standing::UnderWay(self.in_words(group)),
        }
    }

    fn value(&self, group: &Group) -> Option<Value> {
        settled(group).map(Value::from)
    }

    fn is_back(&self, group: &Group) -> bool {
        settled(group) == Some(self.prior)
    }

    fn in_words(&self, group: &Group) -> String {
        let unrest = group.unrest().unwrap_or_else(|| format!("{} is `{}`", self.id, group.0.status));
        format!("{unrest}, with {} replicas a shard", now(group))
    }

    fn of_another(&self, group: &Group) -> Failure {
        let Self { id, prior, after, .. } = self;
        let now = now(group);
        Failure::permanent(format!(
            "{id} has {now} replicas a shard, neither {prior} as before nor {after} as wanted: somebody else changed them"
        ))
        .hint("look at it (`aws elasticache describe-replication-groups`); `runsheet retry` plans the step anew")
    }

    fn left_alone(&self, now: &Value, from: &Value) -> Failure {
        let id = &self.id;
        Failure::permanent(format!("{id} has {now} replicas a shard, not {from}: somebody else changed them, and they are left alone"))
    }

    fn tell(&self, cx: &Context) {
        cx.log.line(&format!("{} goes from {} to {} replicas a shard", self.id, self.prior, self.after));
    }

    async fn send(&self, aws: &Aws) -> Result<(), AwsError> {
        aws.replica_count(&self.id, &count(self.after, self.prior, Vec::new())).await
    }

    async fn send_back(&self, cx: &Context, aws: &Aws, group: &Group, swap: &Swap) -> Result<(), AwsError> {
        let (from, to) = (swap.from.as_i64().unwrap_or_default(), swap.to.as_i64().unwrap_or_default());
        let remove = if to < from { self.added(group, from - to) } else { Vec::new() };
        if !remove.is_empty() {
            cx.log.line(&format!("the replicas that go are those that were added: {}", remove.join(", ")));
        }
        aws.replica_count(&self.id, &count(to, from, remove)).await
    }
}
