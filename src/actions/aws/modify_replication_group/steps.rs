//! A change of the node type, from what its intent keeps: sent, waited for, asked for, taken back.
//!
//! Invariant: a request is sent only while the recorded node type is still there and nothing is under way.

use std::time::Duration;

use serde_json::{Value, json};

use crate::actions::aws::errors::of_write;
use crate::actions::aws::group::{Group, busy, given_up};
use crate::actions::aws::settling::{Looks, Seen, Wait};
use crate::environment::Aws;
use crate::model::change::Swap;
use crate::model::duration::Span;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::ports::action::Context;

/// How long a change that was taken may not be seen at all: ElastiCache takes it up within seconds.
const TAKEN_UP: Duration = Duration::from_secs(180);
/// How long a group that is being changed asks to be left alone.
const LATER: Span = Span::seconds(180);

/// What an intent keeps for later.
pub(super) struct Noted {
    id: String,
    immediately: bool,
    window: Option<String>,
    prior: String,
    after: String,
}

/// The outputs.
pub(super) fn outputs(now: &str, before: &str, pending: bool, window: Option<&str>) -> Value {
    json!({ "node_type": now, "previous_node_type": before, "pending": pending, "maintenance_window": window })
}

fn not_applied(failure: Failure) -> Applied {
    Applied::NotApplied { failure }
}

