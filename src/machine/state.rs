//! A run's state: the fold of its events.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::graph::Graphs;
use super::node::{Kind, Node, Stage};
use crate::model::catalogue::Catalogue;
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::event::RollbackScope;
use crate::model::id::{RunId, StepPath};
use crate::model::intent::Intent;
use crate::model::run::RunSpec;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{OnFailure, Step, Uses};

/// A step's place in [`State::nodes`].
pub type NodeId = u32;

/// A run's state.
#[derive(Debug)]
pub struct State {
    /// The run.
    pub run: RunId,
    /// What it was started with.
    pub spec: Arc<RunSpec>,
    /// What it executes.
    pub definition: Arc<Definition>,
    /// What there is to know about the actions.
    pub catalogue: Arc<Catalogue>,
    /// Its status.
    pub status: RunStatus,
    /// Why it has that status.
    pub reason: Option<String>,
    /// When the last event was folded.
    pub last_at: Timestamp,
    /// How many events were folded.
    pub folded: u64,
    pub(super) mode: Mode,
    pub(super) graphs: Arc<Graphs>,
    pub(super) nodes: Vec<Node>,
    pub(super) by_path: HashMap<StepPath, NodeId>,
    pub(super) scopes: Vec<Scope>,
    /// Pending steps whose needs have all ended.
    pub(super) considerable: BTreeSet<NodeId>,
    /// Leaves that have begun and not ended, waiting ones included; and groups that wait.
    pub(super) active: BTreeSet<NodeId>,
    /// Steps that failed and hold the run up (their rule is not `continue`).
    pub(super) holding: BTreeSet<NodeId>,
    /// Groups whose children have all ended.
    pub(super) concludable: BTreeSet<NodeId>,
    pub(super) timers: BTreeSet<(Timestamp, NodeId)>,
    pub(super) counts: Counts,
    /// Instructions that were taken or refused: one sent twice is done once.
    pub(super) instructed: BTreeSet<uuid::Uuid>,
    /// What the last rollback covered.
    pub(super) last_scope: Option<RollbackScope>,
    /// A rollback began and has not ended.
    pub(super) rollback_open: bool,
}

/// What one finished step has put in place.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The step.
    pub step: StepPath,
    /// Which doing of it.
    pub occurrence: u32,
    /// Its action.
    pub action: String,
    /// Its intent.
    pub intent: Arc<Intent>,
}

/// What the run is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Mode {
    /// Steps start as their needs allow.
    Forward,
    /// Nothing new starts.
    Paused,
    /// Nothing new starts; then steps are taken back.
    RollingBack(RollbackScope),
    /// Nothing new starts; then the run ends.
    Cancelling,
    /// Only `always` steps start; then the run has this status.
    Ending(RunStatus),
    /// It has ended.
    Finished,
}

/// Leaves by status, for questions that must not look at every step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub waiting: usize,
    pub working: usize,
    pub unknown: usize,
    pub rollback_failed: usize,
    pub failed: usize,
}

/// One playbook as it is executed: the root, or one call.
#[derive(Debug)]
pub(super) struct Scope {
    pub playbook: Arc<str>,
    pub call: Option<NodeId>,
    pub params: Arc<Value>,
    pub vars: Arc<Value>,
    pub first: NodeId,
    /// Children that have not ended.
    pub open: u32,
}

impl State {
    /// The steps in order, with their paths and statuses.
    pub fn steps(&self) -> impl Iterator<Item = (&StepPath, StepStatus)> {
        self.nodes.iter().map(|node| (&node.path, node.status))
    }

    /// The status of a step.
    pub fn step_status(&self, path: &StepPath) -> Option<StepStatus> {
        self.by_path.get(path).map(|node| self.node(*node).status)
    }

