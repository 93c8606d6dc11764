//! A run that only waits, or that was told to stop and still ends what runs: what happens by itself, and until when at most.
//!
//! Must not: promise an end that nothing sets. Where a playbook sets none, none is named.

use std::time::Duration;

use jiff::Timestamp;

use super::step_view::{EffectState, StepView};
use super::style::Style;
use super::text;
use super::view::RunView;
use crate::model::event::Waiting;
use crate::model::intent::Revert;
use crate::model::status::{RunStatus, StepStatus};

/// How many steps are named.
const NAMED: usize = 5;

impl RunView {
    /// Whether a waiting run goes on by itself: whose process stays with it, or that nobody will start it. Nothing of a run that waits for people.
    pub(super) fn stays(&self, style: &Style) -> Option<String> {
        if self.status != RunStatus::Waiting || self.needs_person().is_some() {
            return None;
        }
        let due = self.with_status(StepStatus::Waiting).filter_map(|step| match step.waiting.as_deref()? {
            Waiting::Time { until } => Some(*until),
            Waiting::Samples { .. } | Waiting::Approval { .. } | Waiting::Lock { .. } => None,
        });
        let at = due.min().map(|at| format!(" at {}", text::time(at, style))).unwrap_or_default();
        match (self.owner_alive?, self.owner.as_ref()) {
            (true, Some(owner)) => Some(format!("It goes on by itself{at}: process {} stays with it.", owner.pid)),
            (true, None) => Some(format!("It goes on by itself{at}.")),
            (false, _) => Some(format!("Nobody will go on with it{at}: no process stays with it.")),
        }
    }

    /// What a run that was told to stop still waits for, and how that is ended now; `None`: nothing runs any more, or nobody is there.
    pub(super) fn winding_down(&self, style: &Style) -> Option<String> {
        if self.owner_alive == Some(false) || !(self.status == RunStatus::Paused || self.cancelling && !self.status.is_finished()) {
            return None;
        }
        let going = [StepStatus::Running, StepStatus::Verifying, StepStatus::RollingBack].into_iter();
        let going: Vec<&StepView> = going.flat_map(|status| self.with_status(status)).filter(|step| !step.has_children()).collect();
        if going.is_empty() {
            return None;
        }
        let mut named: Vec<String> = going.iter().take(NAMED).map(|step| in_words(step, style)).collect();
        if going.len() > NAMED {
            named.push(format!("{} more", going.len() - NAMED));
        }
        let process = self.owner.as_ref().map(|owner| format!(" (or SIGTERM to process {})", owner.pid)).unwrap_or_default();
        Some(format!("It still waits for {}; Ctrl-C again{process} ends it now.", named.join(", ")))
    }
}

fn in_words(step: &StepView, style: &Style) -> String {
    let until = step.at_most().map(|until| format!(" until {} at most", text::time(until, style))).unwrap_or_default();
    format!("{}{until}", text::clean(step.path.as_str()))
}

impl StepView {
    /// When what the step is at is over at the latest, where something sets that: the time of its checks, of its attempt, of what follows a rollback.
    pub(super) fn at_most(&self) -> Option<Timestamp> {
        let after = |length: Duration| Some(self.heard_at?.saturating_add(length).unwrap_or(Timestamp::MAX));
        match self.status {
            StepStatus::Running if self.effect == EffectState::Applied => {
                let left = self.outline.as_ref()?.checks.get(self.checks_passed as usize..)?;
                after(left.iter().copied().sum::<Option<Duration>>()?)
            }
            StepStatus::Running if self.attempt > 0 => after(self.outline.as_ref()?.attempt_limit?),
            StepStatus::RollingBack => match &self.intent.as_ref()?.revert {
                Revert::Fields { settle } => after(settle.0),
                Revert::Nothing | Revert::Keep { .. } | Revert::Action { .. } => None,
            },
            _ => None,
        }
    }
}
