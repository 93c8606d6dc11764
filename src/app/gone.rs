//! Runs whose sandbox is gone: it was reset, or its folder removed, and what they changed went with it.
//!
//! Must not start a sandbox. Invariant: only the sandbox is ever called gone; a real cluster that does not answer is not.

use super::target::SANDBOX;
use super::{App, AppError, Filter, RunSummary};
use crate::model::event::Event;
use crate::sandbox;

impl App {
    /// Whether the run acted on a sandbox's cluster that is not there any more.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn sandbox_is_gone(&self, run: &RunSummary) -> Result<bool, AppError> {
        if run.environment.as_deref() != Some(SANDBOX) {
            return Ok(false);
        }
        let first = self.records_after(run.run, 0, 1)?;
        let recorded = first.first().and_then(|record| match &record.event {
            Event::RunCreated(spec) => spec.target.as_ref()?.identity.get("kubernetes")?.as_str().map(str::to_owned),
            _ => None,
        });
        // What cannot be read tells nothing.
        let Ok(now) = sandbox::cluster_uid(&self.locations.sandbox()) else { return Ok(false) };
        Ok(recorded.is_some_and(|recorded| now != Some(recorded)))
    }

    /// The runs against the sandbox as it is that owe something, the latest first.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn owing_in_sandbox(&self) -> Result<Vec<RunSummary>, AppError> {
        let filter = Filter { environment: Some(SANDBOX.to_owned()), ..Filter::default() };
        let mut owing = self.runs(u32::MAX, &filter)?.runs;
        owing.retain(|run| run.owed > 0);
        self.without_gone(owing)
    }

    /// These runs without those whose sandbox is gone: of them nothing can be given back, and nothing needs to be.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn without_gone(&self, runs: Vec<RunSummary>) -> Result<Vec<RunSummary>, AppError> {
        let mut left = Vec::with_capacity(runs.len());
        for run in runs {
            if !self.sandbox_is_gone(&run)? {
                left.push(run);
            }
        }
        Ok(left)
    }
}
