//! The exit codes: what a program that calls this one may rely on.
//!
//! Must not: change the meaning of a code. Invariant: every ending of a run has exactly one code, whatever command came to it.

use crate::app::sandbox::SandboxError;
use crate::app::{AppError, Ended, FindError, JournalError, OwnershipError};
use crate::model::status::RunStatus;

/// Succeeded; a rollback that completed; an instruction that was taken; a question that was answered.
pub const SUCCEEDED: u8 = 0;
/// The run failed: paused by a failure, rolled back after one, failed, cancelled, or succeeded with failures.
pub const FAILED: u8 = 1;
/// The command line is wrong, or there is no such run.
pub const USAGE: u8 = 2;
/// A playbook is invalid or unknown, a parameter invalid or missing, a secret missing.
pub const PLAYBOOK: u8 = 3;
/// The run is paused on request, or waits (for a time, a gate): `resume` goes on.
pub const WAITING: u8 = 4;
/// The run is stuck, or an outcome is unknown: an operator must decide.
pub const STUCK: u8 = 5;
/// Refused: lock held, owner alive, wrong target, forgotten `--env`, confirmation denied, instruction refused.
pub const REFUSED: u8 = 6;
/// The store failed: locked, full, damaged, newer.
pub const STORE: u8 = 7;
/// Interrupted by Ctrl-C: the run is paused.
pub const INTERRUPTED: u8 = 130;

/// The table as `--help` prints it.
pub const TABLE: &str = "\
Exit codes:
    0  succeeded; `rollback` and `cancel` that completed, a `resume` of theirs
       too; nothing to take back; an instruction taken; a question answered
    1  the run failed: paused by a failure, rolled back after one, failed,
       cancelled, or succeeded with failures
    2  usage, or no such run
    3  invalid or unknown playbook, invalid or missing parameters or secrets
    4  paused on request, or waiting (time, gate): `resume` goes on
    5  stuck, or an unknown outcome: an operator must decide
    6  refused: lock held, owner alive, wrong target, forgotten `--env`,
       confirmation denied, instruction refused
    7  the store failed: locked, full, damaged, newer
  130  interrupted by Ctrl-C (the run is paused)";

/// What a run was driven for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To go on to its end: `run`, `resume`.
    Forward,
    /// To be taken back: `rollback`, `cancel --rollback`.
    Back,
    /// To end: `cancel`.
    Cancel,
    /// To take an instruction: `approve`, `skip`, …. A run that stays paused has done what was asked.
    Instruction,
}

/// How a run ended, as far as its exit code goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The run's status.
    pub status: RunStatus,
    /// Whether a signal ended it.
    pub interrupted: bool,
    /// Whether an outcome is unknown.
    pub unknown: bool,
    /// Whether a step of it failed by now and holds it.
    pub failed: bool,
    /// Whether its latest rollback, of the whole or of a part, came to its end.
    pub rolled_back: bool,
}

impl Ending {
    /// From what the engine says, with what only the run's records tell.
    pub fn new(ended: &Ended, failed: bool, rolled_back: bool) -> Self {
        Self { status: ended.status, interrupted: ended.interrupted, unknown: ended.unknown, failed, rolled_back }
    }
}

/// The exit code of a run that was driven for this and ended like that.
pub fn exit_code(ending: Ending, asked: Asked) -> u8 {
    if ending.interrupted && !ending.status.is_finished() {
        return INTERRUPTED;
    }
    match ending.status {
        RunStatus::Stuck => STUCK,
        RunStatus::Succeeded => SUCCEEDED,
        RunStatus::SucceededWithFailures | RunStatus::Failed => FAILED,
        RunStatus::Cancelled if asked == Asked::Cancel => SUCCEEDED,
        RunStatus::Cancelled => FAILED,
        RunStatus::RolledBack if asked == Asked::Back => SUCCEEDED,
        RunStatus::RolledBack => FAILED,
        RunStatus::Paused | RunStatus::Waiting | RunStatus::Running | RunStatus::RollingBack if ending.unknown => STUCK,
        RunStatus::Paused if asked == Asked::Instruction => SUCCEEDED,
        RunStatus::Paused if asked == Asked::Back && ending.rolled_back => SUCCEEDED,
        RunStatus::Paused if ending.failed => FAILED,
        RunStatus::Paused | RunStatus::Waiting | RunStatus::Running | RunStatus::RollingBack => WAITING,
    }
}

