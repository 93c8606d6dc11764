//! One step of a run as it is executed: where it stands, and what is known of it.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::state::NodeId;
use crate::model::event::{GateKind, Phase, SkipReason};
use crate::model::id::StepPath;
use crate::model::inputs::ResolvedInputs;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;
use crate::model::status::StepStatus;

/// One step, or one instance of a `for_each`.
#[derive(Debug)]
pub(super) struct Node {
    pub path: StepPath,
    pub scope: u32,
    pub step: u32,
    pub parent: Option<NodeId>,
    /// Key and item, in instances of a `for_each` and all that they call.
    pub item: Option<Arc<(String, Value)>>,
    pub kind: Kind,
    pub status: StepStatus,
    pub stage: Stage,
    pub open_needs: u32,
    pub skip: Option<SkipReason>,
    pub detail: Option<Box<Detail>>,
}

/// Whether a node has children.
#[derive(Debug)]
pub(super) enum Kind {
    Leaf,
    /// Its instances: `first` and how many; how many have not ended; how many have begun and not ended.
    Each {
        first: NodeId,
        count: u32,
        open: u32,
        busy: u32,
        expanded: bool,
    },
    /// The scope of the called playbook, once called.
    Call {
        scope: Option<u32>,
    },
}

/// What a node that has not ended is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stage {
    /// Not begun (or ended: the status says how).
    Idle,
    /// Waits for a time.
    Time(Timestamp),
    /// Waits for people.
    Gate { kind: GateKind, count: u32, by: Vec<String>, until: Option<Timestamp> },
    /// Takes samples, until this time where one ends them.
    Samples(Option<Timestamp>),
    /// Waits for a lock; its observation goes on by itself.
    Lock,
    /// A condition is looked at.
    Check(Phase, u32),
    /// The object is read.
    Observe,
    /// An attempt is on its way.
    Apply,
    /// An attempt has worked: checks follow.
    Applied,
    /// The target is asked.
    Verify,
    /// Another attempt follows.
    Retry(Timestamp),
    /// Its children run.
    Group,
    /// Live values are read.
    RevertRead,
    /// Fields are swapped back.
    RevertSwap(Vec<crate::model::change::Swap>),
    /// The rollback action is on its way.
    RevertAct,
    /// The target is asked about the rollback action.
    RevertVerify,
    /// Another try follows.
    RevertRetry(Timestamp),
    /// The platform is looked at.
    RevertFollow,
    /// The rollback action's gate is open: it can start.
    RevertReady,
}

/// What is known of a node that has begun.
#[derive(Debug, Default)]
pub(super) struct Detail {
    pub occurrence: u32,
    pub inputs: Arc<ResolvedInputs>,
    pub started: bool,
    /// A time it waited for has come.
    pub time_cleared: bool,
    pub gate_cleared: bool,
    /// When the alert fired whose firing this is.
    pub fired: Option<Timestamp>,
    /// A person said to start although its time is over.
    pub late_cleared: bool,
    pub approved_by: Vec<String>,
    /// Attempts begun.
    pub attempt: u32,
    /// Of these, not counted against `retry.attempts`: the engine ended in the middle of them, or an operator cut them off.
    pub lost: u32,
    pub intent: Option<Arc<Intent>>,
    /// An attempt may have reached the target: the prior value is frozen.
    pub frozen: bool,
    /// The first attempt since nothing was frozen.
    pub frozen_by: u32,
    /// After how many events of the run that was: the order of changes.
    pub frozen_at: u64,
    /// What the successful attempt gave, until the step has ended; then the step's outputs.
    pub outputs: Arc<Value>,
    pub recovered: bool,
    /// An attempt has worked: whatever fails now, it is not made again unless the target says that it is gone.
    pub done: bool,
    pub failure: Option<Failure>,
    /// Tries at taking it back.
    pub revert_attempt: u32,
    /// Of these, not counted against the limit: an operator has asked for another round since.
    pub revert_lost: u32,
    pub revert_intent: Option<Arc<Intent>>,
    pub revert_gate_cleared: bool,
    pub kept_blocks: bool,
    /// Time used against `timeout`, in milliseconds, up to `running_since`.
    pub spent_ms: i64,
    pub running_since: Option<Timestamp>,
}

impl Node {
    pub(super) fn detail(&mut self) -> &mut Detail {
        self.detail.get_or_insert_default()
    }

    pub(super) fn occurrence(&self) -> u32 {
        self.detail.as_ref().map_or(1, |detail| detail.occurrence.max(1))
    }

    /// Whether an attempt may have changed something that has not been put back.
    pub(super) fn may_have_run(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.frozen)
    }

    /// Whether what it kept holds up the way back of what it relies on.
    pub(super) fn kept_blocks(&self) -> bool {
        self.detail.as_ref().is_some_and(|detail| detail.kept_blocks)
    }
}

impl Detail {
    pub(super) fn freeze(&mut self, intent: &Intent, at: u64) {
        // The lines for a person's hands stay in the journal: nothing is decided by them, and a long run has many.
        let intent = Intent {
            prior: intent.prior.clone(),
            changes: intent.changes.clone(),
            gives_back: intent.gives_back,
            revert: intent.revert.clone(),
            note: intent.note.clone(),
            by_hand: Vec::new(),
            undo_by_hand: Vec::new(),
        };
        self.intent = Some(Arc::new(intent));
        self.done = false;
        if !self.frozen {
            self.frozen = true;
            self.frozen_by = self.attempt;
            self.frozen_at = at;
        }
    }
}
