//! Engine and raw SQLite in turn: after each block of the engine's commits raw SQLite writes its own block, while the engine stands still.
//!
//! Why: the disk of a shared machine is fast in one second and slow in the next. Blocks that lie side by side meet the same disk.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use runsheet::model::event::Record;
use runsheet::model::id::{RunId, StepPath};
use runsheet::ports::observer::{Observer, Progress};

use super::measure::{Failed, median, micros};
use super::raw::Raw;
use super::recording::Commit;

/// A raw side: its database, and what it writes.
pub struct Side {
    /// The database.
    pub raw: Raw,
    /// All commits of the run.
    pub commits: std::sync::Arc<Vec<Commit>>,
    /// How many of them make a block.
    pub block: usize,
}

/// What each block took, the engine's first, then each side's in its order.
pub struct Block {
    engine: Duration,
    sides: Vec<Duration>,
}

/// Watches one run, and lets raw SQLite write between its blocks.
pub struct Alternating {
    every: u64,
    inner: Mutex<Inner>,
}

struct Inner {
    seen: u64,
    began: Option<Instant>,
    sides: Vec<Side>,
    blocks: Vec<Block>,
    failed: Option<Failed>,
}

impl Alternating {
    /// Blocks of so many of the engine's commits.
    pub fn new(every: u64, sides: Vec<Side>) -> Self {
        Self { every, inner: Mutex::new(Inner { seen: 0, began: None, sides, blocks: vec![], failed: None }) }
    }

    /// What was measured.
    pub fn finish(&self) -> Result<Vec<Block>, Failed> {
        let mut inner = self.inner();
        match inner.failed.take() {
            Some(failed) => Err(failed),
            None => Ok(std::mem::take(&mut inner.blocks)),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Alternating {
    fn committed(&self, _: RunId, _: &[Record]) {
        let mut inner = self.inner();
        inner.seen += 1;
        if !inner.seen.is_multiple_of(self.every) {
            return;
        }
        let engine = inner.began.map(|began| began.elapsed());
        match inner.write() {
            Ok(sides) => {
                // The first block has the run's start in it, and is not counted; raw SQLite keeps in step all the same.
                if let (Some(engine), Some(sides)) = (engine, sides) {
                    inner.blocks.push(Block { engine, sides });
                }
            }
            Err(failed) => inner.failed = Some(failed),
        }
        inner.began = Some(Instant::now());
    }

    fn progress(&self, _: RunId, _: &StepPath, _: &Progress) {}
}

impl Inner {
    /// A block of each side; nothing where one has too few commits left for a whole one.
    fn write(&mut self) -> Result<Option<Vec<Duration>>, Failed> {
        let mut times = Vec::with_capacity(self.sides.len());
        let mut whole = true;
        for side in &mut self.sides {
            let (time, written) = side.raw.write(&side.commits, side.block)?;
            whole &= written == side.block;
            times.push(time);
        }
        Ok(whole.then_some(times))
    }
}

/// All blocks of some runs.
#[derive(Default)]
pub struct Blocks(Vec<Block>);

impl Blocks {
    /// Adds those of a run.
    pub fn extend(&mut self, blocks: Vec<Block>) {
        self.0.extend(blocks);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The median, over the blocks, of a side's time by the engine's.
    pub fn ratio(&self, side: usize) -> f64 {
        median(self.0.iter().map(|block| block.sides[side].as_secs_f64() / block.engine.as_secs_f64()).collect())
    }

    /// A side's time by the engine's, over all blocks together.
    pub fn ratio_of_sums(&self, side: usize) -> f64 {
        let raw: f64 = self.0.iter().map(|block| block.sides[side].as_secs_f64()).sum();
        raw / self.0.iter().map(|block| block.engine.as_secs_f64()).sum::<f64>()
    }

    /// The engine's median time of a block of so many, in microseconds each.
    pub fn engine(&self, of: usize) -> f64 {
        median(self.0.iter().map(|block| micros(block.engine) / of as f64).collect())
    }

    /// A side's median time of a block of so many, in microseconds each.
    pub fn raw(&self, side: usize, of: usize) -> f64 {
        median(self.0.iter().map(|block| micros(block.sides[side]) / of as f64).collect())
    }
}
