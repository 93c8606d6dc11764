//! A change of the node type, from what its intent keeps.
//!
//! Invariant: a group has the type only where every member has it and none waits for another; in a window's change, what waits is what was wanted.

use async_trait::async_trait;
use serde_json::{Value, json};

use crate::actions::aws::group::Group;
use crate::actions::aws::group_change::{GroupChange, Standing};
use crate::environment::{Aws, AwsError};
use crate::model::change::Swap;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

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

    /// Whether the group is as an attempt leaves it; `Some(true)`: the change only waits for its window.
    fn is_done(&self, group: &Group) -> Option<bool> {
        let has_it = group.is_settled() && group.node_type() == Some(self.after.as_str());
        let waits = !self.immediately && group.is_at_rest() && group.pending_node_type() == Some(self.after.as_str());
        if has_it { Some(false) } else { waits.then_some(true) }
    }

    fn outputs(&self, group: &Group, pending: bool) -> Value {
        outputs(group.node_type().unwrap_or_default(), &self.prior, pending, group.window().or(self.window.as_deref()))
    }
}

#[async_trait]
impl GroupChange for Noted {
    fn id(&self) -> &str {
        &self.id
    }

    fn wanted(&self) -> String {
        format!("the node type of {} to {}", self.id, self.after)
    }

    fn before(&self) -> String {
        self.prior.clone()
    }

    fn standing(&self, group: &Group) -> Standing {
        if let Some(pending) = self.is_done(group) {
            return Standing::Done(self.outputs(group, pending));
        }
        let is_anothers = group.pending_node_type().is_some_and(|pending| pending != self.after);
        match group.holds() {
            Some(_) if is_anothers => Standing::Another,
            Some(holds) => Standing::UnderWay(holds),
            None if group.node_type() == Some(self.prior.as_str()) => Standing::Before,
            None => Standing::Another,
        }
    }

    fn is_taken(&self, group: &Group) -> bool {
        group.pending_node_type() == Some(self.after.as_str())
    }

    /// The type that is there and, where changes wait for the window, the one that waits.
    fn value(&self, group: &Group) -> Option<Value> {
        let waits = group.pending_node_type().filter(|_| !self.immediately && group.is_at_rest());
        let is_there = group.node_type().filter(|_| group.is_settled());
        waits.or(is_there).map(Value::from)
    }

    fn going_to(&self, group: &Group) -> Option<Value> {
        group.pending_node_type().or(group.node_type()).map(Value::from)
    }

    fn is_back(&self, group: &Group) -> bool {
        group.is_settled() && group.node_type() == Some(self.prior.as_str())
    }

    fn in_words(&self, group: &Group) -> String {
        group.holds().unwrap_or_else(|| format!("{} has {}", self.id, group.node_type().unwrap_or_default()))
    }

    fn of_another(&self, group: &Group) -> Failure {
        let Self { id, prior, after, .. } = self;
        let now = group.pending_node_type().or(group.node_type()).unwrap_or("a mixture of types");
        Failure::permanent(format!(
            "{id} has the node type {now}, neither {prior} as before nor {after} as wanted: somebody else changed it"
        ))
        .hint("look at it (`aws elasticache describe-replication-groups`); `runsheet retry` plans the step anew")
    }

    fn left_alone(&self, now: &Value, from: &Value) -> Failure {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (id, now, from) = (&self.id, text(now), text(from));
        Failure::permanent(format!("{id} has the node type {now}, not {from}: somebody else changed it, and it is left alone"))
    }

    fn tell(&self, cx: &Context) {
        let Self { id, prior, after, .. } = self;
        cx.log.line(&if self.immediately {
            format!("{id} goes from {prior} to {after}, one node after the other")
        } else {
            let window = self.window.as_deref().unwrap_or("as ElastiCache keeps it");
            format!("{id} is to go from {prior} to {after} in its maintenance window ({window} UTC): nothing changes before")
        });
    }

    async fn send(&self, aws: &Aws) -> Result<(), AwsError> {
        aws.modify_node_type(&self.id, &self.after, self.immediately).await
    }

    async fn send_back(&self, _: &Context, aws: &Aws, group: &Group, swap: &Swap) -> Result<(), AwsError> {
        // What only waits is taken back at once; what has happened goes back as it came.
        let immediately = self.immediately || group.pending_node_type().is_some();
        aws.modify_node_type(&self.id, swap.to.as_str().unwrap_or_default(), immediately).await
    }
}
