//! What can happen to a run. A run's state is the fold of these, and nothing else.
//!
//! Invariant: events are never migrated. A change of an event's shape raises [`VERSION`], and [`decode`] reads the old shape.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::change::{Standing, Swap};
use super::id::StepPath;
use super::inputs::ResolvedInputs;
use super::instruction::Command;
use super::intent::Intent;
use super::outcome::{Applied, Failure, Followed, Verdict};
use super::run::RunSpec;
use super::status::{RunStatus, StepStatus};

/// The version of the shapes below.
pub const VERSION: u32 = 2;

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
        /// The object and field.
        what: String,
        /// What the run had put there.
        expected: Value,
        /// What is there now.
        found: Value,
    },
}

/// What a rollback covers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RollbackScope {
    /// The whole run.
    Run,
    /// The steps of one called playbook; afterwards the calling step fails.
    Call {
        /// The calling step.
        step: StepPath,
    },
    /// These steps.
    Only {
        /// Which.
        steps: Vec<StepPath>,
    },
}

/// What a step waits for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// A time.
    Time {
        /// Which.
        until: Timestamp,
    },
    /// A monitor's samples, which are taken meanwhile.
    Samples {
        /// Until when, where a time ends them.
        until: Option<Timestamp>,
    },
    /// People.
    Approval {
        /// How many.
        count: u32,
        /// Who may; empty: anybody.
        by: Vec<String>,
        /// What they are asked.
        message: Option<String>,
        /// Until when.
        until: Option<Timestamp>,
        /// What the gate stands before.
        gate: GateKind,
    },
    /// Somebody else's lock.
    Lock {
        /// On what.
        object: super::change::ObjectRef,
        /// Who holds it, as they wrote it there.
        holder: String,
    },
}

/// What a gate stands before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GateKind {
    /// The step (`approve:` of a step, or the construct).
    Step,
    /// The step, whose time is over (`if_late: ask`).
    Late,
    /// The step's rollback action.
    Rollback,
}

/// Before or after the action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// `check.before`
    Before,
    /// `check.after`, or the condition of a `wait`.
    After,
}

/// How a step succeeded, where that was not the plain way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Success {
    /// An attempt of unknown outcome turned out to have worked.
    Recovered,
    /// There was nothing to change.
    Unchanged,
    /// An operator saw that it is done.
    MarkedDone {
        /// Who.
        by: String,
    },
    /// A called playbook, or a `for_each`, some of whose steps failed and may.
    WithFailures,
}

/// Why a step is skipped.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// Its `when` is false.
    When,
    /// A need did not end as accepted.
    Need {
        /// Which.
        step: StepPath,
        /// How it ended.
        status: StepStatus,
    },
    /// An operator said so.
    Operator {
        /// Who.
        by: String,
        /// Why.
        #[serde(default)]
        reason: Option<String>,
    },
    /// Its time was over.
    Late,
    /// Its gate stayed shut, and says to skip.
    Gate {
        /// Who refused, or that nobody answered in time.
        why: String,
    },
    /// The run ended before its turn.
    RunEnded,
    /// Its alert did not fire before the monitor ended.
    NotFired,
}

impl SkipReason {
    /// Whether a dependent that accepts `skipped` accepts this.
    pub fn is_on_purpose(&self) -> bool {
        match self {
            Self::When | Self::Operator { .. } | Self::Late | Self::Gate { .. } | Self::NotFired => true,
            Self::Need { .. } | Self::RunEnded => false,
        }
    }
}

/// Where a step goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResetTo {
    /// From the beginning; attempts are counted anew.
    Pending,
    /// From the beginning, as a new doing of the step (it had been rolled back).
    NextOccurrence,
    /// The target is asked first whether the action is there: it had been applied, or may have been.
    Verify,
    /// The rollback is tried again.
    Revert,
}

impl Event {
    /// The step it is about.
    pub fn step(&self) -> Option<&StepPath> {
        match self {
            Self::RunCreated(_)
            | Self::RunOwned { .. }
            | Self::RunStatusChanged { .. }
            | Self::RunOutputs { .. }
            | Self::RollbackBegan { .. }
            | Self::RollbackEnded { .. }
            | Self::CancelBegan
            | Self::Instructed { .. }
            | Self::InstructionRefused { .. } => None,
            Self::StepExpanded { step, .. }
            | Self::PlaybookCalled { step, .. }
            | Self::MonitorFired { step, .. }
            | Self::StepWaiting { step, .. }
            | Self::GateApproved { step, .. }
            | Self::WaitOver { step }
            | Self::StepStarted { step, .. }
            | Self::AttemptStarted { step, .. }
            | Self::AttemptEnded { step, .. }
            | Self::Verified { step, .. }
            | Self::RetryScheduled { step, .. }
            | Self::CheckPassed { step, .. }
            | Self::StepSucceeded { step, .. }
            | Self::StepFailed { step, .. }
            | Self::StepSkipped { step, .. }
            | Self::StepUnknown { step, .. }
            | Self::StepReset { step, .. }
            | Self::RevertStarted { step }
            | Self::RevertIntended { step, .. }
            | Self::RevertActionStarted { step, .. }
            | Self::RevertEnded { step, .. }
            | Self::RevertVerified { step, .. }
            | Self::RevertRetryScheduled { step, .. }
            | Self::RevertFollowed { step, .. }
            | Self::StepRolledBack { step, .. }
            | Self::StepKept { step, .. }
            | Self::StepRollbackFailed { step, .. }
            | Self::DriftSeen { step, .. } => Some(step),
        }
    }

