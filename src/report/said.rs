//! What an action says of a change beside the change itself: that every pod is restarted, say, or until when nothing is rolled out.
//!
//! Must not: take it from anywhere but the intent, which is on disk: it was said before the effect. Invariant: foreign text is cleaned.

use serde_json::{Value, json};

use super::section::limited;
use super::step_view::{EffectState, StepView};
use super::text;
use super::view::RunView;
use crate::model::intent::Intent;

/// The key of an intent's note under which an action says it.
const SAYS: &str = "says";

/// What the action said when it was about to change something.
pub(super) fn of(intent: &Intent) -> Option<String> {
    let says = text::clean(intent.note.get(SAYS)?.as_str()?);
    (!says.is_empty()).then_some(says)
}

/// The changes of an intent, with what the action says of them; nothing where it changes nothing.
pub(super) fn with_changes(intent: &Intent) -> Option<String> {
    let changes = text::changes(&intent.changes);
    if changes.is_empty() {
        return None;
    }
    Some(of(intent).map_or(changes.clone(), |says| format!("{changes}; {says}")))
}

impl RunView {
    /// What is said of each change that is, or may be, there, in the order of the changes.
    pub fn notes(&self) -> impl Iterator<Item = (&StepView, String)> {
        let there = self.open.iter().map(|(_, at)| &self.steps[*at as usize]).filter(|step| step.effect != EffectState::None);
        there.filter_map(|step| Some((step, of(step.intent.as_deref()?)?)))
    }
}

/// A line for each step of which something is said.
pub(super) fn section(view: &RunView) -> Vec<String> {
    limited(view.notes(), |(step, says)| vec![format!("{}: {says}", text::clean(step.path.as_str()))])
}

/// The same for programs.
pub(super) fn json(step: &StepView) -> Option<Value> {
    step.intent.as_deref().and_then(of).map(|says| json!(says))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Journal, path, pre_event, run_id, scaling};
    use super::super::lines::line;
    use super::super::style::Style;
    use super::super::{status_json, summary};
    use super::*;
    use crate::model::event::Event;

    fn said() -> Journal {
        let mut journal = Journal::new();
        let intent = Intent { note: json!({ "says": "every\u{7}pod is restarted" }), ..scaling(2, 8) };
        journal.started("scale", None);
        journal.add(Event::AttemptStarted { step: path("scale"), attempt: 1, intent: Box::new(intent) });
        journal.succeeded("scale", json!({})).add(Event::RunOutputs { outputs: Default::default() });
        journal
    }

    #[test]
    fn it_is_told_with_the_change_and_at_the_end() {
        let journal = said();
        let mut view = RunView::new(run_id()).with_definition(&pre_event());
        let lines: Vec<String> = journal
            .records
            .iter()
            .filter_map(|record| {
                view.apply(record);
                line(&view, record, &Style::plain(record.at))
            })
            .collect();
        assert!(lines.iter().any(|line| line.ends_with("replicas 2 → 8; every pod is restarted")), "{lines:#?}");
        let page = summary(&view, &Style::plain(journal.now));
        assert!(page.contains("\nNotes\n  scale: every pod is restarted\n"), "{page}");
        let steps = &status_json(&view)["steps"];
        assert_eq!(steps.as_array().unwrap().iter().find(|step| step["path"] == "scale").unwrap()["says"], "every pod is restarted");
    }

    #[test]
    fn what_was_taken_back_is_said_no_more() {
        let mut journal = said();
        journal.add(Event::StepRolledBack { step: path("scale"), note: None });
        assert_eq!(section(&journal.view(&pre_event())), Vec::<String>::new());
    }
}