    /// The outputs of a step that succeeded.
    pub fn step_outputs(&self, path: &StepPath) -> Option<Arc<Value>> {
        let node = self.node(*self.by_path.get(path)?);
        (node.status == StepStatus::Succeeded).then(|| node.detail.as_ref().map(|detail| Arc::clone(&detail.outputs)))?
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Whether some step waits for a person: a gate, or an unknown outcome.
    pub fn waits_for_person(&self) -> bool {
        self.counts.unknown > 0
            || self.active.iter().any(|node| matches!(self.node(*node).stage, Stage::Gate { .. }))
            || matches!(self.status, RunStatus::Stuck)
    }

    /// Whether a step's outcome is unknown and waits for an operator.
    pub fn has_unknown(&self) -> bool {
        self.counts.unknown > 0
    }

    /// What the run is known to change before it begins: the objects of every step whose inputs need no other step. Sorted.
    pub fn foreseeable_objects(&self) -> Vec<ObjectRef> {
        let known = [crate::expr::Root::Params, crate::expr::Root::Vars, crate::expr::Root::Target];
        let mut objects: Vec<ObjectRef> = (0..u32::try_from(self.nodes.len()).unwrap_or(u32::MAX))
            .filter(|id| !self.node(*id).status.is_ended())
            .filter_map(|id| {
                let Uses::Action { name, with, .. } = &self.step(id).uses else { return None };
                let entry = self.catalogue.get(name)?;
                if !crate::expr::references(with).roots.iter().all(|root| known.contains(root)) {
                    return None;
                }
                let inputs = self.resolve(id, with, crate::expr::Bindings::new()).ok()?;
                Some(entry.touched(&inputs, self.spec.target.as_ref()))
            })
            .flatten()
            .collect();
        objects.sort();
        objects.dedup();
        objects
    }

    /// What finished steps have put in place and not taken back: where drift is looked for. Of several changes of one field, the last.
    pub fn standing_changes(&self) -> Vec<Standing> {
        let mut last: HashMap<(ObjectRef, String), usize> = HashMap::new();
        let mut found: Vec<Option<Standing>> = Vec::new();
        for id in self.changed() {
            let (node, Some(action)) = (self.node(id), self.action(id)) else { continue };
            let Some((detail, intent)) = node.detail.as_ref().and_then(|detail| Some((detail, detail.intent.as_ref()?))) else { continue };
            for change in &intent.changes {
                if let Some(earlier) = last.insert((change.object.clone(), change.field.clone()), found.len()) {
                    found[earlier] = None;
                }
            }
            // What is under way, or failed halfway, takes the field over too, but what it left there is not known.
            found.push((node.status == StepStatus::Succeeded).then(|| Standing {
                step: node.path.clone(),
                occurrence: detail.occurrence,
                action: action.to_owned(),
                intent: Arc::clone(intent),
            }));
        }
        found.into_iter().flatten().collect()
    }

    /// The leaves that may have changed fields and have not been taken back, in the order of their intents.
    pub(super) fn changed(&self) -> Vec<NodeId> {
        let mut changed: Vec<(u64, NodeId)> = (0_u32..)
            .zip(&self.nodes)
            .filter_map(|(id, node)| {
                let detail = node.detail.as_ref().filter(|detail| detail.frozen)?;
                detail.intent.as_ref().filter(|intent| !intent.changes.is_empty()).map(|_| (detail.frozen_at, id))
            })
            .collect();
        changed.sort_unstable();
        changed.into_iter().map(|(_, id)| id).collect()
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    pub(super) fn scope_of(&self, id: NodeId) -> &Scope {
        &self.scopes[self.node(id).scope as usize]
    }

    /// The step that a node is a doing of.
    pub(super) fn step(&self, id: NodeId) -> &Step {
        let node = self.node(id);
        &self.definition.playbooks[&*self.scopes[node.scope as usize].playbook].steps[node.step as usize]
    }

    /// Whether the node is an instance of a `for_each`.
    pub(super) fn is_instance(&self, id: NodeId) -> bool {
        self.node(id)
            .parent
            .is_some_and(|parent| matches!(self.node(parent).kind, Kind::Each { .. }) && self.node(parent).scope == self.node(id).scope)
    }

    /// The node that stands in the graph for this one: the `for_each` for its instances, else itself.
    pub(super) fn graph_node(&self, id: NodeId) -> NodeId {
        match self.node(id).parent {
            Some(parent) if self.is_instance(id) => parent,
            _ => id,
        }
    }

    /// The nodes that need this one (empty for instances: their `for_each` is what is needed).
    pub(super) fn dependents(&self, id: NodeId) -> Vec<NodeId> {
        if self.is_instance(id) {
            return Vec::new();
        }
        let scope = self.scope_of(id);
        self.graphs.get(&scope.playbook).dependents[self.node(id).step as usize].iter().map(|at| scope.first + at).collect()
    }

    /// The nodes that this one needs.
    pub(super) fn needs(&self, id: NodeId) -> Vec<NodeId> {
        let scope = self.scope_of(id);
        self.graphs.get(&scope.playbook).needs[self.node(id).step as usize].iter().map(|at| scope.first + at).collect()
    }

    /// The children of a group.
    pub(super) fn children(&self, id: NodeId) -> std::ops::Range<NodeId> {
        match self.node(id).kind {
            Kind::Leaf | Kind::Call { scope: None } => 0..0,
            Kind::Each { first, count, .. } => first..first + count,
            Kind::Call { scope: Some(scope) } => {
                let scope = &self.scopes[scope as usize];
                let count = self.definition.playbooks[&*scope.playbook].steps.len();
                scope.first..scope.first + u32::try_from(count).unwrap_or(u32::MAX)
            }
        }
    }

    pub(super) fn is_group(&self, id: NodeId) -> bool {
        !matches!(self.node(id).kind, Kind::Leaf)
    }

    /// What this step's failure means, and the step that says so: its own rule, else the caller's, else `pause`.
    pub(super) fn rule(&self, id: NodeId) -> (OnFailure, NodeId) {
        let mut at = id;
        loop {
            if let Some(rule) = self.step(at).on_failure {
                return (rule, at);
            }
            match self.scope_of(at).call {
                Some(call) => at = call,
                None => return (OnFailure::Pause, id),
            }
        }
    }

    /// Whether a step belongs to an `always` step: itself, or one that called it.
    pub(super) fn is_always(&self, id: NodeId) -> bool {
        let mut at = id;
        loop {
            if self.step(at).always {
                return true;
            }
            match self.scope_of(at).call {
                Some(call) => at = call,
                None => return false,
            }
        }
    }

    /// Whether a rollback of this scope may touch the step.
    pub(super) fn is_within(&self, id: NodeId, scope: &RollbackScope) -> bool {
        let RollbackScope::Call { step } = scope else { return true };
        let Some(call) = self.by_path.get(step).copied() else { return false };
        let mut at = self.node(id).parent;
        while let Some(parent) = at {
            if parent == call {
                return true;
            }
            at = self.node(parent).parent;
        }
        false
    }

    /// The action of a leaf, if it is one.
    pub(super) fn action(&self, id: NodeId) -> Option<&str> {
        match &self.step(id).uses {
            Uses::Action { name, .. } => Some(name),
            Uses::Wait(_) | Uses::Approve(_) | Uses::Playbook { .. } | Uses::Monitor(_) => None,
        }
    }

    /// How much of the step's `timeout` is left; `None`: it has none.
    pub(super) fn time_left(&self, id: NodeId, now: Timestamp) -> Option<std::time::Duration> {
        let limit = self.step(id).timeout?;
        let spent = self.node(id).detail.as_ref().map_or(0, |detail| {
            detail.spent_ms + detail.running_since.map_or(0, |since| now.as_millisecond() - since.as_millisecond()).max(0)
        });
        Some(limit.0.saturating_sub(std::time::Duration::from_millis(u64::try_from(spent).unwrap_or(0))))
    }
}