impl Noted {
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let read = || {
            let change = intent.changes.first()?;
            let text = |value: &Value| value.as_str().map(str::to_owned);
            Some(Self {
                id: text(intent.note.get("replication_group")?)?,
                immediately: intent.note.get("apply_immediately")?.as_bool()?,
                window: intent.note.get("window").and_then(text),
                prior: text(&change.prior)?,
                after: text(&change.after)?,
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a replication group and its node types"))
    }

    async fn read(&self, cx: &Context, aws: &Aws) -> Result<Group, Failure> {
        Group::needed(aws, &self.id, &*cx.log).await
    }

    /// Whether the group is as an attempt leaves it; `Some(true)`: the change only waits for its window.
    fn is_done(&self, group: &Group) -> Option<bool> {
        let has_it = group.is_settled() && group.node_type() == Some(self.after.as_str());
        let waits = !self.immediately && group.is_available() && group.pending_node_type() == Some(self.after.as_str());
        if has_it { Some(false) } else { waits.then_some(true) }
    }

    fn outputs(&self, group: &Group, pending: bool) -> Value {
        outputs(group.node_type().unwrap_or_default(), &self.prior, pending, group.window().or(self.window.as_deref()))
    }

    fn of_another(&self, group: &Group) -> Failure {
        let Self { id, prior, after, .. } = self;
        let now = group.pending_node_type().or(group.node_type()).unwrap_or("a mixture of types");
        Failure::permanent(format!(
            "{id} has the node type {now}, neither {prior} as before nor {after} as wanted: somebody else changed it"
        ))
        .hint("look at it (`aws elasticache describe-replication-groups`); `runsheet retry` plans the step anew")
    }

    pub(super) async fn apply(&self, cx: &Context, aws: &Aws, within: Span) -> Applied {
        let group = match self.read(cx, aws).await {
            Ok(group) => group,
            Err(failure) => return not_applied(failure),
        };
        if let Some(pending) = self.is_done(&group) {
            return Applied::Applied { outputs: self.outputs(&group, pending) };
        }
        let under_way = group.pending_node_type() == Some(self.after.as_str());
        if !under_way {
            if !group.is_available() {
                return not_applied(busy(&group));
            }
            if group.pending_node_type().is_some() || group.node_type() != Some(self.prior.as_str()) {
                return not_applied(self.of_another(&group));
            }
            cx.log.line(&match (self.immediately, &self.window) {
                (true, _) => format!("{} goes from {} to {}, one node after the other", self.id, self.prior, self.after),
                (false, window) => format!(
                    "{} is to go from {} to {} in its maintenance window ({} UTC): nothing changes before",
                    self.id,
                    self.prior,
                    self.after,
                    window.as_deref().unwrap_or("as ElastiCache keeps it")
                ),
            });
            if let Err(error) = aws.modify_node_type(&self.id, &self.after, self.immediately).await {
                return of_write(&format!("change the node type of {} to {}", self.id, self.after), &error, &*cx.log);
            }
        }
        self.wait(cx, aws, within, under_way).await
    }

    /// Waits until it is done. `seen`: whether it has been seen under way.
    async fn wait(&self, cx: &Context, aws: &Aws, within: Span, mut seen: bool) -> Applied {
        let mut wait = Wait::begin(cx, within);
        loop {
            let look = self.read(cx, aws).await.map(|group| self.look(&group, &mut seen, wait.passed()));
            if let Some(applied) = wait.after(look).await {
                return applied;
            }
        }
    }

    fn look(&self, group: &Group, seen: &mut bool, passed: Duration) -> Seen {
        if let Some(pending) = self.is_done(group) {
            return Seen::Done(self.outputs(group, pending));
        }
        match group.holds() {
            Some(holds) => {
                *seen = true;
                Seen::UnderWay(holds)
            }
            None if group.node_type() != Some(self.prior.as_str()) => Seen::Over(self.of_another(group)),
            None if *seen || passed >= TAKEN_UP => Seen::Over(given_up(&self.id, &self.prior)),
            None => Seen::UnderWay(format!("{} has not taken the change to {} up yet", self.id, self.after)),
        }
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
        if let Some(pending) = self.is_done(&group) {
            return Ok(Verdict::Present { outputs: self.outputs(&group, pending) });
        }
        let is_another = group.pending_node_type().is_some_and(|pending| pending != self.after);
        match group.holds() {
            Some(_) if is_another => Ok(Verdict::CannotTell { reason: self.of_another(&group).message }),
            Some(message) => Ok(Verdict::InProgress { message }),
            None if group.node_type() == Some(self.prior.as_str()) => Ok(Verdict::Absent),
            None => Ok(Verdict::CannotTell { reason: self.of_another(&group).message }),
        }
    }

    /// The node type that is there, or waits; `None` where the group is gone.
    pub(super) async fn live(&self, cx: &Context, aws: &Aws) -> Result<Option<String>, Failure> {
        let mut looks = Looks::default();
        loop {
            let Some(group) = Group::read(aws, &self.id, &*cx.log).await? else { return Ok(None) };
            if let Some(node_type) = self.standing(&group) {
                return Ok(Some(node_type));
            }
            if !looks.again().await {
                let holds = group.holds().unwrap_or_default();
                let failure = Failure::transient(format!("{holds}: it can be taken back when that is over"));
                return Err(failure.retry_after(Some(LATER)).hint("`runsheet retry` takes it back then"));
            }
        }
    }

    /// The node type that stands: the one that is there and, where changes wait for the window, the one that waits. `None` while that changes.
    fn standing(&self, group: &Group) -> Option<String> {
        let waits = group.pending_node_type().filter(|_| !self.immediately && group.is_available());
        let is_there = group.node_type().filter(|_| group.is_settled());
        waits.or(is_there).map(str::to_owned)
    }

    pub(super) async fn revert(&self, cx: &Context, aws: &Aws, swaps: &[Swap]) -> Applied {
        let Some(swap) = swaps.first() else { return Applied::Applied { outputs: Value::Null } };
        let (from, to) = (swap.from.as_str().unwrap_or_default(), swap.to.as_str().unwrap_or_default());
        let group = match self.read(cx, aws).await {
            Ok(group) => group,
            Err(failure) => return not_applied(failure),
        };
        let pending = group.pending_node_type();
        if pending == Some(to) || (pending.is_none() && group.node_type() == Some(to)) {
            return Applied::Applied { outputs: Value::Null };
        }
        if pending.or(group.node_type()) != Some(from) {
            let now = pending.or(group.node_type()).unwrap_or("a mixture of types");
            let message = format!("{} has the node type {now}, not {from}: somebody else changed it, and it is left alone", self.id);
            return not_applied(Failure::permanent(message));
        }
        // What only waits is taken back at once; what has happened goes back as it came.
        let immediately = self.immediately || pending.is_some();
        match aws.modify_node_type(&self.id, to, immediately).await {
            Ok(()) => Applied::Applied { outputs: Value::Null },
            Err(error) => of_write(&format!("change the node type of {} back to {to}", self.id), &error, &*cx.log),
        }
    }

    pub(super) async fn followed(&self, cx: &Context, aws: &Aws) -> Result<Followed, Failure> {
        let mut looks = Looks::default();
        loop {
            let followed = self.has_followed(cx, aws).await?;
            if followed == Followed::Yes || !looks.again().await {
                return Ok(followed);
            }
        }
    }

    async fn has_followed(&self, cx: &Context, aws: &Aws) -> Result<Followed, Failure> {
        let group = self.read(cx, aws).await?;
        if group.is_settled() && group.node_type() == Some(self.prior.as_str()) {
            return Ok(Followed::Yes);
        }
        let holds = group.holds().unwrap_or_else(|| format!("{} still has {}", self.id, group.node_type().unwrap_or_default()));
        Ok(Followed::No { holds })
    }
}
