//! Giving back: one step's fields after the other, each followed to its end before the next begins.
//!
//! Invariant: what relies on pods that are gone (a larger pool of connections) goes back only once they are: a change that was made before another goes
//! back after it, and not before the platform has followed the other.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::found::{Found, Giving, Left, Way};
use super::past::{Past, context};
use crate::engine::crash;
use crate::engine::executor::POLL;
use crate::model::change::Swap;
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::ports::action::Context;

/// How long one swap may take.
const SWAP_LIMIT: Duration = Duration::from_secs(60);
/// How long one look may take.
const LOOK_LIMIT: Duration = Duration::from_secs(30);

/// How long giving all of it back may take, where each may take so long to settle.
pub(super) fn limit(found: &Found, settle: Duration) -> Duration {
    let each = settle.saturating_add(SWAP_LIMIT).saturating_add(LOOK_LIMIT * 2);
    each.saturating_mul(u32::try_from(found.give.len()).unwrap_or(u32::MAX)).saturating_add(SWAP_LIMIT)
}

impl Past {
    /// Gives all of it back.
    pub(super) async fn give(&self, cx: &Context, mut found: Found, settle: Duration) -> Applied {
        let mut begun = false;
        let all = found.give.len() as u64;
        found.left.iter().for_each(|left| told(cx, left));
        for at in 0..found.give.len() {
            cx.log.part(at as u64, all, "steps given back");
            let failed = |failure: Failure, begun: bool, found: &Found| match begun {
                false => Applied::NotApplied { failure },
                true => Applied::FailedWithEffect { failure, outputs: found.outputs() },
            };
            let swaps = match self.stand(cx, at, &mut found).await {
                Ok(swaps) => swaps,
                Err(failure) => return failed(failure, begun, &found),
            };
            let giving = found.give[at].clone();
            if giving.swaps.is_empty() {
                // None of it is ours any more: the platform has nothing to follow.
                continue;
            }
            if !swaps.is_empty() {
                for swap in &swaps {
                    cx.log.line(&format!("{}: {} {} → {}", swap.object.in_words(), swap.label, swap.from, swap.to));
                }
                let action = match self.action(&giving.action) {
                    Ok(action) => action,
                    Err(failure) => return failed(failure, begun, &found),
                };
                let (cx, intent) = (context(cx), &giving.intent);
                let outcome = tokio::time::timeout(SWAP_LIMIT, action.revert(&cx, intent, &swaps)).await;
                let outcome = outcome.unwrap_or_else(|_| Applied::Unknown {
                    failure: Failure::transient(format!("the target did not answer within {}", Span(SWAP_LIMIT))),
                });
                crash::point("effect");
                match outcome {
                    Applied::Applied { .. } => begun = true,
                    Applied::NotApplied { failure } => return failed(failure, begun, &found),
                    Applied::FailedWithEffect { failure, .. } => return failed(failure, true, &found),
                    Applied::Unknown { failure } => return Applied::Unknown { failure },
                }
            }
            if let Err(failure) = self.follow(cx, &giving, settle).await {
                // Whatever it was, the fields are back: what is left is for the platform, and the next steps rely on it.
                return failed(failure, true, &found);
            }
        }
        cx.log.part(all, all, "steps given back");
        Applied::Applied { outputs: found.outputs() }
    }

    /// Whether it has all gone back.
    pub(super) async fn is_given(&self, cx: &Context, mut found: Found) -> Result<Verdict, Failure> {
        for at in 0..found.give.len() {
            if !self.stand(cx, at, &mut found).await?.is_empty() {
                return Ok(Verdict::Absent);
            }
            let giving = &found.give[at];
            if giving.swaps.is_empty() {
                continue;
            }
            if !matches!(self.action(&giving.action)?.followed(&context(cx), &giving.intent).await?, Followed::Yes) {
                return Ok(Verdict::Absent);
            }
        }
        Ok(Verdict::Present { outputs: found.outputs() })
    }

    /// Compares with what is there: the swaps that are still to be made. What has become somebody else's since it was found is left alone.
    async fn stand(&self, cx: &Context, at: usize, found: &mut Found) -> Result<Vec<Swap>, Failure> {
        let giving = found.give[at].clone();
        if giving.swaps.is_empty() {
            return Ok(Vec::new());
        }
        let values = self.live(cx, &giving.action, &giving.intent).await?;
        let mut ours = Vec::new();
        let known = found.left.len();
        for swap in &giving.swaps {
            let live = values.of(&swap.object, &swap.field);
            match found.way(at, swap, live) {
                Way::Back => {}
                Way::Here => match self.overtaken(cx, found, swap, live).await? {
                    None => ours.push(swap.clone()),
                    by => found.leave(swap, live, by),
                },
                Way::Off => found.leave(swap, live, None),
            }
        }
        found.left.iter().skip(known).for_each(|left| told(cx, left));
        Ok(ours)
    }

    /// Waits until the platform has followed.
    async fn follow(&self, cx: &Context, giving: &Giving, settle: Duration) -> Result<(), Failure> {
        let action = self.action(&giving.action)?;
        let until = Instant::now() + settle;
        let mut said = String::new();
        loop {
            let look = tokio::time::timeout(LOOK_LIMIT, action.followed(&context(cx), &giving.intent)).await;
            let look = look.unwrap_or_else(|_| Err(Failure::transient(format!("no answer within {}", Span(LOOK_LIMIT)))));
            let over = Instant::now() >= until;
            let why = match look {
                Ok(Followed::Yes) => return Ok(()),
                Ok(Followed::No { holds }) if over => {
                    let message = format!("{holds} (after {}): what relies on it was not given back", Span(settle));
                    let hint = "`runsheet resume` goes on once it has come down; `runsheet status` lists what is still owed";
                    return Err(Failure::permanent(message).hint(hint));
                }
                Ok(Followed::No { holds }) => holds,
                Err(failure) if over || !failure.transient => return Err(failure),
                Err(failure) => failure.message,
            };
            if why != said {
                cx.log.line(&why);
                said = why;
            }
            sleep(POLL).await;
        }
    }
}

fn told(cx: &Context, left: &Left) {
    cx.log.line(&format!("{}: {} is left alone: {}", left.object, left.field, left.why));
}
