//! One step as people see it.
//!
//! Must not: decide anything. It holds what events said, in the words they said it in.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::outline::StepOutline;
use crate::model::change::{Standing, Swap};
use crate::model::event::{SkipReason, Success, Waiting};
use crate::model::id::StepPath;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;

/// One step, folded from its events. What is seldom there is boxed: a run may have 100,000 of these.
#[derive(Clone, Debug)]
pub struct StepView {
    /// Where it stands in the run.
    pub path: StepPath,
    /// How deep it lies: 0 for a step of the root playbook.
    pub depth: u32,
    /// What the playbook says of it; `None` where the view was not given the definition.
    pub outline: Option<Arc<StepOutline>>,
    /// Where it stands.
    pub status: StepStatus,
    /// Since when it has this status.
    pub since: Option<Timestamp>,
    /// The latest attempt, from 1; 0 before the first.
    pub attempt: u32,
    /// Which doing of the step, from 1; 0 before the first.
    pub occurrence: u32,
    /// When this doing began.
    pub started_at: Option<Timestamp>,
    /// When something was heard of it last.
    pub heard_at: Option<Timestamp>,
    /// How many of the checks after its action hold.
    pub checks_passed: u32,
    /// Whether what it was to do is done, and its checks are looked at.
    pub checking: bool,
    /// When this doing ended.
    pub ended_at: Option<Timestamp>,
    /// Its outputs, once it succeeded.
    pub outputs: Value,
    /// How it succeeded, where that was not the plain way.
    pub how: Option<Success>,
    /// Why it failed last, or why taking it back did.
    pub failure: Option<Box<Failure>>,
    /// Why it was skipped.
    pub skip: Option<Box<SkipReason>>,
    /// What it waits for.
    pub waiting: Option<Box<Waiting>>,
    /// Who has approved its gate so far.
    pub approved: Vec<String>,
    /// When which attempt comes next.
    pub retry: Option<Box<NextAttempt>>,
    /// What its latest attempt was to change, and its undo.
    pub intent: Option<Box<Intent>>,
    /// Whether the target has it.
    pub effect: EffectState,
    /// What an operator must tell, of a step that is unknown.
    pub unknown: Option<Box<str>>,
    /// Why it is kept.
    pub kept: Option<Box<Kept>>,
    /// For people, of a step that was taken back in no plain way.
    pub note: Option<Box<str>>,
    /// How it is being, or was, taken back.
    pub revert: Option<Box<RevertView>>,
    /// Values of its own that somebody else changed while the run held no lock.
    pub drift: Vec<Drift>,

    pub(super) parent: Option<u32>,
    pub(super) children: Vec<u32>,
    /// Its place among its siblings.
    pub(super) ordinal: u32,
    /// Where its own name begins in the path.
    pub(super) name_at: u32,
    /// The seq of the event that held the intent.
    pub(super) intent_seq: u64,
    /// Which of the intent's changes were put back.
    pub(super) put_back: Vec<bool>,
}

/// Whether a step's latest attempt reached its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EffectState {
    /// It did not, or was taken back.
    #[default]
    None,
    /// It may have.
    Maybe,
    /// It did.
    Applied,
}

/// Another attempt that will be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NextAttempt {
    /// Its number.
    pub attempt: u32,
    /// Not before.
    pub until: Timestamp,
    /// What made it necessary.
    pub failure: Failure,
}

/// Why a step is not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// For people.
    pub reason: String,
    /// Whether reverts that rely on it must stop.
    pub blocks: bool,
}

/// How a step is taken back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RevertView {
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The latest try of a rollback action, from 1.
    pub attempt: u32,
    /// What is swapped.
    pub swaps: Vec<Swap>,
    /// How each of the step's changes stood, in their order.
    pub standings: Vec<Standing>,
    /// What the platform does not let go yet.
    pub holds: Option<String>,
    /// When which try comes next.
    pub retry: Option<NextAttempt>,
}

/// A value that somebody else changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Object and field.
    pub what: String,
    /// What the run had put there.
    pub expected: Value,
    /// What was found.
    pub found: Value,
}

impl StepView {
    pub(super) fn new(path: StepPath, parent: Option<(u32, &Self)>, ordinal: u32, outline: Option<Arc<StepOutline>>) -> Self {
        // Behind the parent's path and its `/`; the key of an instance keeps its bracket.
        let name_at = parent.map_or(0, |(_, parent)| {
            let at = parent.path.as_str().len();
            at + usize::from(path.as_str()[at..].starts_with('/'))
        });
        Self {
            depth: parent.map_or(0, |(_, parent)| parent.depth + 1),
            parent: parent.map(|(at, _)| at),
            name_at: u32::try_from(name_at).unwrap_or(0),
            path,
            outline,
            ordinal,
            status: StepStatus::Pending,
            since: None,
            attempt: 0,
            occurrence: 0,
            started_at: None,
            heard_at: None,
            checks_passed: 0,
            checking: false,
            ended_at: None,
            outputs: Value::Null,
            how: None,
            failure: None,
            skip: None,
            waiting: None,
            approved: Vec::new(),
            retry: None,
            intent: None,
            effect: EffectState::None,
            unknown: None,
            kept: None,
            note: None,
            revert: None,
            drift: Vec::new(),
            children: Vec::new(),
            intent_seq: 0,
            put_back: Vec::new(),
        }
    }

    /// Its name beneath its parent: `scale` of `prepare/scale`, `[pod-1]` of `warm[pod-1]`.
    pub fn name(&self) -> &str {
        self.path.as_str().get(self.name_at as usize..).unwrap_or(self.path.as_str())
    }

    /// What the playbook says it does, in one line.
    pub fn summary(&self) -> Option<&str> {
        self.outline.as_ref().and_then(|outline| outline.summary.as_deref())
    }

    /// The action or construct it uses: `k8s.scale`, `wait`.
    pub fn uses(&self) -> Option<&str> {
        self.outline.as_ref().map(|outline| outline.uses.as_str())
    }

    /// How many attempts it may make in all.
    pub fn attempts(&self) -> Option<u32> {
        self.outline.as_ref().map(|outline| outline.attempts)
    }

    /// Whether other steps lie beneath it (the instances of its `for_each`, or the playbook it calls).
    pub fn has_children(&self) -> bool {
        !self.children.is_empty()
    }

    /// Whether its change `index` is still there, and rollback would have to put it back.
    pub fn is_put_back(&self, index: usize) -> bool {
        self.put_back.get(index).copied().unwrap_or(false)
    }

    /// From when to when its present doing, waiting or undoing took or takes; the second is `None` while it goes on.
    pub fn times(&self) -> Option<(Timestamp, Option<Timestamp>)> {
        match self.status {
            StepStatus::Pending => None,
            StepStatus::Waiting => self.since.map(|since| (since, None)),
            StepStatus::Running | StepStatus::Verifying | StepStatus::Unknown => self.started_at.or(self.since).map(|at| (at, None)),
            StepStatus::Succeeded | StepStatus::Failed | StepStatus::Skipped => Some((self.started_at?, self.ended_at)),
            StepStatus::RollingBack | StepStatus::RolledBack | StepStatus::Kept | StepStatus::RollbackFailed => {
                let revert = self.revert.as_ref()?;
                Some((revert.started_at?, revert.ended_at))
            }
        }
    }
}