/// The exit code of an error.
pub fn of_error(error: &AppError) -> u8 {
    match error {
        AppError::NoRoot { .. } | AppError::UnknownEnvironment { .. } | AppError::UnknownPlugin { .. } | AppError::NoRuns { .. } => USAGE,
        AppError::Load(_)
        | AppError::Params { .. }
        | AppError::Vars { .. }
        | AppError::Impossible { .. }
        | AppError::NotSupported { .. }
        | AppError::Plugin { .. }
        | AppError::Secrets(_) => PLAYBOOK,
        AppError::NoEnvironment { .. }
        | AppError::EnvironmentGone { .. }
        | AppError::PluginGone { .. }
        | AppError::Kubeconfig(_)
        | AppError::Identity(_)
        | AppError::Locked { .. }
        | AppError::Refused { .. } => REFUSED,
        AppError::Owned(OwnershipError::Owned { .. }) => REFUSED,
        AppError::Lock(error) if error.is_of_target() => REFUSED,
        AppError::Owned(OwnershipError::Unusable { .. }) | AppError::Lock(_) => STORE,
        AppError::Journal(error) | AppError::Find(FindError::Journal(error)) => of_journal(error),
        AppError::Find(_) => USAGE,
        AppError::Sandbox(SandboxError::Option(_)) => USAGE,
        AppError::Sandbox(_) | AppError::System { .. } => FAILED,
    }
}

fn of_journal(error: &JournalError) -> u8 {
    match error {
        JournalError::NoSuchRun { .. } => USAGE,
        JournalError::Fenced { .. } => REFUSED,
        JournalError::Locked { .. }
        | JournalError::Full { .. }
        | JournalError::Damaged { .. }
        | JournalError::Newer { .. }
        | JournalError::Unusable { .. }
        | JournalError::Stopped => STORE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use RunStatus::*;

    fn ending(status: RunStatus) -> Ending {
        Ending { status, interrupted: false, unknown: false, failed: false, rolled_back: false }
    }

    #[test]
    fn a_code_for_each_ending() {
        let forward = [
            (Running, WAITING),
            (Waiting, WAITING),
            (Paused, WAITING),
            (Succeeded, SUCCEEDED),
            (SucceededWithFailures, FAILED),
            (Failed, FAILED),
            (RollingBack, WAITING),
            (RolledBack, FAILED),
            (Stuck, STUCK),
            (Cancelled, FAILED),
        ];
        for (status, code) in forward {
            assert_eq!(exit_code(ending(status), Asked::Forward), code, "{status}");
        }
        assert_eq!(forward.len(), RunStatus::ALL.len());
    }

    #[test]
    fn what_was_asked_for_is_no_failure() {
        assert_eq!(exit_code(ending(RolledBack), Asked::Back), SUCCEEDED);
        assert_eq!(exit_code(ending(Cancelled), Asked::Cancel), SUCCEEDED);
        assert_eq!(exit_code(Ending { failed: true, ..ending(Paused) }, Asked::Instruction), SUCCEEDED);
        assert_eq!(exit_code(Ending { failed: true, rolled_back: true, ..ending(Paused) }, Asked::Back), SUCCEEDED);
        assert_eq!(exit_code(ending(Stuck), Asked::Back), STUCK);
        assert_eq!(exit_code(ending(RolledBack), Asked::Cancel), FAILED);
    }

    #[test]
    fn failures_unknowns_and_interrupts() {
        assert_eq!(exit_code(Ending { failed: true, ..ending(Paused) }, Asked::Forward), FAILED);
        for status in [Paused, Waiting, Running, RollingBack] {
            assert_eq!(exit_code(Ending { unknown: true, failed: true, ..ending(status) }, Asked::Forward), STUCK, "{status}");
            assert_eq!(exit_code(Ending { interrupted: true, unknown: true, ..ending(status) }, Asked::Forward), INTERRUPTED, "{status}");
        }
        // A signal that came too late changes nothing.
        assert_eq!(exit_code(Ending { interrupted: true, ..ending(Succeeded) }, Asked::Forward), SUCCEEDED);
    }

    #[test]
    fn the_table_names_every_code() {
        for code in [SUCCEEDED, FAILED, USAGE, PLAYBOOK, WAITING, STUCK, REFUSED, STORE, INTERRUPTED] {
            assert!(TABLE.lines().any(|line| line.trim_start().starts_with(&format!("{code}  "))), "{code}");
        }
    }
}
