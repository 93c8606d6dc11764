//! The time that steps take, slice by slice: by the clock, and by the processor time of the whole process, which a slow disk does not touch.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use runsheet::engine::Stop;
use runsheet::model::event::{Event, Record};
use runsheet::model::id::{RunId, StepPath};
use runsheet::ports::observer::{Observer, Progress};

use super::measure::{median, micros, processor_time};

/// Watches one run, and stops it, gently, where it takes too long.
pub struct Slices {
    every: u64,
    until: Option<(Instant, Sender<Stop>)>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    first: Option<(Instant, Duration)>,
    last: Option<(Instant, Duration)>,
    steps: u64,
    told: bool,
    slices: Vec<Slice>,
    slice_began: Option<(Instant, Duration, u64)>,
}

/// What a step took in one slice, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// By the clock.
    pub clock: f64,
    /// By the processor.
    pub processor: f64,
}

impl Slices {
    /// Slices of so many steps.
    pub fn new(every: u64) -> Self {
        Self { every, until: None, inner: Mutex::default() }
    }

    /// The same, for so long at most.
    pub fn no_longer_than(every: u64, limit: Duration) -> (Self, Receiver<Stop>) {
        let (stop, from) = channel();
        (Self { every, until: Some((Instant::now() + limit, stop)), inner: Mutex::default() }, from)
    }

    /// How many steps have succeeded.
    pub fn steps(&self) -> u64 {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).steps
    }

    /// The slices of the run.
    pub fn slices(&self) -> Vec<Slice> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).slices.clone()
    }

    /// A step's share of the time from the first commit to the last.
    pub fn whole(&self) -> Slice {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        match (inner.first, inner.last) {
            (Some(first), Some(last)) => slice(first, last, inner.steps),
            _ => Slice { clock: 0.0, processor: 0.0 },
        }
    }
}

fn slice(from: (Instant, Duration), to: (Instant, Duration), steps: u64) -> Slice {
    let each = |duration: Duration| micros(duration) / steps.max(1) as f64;
    Slice { clock: each(to.0 - from.0), processor: each(to.1.saturating_sub(from.1)) }
}

impl Observer for Slices {
    fn committed(&self, _: RunId, records: &[Record]) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let now = (Instant::now(), processor_time());
        inner.first.get_or_insert(now);
        inner.last = Some(now);
        inner.steps += records.iter().filter(|record| matches!(record.event, Event::StepSucceeded { .. })).count() as u64;
        let steps = inner.steps;
        let (clock, processor, at) = *inner.slice_began.get_or_insert((now.0, now.1, steps));
        if steps - at >= self.every {
            inner.slices.push(slice((clock, processor), now, steps - at));
            inner.slice_began = Some((now.0, now.1, steps));
            if let Some((until, stop)) = &self.until
                && now.0 > *until
            {
                // Once is enough; a second one would cut what runs.
                if !std::mem::replace(&mut inner.told, true) {
                    let _ = stop.send(Stop::Gently);
                }
            }
        }
    }

    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}

/// The medians of slices.
pub fn medians(slices: &[Slice]) -> Slice {
    Slice {
        clock: median(slices.iter().map(|slice| slice.clock).collect()),
        processor: median(slices.iter().map(|slice| slice.processor).collect()),
    }
}
