//! Who is told what happens. Observers see only what is committed; they can neither stop nor change it.

use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};

/// Told of everything that happens to a run. Must return at once.
pub trait Observer: Send + Sync {
    /// These events were committed, in this order.
    fn committed(&self, run: RunId, records: &[Record]);

    /// Something that is not an event: a line of output, progress of a wait. May be dropped.
    fn progress(&self, run: RunId, step: &StepPath, progress: &Progress);
}

/// What is told between events.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// A line that the step's action printed or saw, redacted.
    Line(String),
    /// A part of a whole: 5 of 8 pods ready.
    Part {
        /// So many,
        done: u64,
        /// of so many,
        total: u64,
        /// of what: `pods ready`.
        what: String,
    },
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Observer for Silent {
    fn committed(&self, _: RunId, _: &[Record]) {}
    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}
