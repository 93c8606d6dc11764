//! A 1,000-step chain beside raw SQLite that writes the same rows: steps that do nothing, and steps with an observed prior value.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Instant;

use runsheet::model::definition::Definition;
use runsheet::model::id::RunId;
use runsheet::model::status::RunStatus;
use runsheet::ports::observer::Observer;

use super::alternating::{Alternating, Blocks, Side};
use super::measure::{ENOUGH, Failed, Wanted, figure, heading};
use super::raw::Raw;
use super::recording::{Commit, Recorder, paired};
use super::scene::{Does, Scene, chain};

/// How many steps the chain has.
const STEPS: usize = 1_000;
/// How many steps make a block.
const BLOCK: usize = 50;
/// How many runs are measured, after one that is recorded.
const RUNS: usize = 8;

/// A run that was recorded, for raw SQLite to write again.
struct Recorded {
    run: RunId,
    definition: Definition,
    commits: Arc<Vec<Commit>>,
    /// As the store counts them, for the whole run.
    counted: u64,
}

impl Recorded {
    /// Runs a chain once, and makes sure that what raw SQLite makes of the recording are the same rows.
    fn chain(does: Does) -> Result<Self, Failed> {
        let definition = chain(STEPS, does);
        let scene = Scene::new()?;
        let run = scene.create(&definition, 16)?;
        let before = scene.store.commits();
        let recorder = Arc::new(Recorder::default());
        drive(&scene, run, Arc::clone(&recorder) as Arc<dyn Observer>)?;
        // One is the takeover's, which is not an append.
        let counted = scene.store.commits() - before - 1;
        let commits = recorder.commits(scene.file())?;
        let mut raw = Raw::new(run, &definition)?;
        raw.write(&commits, usize::MAX)?;
        raw.compare(scene.file())?;
        Ok(Self { run, definition, commits: Arc::new(commits), counted })
    }

    fn side(&self, commits: &Arc<Vec<Commit>>, block: usize) -> Result<Side, Failed> {
        Ok(Side { raw: Raw::new(self.run, &self.definition)?, commits: Arc::clone(commits), block })
    }

    fn commits_a_step(&self) -> f64 {
        self.counted as f64 / STEPS as f64
    }
}

/// Drives a run that is to succeed.
pub fn drive(scene: &Scene, run: RunId, observer: Arc<dyn Observer>) -> Result<(), Failed> {
    let (_stop, stop) = channel();
    let ended = scene.drive(run, observer, stop, &[])?;
    match ended.status {
        RunStatus::Succeeded => Ok(()),
        status => Err(format!("the run ended {}: {:?}", status.as_str(), ended.reason).into()),
    }
}

/// Runs the chain beside these sides, each with its block.
fn beside(does: Does, every: usize, sides: impl Fn() -> Result<Vec<Side>, Failed>) -> Result<Blocks, Failed> {
    let mut blocks = Blocks::default();
    let began = Instant::now();
    for _ in 0..RUNS {
        if began.elapsed() > ENOUGH {
            break;
        }
        let scene = Scene::new()?;
        let run = scene.create(&chain(STEPS, does), 16)?;
        let alternating = Arc::new(Alternating::new(every as u64, sides()?));
        drive(&scene, run, Arc::clone(&alternating) as Arc<dyn Observer>)?;
        blocks.extend(alternating.finish()?);
    }
    Ok(blocks)
}

/// `noop`: one commit a step, and 0.8 of the raw rate.
pub fn noop() -> Result<(), Failed> {
    heading(&format!("A {STEPS}-step chain of `noop`, beside raw SQLite writing the same rows"));
    let recorded = Recorded::chain(Does::Noop)?;
    let blocks = beside(Does::Noop, BLOCK, || Ok(vec![recorded.side(&recorded.commits, BLOCK)?]))?;
    figure("commits a step, counted by the store", recorded.commits_a_step(), "", Wanted::Exactly(1.0));
    figure("raw SQLite, a commit", blocks.raw(0, BLOCK), "us", Wanted::Nothing);
    figure("the engine, a step", blocks.engine(BLOCK), "us", Wanted::Nothing);
    figure(&format!("the engine's rate by the raw rate (median of {} blocks)", blocks.len()), blocks.ratio(0), "", Wanted::AtLeast(0.8));
    figure("the same, of all blocks' sums", blocks.ratio_of_sums(0), "", Wanted::Nothing);
    Ok(())
}

/// Steps with an observed prior value: two commits a step, and 0.4 of the raw rate of one.
pub fn observed() -> Result<(), Failed> {
    heading(&format!("A {STEPS}-step chain with an observed prior value, beside raw SQLite writing the same rows"));
    let recorded = Recorded::chain(Does::Set)?;
    let halved = Arc::new(paired(recorded.commits.to_vec()));
    let sides = || Ok(vec![recorded.side(&recorded.commits, 2 * BLOCK)?, recorded.side(&halved, BLOCK)?]);
    let blocks = beside(Does::Set, 2 * BLOCK, sides)?;
    figure("commits a step, counted by the store", recorded.commits_a_step(), "", Wanted::Exactly(2.0));
    figure("raw SQLite with two commits a step, a commit", blocks.raw(0, 2 * BLOCK), "us", Wanted::Nothing);
    figure("raw SQLite with one commit a step, a commit", blocks.raw(1, BLOCK), "us", Wanted::Nothing);
    figure("the engine, a step", blocks.engine(BLOCK), "us", Wanted::Nothing);
    let count = blocks.len();
    figure(&format!("the engine's rate by raw with one commit a step ({count} blocks)"), blocks.ratio(1), "", Wanted::AtLeast(0.4));
    figure("the same, of all blocks' sums", blocks.ratio_of_sums(1), "", Wanted::Nothing);
    figure("the engine's rate by raw with as many commits as it makes", blocks.ratio(0), "", Wanted::Nothing);
    Ok(())
}

/// A raw side that writes the `noop` chain: what one commit a step costs.
pub fn one_commit_a_step(block: usize) -> Result<Side, Failed> {
    let recorded = Recorded::chain(Does::Noop)?;
    recorded.side(&recorded.commits, block)
}