    /// Its name, as stored.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RunCreated(_) => "run_created",
            Self::RunOwned { .. } => "run_owned",
            Self::RunStatusChanged { .. } => "run_status_changed",
            Self::RunOutputs { .. } => "run_outputs",
            Self::RollbackBegan { .. } => "rollback_began",
            Self::RollbackEnded { .. } => "rollback_ended",
            Self::CancelBegan => "cancel_began",
            Self::Instructed { .. } => "instructed",
            Self::InstructionRefused { .. } => "instruction_refused",
            Self::StepExpanded { .. } => "step_expanded",
            Self::PlaybookCalled { .. } => "playbook_called",
            Self::MonitorFired { .. } => "monitor_fired",
            Self::StepWaiting { .. } => "step_waiting",
            Self::GateApproved { .. } => "gate_approved",
            Self::WaitOver { .. } => "wait_over",
            Self::StepStarted { .. } => "step_started",
            Self::AttemptStarted { .. } => "attempt_started",
            Self::AttemptEnded { .. } => "attempt_ended",
            Self::Verified { .. } => "verified",
            Self::RetryScheduled { .. } => "retry_scheduled",
            Self::CheckPassed { .. } => "check_passed",
            Self::StepSucceeded { .. } => "step_succeeded",
            Self::StepFailed { .. } => "step_failed",
            Self::StepSkipped { .. } => "step_skipped",
            Self::StepUnknown { .. } => "step_unknown",
            Self::StepReset { .. } => "step_reset",
            Self::RevertStarted { .. } => "revert_started",
            Self::RevertIntended { .. } => "revert_intended",
            Self::RevertActionStarted { .. } => "revert_action_started",
            Self::RevertEnded { .. } => "revert_ended",
            Self::RevertVerified { .. } => "revert_verified",
            Self::RevertRetryScheduled { .. } => "revert_retry_scheduled",
            Self::RevertFollowed { .. } => "revert_followed",
            Self::StepRolledBack { .. } => "step_rolled_back",
            Self::StepKept { .. } => "step_kept",
            Self::StepRollbackFailed { .. } => "step_rollback_failed",
            Self::DriftSeen { .. } => "drift_seen",
        }
    }

    /// The status that its step has from here on; `None`: unchanged.
    pub fn step_status(&self) -> Option<StepStatus> {
        use StepStatus as S;
        match self {
            Self::RunCreated(_)
            | Self::RunOwned { .. }
            | Self::RunStatusChanged { .. }
            | Self::RunOutputs { .. }
            | Self::RollbackBegan { .. }
            | Self::RollbackEnded { .. }
            | Self::CancelBegan
            | Self::Instructed { .. }
            | Self::InstructionRefused { .. }
            | Self::MonitorFired { .. }
            | Self::GateApproved { .. }
            | Self::CheckPassed { .. }
            | Self::DriftSeen { .. } => None,
            Self::StepExpanded { .. } | Self::PlaybookCalled { .. } | Self::StepStarted { .. } | Self::AttemptStarted { .. } => {
                Some(S::Running)
            }
            Self::WaitOver { .. } => Some(S::Pending),
            Self::StepWaiting { wait: Waiting::Approval { gate: GateKind::Rollback, .. }, .. } => Some(S::RollingBack),
            Self::StepWaiting { .. } => Some(S::Waiting),
            Self::AttemptEnded { outcome, .. } => Some(match outcome {
                Applied::Unknown { .. } => S::Verifying,
                Applied::Applied { .. } | Applied::NotApplied { .. } | Applied::FailedWithEffect { .. } => S::Running,
            }),
            Self::Verified { verdict, .. } => Some(match verdict {
                Verdict::InProgress { .. } => S::Verifying,
                Verdict::Present { .. } | Verdict::Absent | Verdict::CannotTell { .. } => S::Running,
            }),
            Self::RetryScheduled { .. } => Some(S::Running),
            Self::StepSucceeded { .. } => Some(S::Succeeded),
            Self::StepFailed { .. } => Some(S::Failed),
            Self::StepSkipped { .. } => Some(S::Skipped),
            Self::StepUnknown { .. } => Some(S::Unknown),
            Self::StepReset { to, .. } => Some(match to {
                ResetTo::Pending | ResetTo::NextOccurrence => S::Pending,
                ResetTo::Verify => S::Verifying,
                ResetTo::Revert => S::RollingBack,
            }),
            Self::RevertStarted { .. }
            | Self::RevertIntended { .. }
            | Self::RevertActionStarted { .. }
            | Self::RevertEnded { .. }
            | Self::RevertVerified { .. }
            | Self::RevertRetryScheduled { .. }
            | Self::RevertFollowed { .. } => Some(S::RollingBack),
            Self::StepRolledBack { .. } => Some(S::RolledBack),
            Self::StepKept { .. } => Some(S::Kept),
            Self::StepRollbackFailed { .. } => Some(S::RollbackFailed),
        }
    }
}

/// Why a stored event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer runsheet.
    #[error("it has version {found}, and this runsheet reads up to {VERSION}: use the newer runsheet that wrote it")]
    Newer {
        /// The stored version.
        found: u32,
    },
    /// Not what this version writes.
    #[error("its content cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// An event as stored: one JSON object whose only key is the kind.
pub fn encode(event: &Event) -> String {
    // Every key of an event is a string, so that nothing here can fail.
    serde_json::to_string(event).unwrap_or_else(|error| unreachable!("events serialise: {error}"))
}

/// A stored event, of this version or an older one.
///
/// # Errors
/// When it is newer than this program, or damaged.
pub fn decode(version: u32, body: &str) -> Result<Event, DecodeError> {
    if version > VERSION {
        return Err(DecodeError::Newer { found: version });
    }
    Ok(serde_json::from_str(body)?)
}
