//! What there was before a run: which runs there are that it may have to give something back for.

use async_trait::async_trait;
use jiff::Timestamp;

use super::journal::JournalError;
use crate::model::id::RunId;

/// Finds earlier runs.
#[async_trait]
pub trait History: Send + Sync {
    /// The runs of these playbooks to which anything has happened since, the earliest first.
    ///
    /// # Errors
    /// [`JournalError`]
    async fn runs_of(&self, playbooks: &[String], since: Timestamp) -> Result<Vec<RunId>, JournalError>;
}
