//! What can happen to a run. A run's state is the fold of these, and nothing else.
//!
//! Invariant: events are never migrated. A change of an event's shape raises [`VERSION`], and [`decode`] reads the old shape.

mod bearing;
mod parts;
mod stored;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use parts::{GateKind, Phase, ResetTo, RollbackScope, SkipReason, Success, Waiting};
pub use stored::{DecodeError, decode, encode};

use super::change::{Standing, Swap};
use super::id::StepPath;
use super::inputs::ResolvedInputs;
use super::instruction::Command;
use super::intent::Intent;
use super::outcome::{Applied, Failure, Followed, Verdict};
use super::run::RunSpec;
use super::status::RunStatus;

/// The version of the shapes below.
pub const VERSION: u32 = 3;

/// An event with its place in the run's journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// From 1, without a gap.
    pub seq: u64,
    /// The epoch of the owner that appended it.
    pub epoch: u64,
    /// When, by the owner's clock, to the millisecond.
    pub at: Timestamp,
    /// What.
    pub event: Event,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The run exists.
    RunCreated(Box<RunSpec>),
    /// A process became the run's owner. From here on its epoch counts.
    RunOwned {
        /// The process.
        pid: u32,
        /// Its machine.
        host: String,
        /// Who started it.
        by: String,
    },
    /// The run's status changed.
    RunStatusChanged {
        /// The new one.
        status: RunStatus,
        /// Why, for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The root playbook's outputs were computed.
    RunOutputs {
        /// By name.
        outputs: Map<String, Value>,
    },
    /// The run began to take steps back.
    RollbackBegan {
        /// Which: every one of these that ran.
        scope: RollbackScope,
        /// Why, for people.
        reason: String,
    },
    /// What was to be taken back has been, as far as it could.
    RollbackEnded {
        /// Whether everything in its scope is rolled back or kept, and nothing had to stop.
        complete: bool,
    },
    /// The run is to end when what runs has finished.
    CancelBegan,

    /// An operator's instruction was taken.
    Instructed {
        /// The instruction's id.
        id: uuid::Uuid,
        /// Who.
        by: String,
        /// What.
        command: Command,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// An operator's instruction could not be taken.
    InstructionRefused {
        /// The instruction's id.
        id: uuid::Uuid,
        /// Who.
        by: String,
        /// What.
        command: Command,
        /// Why not, and what to do instead.
        why: String,
    },

    /// A `for_each` was expanded: its instances exist from now on, and never change.
    StepExpanded {
        /// The step.
        step: StepPath,
        /// Key and item of each, in order.
        items: Vec<(String, Value)>,
    },
    /// A playbook was called: its steps exist from now on.
    PlaybookCalled {
        /// The calling step.
        step: StepPath,
        /// Its parameters, defaults included.
        params: Map<String, Value>,
        /// Its `vars`, computed now.
        vars: Map<String, Value>,
    },
    /// An alert of a monitor fired: this instance is its turn.
    MonitorFired {
        /// The instance.
        step: StepPath,
        /// What its playbook's parameters see as `item`: the alert, which firing it is, its message, the series' latest values.
        item: Value,
    },
    /// The step waits and holds no task (a monitor's holds one that only reads).
    StepWaiting {
        /// The step.
        step: StepPath,
        /// For what.
        wait: Waiting,
    },
    /// Somebody approved the step's gate. (It opens with as many as it asks for.)
    GateApproved {
        /// The step.
        step: StepPath,
        /// Who.
        by: String,
        /// Whether that was enough.
        open: bool,
    },
    /// The step's time came, or its lock is to be tried again: it may go on.
    WaitOver {
        /// The step.
        step: StepPath,
    },
    /// The step began: its inputs are resolved. With an `intent`, its first attempt is on its way once this is committed.
    StepStarted {
        /// The step.
        step: StepPath,
        /// Which doing of the step, from 1.
        occurrence: u32,
        /// Its inputs.
        #[serde(default, skip_serializing_if = "ResolvedInputs::is_empty")]
        inputs: ResolvedInputs,
        /// The first attempt's intent, where nothing has to be observed before it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        intent: Option<Box<Intent>>,
    },
    /// An attempt is on its way once this is committed.
    AttemptStarted {
        /// The step.
        step: StepPath,
        /// From 1.
        attempt: u32,
        /// Its intent.
        intent: Box<Intent>,
    },
    /// An attempt came to an end.
    AttemptEnded {
        /// The step.
        step: StepPath,
        /// From 1.
        attempt: u32,
        /// How.
        outcome: Applied,
    },
    /// The target was asked about an attempt of unknown outcome.
    Verified {
        /// The step.
        step: StepPath,
        /// The attempt asked about.
        attempt: u32,
        /// The answer.
        verdict: Verdict,
    },
    /// Another attempt will be made.
    RetryScheduled {
        /// The step.
        step: StepPath,
        /// The next attempt's number.
        attempt: u32,
        /// Not before.
        until: Timestamp,
        /// What made it necessary.
        failure: Failure,
    },
    /// A check held.
    CheckPassed {
        /// The step.
        step: StepPath,
        /// Before or after the action.
        phase: Phase,
        /// Which of them, from 0.
        index: u32,
    },
    /// The step ended well.
    StepSucceeded {
        /// The step.
        step: StepPath,
        /// Its outputs: the action's and the step's own.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        outputs: Value,
        /// How it came about, where that was not the plain way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        how: Option<Success>,
    },
    /// The step ended badly.
    StepFailed {
        /// The step.
        step: StepPath,
        /// Why.
        failure: Failure,
        /// Whether the action took, or may have taken, effect.
        applied: bool,
    },
    /// The step is not done.
    StepSkipped {
        /// The step.
        step: StepPath,
        /// Why.
        reason: SkipReason,
    },
    /// Nobody can tell what the step did: an operator must.
    StepUnknown {
        /// The step.
        step: StepPath,
        /// What happened.
        reason: String,
    },
    /// A step that ended begins anew (retry, resume) or continues where it must.
    StepReset {
        /// The step.
        step: StepPath,
        /// Where it goes on.
        to: ResetTo,
    },

    /// The step's rollback began.
    RevertStarted {
        /// The step.
        step: StepPath,
    },
    /// The live values were read and compared; what will be swapped is on its way once this is committed.
    RevertIntended {
        /// The step.
        step: StepPath,
        /// What is swapped. Empty: nothing is sent.
        swaps: Vec<Swap>,
        /// How each of the step's changes stood, in their order.
        standings: Vec<Standing>,
    },
    /// The step's own rollback action is on its way once this is committed.
    RevertActionStarted {
        /// The step.
        step: StepPath,
        /// From 1.
        attempt: u32,
        /// Its intent.
        intent: Box<Intent>,
    },
    /// A swap or a rollback action came to an end.
    RevertEnded {
        /// The step.
        step: StepPath,
        /// How.
        outcome: Applied,
    },
    /// The target was asked about a rollback action of unknown outcome.
    RevertVerified {
        /// The step.
        step: StepPath,
        /// The answer.
        verdict: Verdict,
    },
    /// Another try at putting it back will be made.
    RevertRetryScheduled {
        /// The step.
        step: StepPath,
        /// The next try's number.
        attempt: u32,
        /// Not before.
        until: Timestamp,
        /// What made it necessary.
        failure: Failure,
    },
    /// The platform was looked at after a revert.
    RevertFollowed {
        /// The step.
        step: StepPath,
        /// What was seen.
        followed: Followed,
    },
    /// The step is taken back.
    StepRolledBack {
        /// The step.
        step: StepPath,
        /// For people, where it was not the plain way (`nothing to put back`, `marked done by …`).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The step is not taken back, and that is known.
    StepKept {
        /// The step.
        step: StepPath,
        /// Why.
        reason: String,
        /// Whether reverts that rely on this one must stop (the platform did not follow).
        blocks: bool,
    },
    /// The step could not be taken back.
    StepRollbackFailed {
        /// The step.
        step: StepPath,
        /// Why.
        failure: Failure,
    },
    /// After the run's locks were given back and taken again, a value that the run had set was no longer there.
    DriftSeen {
        /// The step that had set it.
        step: StepPath,
        /// The field and object, and the other run that changed it where the ledger knows one: in words.
        what: String,
        /// What the run had put there.
        expected: Value,
        /// What is there now.
        found: Value,
    },
}
