//! The projections of a run's events: the row of the run, the rows of its steps, the ledger of its changes.
//!
//! Invariant: a function of the events alone, so that [`rebuild`](super::rebuild) arrives at the same rows. Several events of one step within
//! one append become one write; what comes out does not depend on how the events were divided into appends.

use std::collections::HashMap;

use rusqlite::{Connection, params};

use super::ledger;
use crate::model::event::{Event, ResetTo, SkipReason, Waiting};
use crate::model::id::{RunId, StepPath};
use crate::model::outcome::{Applied, Failure, Followed, Verdict};
use crate::model::status::{RunStatus, StepStatus};

/// The longest message that a step's row keeps, in bytes; the whole text is in the event.
const LONGEST_MESSAGE: usize = 1000;

/// What one append changes, gathered until [`Projection::flush`].
pub(super) struct Projection<'e> {
    run: RunId,
    status: Option<(RunStatus, Option<&'e str>)>,
    owner: Option<(u32, &'e str, &'e str)>,
    steps: Vec<StepChange<'e>>,
    places: HashMap<&'e str, usize>,
}

/// What the events so far make of one step. `None` leaves the stored value.
struct StepChange<'e> {
    path: &'e StepPath,
    status: StepStatus,
    ended_at: Option<i64>,
    message: Option<String>,
    occurrence: Option<u32>,
    attempt: Option<u32>,
    intent: Option<i64>,
    started_at: Option<i64>,
}

impl<'e> Projection<'e> {
    /// Nothing yet.
    pub(super) fn new(run: RunId) -> Self {
        Self { run, status: None, owner: None, steps: Vec::new(), places: HashMap::new() }
    }

