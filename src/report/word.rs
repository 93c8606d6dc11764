//! A run's status in one word, as lists and titles have it.
//!
//! Must not: hide a status of the machine's; it is only told apart more finely.

use super::text;
use super::view::RunView;
use crate::model::status::{RunStatus, StepStatus};

/// With what the reason of a run begins that was refused when it was to start: the engine ends it before anything of it begins.
const REFUSED: &str = "refused at the start: ";

/// How many of the steps that hold a run up are named.
const NAMED: usize = 3;

/// The word, given whether a process works on the run, where that is known, and why the run stands where it does.
pub fn status_word(status: RunStatus, owner_alive: Option<bool>, reason: Option<&str>) -> &'static str {
    match (status, owner_alive) {
        (RunStatus::Running | RunStatus::RollingBack, Some(false)) => "interrupted",
        (RunStatus::Cancelled, _) if refusal(reason).is_some() => "refused",
        _ => status.as_str(),
    }
}

/// Why a run was refused at its start, where this reason says that it was.
fn refusal(reason: Option<&str>) -> Option<&str> {
    reason?.strip_prefix(REFUSED)
}

impl RunView {
    /// Where it stands, in a word: `interrupted` where it should be at work, and nobody works on it; `refused` where it was never begun.
    pub fn word(&self) -> &'static str {
        status_word(self.status, self.owner_alive, self.reason())
    }

    /// Why it stands there, for people. Of a stuck run that is what could not be taken back, whatever it was told last.
    pub(super) fn why(&self) -> Option<String> {
        let reason = self.reason().map(text::clean);
        if self.status != RunStatus::Stuck {
            return reason;
        }
        let held = self.kept().filter(|(_, kept)| kept.blocks).map(|(step, _)| step);
        let left: Vec<_> = self.with_status(StepStatus::RollbackFailed).chain(held).map(|step| text::clean(step.path.as_str())).collect();
        match left.as_slice() {
            [] => reason,
            [.., last] if left.len() <= NAMED => {
                let before = left[..left.len() - 1].join(", ");
                let names = if before.is_empty() { last.clone() } else { format!("{before} and {last}") };
                Some(format!("{names} could not be taken back"))
            }
            _ => Some(format!("{} steps could not be taken back", left.len())),
        }
    }

    /// Why it was refused at its start, before anything of it began.
    pub(super) fn refused(&self) -> Option<&str> {
        refusal(self.reason()).filter(|_| self.status == RunStatus::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Journal, pre_event};
    use super::super::style::Style;
    use super::super::summary::title;
    use super::*;

    #[test]
    fn a_run_that_nobody_works_on_and_one_that_never_began_are_told_apart() {
        for (status, alive, reason, word) in [
            (RunStatus::Running, Some(false), None, "interrupted"),
            (RunStatus::Running, Some(true), None, "running"),
            (RunStatus::Cancelled, None, Some("cancelled by ana"), "cancelled"),
            (RunStatus::Cancelled, None, Some("refused at the start: it is locked by run 3fa9c1d2"), "refused"),
            (RunStatus::Failed, None, Some("refused at the start: no"), "failed"),
        ] {
            assert_eq!(status_word(status, alive, reason), word);
        }
    }

    #[test]
    fn a_stuck_run_says_what_is_stuck_and_not_what_it_was_told_last() {
        let mut journal = Journal::new();
        journal.scaled();
        for step in ["scale", "warm_pool"] {
            let failure = crate::model::outcome::Failure::permanent("somebody else changed it");
            journal.add(crate::model::event::Event::StepRollbackFailed { step: step.into(), failure });
        }
        journal.status(RunStatus::Stuck, Some("scale was put back by hand, says ana"));
        let view = journal.view(&pre_event());
        assert_eq!(view.why().as_deref(), Some("scale and warm_pool could not be taken back"));
        assert!(title(&view, &Style::plain(journal.now)).ends_with(": scale and warm_pool could not be taken back"));
    }

    #[test]
    fn the_title_of_a_refused_run_says_that_nothing_was_begun() {
        let mut journal = Journal::new();
        journal.records.truncate(1);
        journal.status(RunStatus::Cancelled, Some("refused at the start: deployment/x is locked by run 0c41f1d0"));
        let title = title(&journal.view(&pre_event()), &Style::plain(journal.now));
        assert_eq!(title, "pre-event 3fa9c1d2 was refused at its start, and began nothing: deployment/x is locked by run 0c41f1d0");
    }
}
