//! A change of a replication group that takes its time in ElastiCache: sent once, waited for, asked about, taken back.
//!
//! Must not know which field it is. Invariants: a request is sent only while what was recorded is still there and nothing is under way; it has happened
//! only where the group shows it and is at rest; what somebody else set is left alone.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;

use super::errors::of_write;
use super::group::{Group, busy, given_up};
use super::settling::{Looks, Seen, Wait};
use crate::environment::{Aws, AwsError};
use crate::model::change::Swap;
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::ports::action::Context;

/// How long a change that was taken may not be seen at all: ElastiCache takes it up within seconds.
const TAKEN_UP: Duration = Duration::from_secs(180);
/// How long a group that is being changed asks to be left alone.
const LATER: Span = Span::seconds(180);

/// How a change stands.
#[derive(Debug)]
pub(super) enum Standing {
    /// As the step leaves it: the outputs.
    Done(Value),
    /// Something is under way, in words.
    UnderWay(String),
    /// As it was before, and nothing is under way.
    Before,
    /// Neither, and nothing comes of it by itself: somebody else's.
    Another,
}

/// What an intent keeps of a change.
#[async_trait]
pub(super) trait GroupChange: Sync {
    /// The group's name.
    fn id(&self) -> &str;

    /// What is wanted, for messages: `the node type of ticket-redis to cache.r6g.large`.
    fn wanted(&self) -> String;

    /// What was there, for messages: `cache.t4g.medium`.
    fn before(&self) -> String;

    /// How it stands.
    fn standing(&self, group: &Group) -> Standing;

    /// Whether what is under way is this very change.
    fn is_taken(&self, _: &Group) -> bool {
        false
    }

    /// The value that stands, as it is recorded; `None` while it changes.
    fn value(&self, group: &Group) -> Option<Value>;

    /// The value that it has, or goes to; `None` where that cannot be told.
    fn going_to(&self, group: &Group) -> Option<Value> {
        self.value(group)
    }

    /// Whether it is as it was before, and at rest.
    fn is_back(&self, group: &Group) -> bool;

    /// How the group is, in words.
    fn in_words(&self, group: &Group) -> String;

    /// That somebody else changed it.
    fn of_another(&self, group: &Group) -> Failure;

    /// That what is there is not what a rollback takes back.
    fn left_alone(&self, now: &Value, from: &Value) -> Failure;

    /// Says what begins.
    fn tell(&self, cx: &Context);

    /// Asks for it.
    async fn send(&self, aws: &Aws) -> Result<(), AwsError>;

    /// Asks for the way back.
    async fn send_back(&self, cx: &Context, aws: &Aws, group: &Group, swap: &Swap) -> Result<(), AwsError>;
}

fn not_applied(failure: Failure) -> Applied {
    Applied::NotApplied { failure }
}

async fn read(change: &impl GroupChange, cx: &Context, aws: &Aws) -> Result<Group, Failure> {
    Group::needed(aws, change.id(), &*cx.log).await
}

/// Asks for it where it is not there, and waits until it is.
pub(super) async fn apply(change: &impl GroupChange, cx: &Context, aws: &Aws, within: Span) -> Applied {
    let group = match read(change, cx, aws).await {
        Ok(group) => group,
        Err(failure) => return not_applied(failure),
    };
    let mut seen = false;
    match change.standing(&group) {
        Standing::Done(outputs) => return Applied::Applied { outputs },
        Standing::Another => return not_applied(change.of_another(&group)),
        Standing::UnderWay(_) if change.is_taken(&group) => seen = true,
        Standing::UnderWay(_) => return not_applied(busy(&group)),
        Standing::Before => {
            change.tell(cx);
            if let Err(error) = change.send(aws).await {
                return of_write(aws, &format!("change {}", change.wanted()), &error, &*cx.log);
            }
        }
    }
    let mut wait = Wait::begin(cx, within);
    loop {
        let look = read(change, cx, aws).await.map(|group| look(change, &group, &mut seen, wait.passed()));
        if let Some(applied) = wait.after(look).await {
            return applied;
        }
    }
}

/// What a look at a change that was asked for shows. `seen`: whether it has been seen under way.
fn look(change: &impl GroupChange, group: &Group, seen: &mut bool, passed: Duration) -> Seen {
    match change.standing(group) {
        Standing::Done(outputs) => Seen::Done(outputs),
        Standing::UnderWay(message) => {
            *seen = true;
            Seen::UnderWay(message)
        }
        Standing::Another => Seen::Over(change.of_another(group)),
        Standing::Before if *seen || passed >= TAKEN_UP => Seen::Over(given_up(change.id(), &change.before())),
        Standing::Before => Seen::UnderWay(format!("ElastiCache has not taken the change of {} up yet", change.wanted())),
    }
}

/// Whether it happened.
pub(super) async fn verify(change: &impl GroupChange, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
    let mut looks = Looks::default();
    loop {
        let verdict = verdict(change, cx, aws).await?;
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

async fn verdict(change: &impl GroupChange, cx: &Context, aws: &Aws) -> Result<Verdict, Failure> {
    let Some(group) = Group::read(aws, change.id(), &*cx.log).await? else {
        return Ok(Verdict::CannotTell { reason: format!("{} is gone", change.id()) });
    };
    Ok(match change.standing(&group) {
        Standing::Done(outputs) => Verdict::Present { outputs },
        Standing::UnderWay(message) => Verdict::InProgress { message },
        Standing::Before => Verdict::Absent,
        Standing::Another => Verdict::CannotTell { reason: change.of_another(&group).message },
    })
}

/// The value that stands; `None` where the group is gone.
pub(super) async fn live(change: &impl GroupChange, cx: &Context, aws: &Aws) -> Result<Option<Value>, Failure> {
    let mut looks = Looks::default();
    loop {
        let Some(group) = Group::read(aws, change.id(), &*cx.log).await? else { return Ok(None) };
        if let Some(value) = change.value(&group) {
            return Ok(Some(value));
        }
        if !looks.again().await {
            let failure = Failure::transient(format!("{}: it can be taken back when that is over", change.in_words(&group)));
            return Err(failure.retry_after(Some(LATER)).hint("`runsheet retry` takes it back then"));
        }
    }
}

/// Asks for the way back, where what the step set is still there.
pub(super) async fn revert(change: &impl GroupChange, cx: &Context, aws: &Aws, swaps: &[Swap]) -> Applied {
    let done = Applied::Applied { outputs: Value::Null };
    let Some(swap) = swaps.first() else { return done };
    let group = match read(change, cx, aws).await {
        Ok(group) => group,
        Err(failure) => return not_applied(failure),
    };
    match change.going_to(&group) {
        Some(now) if now == swap.to => return done,
        Some(now) if now != swap.from => return not_applied(change.left_alone(&now, &swap.from)),
        Some(_) => {}
        None => return not_applied(busy(&group)),
    }
    match change.send_back(cx, aws, &group, swap).await {
        Ok(()) => done,
        Err(error) => of_write(aws, &format!("change {} back", change.wanted()), &error, &*cx.log),
    }
}

/// Whether the group has followed the way back.
pub(super) async fn followed(change: &impl GroupChange, cx: &Context, aws: &Aws) -> Result<Followed, Failure> {
    let mut looks = Looks::default();
    loop {
        let group = read(change, cx, aws).await?;
        if change.is_back(&group) {
            return Ok(Followed::Yes);
        }
        if !looks.again().await {
            return Ok(Followed::No { holds: change.in_words(&group) });
        }
    }
}
