//! A run as people see it: a read model folded from its records, one by one.
//!
//! Must not: read a clock, do input or output, or know how anything looks. The fold itself is in `fold`.
//! Invariant: applying a record costs no more than the logarithm of the number of steps, and a record that was applied before changes nothing.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::outline::{Outline, StepOutline};
use super::step_view::{EffectState, Kept, StepView};
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::event::RollbackScope;
use crate::model::id::{RunId, StepPath};
use crate::model::instruction::Command;
use crate::model::ledger::LedgerEntry;
use crate::model::monitor::SAMPLES;
use crate::model::run::RunSpec;
use crate::model::samples::Sampled;
use crate::model::status::{RunStatus, StepStatus};

/// How many operators' instructions are kept to be shown, the latest.
pub const INSTRUCTIONS: usize = 100;

/// A run, folded from its records.
#[derive(Clone, Debug)]
pub struct RunView {
    pub(super) run: RunId,
    pub(super) outline: Outline,
    pub(super) spec: Option<Box<RunSpec>>,
    pub(super) status: RunStatus,
    pub(super) status_since: Option<Timestamp>,
    pub(super) reason: Option<String>,
    pub(super) owner: Option<Owner>,
    pub(super) owner_alive: Option<bool>,
    pub(super) created_at: Option<Timestamp>,
    pub(super) updated_at: Option<Timestamp>,
    pub(super) outputs: Map<String, Value>,
    pub(super) rollback: Option<RollbackView>,
    pub(super) cancelling: bool,
    pub(super) instructions: VecDeque<InstructionView>,
    pub(super) commands_run: usize,
    pub(super) seq: u64,

    pub(super) steps: Vec<StepView>,
    pub(super) index: HashMap<StepPath, u32>,
    pub(super) roots: Vec<u32>,
    pub(super) by_status: Vec<BTreeSet<u32>>,
    pub(super) leaves: Totals,
    /// Steps whose effect is, or may be, there: the seq of their intent and their place.
    pub(super) open: BTreeSet<(u64, u32)>,
    /// What all runs changed of the fields that this run owes, in the order of their intents.
    pub(super) histories: HashMap<(ObjectRef, String), Vec<LedgerEntry>>,
    /// What its monitors have seen, by the steps that sample.
    pub(super) sampled: Vec<(StepPath, Sampled)>,
}

/// The process that works on a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The process.
    pub pid: u32,
    /// Its machine.
    pub host: String,
    /// Who started it.
    pub by: String,
}

/// A rollback of the run or of a part of it.
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackView {
    /// Which steps.
    pub scope: RollbackScope,
    /// Why, for people.
    pub reason: String,
    /// When it began.
    pub began_at: Timestamp,
    /// Whether it came to its end.
    pub ended: bool,
}

/// What an operator told the run.
#[derive(Clone, Debug, PartialEq)]
pub struct InstructionView {
    /// When it was taken.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub command: Command,
    /// Why, in the operator's words.
    pub reason: Option<String>,
    /// Why it could not be taken; `None`: it was.
    pub refused: Option<String>,
}

/// How many steps have which status. A step with others beneath it is not counted: they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    counts: [usize; StepStatus::ALL.len()],
}

impl Totals {
    /// How many have this status.
    pub fn of(&self, status: StepStatus) -> usize {
        self.counts[status as usize]
    }

    /// How many there are.
    pub fn all(&self) -> usize {
        self.counts.iter().sum()
    }

    /// How many have ended, in whatever way.
    pub fn ended(&self) -> usize {
        StepStatus::ALL.iter().filter(|status| status.is_ended()).map(|status| self.of(*status)).sum()
    }

    pub(super) fn add(&mut self, status: StepStatus) {
        self.counts[status as usize] += 1;
    }

    pub(super) fn take(&mut self, status: StepStatus) {
        self.counts[status as usize] = self.counts[status as usize].saturating_sub(1);
    }
}

