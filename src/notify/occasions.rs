//! Which events are news, and to which occasion each belongs. Pure.
//!
//! Invariant: the same cause is news once, however often the run is taken over, until something has happened to the step that makes it another
//! cause: it was reset, or its gate was opened.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::model::event::{Event, GateKind, Record, RollbackScope, Waiting};
use crate::model::id::{ContentHash, StepPath};
use crate::model::instruction::Command;
use crate::model::notification::Occasion;
use crate::model::status::RunStatus;

/// Something that people may want to hear of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// What it is, the most telling first. `Owed` is among them where a run ended; whether it owes anything is for the caller to find out.
    pub occasions: Vec<Occasion>,
    /// The step that it is about.
    pub step: Option<StepPath>,
    /// The event's place in the run's journal.
    pub seq: u64,
    /// When it happened.
    pub at: Timestamp,
}

/// Why somebody was told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    Gate(StepPath, &'static str),
    Unknown(StepPath),
    Failed(StepPath),
    /// What the whole run waits for, as a hash: it may be many steps.
    Held(ContentHash),
}

/// What was news so far.
#[derive(Debug, Default)]
pub(super) struct Occasions {
    began: bool,
    status: Option<RunStatus>,
    told: BTreeSet<Cause>,
    /// Steps that wait for a time or a lock, and for which.
    held: BTreeMap<StepPath, String>,
    /// The step that failed last and of which nobody was told.
    failed: Option<StepPath>,
    /// What follows is what an operator asked for.
    on_request: bool,
}

impl Occasions {
    /// Takes in the next event, and says whether it is news.
    pub fn take(&mut self, record: &Record) -> Option<News> {
        let (occasions, step) = self.news(&record.event)?;
        Some(News { occasions, step, seq: record.seq, at: record.at })
    }

    fn news(&mut self, event: &Event) -> Option<(Vec<Occasion>, Option<StepPath>)> {
        if let Some(step) = event.step() {
            return self.about_step(step, event).map(|occasion| (vec![occasion], Some(step.clone())));
        }
        match event {
            Event::RunOwned { .. } => (!std::mem::replace(&mut self.began, true)).then(|| (vec![Occasion::Started], None)),
            Event::Instructed { command, .. } => {
                self.on_request = matches!(command, Command::Pause | Command::Rollback { .. } | Command::Cancel { .. });
                None
            }
            Event::RollbackBegan { scope, .. } => {
                if std::mem::take(&mut self.on_request) {
                    return None;
                }
                // What a called playbook takes back by itself is not the run's failure yet: its caller's rule says what it is.
                let fails = matches!(scope, RollbackScope::Run);
                fails.then(|| self.a_step_failed())?.map(|step| (vec![Occasion::Failed], Some(step)))
            }
            Event::RollbackEnded { .. } => {
                // Where the run stands still afterwards, that is what was to happen.
                self.on_request = true;
                None
            }
            Event::RunStatusChanged { status, reason } => self.status_changed(*status, reason.as_deref()),
            _ => None,
        }
    }

    fn about_step(&mut self, step: &StepPath, event: &Event) -> Option<Occasion> {
        if event.step_status().is_some() {
            self.held.remove(step);
        }
        match event {
            Event::StepWaiting { wait: Waiting::Approval { gate, .. }, .. } => {
                self.told.insert(Cause::Gate(step.clone(), gate_name(*gate))).then_some(Occasion::Waiting)
            }
            Event::StepWaiting { wait: Waiting::Time { until }, .. } => {
                self.held.insert(step.clone(), until.to_string());
                None
            }
            Event::StepWaiting { wait: Waiting::Lock { object, .. }, .. } => {
                self.held.insert(step.clone(), object.to_string());
                None
            }
            Event::GateApproved { open: true, .. } => {
                self.told.retain(|cause| !matches!(cause, Cause::Gate(of, _) if of == step));
                None
            }
            Event::StepUnknown { .. } => self.told.insert(Cause::Unknown(step.clone())).then_some(Occasion::Waiting),
            Event::StepFailed { .. } => {
                self.failed = Some(step.clone());
                None
            }
            Event::StepReset { .. } => {
                self.told.retain(|cause| !matches!(cause, Cause::Gate(of, _) | Cause::Unknown(of) | Cause::Failed(of) if of == step));
                None
            }
            _ => None,
        }
    }

    /// The step whose failure is news.
    fn a_step_failed(&mut self) -> Option<StepPath> {
        let step = self.failed.take()?;
        self.told.insert(Cause::Failed(step.clone())).then_some(step)
    }

    fn status_changed(&mut self, status: RunStatus, reason: Option<&str>) -> Option<(Vec<Occasion>, Option<StepPath>)> {
        let before = self.status.replace(status);
        let on_request = std::mem::take(&mut self.on_request);
        let is_new = before != Some(status);
        match status {
            RunStatus::Running | RunStatus::RollingBack => None,
            RunStatus::Waiting => {
                if self.held.is_empty() || !is_new {
                    return None;
                }
                let held: String = self.held.iter().map(|(step, what)| format!("{step} {what}\n")).collect();
                let step = self.held.keys().next().cloned();
                self.told.insert(Cause::Held(ContentHash::of(held.as_bytes()))).then_some((vec![Occasion::Waiting], step))
            }
            RunStatus::Paused if on_request => None,
            RunStatus::Paused => {
                let step = self.a_step_failed()?;
                // Where several failed, the reason names the one that the run stands still for.
                let named = reason.is_none_or(|reason| reason.contains(step.as_str()));
                Some((vec![Occasion::Failed], named.then_some(step)))
            }
            RunStatus::Stuck => is_new.then(|| (vec![Occasion::Stuck], None)),
            RunStatus::Failed => is_new.then(|| (vec![Occasion::Failed, Occasion::Finished, Occasion::Owed], None)),
            RunStatus::Succeeded | RunStatus::SucceededWithFailures | RunStatus::RolledBack | RunStatus::Cancelled => {
                is_new.then(|| (vec![Occasion::Finished, Occasion::Owed], None))
            }
        }
    }
}

fn gate_name(gate: GateKind) -> &'static str {
    match gate {
        GateKind::Step => "step",
        GateKind::Late => "late",
        GateKind::Rollback => "rollback",
    }
}
