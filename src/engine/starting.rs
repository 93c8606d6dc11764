//! Before a run is driven: its foreseeable locks are taken, or it is refused, or a signal ends the waiting.

use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use tokio::runtime::Handle;

use super::ended::{Ended, EngineError};
use super::held_locks::HeldLocks;
use super::setup::Setup;
use crate::machine::State;
use crate::model::change::ObjectRef;
use crate::model::duration::Span;
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::status::RunStatus;
use crate::ports::journal::Append;
use crate::ports::lock::LockError;

/// How long a target may give no answer while a lock there is waited for.
const OUTAGE: Duration = Duration::from_secs(60);
/// How soon a lock is tried again.
const AGAIN: Duration = Duration::from_millis(250);
const AGAIN_IN_OUTAGE: Duration = Duration::from_secs(1);

/// How long what was cut off may need to let go of its locks.
const A_MOMENT: Duration = Duration::from_secs(1);

/// Ends a run that could not even begin, so that it is not left open.
pub(super) fn refuse(setup: &Setup, run: RunId, why: &EngineError) -> Result<(), EngineError> {
    let events = vec![Event::RunStatusChanged { status: RunStatus::Cancelled, reason: Some(format!("refused at the start: {why}")) }];
    let append = Append { run, after: 1, epoch: setup.epoch, at: setup.clock.now(), events, taken: Vec::new() };
    let records = block_on(setup.journal.append(append))?;
    setup.observer.committed(run, &records);
    Ok(())
}

/// A signal came while the run waited for locks: nothing was begun, and it can be resumed.
pub(super) fn interrupted_at_start(state: &State, setup: &Setup) -> Result<Ended, EngineError> {
    let (mut status, mut reason) = (state.status, state.reason.clone());
    if matches!(status, RunStatus::Running | RunStatus::Waiting | RunStatus::RollingBack) {
        (status, reason) = (RunStatus::Paused, Some("interrupted while it waited for a lock".to_owned()));
        let events = vec![Event::RunStatusChanged { status, reason: reason.clone() }];
        let append = Append { run: state.run, after: state.folded, epoch: setup.epoch, at: setup.clock.now(), events, taken: Vec::new() };
        let records = block_on(setup.journal.append(append))?;
        setup.observer.committed(state.run, &records);
    }
    Ok(Ended { status, reason, interrupted: true, hurried: false, unknown: state.has_unknown(), refused: Vec::new() })
}

/// Takes the locks of everything that the run is known to change, in sorted order. False: a signal came while somebody else held one.
pub(super) fn take_foreseeable(state: &State, locks: &Arc<HeldLocks>, setup: &Setup) -> Result<bool, EngineError> {
    let objects = state.foreseeable_objects();
    // Held, though not in use yet.
    let take = || block_on(locks.take(&objects)).map(|taken| taken.map(drop));
    let pause = |time| match setup.stop.recv_timeout(time) {
        Ok(_) => false,
        Err(RecvTimeoutError::Timeout) => true,
        // Nobody can send a signal: the lock alone decides.
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(time);
            true
        }
    };
    if setup.wait_for_locks {
        return wait_for(take, pause, OUTAGE, |line| (setup.tell)(line));
    }
    match take()? {
        Ok(()) => Ok(true),
        Err((object, by)) => Err(EngineError::Locked { object, by }),
    }
}

/// Takes, however long others hold it, and tells once of each who does. A target that does not answer for a while ends no wait that has begun.
fn wait_for(
    mut take: impl FnMut() -> Result<Result<(), (ObjectRef, String)>, LockError>,
    mut pause: impl FnMut(Duration) -> bool,
    outage: Duration,
    tell: impl Fn(&str),
) -> Result<bool, EngineError> {
    let mut told: Option<ObjectRef> = None;
    let mut failing: Option<Instant> = None;
    loop {
        let time = match take() {
            Ok(Ok(())) => return Ok(true),
            Ok(Err((object, by))) => {
                failing = None;
                if told.as_ref() != Some(&object) {
                    tell(&format!("waits for the lock on {}: it is held by {by}", object.in_words()));
                    told = Some(object);
                }
                AGAIN
            }
            Err(error) => {
                if told.is_none() || !error.is_of_target() || failing.is_some_and(|since| since.elapsed() >= outage) {
                    return Err(error.into());
                }
                if failing.is_none() {
                    tell(&format!("goes on waiting, for {} at most: {error}", Span(outage)));
                    failing = Some(Instant::now());
                }
                AGAIN_IN_OUTAGE
            }
        };
        if !pause(time) {
            return Ok(false);
        }
    }
}

/// Gives all locks back, once what is in use is let go of: what was cut off may need a moment. What is in use for longer is left: the kernel frees it with
/// the process, and a Lease runs out. `hurry`: somebody has asked twice for the end, and a cluster that does not answer is not waited for.
pub(super) fn give_back(locks: &HeldLocks, runtime: &Handle, hurry: bool) {
    let _within = runtime.enter();
    let until = Instant::now() + A_MOMENT;
    loop {
        if hurry {
            let left = until.saturating_duration_since(Instant::now());
            let _ = block_on(async { tokio::time::timeout(left, locks.release()).await });
        } else {
            block_on(locks.release());
        }
        if locks.is_empty() || Instant::now() >= until {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::ports::lock::Keeper;

    type Taken = Result<Result<(), (ObjectRef, String)>, LockError>;

    fn held() -> Taken {
        Ok(Err((ObjectRef("k8s:u/ns/deployment/a".into()), "run 1, on another machine".into())))
    }

    fn failed(keeper: Keeper) -> Taken {
        Err(LockError { object: ObjectRef("k8s:u/ns/deployment/a".into()), why: "no answer".into(), hint: String::new(), keeper })
    }

    /// What comes of a wait in which taking the lock comes to these, one after the other; and what is told meanwhile.
    fn outcome(takes: Vec<Taken>, outage: Duration) -> (Result<bool, EngineError>, Vec<String>) {
        let told = RefCell::new(Vec::new());
        let mut takes = takes.into_iter();
        let taken = wait_for(|| takes.next().unwrap(), |_| true, outage, |line| told.borrow_mut().push(line.to_owned()));
        (taken, told.into_inner())
    }

    #[test]
    fn who_holds_a_lock_is_told_once_and_an_outage_ends_no_wait() {
        let silent = || failed(Keeper::Target);
        let (taken, told) = outcome(vec![held(), held(), silent(), silent(), held(), Ok(Ok(()))], OUTAGE);
        assert!(taken.unwrap());
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "waits for the lock on deployment/a in ns: it is held by run 1, on another machine");
        assert!(told[1].starts_with("goes on waiting, for 1m at most: ") && told[1].ends_with("no answer"), "{told:?}");
    }

    #[test]
    fn an_outage_has_an_end_and_what_fails_before_any_wait_or_on_this_machine_fails() {
        let ends = |takes, outage| assert!(matches!(outcome(takes, outage).0, Err(EngineError::Lock(_))));
        ends(vec![held(), failed(Keeper::Target), failed(Keeper::Target)], Duration::ZERO);
        ends(vec![failed(Keeper::Target)], OUTAGE);
        ends(vec![held(), failed(Keeper::Machine)], OUTAGE);
    }
}
