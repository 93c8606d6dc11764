//! What a run has left behind, for those who give it back later: steps that may have had an effect, were not taken back, and can be.
//!
//! Must not decide anything. Invariant: what may have been done counts as done.

use std::sync::Arc;

use super::state::State;
use crate::model::id::StepPath;
use crate::model::intent::{Intent, Revert};
use crate::model::status::StepStatus;

/// A step that left something behind.
#[derive(Clone, Debug)]
pub struct Debt {
    /// The step.
    pub step: StepPath,
    /// Which doing of it.
    pub occurrence: u32,
    /// Its action.
    pub action: String,
    /// The intent of its effect: how it is undone. Without the lines for a person's hands.
    pub intent: Arc<Intent>,
}

impl State {
    /// What was done, or may have been, and not taken back, in the order of the effects. What is kept for good is no debt.
    pub fn debts(&self) -> Vec<Debt> {
        let mut found: Vec<(u64, Debt)> = (0_u32..)
            .zip(&self.nodes)
            .filter(|(_, node)| !matches!(node.status, StepStatus::RolledBack | StepStatus::Kept))
            .filter_map(|(id, node)| {
                let detail = node.detail.as_ref().filter(|detail| detail.frozen)?;
                let intent = detail.intent.as_ref().filter(|intent| match intent.revert {
                    Revert::Fields { .. } | Revert::Action { .. } => true,
                    Revert::Nothing | Revert::Keep { .. } => false,
                })?;
                let debt = Debt {
                    step: node.path.clone(),
                    occurrence: detail.occurrence,
                    action: self.action(id)?.to_owned(),
                    intent: Arc::clone(intent),
                };
                Some((detail.frozen_at, debt))
            })
            .collect();
        found.sort_by_key(|(at, _)| *at);
        found.into_iter().map(|(_, debt)| debt).collect()
    }
}
