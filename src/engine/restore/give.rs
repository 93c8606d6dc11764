//! Giving back: one step's fields after the other, each followed to its end before the next begins.
//!
//! Invariant: what relies on pods that are gone (a larger pool of connections) goes back only once they are: a change that was made before another goes
//! back after it, and not before the platform has followed the other.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

pub(super) use super::found::Giving;
use super::found::{Found, Past, context, foreign};
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

/// Where a step's fields stand.
enum Stand {
    /// All as they were before, or somebody else's.
    Back,
    /// These are still to be swapped.
    Ours(Vec<Swap>),
}

impl Past {
    /// Gives all of it back.
    pub(super) async fn give(&self, cx: &Context, mut found: Found, settle: Duration) -> Applied {
        let mut begun = false;
        let all = found.give.len() as u64;
        for left in &found.left {
            cx.log.line(&format!("{}: {} is left alone: {}", left.object, left.field, left.why));
        }
        for at in 0..found.give.len() {
            let giving = found.give[at].clone();
            cx.log.part(at as u64, all, "steps given back");
            let failed = |failure: Failure, begun: bool, found: &Found| match begun {
                false => Applied::NotApplied { failure },
                true => Applied::FailedWithEffect { failure, outputs: found.outputs() },
            };
            let stand = match self.stand(cx, &giving, &mut found).await {
                Ok(stand) => stand,
                Err(failure) => return failed(failure, begun, &found),
            };
            if let Stand::Ours(swaps) = stand {
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
            let giving = found.give[at].clone();
            let back = matches!(self.stand(cx, &giving, &mut found).await?, Stand::Back);
            if !back || !matches!(self.action(&giving.action)?.followed(&context(cx), &giving.intent).await?, Followed::Yes) {
                return Ok(Verdict::Absent);
            }
        }
        Ok(Verdict::Present { outputs: found.outputs() })
    }

    /// Compares with what is there; what has become somebody else's since it was found is moved to what is left alone.
    async fn stand(&self, cx: &Context, giving: &Giving, found: &mut Found) -> Result<Stand, Failure> {
        let live = self.live(cx, giving).await?;
        let mut ours = Vec::new();
        for (swap, live) in giving.swaps.iter().zip(live) {
            match live {
                Some(live) if live == swap.to => {}
                Some(live) if live == swap.from => ours.push(swap.clone()),
                other => found.leave(giving, swap, other),
            }
        }
        Ok(if ours.is_empty() { Stand::Back } else { Stand::Ours(ours) })
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

impl Found {
    fn leave(&mut self, giving: &Giving, swap: &Swap, live: Option<Value>) {
        self.left.push(foreign(swap, live));
        let same = |other: &&mut Giving| other.run == giving.run && other.step == giving.step && other.occurrence == giving.occurrence;
        if let Some(own) = self.give.iter_mut().find(same) {
            own.swaps.retain(|other| other != swap);
        }
    }
}
