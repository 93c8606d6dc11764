//! What a view needs to know of the playbooks: their steps in order, and what each uses.
//!
//! Must not: hold templates or sources; a view lives as long as its run is watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::definition::Definition;
use crate::model::step::{Step, Uses};

/// The steps of every playbook of a definition.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    pub(super) root: Vec<Arc<StepOutline>>,
    pub(super) playbooks: BTreeMap<String, Vec<Arc<StepOutline>>>,
    /// The characters of the root's longest id.
    pub(super) widest: usize,
}

/// A step as the playbook has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepOutline {
    /// Its id.
    pub id: String,
    /// One line for people.
    pub summary: Option<String>,
    /// The action's name, or `wait`, `approve`, `playbook`, `monitor`.
    pub uses: String,
    /// How many attempts it may make, from 1.
    pub attempts: u32,
    /// The playbook it calls.
    pub calls: Option<String>,
}

impl Outline {
    /// The outline of a definition.
    pub fn of(definition: &Definition) -> Self {
        let playbooks: BTreeMap<_, Vec<_>> = definition
            .playbooks
            .iter()
            .map(|(name, playbook)| (name.clone(), playbook.steps.iter().map(|step| Arc::new(StepOutline::of(step))).collect()))
            .collect();
        let root = playbooks.get(&definition.root).cloned().unwrap_or_default();
        let widest = root.iter().map(|step| step.id.len()).max().unwrap_or(0);
        Self { root, playbooks, widest }
    }
}

impl StepOutline {
    fn of(step: &Step) -> Self {
        let calls = match &step.uses {
            Uses::Playbook { name, .. } => Some(name.clone()),
            Uses::Action { .. } | Uses::Wait(_) | Uses::Approve(_) | Uses::Monitor { .. } => None,
        };
        Self { id: step.id.clone(), summary: step.summary.clone(), uses: uses(&step.uses).to_owned(), attempts: step.retry.attempts, calls }
    }
}

/// What a step uses, as written in the playbook.
pub fn uses(uses: &Uses) -> &str {
    match uses {
        Uses::Action { name, .. } => name,
        Uses::Wait(_) => "wait",
        Uses::Approve(_) => "approve",
        Uses::Playbook { .. } => "playbook",
        Uses::Monitor { .. } => "monitor",
    }
}
