//! Waiting for what takes its time in AWS.
//!
//! Must not change anything. Invariants: a wait ends by itself, before the step's own time is over; a look that failed for a moment is made again;
//! whoever is killed in it has lost nothing, since what is waited for is asked of AWS.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Context;

/// From one look to the next: at first, and at most.
const SOON: Duration = Duration::from_millis(500);
const LATE: Duration = Duration::from_secs(15);
/// How often people are told that nothing has changed.
const TELL: Duration = Duration::from_secs(60);
/// How long before the step's own time is over a wait ends.
const BEFORE_THE_END: Duration = Duration::from_secs(2);
/// How long a change may take where the step does not say.
pub(super) const WITHIN: Span = Span::seconds(3600);

/// What a look shows.
#[derive(Debug)]
pub(super) enum Seen {
    /// It is done: the outputs.
    Done(Value),
    /// It is under way, in words.
    UnderWay(String),
    /// It will not be done.
    Over(Failure),
}

/// A wait for a change that was asked for.
pub(super) struct Wait<'a> {
    cx: &'a Context,
    within: Duration,
    begun: Instant,
    told: Option<(String, Instant)>,
    pause: Duration,
}

impl<'a> Wait<'a> {
    /// Begins now, and ends within this time, or the step's own where that is less.
    pub(super) fn begin(cx: &'a Context, within: Span) -> Self {
        let within = cx.timeout.map_or(within.0, |step| step.saturating_sub(BEFORE_THE_END).min(within.0));
        Self { cx, within, begun: Instant::now(), told: None, pause: SOON }
    }

    /// How long it has lasted.
    pub(super) fn passed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// What a look ends the wait with; `None`, after a while: it is to be looked again.
    pub(super) async fn after(&mut self, seen: Result<Seen, Failure>) -> Option<Applied> {
        let (message, asked) = match seen {
            Ok(Seen::Done(outputs)) => return Some(Applied::Applied { outputs }),
            Ok(Seen::Over(failure)) => return Some(Applied::FailedWithEffect { failure, outputs: Value::Null }),
            Ok(Seen::UnderWay(message)) => (message, Duration::ZERO),
            Err(failure) if failure.transient => (failure.message.clone(), failure.asked_wait()),
            // The change was taken; that it cannot be looked at says nothing of it.
            Err(failure) => return Some(Applied::Unknown { failure }),
        };
        let passed = self.passed();
        if passed >= self.within {
            let message = format!("{message}, after {}", Span(self.within));
            // No further attempt of the step's own: it would wait as long once more.
            let failure = Failure::permanent(message).hint("it goes on in AWS: `runsheet retry` looks again, with as much time as before");
            return Some(Applied::FailedWithEffect { failure, outputs: Value::Null });
        }
        let is_news = self.told.as_ref().is_none_or(|(former, at)| *former != message || at.elapsed() >= TELL);
        if is_news {
            let (passed, within) = (Span(Duration::from_secs(passed.as_secs())), Span(self.within));
            self.cx.log.line(&format!("{message} ({passed} of at most {within})"));
            self.told = Some((message, Instant::now()));
        }
        sleep(self.pause.max(asked).min(self.within - passed)).await;
        self.pause = (self.pause * 2).min(LATE);
        None
    }
}

/// The pauses between the looks of a reading that is made again and again by whoever asks: no API likes to be asked twice a second for an hour.
#[derive(Default)]
pub(super) struct Looks(usize);

impl Looks {
    const PAUSES: [Duration; 4] = [Duration::from_millis(500), Duration::from_millis(1500), Duration::from_secs(4), Duration::from_secs(9)];

    /// Whether it has not been looked at for long.
    pub(super) fn are_early(&self) -> bool {
        self.0 < 2
    }

    /// Pauses before the next look; `false`, at once: it has been looked at for some fifteen seconds.
    pub(super) async fn again(&mut self) -> bool {
        let Some(pause) = Self::PAUSES.get(self.0) else { return false };
        self.0 += 1;
        sleep(*pause).await;
        true
    }
}
