//! Tasks and their locks: waited for, and looked at again before anything is done under them.
//!
//! Invariant: an action that has an effect is driven only while each of its locks is firm. Under one that is in doubt it stands still; under one that is
//! lost it is dropped, and what it had begun is unknown.

use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use tokio::time::{Instant, sleep};

use super::dispatcher::Message;
use super::executor::{Executor, POLL};
use super::held_locks::InUse;
use crate::machine::decide::Input;
use crate::machine::task::{Task, What};
use crate::model::change::ObjectRef;
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure};
use crate::ports::lock::{Hold, Keeper, LockError};

/// How long a lock may be in doubt before what waits for it is given up.
const DOUBT: Duration = Duration::from_secs(30);
/// How soon a lock in doubt is looked at again.
const LOOK: Duration = Duration::from_millis(50);

impl Executor {
    /// Takes locks, waiting for as long as somebody else holds one; the machine is told once who. One that was lost is not taken again, since
    /// what was read under it may not be so any more; but for a rollback, which looks at everything anew and gives back only what is as the run left it.
    pub(super) async fn lock(&self, task: &Task, objects: &[ObjectRef]) -> Result<Option<InUse>, Failure> {
        if objects.is_empty() {
            return Ok(None);
        }
        let mut told = false;
        if matches!(task.what, What::ReadLive { .. }) {
            self.locks.let_go_of_lost().await;
        }
        loop {
            match self.locks.take(objects).await.map_err(not_taken)? {
                Ok(in_use) => match in_use.hold() {
                    (Hold::Lost { why }, object) => return Err(lost(object, &why)),
                    (Hold::Firm | Hold::Doubtful { .. }, _) => return Ok(Some(in_use)),
                },
                Err((object, holder)) => {
                    if !told {
                        told = true;
                        if !matches!(task.what, What::Observe { .. }) {
                            // The step has begun: it waits for nothing that its state could say.
                            let line = format!("waits for the lock on {}: it is held by {holder}", object.in_words());
                            self.context(task).log.line(&line);
                        }
                        let _ = self.to.send(Message::Input(Input::LockHeld { node: task.node, token: task.token, object, holder }));
                    }
                    sleep(POLL).await;
                }
            }
        }
    }
}

/// Drives an effect while its locks are firm. Nothing of it is begun before they are.
pub(super) async fn under_locks<F: Future<Output = Applied>>(in_use: Option<&InUse>, effect: impl FnOnce() -> F) -> Applied {
    guarded(|| in_use.map_or((Hold::Firm, None), InUse::hold), DOUBT, effect).await
}

async fn guarded<'a, F: Future<Output = Applied>>(
    hold: impl Fn() -> (Hold, Option<&'a ObjectRef>),
    limit: Duration,
    effect: impl FnOnce() -> F,
) -> Applied {
    let mut effect = pin!(effect());
    let mut begun = false;
    let mut doubted: Option<Instant> = None;
    let mut look = pin!(sleep(Duration::ZERO));
    std::future::poll_fn(move |cx| {
        let failure = match hold() {
            (Hold::Firm, _) => {
                (begun, doubted) = (true, None);
                return effect.as_mut().poll(cx);
            }
            (Hold::Lost { why }, object) => lost(object, &why),
            (Hold::Doubtful { why }, object) => {
                let since = *doubted.get_or_insert_with(Instant::now);
                if since.elapsed() < limit {
                    // Woken again by the time alone: the effect is not looked at.
                    while look.poll_unpin(cx).is_ready() {
                        look.as_mut().reset(Instant::now() + LOOK);
                    }
                    return Poll::Pending;
                }
                doubtful(object, &why, limit)
            }
        };
        Poll::Ready(if begun {
            let message = format!("{failure}, in the middle of this");
            Applied::Unknown { failure: Failure { message, ..failure } }
        } else {
            let message = format!("{failure}: nothing was sent");
            Applied::NotApplied { failure: Failure { message, ..failure } }
        })
    })
    .await
}

fn named(object: Option<&ObjectRef>) -> String {
    object.map_or_else(|| "the lock".to_owned(), |object| format!("the lock on {object}"))
}

fn lost(object: Option<&ObjectRef>, why: &str) -> Failure {
    Failure::permanent(format!("{} is lost ({why})", named(object)))
        .hint("look at what the other run does; `runsheet resume` takes the lock anew, and looks for what has changed")
}

fn doubtful(object: Option<&ObjectRef>, why: &str, limit: Duration) -> Failure {
    Failure::transient(format!("{} could not be renewed for {} ({why})", named(object), Span(limit)))
        .hint("check that the cluster can be reached, then `runsheet resume`")
}

fn not_taken(error: LockError) -> Failure {
    let message = error.to_string();
    match error.keeper {
        // The cluster may be back soon, as for any other request.
        Keeper::Target => Failure::transient(message).hint(error.hint),
        Keeper::Machine => Failure::permanent(message).hint(error.hint),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};

    use serde_json::Value;

    use super::*;

    /// An effect of this many steps, which counts those that were begun; between two of them it lets others go on.
    async fn effect(steps: usize, count: Arc<AtomicUsize>) -> Applied {
        for _ in 0..steps {
            count.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
        }
        Applied::Applied { outputs: Value::Null }
    }

    /// What comes of an effect of three steps whose lock stands so at each look, the last for good; and how many steps were begun.
    async fn outcome(holds: Vec<Hold>) -> (Applied, usize) {
        let count = Arc::new(AtomicUsize::new(0));
        let left = Mutex::new(holds);
        let hold = || {
            let mut left = left.lock().unwrap();
            (if left.len() > 1 { left.remove(0) } else { left[0].clone() }, None)
        };
        let applied = guarded(hold, Duration::from_millis(200), || effect(3, Arc::clone(&count))).await;
        (applied, count.load(Ordering::SeqCst))
    }

    fn gone() -> Hold {
        Hold::Lost { why: "run 2 has taken it over".to_owned() }
    }

    fn doubt() -> Hold {
        Hold::Doubtful { why: "no answer".to_owned() }
    }

    #[tokio::test]
    async fn nothing_is_begun_under_a_lock_that_is_lost() {
        let (applied, steps) = outcome(vec![gone()]).await;
        let Applied::NotApplied { failure } = applied else { panic!("{applied:?}") };
        assert_eq!(failure.message, "the lock is lost (run 2 has taken it over): nothing was sent");
        assert!(!failure.transient && steps == 0, "{failure:?}");
    }

    #[tokio::test]
    async fn an_effect_whose_lock_is_lost_on_the_way_goes_no_further_and_is_unknown() {
        let (applied, steps) = outcome(vec![Hold::Firm, Hold::Firm, gone()]).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
        assert_eq!(steps, 2, "the third is not begun");
    }

    #[tokio::test]
    async fn an_effect_waits_for_a_lock_in_doubt_and_goes_on_once_it_is_firm_again() {
        let (applied, steps) = outcome(vec![doubt(), Hold::Firm, doubt(), doubt(), Hold::Firm]).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
        assert_eq!(steps, 3);
    }

    #[tokio::test]
    async fn doubt_has_an_end() {
        let (applied, steps) = outcome(vec![doubt()]).await;
        let Applied::NotApplied { failure } = applied else { panic!("{applied:?}") };
        assert!(failure.transient && failure.message.contains("could not be renewed for 200ms (no answer)") && steps == 0, "{failure:?}");
        let (applied, _) = outcome(vec![Hold::Firm, doubt()]).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
    }
}
