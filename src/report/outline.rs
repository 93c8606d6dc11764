//! What a view needs to know of the playbooks: their steps in order, and what each uses.
//!
//! Must not: hold templates or sources; a view lives as long as its run is watched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::step::{Need, Step, Uses};

/// The action whose attempts run on this machine.
const COMMAND: &str = "command";

/// The steps of every playbook of a definition.
#[derive(Clone, Debug, Default)]
pub struct Outline {
    pub(super) root: Vec<Arc<StepOutline>>,
    pub(super) playbooks: BTreeMap<String, Vec<Arc<StepOutline>>>,
    /// The characters of the root's longest id.
    pub(super) widest: usize,
    /// The plugins that the run uses.
    plugins: BTreeSet<String>,
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
    /// The playbooks that a monitor's alerts start, by the keys of the instances that do.
    pub alerts: Vec<(String, String)>,
    /// The steps that it needs.
    pub needs: Vec<Need>,
    /// Whether it starts however those ended.
    pub always: bool,
    /// How long each check after it may take; `None`: nothing sets that.
    pub checks: Vec<Option<Duration>>,
    /// How long each check after it must hold, where it must for a time.
    pub holds: Vec<Option<Span>>,
    /// How long an attempt may take, where something sets that.
    pub attempt_limit: Option<Duration>,
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
        Self { root, playbooks, widest, plugins: definition.plugins.keys().cloned().collect() }
    }

    /// Whether an action runs a program on this machine: a command, or a plugin's.
    pub(super) fn runs_here(&self, action: &str) -> bool {
        action == COMMAND || action.split_once('.').is_some_and(|(plugin, _)| self.plugins.contains(plugin))
    }
}

impl StepOutline {
    /// That of an instance: of a monitor's, what it does by itself.
    pub(super) fn instance(self: &Arc<Self>, key: &str) -> Arc<Self> {
        if self.uses != "monitor" {
            return Arc::clone(self);
        }
        let calls = self.alerts.iter().find(|(firing, _)| firing == key).map(|(_, playbook)| playbook.clone());
        let (uses, summary) = match &calls {
            Some(playbook) => ("playbook", format!("starts {playbook} when its alert fires")),
            None => ("monitor", "samples".to_owned()),
        };
        Arc::new(Self { uses: uses.to_owned(), summary: Some(summary), calls, alerts: Vec::new(), ..(**self).clone() })
    }

    fn of(step: &Step) -> Self {
        let calls = match &step.uses {
            Uses::Playbook { name, .. } => Some(name.clone()),
            Uses::Action { .. } | Uses::Wait(_) | Uses::Approve(_) | Uses::Monitor(_) => None,
        };
        let alerts = match &step.uses {
            Uses::Monitor(monitor) => {
                let started = monitor.instances().into_iter().filter_map(|(key, alert)| Some((key, alert?.playbook.clone())));
                started.collect()
            }
            Uses::Action { .. } | Uses::Wait(_) | Uses::Approve(_) | Uses::Playbook { .. } => Vec::new(),
        };
        Self {
            id: step.id.clone(),
            summary: step.summary.clone(),
            uses: uses(&step.uses).to_owned(),
            attempts: step.retry.attempts,
            calls,
            alerts,
            needs: step.needs.clone(),
            always: step.always,
            checks: step.after.iter().map(|check| Some(check.within?.0 + check.hold.map_or(Duration::ZERO, |hold| hold.0))).collect(),
            holds: step.after.iter().map(|check| check.hold).collect(),
            attempt_limit: step.attempt_timeout.or(step.timeout).map(|span| span.0),
        }
    }
}

/// What a step uses, as written in the playbook.
pub fn uses(uses: &Uses) -> &str {
    match uses {
        Uses::Action { name, .. } => name,
        Uses::Wait(_) => "wait",
        Uses::Approve(_) => "approve",
        Uses::Playbook { .. } => "playbook",
        Uses::Monitor(_) => "monitor",
    }
}
