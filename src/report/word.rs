//! A run's status in one word, as lists and titles have it.
//!
//! Must not: hide a status of the machine's; it is only told apart more finely.

use super::view::RunView;
use crate::model::status::RunStatus;

/// With what the reason of a run begins that was refused when it was to start: the engine ends it before anything of it begins.
const REFUSED: &str = "refused at the start: ";

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
    fn the_title_of_a_refused_run_says_that_nothing_was_begun() {
        let mut journal = Journal::new();
        journal.records.truncate(1);
        journal.status(RunStatus::Cancelled, Some("refused at the start: deployment/x is locked by run 0c41f1d0"));
        let title = title(&journal.view(&pre_event()), &Style::plain(journal.now));
        assert_eq!(title, "pre-event 3fa9c1d2 was refused at its start, and began nothing: deployment/x is locked by run 0c41f1d0");
    }
}