    /// Takes one event in, stored as row `id` at `at` milliseconds.
    pub(super) fn event(&mut self, connection: &Connection, id: i64, at: i64, event: &'e Event) -> rusqlite::Result<()> {
        match event {
            Event::RunStatusChanged { status, reason } => self.status = Some((*status, reason.as_deref())),
            Event::RunOwned { pid, host, by } => self.owner = Some((*pid, host, by)),
            _ => {}
        }
        let (Some(path), Some(status)) = (event.step(), event.step_status()) else { return Ok(()) };
        let step = self.step(path, status);
        let change = &mut self.steps[step];
        change.status = status;
        change.ended_at = status.is_ended().then_some(at);
        change.message = message(event).map(shorten);
        match event {
            Event::StepStarted { occurrence, intent, .. } => {
                change.started_at = Some(at);
                change.occurrence = Some(*occurrence);
                if let Some(intent) = intent {
                    change.attempt = Some(1);
                    change.intent = Some(id);
                    ledger::add(connection, self.run, id, path, *occurrence, 1, &intent.changes)?;
                }
            }
            Event::StepExpanded { .. } | Event::PlaybookCalled { .. } => change.started_at = Some(at),
            Event::AttemptStarted { attempt, intent, .. } => {
                change.attempt = Some(*attempt);
                change.intent = Some(id);
                if !intent.changes.is_empty() {
                    let occurrence = match change.occurrence {
                        Some(occurrence) => occurrence,
                        None => ledger::occurrence(connection, self.run, path)?,
                    };
                    ledger::add(connection, self.run, id, path, occurrence, *attempt, &intent.changes)?;
                }
            }
            Event::AttemptEnded { outcome: Applied::NotApplied { .. }, .. } => {
                ledger::take_out(connection, self.run, path, change.intent)?;
            }
            Event::Verified { verdict: Verdict::Absent, .. } => {
                ledger::take_out_absent(connection, self.run, path, change.intent)?;
            }
            Event::StepReset { to: ResetTo::Pending | ResetTo::NextOccurrence, .. } => change.attempt = Some(0),
            Event::StepRolledBack { .. } => ledger::mark_reverted(connection, self.run, path)?,
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, path: &'e StepPath, status: StepStatus) -> usize {
        *self.places.entry(path.as_str()).or_insert_with(|| {
            self.steps.push(StepChange {
                path,
                status,
                ended_at: None,
                message: None,
                occurrence: None,
                attempt: None,
                intent: None,
                started_at: None,
            });
            self.steps.len() - 1
        })
    }

    /// Writes what was gathered.
    pub(super) fn flush(self, connection: &Connection) -> rusqlite::Result<()> {
        let run = self.run.0.as_bytes().as_slice();
        if let Some((status, reason)) = self.status {
            connection.prepare_cached("UPDATE runs SET status = ?2, reason = ?3 WHERE id = ?1")?.execute(params![
                run,
                status.as_str(),
                reason
            ])?;
        }
        if let Some((pid, host, by)) = self.owner {
            connection
                .prepare_cached("UPDATE runs SET owner_pid = ?2, owner_host = ?3, owner_by = ?4 WHERE id = ?1")?
                .execute(params![run, pid, host, by])?;
        }
        if self.steps.is_empty() {
            return Ok(());
        }
        let mut upsert = connection.prepare_cached(
            "INSERT INTO steps (run_id, path, status, ended_at, message, occurrence, attempt, intent, started_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, coalesce(?6, 1), coalesce(?7, 0), ?8, ?9) \
             ON CONFLICT (run_id, path) DO UPDATE SET status = ?3, ended_at = ?4, message = ?5, occurrence = coalesce(?6, occurrence), \
             attempt = coalesce(?7, attempt), intent = coalesce(?8, intent), started_at = coalesce(?9, started_at)",
        )?;
        for step in self.steps {
            upsert.execute(params![
                run,
                step.path.as_str(),
                step.status.as_str(),
                step.ended_at,
                step.message,
                step.occurrence,
                step.attempt,
                step.intent,
                step.started_at,
            ])?;
        }
        Ok(())
    }
}

/// What people read beside the step after this event.
fn message(event: &Event) -> Option<String> {
    match event {
        Event::AttemptEnded { outcome, .. } | Event::RevertEnded { outcome, .. } => match outcome {
            Applied::Applied { .. } => None,
            Applied::NotApplied { failure } | Applied::FailedWithEffect { failure, .. } | Applied::Unknown { failure } => {
                Some(text(failure))
            }
        },
        Event::Verified { verdict, .. } | Event::RevertVerified { verdict, .. } => match verdict {
            Verdict::Present { .. } | Verdict::Absent => None,
            Verdict::InProgress { message } => Some(message.clone()),
            Verdict::CannotTell { reason } => Some(reason.clone()),
        },
        Event::RetryScheduled { failure, .. }
        | Event::RevertRetryScheduled { failure, .. }
        | Event::StepFailed { failure, .. }
        | Event::StepRollbackFailed { failure, .. } => Some(text(failure)),
        Event::MonitorFired { item, .. } => item["message"].as_str().map(str::to_owned),
        Event::StepWaiting { wait, .. } => match wait {
            Waiting::Time { until } => Some(format!("until {until}")),
            Waiting::Approval { message, .. } => message.clone(),
            Waiting::Samples { until } => until.map(|until| format!("samples until {until}")),
            Waiting::Lock { object, holder } => Some(format!("{object} is locked by {holder}")),
        },
        Event::StepSkipped { reason, .. } => match reason {
            SkipReason::When | SkipReason::Late | SkipReason::RunEnded | SkipReason::NotFired => None,
            SkipReason::Need { step, status } => Some(format!("{step} is {status}")),
            SkipReason::Operator { by, reason: None } => Some(format!("skipped by {by}")),
            SkipReason::Operator { by, reason: Some(reason) } => Some(format!("skipped by {by}: {reason}")),
            SkipReason::Gate { why } => Some(why.clone()),
        },
        Event::StepUnknown { reason, .. } | Event::StepKept { reason, .. } => Some(reason.clone()),
        Event::RevertFollowed { followed: Followed::No { holds }, .. } => Some(holds.clone()),
        Event::StepRolledBack { note, .. } => note.clone(),
        Event::RevertFollowed { followed: Followed::Yes, .. }
        | Event::RunCreated(_)
        | Event::RunOwned { .. }
        | Event::RunStatusChanged { .. }
        | Event::RunOutputs { .. }
        | Event::RollbackBegan { .. }
        | Event::RollbackEnded { .. }
        | Event::CancelBegan
        | Event::Instructed { .. }
        | Event::InstructionRefused { .. }
        | Event::StepExpanded { .. }
        | Event::PlaybookCalled { .. }
        | Event::GateApproved { .. }
        | Event::WaitOver { .. }
        | Event::StepStarted { .. }
        | Event::AttemptStarted { .. }
        | Event::CheckPassed { .. }
        | Event::StepSucceeded { .. }
        | Event::StepReset { .. }
        | Event::RevertStarted { .. }
        | Event::RevertIntended { .. }
        | Event::RevertActionStarted { .. }
        | Event::DriftSeen { .. } => None,
    }
}

fn text(failure: &Failure) -> String {
    failure.message.clone()
}

fn shorten(mut text: String) -> String {
    if text.len() > LONGEST_MESSAGE {
        let end = (0..=LONGEST_MESSAGE).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
