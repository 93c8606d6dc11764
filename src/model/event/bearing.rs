//! What an event bears on: its step, its kind, and the status that the step has from here on.
//!
//! Invariant: every kind of event is named; a new one cannot be forgotten.

use super::{Event, GateKind, ResetTo, Waiting};
use crate::model::id::StepPath;
use crate::model::outcome::{Applied, Verdict};
use crate::model::status::StepStatus;

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
