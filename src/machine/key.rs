//! Names and delays that must be the same however often they are worked out: hashes, never randomness.

use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::model::id::{RunId, StepPath, hex};
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

/// The delay before this attempt (2: the first retry).
pub(super) fn delay(retry: &Retry, run: RunId, step: &StepPath, occurrence: u32, attempt: u32) -> Duration {
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
}