impl RunView {
    /// A run of which nothing is known yet.
    pub fn new(run: RunId) -> Self {
        Self {
            run,
            outline: Outline::default(),
            spec: None,
            status: RunStatus::Running,
            status_since: None,
            reason: None,
            owner: None,
            owner_alive: None,
            created_at: None,
            updated_at: None,
            outputs: Map::new(),
            rollback: None,
            cancelling: false,
            instructions: VecDeque::new(),
            commands_run: 0,
            seq: 0,
            steps: Vec::new(),
            index: HashMap::new(),
            roots: Vec::new(),
            by_status: vec![BTreeSet::new(); StepStatus::ALL.len()],
            leaves: Totals::default(),
            open: BTreeSet::new(),
            histories: HashMap::new(),
            sampled: Vec::new(),
        }
    }

    /// The same with the playbooks known: the root's steps are there from the start, in their order, and what each step uses is told. To be called
    /// before the first record is applied.
    #[must_use]
    pub fn with_definition(mut self, definition: &Definition) -> Self {
        self.outline = Outline::of(definition);
        for step in self.outline.root.clone() {
            self.add(StepPath::new(step.id.as_str()), None, Some(step));
        }
        self
    }

    /// What the caller found out about the owner's process: alive or not.
    pub fn set_owner_alive(&mut self, alive: bool) {
        self.owner_alive = Some(alive);
    }

    /// The steps that sample for its monitors.
    pub fn samplers(&self) -> Vec<StepPath> {
        let suffix = format!("[{SAMPLES}]");
        let samples =
            |step: &&StepView| step.uses() == Some("monitor") && step.path.as_str().ends_with(&suffix) && step.started_at.is_some();
        self.steps().filter(samples).map(|step| step.path.clone()).collect()
    }

    /// What a monitor has seen so far.
    pub fn set_sampled(&mut self, step: StepPath, sampled: Sampled) {
        self.sampled.push((step, sampled));
    }

