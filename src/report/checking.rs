//! That a step's check must hold for a time: nothing is seen to happen meanwhile, and nothing is wrong.
//!
//! Must not: say that the check holds now. Only its end tells that.

use super::step_view::StepView;
use super::text;
use crate::model::duration::Span;
use crate::model::status::StepStatus;

impl StepView {
    /// The check after its action that is looked at now and must hold for a time: `check 1 must hold for 30s`.
    pub(super) fn must_hold(&self) -> Option<String> {
        if self.status != StepStatus::Running || !self.checking {
            return None;
        }
        let hold = self.hold_of(self.checks_passed)?;
        Some(format!("check {} must hold for {hold}", self.checks_passed + 1))
    }

    /// That a check after its action held: `check 1 held for 30s`; and what the next one must do.
    pub(super) fn held(&self, index: u32) -> String {
        let held = match self.hold_of(index) {
            Some(hold) => format!("check {} held for {hold}", index + 1),
            None => format!("check {} holds", index + 1),
        };
        self.and_must_hold(held)
    }

    /// Words on a step, and what it is looked for from now on.
    pub(super) fn and_must_hold(&self, words: String) -> String {
        [Some(words).filter(|words| !words.is_empty()), self.must_hold()].into_iter().flatten().collect::<Vec<_>>().join("; ")
    }

    fn hold_of(&self, index: u32) -> Option<Span> {
        self.outline.as_ref()?.holds.get(index as usize).copied().flatten()
    }
}

/// What is told of a step while it looks: the check that must hold before what else there is to say.
pub(super) fn before(step: &StepView, words: String) -> String {
    match step.must_hold() {
        Some(must) if words.is_empty() => must,
        Some(must) => format!("{must}: {}", text::clean(&words)),
        None => words,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixture::{Journal, definition, path, playbook, run_id, start, step};
    use super::super::frame::Live;
    use super::super::lines::line;
    use super::super::rows::rows;
    use super::super::style::Style;
    use super::super::view::RunView;
    use crate::model::definition::Definition;
    use crate::model::duration::Span;
    use crate::model::event::{Event, Phase};
    use crate::model::intent::Intent;
    use crate::model::outcome::Applied;
    use crate::model::step::Condition;
    use crate::model::template::Source;

    /// `errors` has two checks, of which the first must hold for 30 s.
    fn holding() -> Definition {
        let that = |hold| Condition {
            that: Source { text: "result.value < 1.0".to_owned(), line: 1, column: 1 },
            message: None,
            within: Some(Span::seconds(180)),
            every: Span::seconds(1),
            hold,
            reading: None,
        };
        let mut errors = step("errors", "prometheus.query", &[]);
        errors.summary = Some("See that it answers without errors".to_owned());
        errors.after = vec![that(Some(Span::seconds(30))), that(None)];
        definition(vec![playbook("pre-event", vec![errors])])
    }

    fn looked() -> Journal {
        let mut journal = Journal::new();
        journal.started("errors", Some(Intent::default())).after(1);
        journal.add(Event::AttemptEnded { step: path("errors"), attempt: 1, outcome: Applied::Applied { outputs: Value::Null } });
        journal
    }

    #[test]
    fn a_check_that_must_hold_for_a_time_is_told_while_it_does() {
        let mut journal = looked();
        let style = Style::plain(start() + jiff::SignedDuration::from_secs(10));
        let mut live = Live::default();
        let row = |journal: &Journal, live: &Live| rows(&journal.view(&holding()), live, &style, 9)[0].clone();
        assert_eq!(
            row(&journal, &live),
            "● errors  running              10s  check 1 must hold for 30s: See that it answers without errors"
        );
        live.line(&path("errors"), "rate: 0");
        assert!(row(&journal, &live).ends_with("check 1 must hold for 30s: rate: 0"));
        journal.add(Event::CheckPassed { step: path("errors"), phase: Phase::After, index: 0 });
        assert!(row(&journal, &live).ends_with("  rate: 0"), "the second check need not hold for a time");
    }

    #[test]
    fn plain_lines_tell_it_when_it_begins_and_when_it_has_held() {
        let mut journal = looked();
        journal.after(30).add(Event::CheckPassed { step: path("errors"), phase: Phase::After, index: 0 });
        journal.add(Event::CheckPassed { step: path("errors"), phase: Phase::After, index: 1 });
        journal.succeeded("errors", json!({}));
        let mut view = RunView::new(run_id()).with_definition(&holding());
        let said = journal.records.iter().filter_map(|record| {
            view.apply(record);
            line(&view, record, &Style::plain(record.at)).map(|line| line.chars().skip(26).collect::<String>())
        });
        let said: Vec<String> = said.collect();
        let wanted = ["check 1 must hold for 30s", "check 1 held for 30s", "check 2 holds"];
        assert_eq!(said[2..5].iter().map(|line| line.trim_start_matches("running").trim_start()).collect::<Vec<_>>(), wanted, "{said:#?}");
    }
}
