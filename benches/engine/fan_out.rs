//! 1,000 steps that need one root and nothing else, beside raw SQLite with one commit a step.

use std::sync::Arc;
use std::time::Instant;

use runsheet::ports::observer::Observer;

use super::chain::{drive, one_commit_a_step};
use super::measure::{ENOUGH, Failed, Wanted, figure, heading, median, micros};
use super::scene::{Scene, fan_out};
use super::slices::Slices;

/// How many steps need the root.
const WIDTH: usize = 1_000;
/// How many raw commits stand beside one run.
const BLOCK: usize = 100;
/// How many runs are measured.
const RUNS: usize = 9;

/// The fan-out at the default parallelism, and at a wider one.
pub fn measure() -> Result<(), Failed> {
    heading(&format!("A {WIDTH}-wide fan-out of `noop`, beside raw SQLite with one commit a step (a chain's rows)"));
    let mut side = one_commit_a_step(BLOCK)?;
    let definition = fan_out(WIDTH);
    for (max_parallel, wanted) in [(16, Wanted::AtLeast(5.0)), (64, Wanted::Nothing)] {
        let (mut ratios, mut engine, mut raws, mut counted) = (vec![], vec![], vec![], 0);
        let began = Instant::now();
        for _ in 0..RUNS {
            if began.elapsed() > ENOUGH / 2 {
                break;
            }
            let scene = Scene::new()?;
            let run = scene.create(&definition, max_parallel)?;
            let before = scene.store.commits();
            let slices = Arc::new(Slices::new(u64::MAX));
            drive(&scene, run, Arc::clone(&slices) as Arc<dyn Observer>)?;
            counted = scene.store.commits() - before - 1;
            let a_step = slices.whole().clock;
            let (time, written) = match side.raw.write(&side.commits, side.block)? {
                (_, 0) => {
                    side = one_commit_a_step(BLOCK)?;
                    side.raw.write(&side.commits, side.block)?
                }
                block => block,
            };
            let raw = micros(time) / written as f64;
            engine.push(a_step);
            raws.push(raw);
            ratios.push(raw / a_step);
        }
        let runs = ratios.len();
        figure(&format!("max_parallel {max_parallel}: commits of the run"), counted as f64, "", Wanted::Nothing);
        figure(&format!("max_parallel {max_parallel}: raw SQLite, a commit"), median(raws), "us", Wanted::Nothing);
        figure(&format!("max_parallel {max_parallel}: the engine, a step"), median(engine), "us", Wanted::Nothing);
        figure(&format!("max_parallel {max_parallel}: the engine's rate by the raw rate ({runs} runs)"), median(ratios), "", wanted);
    }
    Ok(())
}
