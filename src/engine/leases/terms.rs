//! How long a Lease is held, how often it is renewed, and when nothing may be begun under it any more: all by one clock that counts suspend.

use std::sync::Arc;
use std::time::Duration;

use crate::environment::LONGEST_EFFECT;

/// The time since this machine started, suspend included. It never goes back.
pub type BootClock = Arc<dyn Fn() -> Duration + Send + Sync>;

/// The operating system's clock that counts suspend.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
/// Elsewhere the monotonic clock is the one that does.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;

/// The operating system's.
pub fn boot_clock() -> BootClock {
    Arc::new(|| {
        let now = rustix::time::clock_gettime(CLOCK);
        Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
    })
}

/// How long a Lease is held where nothing says otherwise.
const DURATION: Duration = Duration::from_secs(60);
/// The shortest and the longest, in seconds. A shorter one would be doubtful between two renewals. (Test builds take shorter ones.)
const SECONDS: std::ops::RangeInclusive<u64> = if cfg!(debug_assertions) { 1..=3600 } else { 30..=3600 };
/// How long a request for a Lease may take.
const REQUEST: Duration = Duration::from_secs(5);

/// The times of a Lease.
#[derive(Clone)]
pub struct Terms {
    /// How long it is held without being renewed.
    pub(super) duration: Duration,
    pub(super) clock: BootClock,
}

impl Terms {
    /// Leases for this long.
    pub fn new(duration: Duration, clock: BootClock) -> Self {
        Self { duration: duration.max(Duration::from_millis(100)), clock }
    }

    /// Leases for as many seconds as `RUNSHEET_LEASE_SECONDS` says, else for a minute.
    ///
    /// # Errors
    /// When it says something else than a number of seconds that a Lease can be held.
    pub fn from_env() -> Result<Self, String> {
        let duration = match std::env::var_os("RUNSHEET_LEASE_SECONDS").filter(|text| !text.is_empty()) {
            None => DURATION,
            Some(text) => match text.to_str().and_then(|text| text.parse().ok()).filter(|seconds| SECONDS.contains(seconds)) {
                Some(seconds) => Duration::from_secs(seconds),
                None => {
                    let (least, most) = (SECONDS.start(), SECONDS.end());
                    return Err(format!("RUNSHEET_LEASE_SECONDS is {}, not a number of seconds from {least} to {most}", text.display()));
                }
            },
        };
        Ok(Self::new(duration, boot_clock()))
    }

    pub(super) fn now(&self) -> Duration {
        (self.clock)()
    }

    /// `spec.leaseDurationSeconds`: never shorter than it is held.
    pub(super) fn seconds(&self) -> u64 {
        self.duration.as_secs() + u64::from(self.duration.subsec_nanos() > 0)
    }

    /// How often it is renewed.
    pub(super) fn every(&self) -> Duration {
        self.duration / 3
    }

    /// How soon a renewal that failed is tried again.
    pub(super) fn again(&self) -> Duration {
        (self.duration / 12).min(Duration::from_secs(5))
    }

    /// How soon a Lease of somebody else is looked at again.
    pub(super) fn look(&self) -> Duration {
        (self.duration / 12).min(Duration::from_secs(2))
    }

    /// How long it must still be held for an effect to be begun: as long as its request may take.
    pub(super) fn margin(&self) -> Duration {
        LONGEST_EFFECT.min(self.duration / 3)
    }

    /// How long a request for a Lease may take.
    pub(super) fn request(&self) -> Duration {
        REQUEST.min((self.duration / 3).max(Duration::from_secs(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_renewals_a_lease_always_outlasts_a_request() {
        for seconds in [30, 60, 3600] {
            let terms = Terms::new(Duration::from_secs(seconds), boot_clock());
            assert_eq!(terms.margin(), LONGEST_EFFECT);
            assert!(terms.every() + terms.request() + terms.margin() <= terms.duration, "{seconds}");
        }
    }

    #[test]
    fn the_clock_goes_on() {
        let clock = boot_clock();
        let first = clock();
        assert!(first > Duration::ZERO && clock() >= first);
    }
}
