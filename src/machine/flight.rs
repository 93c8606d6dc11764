//! What runs in this process right now. Not part of a run's state: it dies with the process, and recovery rebuilds it.

use std::collections::{BTreeSet, HashMap};

use super::state::NodeId;
use super::unwind::Unwind;

/// Tasks on their way, and steps that wait for a slot.
#[derive(Debug, Default)]
pub struct Flight {
    /// The token of the task that each step holds, and whether it may reach the target.
    pub(super) tasks: HashMap<NodeId, (u64, bool)>,
    /// Those of them that only sample, for as long as a monitor lasts: nothing waits for them to end.
    pub(super) watching: BTreeSet<NodeId>,
    /// How many of these count against `max_parallel`.
    pub(super) slots: u32,
    /// Which of them do.
    pub(super) slotted: BTreeSet<NodeId>,
    /// Steps that could start if a slot were free.
    pub(super) queue: BTreeSet<NodeId>,
    /// Reverts that could start if a slot were free.
    pub(super) revert_queue: BTreeSet<NodeId>,
    /// The order in which steps are taken back, while they are.
    pub(super) unwind: Option<Unwind>,
    next_token: u64,
}

impl Flight {
    /// How many tasks are on their way, but for those that only sample.
    pub fn tasks(&self) -> usize {
        self.tasks.len() - self.watching.len()
    }

    /// Whether a monitor samples.
    pub fn watches(&self) -> bool {
        !self.watching.is_empty()
    }

    /// The steps that hold a task: step, token, and whether it may reach the target.
    pub fn holders(&self) -> Vec<(NodeId, u64, bool)> {
        self.tasks.iter().map(|(node, (token, applies))| (*node, *token, *applies)).collect()
    }

    /// These tasks were not started after all: the process is leaving.
    pub fn forget(&mut self, nodes: impl Iterator<Item = NodeId>) {
        nodes.for_each(|node| {
            self.landed(node);
        });
    }

    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    pub(super) fn holds(&self, node: NodeId, token: u64) -> bool {
        self.tasks.get(&node).is_some_and(|(held, _)| *held == token)
    }

    pub(super) fn landed(&mut self, node: NodeId) {
        self.tasks.remove(&node);
        self.watching.remove(&node);
    }

    /// Gives the step's slot back: it has ended, or waits.
    pub(super) fn free(&mut self, node: NodeId) {
        if self.slotted.remove(&node) {
            self.slots -= 1;
        }
    }

    pub(super) fn take(&mut self, node: NodeId) {
        if self.slotted.insert(node) {
            self.slots += 1;
        }
    }
}
