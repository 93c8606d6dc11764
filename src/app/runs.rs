//! Questions about runs: which there are, which one a text means, what happened since.
//!
//! Must not: write, or make a database that is not there.

use super::{App, AppError, Filter, Runs};
use crate::model::change::ObjectRef;
use crate::model::event::Record;
use crate::model::id::RunId;
use crate::model::ledger::LedgerEntry;
use crate::ports::journal::Journal;

impl App {
    /// The runs that the filter lets through, the latest first, at most `limit`; none where there is no database yet.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn runs(&self, limit: u32, filter: &Filter) -> Result<Runs, AppError> {
        match self.store_if_any()? {
            Some(store) => Ok(store.runs(limit, filter)?),
            None => Ok(Runs::default()),
        }
    }

    /// The run that a text means: an id, or the beginning or end of one.
    ///
    /// # Errors
    /// [`AppError::Find`], [`AppError::NoRuns`]
    pub fn find_run(&self, text: &str) -> Result<RunId, AppError> {
        match self.store_if_any()? {
            Some(store) => Ok(store.find_run(text)?),
            None => Err(AppError::NoRuns { state: self.locations.state.clone() }),
        }
    }

    /// At most `limit` of the run's events after this seq.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn records_after(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<Record>, AppError> {
        match self.store_if_any()? {
            Some(store) => Ok(store.read_page(run, after, limit)?),
            None => Err(AppError::NoRuns { state: self.locations.state.clone() }),
        }
    }

    /// Every change of this field of this object, of all runs, in the order of their intents.
    ///
    /// # Errors
    /// [`AppError::Journal`]
    pub fn history(&self, object: &ObjectRef, field: &str) -> Result<Vec<LedgerEntry>, AppError> {
        match self.store_if_any()? {
            Some(store) => Ok(futures::executor::block_on(store.ledger(object, field))?),
            None => Ok(Vec::new()),
        }
    }

    /// Checks every link of a run's chain, and returns how many events it has.
    ///
    /// # Errors
    /// [`JournalError::Damaged`](super::JournalError::Damaged) says which event does not fit.
    pub fn verify(&self, run: RunId) -> Result<u64, AppError> {
        match self.store_if_any()? {
            Some(store) => Ok(store.verify(run)?),
            None => Err(AppError::NoRuns { state: self.locations.state.clone() }),
        }
    }
}
