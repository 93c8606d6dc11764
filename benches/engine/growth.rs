//! Whether a step costs more in a long run than in a short one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runsheet::model::status::RunStatus;
use runsheet::ports::observer::Observer;

use super::measure::{ENOUGH, Failed, Wanted, figure, heading, micros, processor_time, say};
use super::scene::{Does, Scene, chain};
use super::slices::{Slice, Slices, medians};

/// How many steps a chain has, and how many such chains are run. The one that the others are held against comes before and after the longest.
const CHAINS: [(usize, usize); 5] = [(100, 20), (1_000, 8), (10_000, 2), (100_000, 1), (1_000, 8)];
/// What a step may cost in the longest, beside the chain of 1,000.
const LIMIT: f64 = 1.3;

/// How long one chain may take: on a slow disk a long one is stopped before its end.
const LONGEST: Duration = Duration::from_secs(45);

/// Chains of 100 to 100,000 steps.
pub fn measure() -> Result<(), Failed> {
    heading("A step's cost in chains of `noop` of different lengths (medians of slices)");
    let mut thousand: Vec<Slice> = vec![];
    let mut longest = None;
    for (steps, times) in CHAINS {
        let definition = chain(steps, Does::Noop);
        let mut slices = vec![];
        let mut all = 0;
        let (began, worked) = (Instant::now(), processor_time());
        for _ in 0..times {
            let scene = Scene::new()?;
            let run = scene.create(&definition, 16)?;
            let (observer, stop) = Slices::no_longer_than((steps as u64 / 10).min(100), LONGEST);
            let observer = Arc::new(observer);
            let ended = scene.drive(run, Arc::clone(&observer) as Arc<dyn Observer>, stop, &[])?;
            if !matches!(ended.status, RunStatus::Succeeded | RunStatus::Paused) {
                return Err(format!("the run ended {}: {:?}", ended.status.as_str(), ended.reason).into());
            }
            slices.extend(observer.slices());
            all += observer.steps();
            if began.elapsed() > ENOUGH {
                break;
            }
        }
        if all < steps as u64 {
            say(&format!("  the disk is slow: {all} of {steps} steps were run"));
        }
        let all = all as f64;
        let (whole, worked) = (micros(began.elapsed()) / all, micros(processor_time().saturating_sub(worked)) / all);
        let middle = medians(&slices);
        figure(&format!("{steps} steps: a step, by the clock"), middle.clock, "us", Wanted::Nothing);
        figure(&format!("{steps} steps: a step, processor time"), middle.processor, "us", Wanted::Nothing);
        figure(&format!("{steps} steps: a step's share of everything, by the clock"), whole, "us", Wanted::Nothing);
        figure(&format!("{steps} steps: a step's share of everything, processor time"), worked, "us", Wanted::Nothing);
        if steps == 1_000 {
            thousand.extend(slices);
        } else {
            longest = Some(middle);
        }
    }
    let (base, longest) = (medians(&thousand), longest.ok_or("no chain was run")?);
    figure("100,000 steps by 1,000 steps: the clock", longest.clock / base.clock, "", Wanted::AtMost(LIMIT));
    figure("100,000 steps by 1,000 steps: processor time", longest.processor / base.processor, "", Wanted::AtMost(LIMIT));
    Ok(())
}
