//! Names and delays that must be the same however often they are worked out: hashes, never randomness.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::id::{RunId, StepPath, hex};
use crate::model::outcome::{Failure, LONGEST_WAIT};
use crate::model::step::{Backoff, Retry};

fn digest(run: RunId, step: &StepPath, occurrence: u32, attempt: Option<u32>) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(run.0.as_bytes());
    hash.update(step.as_str().as_bytes());
    hash.update([0]);
    hash.update(occurrence.to_be_bytes());
    if let Some(attempt) = attempt {
        hash.update(attempt.to_be_bytes());
    }
    hash.finalize().into()
}

/// The key under which every attempt of one doing of a step is sent: 32 hex digits.
pub fn idempotency_key(run: RunId, step: &StepPath, occurrence: u32) -> String {
    hex(&digest(run, step, occurrence, None)[..16])
}

/// The key under which every try of a step's own rollback action is sent: another than that of the step, since it is another request.
pub fn rollback_key(run: RunId, step: &StepPath, occurrence: u32) -> String {
    idempotency_key(run, &StepPath::new(format!("{step}#rollback")), occurrence)
}

/// The delay before this attempt (2: the first retry); never less than what the target asked for.
pub(super) fn delay_after(failure: &Failure, retry: &Retry, run: RunId, step: &StepPath, occurrence: u32, attempt: u32) -> Duration {
    let own = if attempt <= 1 { Duration::ZERO } else { delay(retry, run, step, occurrence, attempt) };
    own.max(failure.asked_wait())
}

/// Whether the target asks to be left alone for longer than anybody waits.
pub(super) fn asks_for_too_much(failure: &Failure) -> bool {
    failure.retry_after.is_some_and(|wait| wait > LONGEST_WAIT)
}

fn delay(retry: &Retry, run: RunId, step: &StepPath, occurrence: u32, attempt: u32) -> Duration {
    let doublings = attempt.saturating_sub(2).min(32);
    let full = match retry.backoff {
        Backoff::Constant => retry.initial.0,
        Backoff::Exponential => retry.initial.0.saturating_mul(1_u32.checked_shl(doublings).unwrap_or(u32::MAX)),
    }
    .min(retry.max.0);
    if !retry.jitter {
        return full;
    }
    let byte = digest(run, step, occurrence, Some(attempt))[0];
    // Between half of the delay and all of it.
    full.mul_f64(0.5 + f64::from(byte) / 510.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration::Span;

    #[test]
    fn a_step_its_rollback_and_each_doing_have_keys_of_their_own() {
        let (run, step) = (RunId(uuid::Uuid::from_u128(7)), StepPath::new("scale"));
        let keys =
            [idempotency_key(run, &step, 1), idempotency_key(run, &step, 2), rollback_key(run, &step, 1), rollback_key(run, &step, 2)];
        let different: std::collections::BTreeSet<&String> = keys.iter().collect();
        assert_eq!(different.len(), 4);
        assert_eq!(keys[0], idempotency_key(run, &step, 1));
    }

    #[test]
    fn delays_grow_are_bounded_and_repeat() {
        let run = RunId(uuid::Uuid::from_u128(7));
        let step = StepPath::new("scale");
        let retry = Retry { attempts: 9, backoff: Backoff::Exponential, initial: Span::seconds(2), max: Span::seconds(30), jitter: false };
        let delays: Vec<u64> = (2..8).map(|attempt| delay(&retry, run, &step, 1, attempt).as_secs()).collect();
        assert_eq!(delays, [2, 4, 8, 16, 30, 30]);
        let jittered = Retry { jitter: true, ..retry };
        for attempt in 2..50 {
            let once = delay(&jittered, run, &step, 1, attempt);
            assert_eq!(once, delay(&jittered, run, &step, 1, attempt));
            assert!(once >= delay(&retry, run, &step, 1, attempt) / 2 && once <= delay(&retry, run, &step, 1, attempt));
        }
    }

    #[test]
    fn what_the_target_asks_for_is_waited_for_and_not_for_ever() {
        let (run, step) = (RunId(uuid::Uuid::from_u128(7)), StepPath::new("scale"));
        let retry = Retry { attempts: 9, backoff: Backoff::Constant, initial: Span::seconds(10), max: Span::seconds(30), jitter: true };
        let after = |seconds: u64, attempt: u32| {
            let failure = Failure::transient("busy").retry_after(Some(Span::seconds(seconds)));
            (delay_after(&failure, &retry, run, &step, 1, attempt).as_secs_f32(), asks_for_too_much(&failure))
        };
        // Longer than the step's own longest delay, with no jitter taken off; also where the first attempt was not even made.
        assert_eq!((after(45, 2), after(45, 1)), ((45.0, false), (45.0, false)));
        // Shorter: the step's own delay holds.
        assert!(after(1, 2).0 >= 5.0);
        assert_eq!(after(3601, 2), (3600.0, true));
    }
}
