//! A change of the replicas, from what its intent keeps: sent, waited for, asked for, taken back.
//!
//! Invariant: a request is sent only while the recorded number is still there and nothing is under way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::actions::aws::errors::of_write;
use crate::actions::aws::group::{Group, busy, given_up};
use crate::actions::aws::settling::{Looks, Seen, Wait};
use crate::environment::{Aws, ReplicaCount};
use crate::model::change::Swap;
use crate::model::duration::Span;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::ports::action::Context;

/// How long a change that was taken may not be seen at all.
const TAKEN_UP: Duration = Duration::from_secs(180);
/// How long a group that is being changed asks to be left alone.
const LATER: Span = Span::seconds(180);

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

fn not_applied(failure: Failure) -> Applied {
    Applied::NotApplied { failure }
}

/// The number that stands; `None` while it changes.
fn standing(group: &Group) -> Option<i64> {
    group.replicas().filter(|_| group.is_available())
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

    async fn read(&self, cx: &Context, aws: &Aws) -> Result<Group, Failure> {
        Group::needed(aws, &self.id, &*cx.log).await
    }

    fn outputs(&self, group: &Group) -> Value {
        outputs(group.replicas().unwrap_or(self.after), self.prior, &json!(group.members()))
    }

    fn in_words(&self, group: &Group) -> String {
        let now = group.replicas().map_or_else(|| "different numbers of".to_owned(), |count| count.to_string());
        format!("{} is `{}`, with {now} replicas a shard", self.id, group.0.status)
    }

    fn of_another(&self, group: &Group) -> Failure {
        let Self { id, prior, after, .. } = self;
        let now = group.replicas().map_or_else(|| "different numbers of".to_owned(), |count| count.to_string());
        Failure::permanent(format!(
            "{id} has {now} replicas a shard, neither {prior} as before nor {after} as wanted: somebody else changed them"
        ))
        .hint("look at it (`aws elasticache describe-replication-groups`); `runsheet retry` plans the step anew")
    }

    pub(super) async fn apply(&self, cx: &Context, aws: &Aws, within: Span) -> Applied {
        let group = match self.read(cx, aws).await {
            Ok(group) => group,
            Err(failure) => return not_applied(failure),
        };
        match standing(&group) {
            Some(now) if now == self.after => return Applied::Applied { outputs: self.outputs(&group) },
            Some(now) if now != self.prior => return not_applied(self.of_another(&group)),
            Some(_) => {
                cx.log.line(&format!("{} goes from {} to {} replicas a shard", self.id, self.prior, self.after));
                let count = self.count(self.after, self.prior, Vec::new());
                if let Err(error) = aws.replica_count(&self.id, &count).await {
                    return of_write(&format!("set the replicas of {} to {}", self.id, self.after), &error, &*cx.log);
                }
            }
            None if group.is_available() => return not_applied(self.of_another(&group)),
            None => return not_applied(busy(&group)),
        }
        let mut seen = false;
        let mut wait = Wait::begin(cx, within);
        loop {
            let look = self.read(cx, aws).await.map(|group| self.look(&group, &mut seen, wait.passed()));
            if let Some(applied) = wait.after(look).await {
                return applied;
            }
        }
    }

    fn look(&self, group: &Group, seen: &mut bool, passed: Duration) -> Seen {
        match standing(group) {
            Some(now) if now == self.after => Seen::Done(self.outputs(group)),
            Some(now) if now != self.prior => Seen::Over(self.of_another(group)),
            Some(now) if *seen || passed >= TAKEN_UP => Seen::Over(given_up(&self.id, &format!("{now} replicas a shard"))),
            Some(_) => Seen::UnderWay(self.in_words(group)),
            None => {
                *seen = true;
                Seen::UnderWay(self.in_words(group))
            }
        }
    }

    fn count(&self, to: i64, from: i64, remove: Vec<String>) -> ReplicaCount {
        ReplicaCount { replicas: i32::try_from(to).unwrap_or(i32::MAX), increase: to > from, remove }
    }

    pub(super) async fn verify(&self, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
        let mut looks = Looks::default();
        loop {
            let verdict = self.verdict(cx, aws).await?;
            let again = match &verdict {
                Verdict::InProgress { .. } => true,
                // What was taken a moment ago need not be seen yet.
                Verdict::Absent => looks.are_early(),
                Verdict::Present { .. } | Verdict::CannotTell { .. } => false,
            };
            if !again || !looks.again().await {
                return Ok(verdict);
            }
        }
    }

    async fn verdict(&self, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
        let Some(group) = Group::read(aws, &self.id, &*cx.log).await? else {
            return Ok(Verdict::CannotTell { reason: format!("{} is gone", self.id) });
        };
        Ok(match standing(&group) {
            Some(now) if now == self.after => Verdict::Present { outputs: self.outputs(&group) },
            Some(now) if now == self.prior => Verdict::Absent,
            None if !group.is_available() => Verdict::InProgress { message: self.in_words(&group) },
            _ => Verdict::CannotTell { reason: self.of_another(&group).message },
        })
    }

    /// The number that stands; `None` where the group is gone.
    pub(super) async fn live(&self, cx: &Context, aws: &Aws) -> Result<Option<i64>, Failure> {
        let mut looks = Looks::default();
        loop {
            let Some(group) = Group::read(aws, &self.id, &*cx.log).await? else { return Ok(None) };
            if let Some(replicas) = standing(&group) {
                return Ok(Some(replicas));
            }
            if !looks.again().await {
                let failure = Failure::transient(format!("{}: it can be taken back when that is over", self.in_words(&group)));
                return Err(failure.retry_after(Some(LATER)).hint("`runsheet retry` takes it back then"));
            }
        }
    }

    pub(super) async fn revert(&self, cx: &Context, aws: &Aws, swaps: &[Swap]) -> Applied {
        let Some(swap) = swaps.first() else { return Applied::Applied { outputs: Value::Null } };
        let (from, to) = (swap.from.as_i64().unwrap_or_default(), swap.to.as_i64().unwrap_or_default());
        let group = match self.read(cx, aws).await {
            Ok(group) => group,
            Err(failure) => return not_applied(failure),
        };
        match standing(&group) {
            Some(now) if now == to => return Applied::Applied { outputs: Value::Null },
            Some(now) if now != from => {
                let message =
                    format!("{} has {now} replicas a shard, not {from}: somebody else changed them, and they are left alone", self.id);
                return not_applied(Failure::permanent(message));
            }
            Some(_) => {}
            None => return not_applied(busy(&group)),
        }
        let remove = if to < from { self.added(&group, usize::try_from(from - to).unwrap_or(0)) } else { Vec::new() };
        if !remove.is_empty() {
            cx.log.line(&format!("the replicas that go are those that were added: {}", remove.join(", ")));
        }
        match aws.replica_count(&self.id, &self.count(to, from, remove)).await {
            Ok(()) => Applied::Applied { outputs: Value::Null },
            Err(error) => of_write(&format!("set the replicas of {} back to {to}", self.id), &error, &*cx.log),
        }
    }

    /// The replicas that were added, where all of them are still replicas; none: ElastiCache chooses.
    fn added(&self, group: &Group, each: usize) -> Vec<String> {
        let replicas = group.known_replicas();
        let added: Vec<String> =
            replicas.into_iter().filter(|name| !self.members.iter().any(|former| former == name)).map(str::to_owned).collect();
        if added.len() == each * group.0.node_groups.len() { added } else { Vec::new() }
    }

    pub(super) async fn followed(&self, cx: &Context, aws: &Aws) -> Result<Followed, Failure> {
        let mut looks = Looks::default();
        loop {
            let group = self.read(cx, aws).await?;
            if standing(&group) == Some(self.prior) {
                return Ok(Followed::Yes);
            }
            if !looks.again().await {
                return Ok(Followed::No { holds: self.in_words(&group) });
            }
        }
    }
}