    /// What the ledger knows of a field that this run owes, of all runs, in the order of their intents. Only this, the owner and the samples are not in the records.
    pub fn set_history(&mut self, object: ObjectRef, field: String, history: Vec<LedgerEntry>) {
        self.histories.insert((object, field), history);
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// What it was started with; `None` before its first record.
    pub fn spec(&self) -> Option<&RunSpec> {
        self.spec.as_deref()
    }

    /// The playbook's name, or nothing.
    pub fn playbook(&self) -> &str {
        self.spec.as_ref().map_or("", |spec| spec.playbook.as_str())
    }

    /// Where it runs: the environment's name; `None` where the playbook needs none.
    pub fn environment(&self) -> Option<&str> {
        self.spec.as_ref()?.target.as_ref().map(|target| target.environment.as_str())
    }

    /// Whether it runs on the simulated platform.
    pub fn is_sandbox(&self) -> bool {
        self.environment() == Some("sandbox")
    }

    /// Where it stands.
    pub fn status(&self) -> RunStatus {
        self.status
    }

    /// Since when it stands there.
    pub fn status_since(&self) -> Option<Timestamp> {
        self.status_since.or(self.created_at)
    }

    /// Why it stands there, for people.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    /// Who works on it, or did last.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Whether the owner's process is alive, where the caller said.
    pub fn owner_alive(&self) -> Option<bool> {
        self.owner_alive
    }

    /// When it was created.
    pub fn created_at(&self) -> Option<Timestamp> {
        self.created_at
    }

    /// When something happened last.
    pub fn updated_at(&self) -> Option<Timestamp> {
        self.updated_at
    }

    /// The root playbook's outputs, by name.
    pub fn outputs(&self) -> &Map<String, Value> {
        &self.outputs
    }

    /// The latest rollback.
    pub fn rollback(&self) -> Option<&RollbackView> {
        self.rollback.as_ref()
    }

    /// Whether the run is to end when what runs has finished.
    pub fn is_cancelling(&self) -> bool {
        self.cancelling
    }

    /// What operators told it, oldest first; the latest [`INSTRUCTIONS`] only.
    pub fn instructions(&self) -> impl Iterator<Item = &InstructionView> {
        self.instructions.iter()
    }

    /// How many attempts of the action `command`, or of a plugin, were started: they ran on this machine, in the sandbox too.
    pub fn commands_run(&self) -> usize {
        self.commands_run
    }

    /// The seq of the last record applied.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// How many steps there are, those with others beneath them included.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// A step.
    pub fn step(&self, path: &str) -> Option<&StepView> {
        self.index.get(path).map(|at| &self.steps[*at as usize])
    }

    /// Every step in the playbook's order; what lies beneath a step follows it.
    pub fn steps(&self) -> impl Iterator<Item = &StepView> {
        let mut next: Vec<u32> = self.roots.iter().rev().copied().collect();
        std::iter::from_fn(move || {
            let step = &self.steps[next.pop()? as usize];
            next.extend(step.children.iter().rev());
            Some(step)
        })
    }

    /// The steps of this status, as they appeared. Costs only what is taken.
    pub fn with_status(&self, status: StepStatus) -> impl DoubleEndedIterator<Item = &StepView> {
        self.by_status[status as usize].iter().map(|at| &self.steps[*at as usize])
    }

    /// How many steps have which status.
    pub fn totals(&self) -> Totals {
        self.leaves
    }

    /// The steps that are not taken back and will not be, with the reason.
    pub fn kept(&self) -> impl Iterator<Item = (&StepView, &Kept)> {
        self.with_status(StepStatus::Kept).filter_map(|step| Some((step, step.kept.as_deref()?)))
    }

    /// How many steps keep what they changed, though the run was taken back.
    pub fn kept_changes(&self) -> usize {
        let changed = |step: &StepView| step.effect != EffectState::None && step.intent.as_ref().is_some_and(|it| !it.changes.is_empty());
        self.kept().filter(|(step, _)| changed(step)).count()
    }

    /// Whether a failed step says itself why: where one beneath it failed, that one does.
    pub(super) fn failed_by_itself(&self, step: &StepView) -> bool {
        let failed = |child: &u32| matches!(self.steps[*child as usize].status, StepStatus::Failed | StepStatus::RollbackFailed);
        !step.children.iter().any(failed)
    }

    /// The step's place in the playbook's order, to be compared with others'.
    pub(super) fn rank(&self, step: &StepView) -> Vec<u32> {
        let mut rank = vec![step.ordinal];
        let mut parent = step.parent;
        while let Some(at) = parent {
            let step = &self.steps[at as usize];
            rank.push(step.ordinal);
            parent = step.parent;
        }
        rank.reverse();
        rank
    }

    /// The place of the step at this path, which is added where it is not there yet.
    pub(super) fn place(&mut self, path: &StepPath) -> u32 {
        if let Some(at) = self.index.get(path) {
            return *at;
        }
        // Without the definition a step is first heard of in an event. Keys may hold any character, ids may not.
        let is_id = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
        let parent = path.as_str().rsplit_once('/').filter(|(_, id)| is_id(id)).and_then(|(parent, _)| self.index.get(parent).copied());
        self.add(path.clone(), parent, None)
    }

    /// Adds a step as the last beneath its parent.
    pub(super) fn add(&mut self, path: StepPath, parent: Option<u32>, outline: Option<Arc<StepOutline>>) -> u32 {
        if let Some(at) = self.index.get(&path) {
            return *at;
        }
        let at = u32::try_from(self.steps.len()).unwrap_or(u32::MAX);
        let siblings = match parent {
            Some(parent) => {
                let step = &self.steps[parent as usize];
                if step.children.is_empty() {
                    self.leaves.take(step.status);
                }
                &mut self.steps[parent as usize].children
            }
            None => &mut self.roots,
        };
        let ordinal = u32::try_from(siblings.len()).unwrap_or(u32::MAX);
        siblings.push(at);
        let step = StepView::new(path.clone(), parent.map(|parent| (parent, &self.steps[parent as usize])), ordinal, outline);
        self.leaves.add(step.status);
        self.by_status[step.status as usize].insert(at);
        self.steps.push(step);
        self.index.insert(path, at);
        at
    }

    /// Gives a step its new status.
    pub(super) fn turn(&mut self, at: u32, status: StepStatus, when: Timestamp) {
        let step = &mut self.steps[at as usize];
        if step.status == status {
            return;
        }
        if step.children.is_empty() {
            self.leaves.take(step.status);
            self.leaves.add(status);
        }
        self.by_status[step.status as usize].remove(&at);
        self.by_status[status as usize].insert(at);
        step.status = status;
        step.since = Some(when);
    }
}
