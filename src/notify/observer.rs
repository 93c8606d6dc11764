//! The observer: looks at what is committed and hands on what is news.
//!
//! Invariant: [`Observer::committed`] returns at once. What it costs is a fold of the records; a queue that is full loses a notice, never time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::notice::Notice;
use super::notifier::Notifier;
use super::occasions::{News, Occasions};
use crate::model::event::Record;
use crate::model::id::{RunId, StepPath};
use crate::model::notification::Occasion;
use crate::ports::observer::{Observer, Progress};

/// Puts news into words.
pub trait Describe: Send {
    /// Takes in the next record.
    fn apply(&mut self, record: &Record);
    /// What is told of this.
    fn describe(&self, news: &News) -> Notice;
}

/// Tells people of one run.
pub struct Telling<D> {
    run: RunId,
    inner: Mutex<Inner<D>>,
    notifier: Notifier,
}

struct Inner<D> {
    seq: u64,
    occasions: Occasions,
    words: D,
}

impl<D: Describe> Telling<D> {
    /// For this run, of which these records are known already: nothing of them is told again.
    pub fn new(run: RunId, known: &[Record], words: D, notifier: Notifier) -> Self {
        let mut inner = Inner { seq: 0, occasions: Occasions::default(), words };
        inner.take(known);
        Self { run, inner: Mutex::new(inner), notifier }
    }

    /// Waits for what is not told yet, for a limited time; says what could not be told.
    pub async fn finish(&self) {
        self.notifier.finish().await;
    }

    fn lock(&self) -> MutexGuard<'_, Inner<D>> {
        // A panic of another thread can only have lost news.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Describe> Inner<D> {
    fn take(&mut self, records: &[Record]) -> Vec<News> {
        let mut news = Vec::new();
        for record in records.iter().filter(|record| record.seq > self.seq).collect::<Vec<_>>() {
            self.seq = record.seq;
            news.extend(self.occasions.take(record));
            self.words.apply(record);
        }
        news
    }
}

impl<D: Describe> Observer for Telling<D> {
    fn committed(&self, run: RunId, records: &[Record]) {
        if run != self.run {
            return;
        }
        // Described after all that was committed with it: the run's status belongs to it.
        let notices: Vec<Notice> = {
            let mut inner = self.lock();
            let news = inner.take(records);
            news.iter().map(|news| inner.words.describe(news)).collect()
        };
        for mut notice in notices {
            if notice.owed.is_empty() {
                notice.occasions.retain(|occasion| *occasion != Occasion::Owed);
            }
            self.notifier.tell(&notice);
        }
    }

    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}
