//! A rollback as people see it: what went back, and each thing once.

use serde_json::json;

use super::fixture::{Journal, path, pre_event, run_id, scaling};
use super::lines::line;
use super::style::Style;
use super::summary::summary;
use super::view::RunView;
use crate::model::change::{Standing, Swap};
use crate::model::event::{Event, RollbackScope};
use crate::model::outcome::{Applied, Failure};
use crate::model::status::RunStatus;

/// `scale` is on its way back.
fn going_back() -> Journal {
    let mut journal = Journal::new();
    journal.scaled().status(RunStatus::Succeeded, None).after(5);
    journal.add(Event::RollbackBegan { scope: RollbackScope::Run, reason: "ana asked for it".to_owned() });
    journal.status(RunStatus::RollingBack, Some("ana asked for it"));
    journal.add(Event::RevertStarted { step: path("scale") });
    let change = scaling(2, 8).changes.remove(0);
    let swap = Swap { object: change.object, field: change.field, label: change.label, from: change.after, to: change.prior };
    journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![swap], standings: vec![Standing::Ours { live: json!(8) }] });
    journal
}

fn lines(journal: &Journal) -> Vec<String> {
    let mut view = RunView::new(run_id()).with_definition(&pre_event());
    let all = journal.records.iter().filter_map(|record| {
        view.apply(record);
        line(&view, record, &Style::plain(record.at))
    });
    all.collect()
}

#[test]
fn a_step_that_was_taken_back_says_what_went_back() {
    let mut journal = going_back();
    journal.after(1).add(Event::StepRolledBack { step: path("scale"), note: None }).status(RunStatus::RolledBack, None);
    let page = summary(&journal.view(&pre_event()), &Style::plain(journal.now));
    assert!(page.contains("↩ scale        rolled_back         1.0s  deployment/ticket-service: replicas 8 → 2\n"), "{page}");
}

#[test]
fn why_a_run_goes_back_and_why_a_try_failed_is_told_once() {
    let mut journal = going_back();
    let failure = Failure::transient("the connections do not fit");
    journal.add(Event::RevertEnded { step: path("scale"), outcome: Applied::NotApplied { failure: failure.clone() } });
    let until = journal.now;
    journal.add(Event::RevertRetryScheduled { step: path("scale"), attempt: 2, until, failure });
    let told = lines(&journal);
    for once in ["ana asked for it", "the connections do not fit"] {
        assert_eq!(told.iter().filter(|line| line.contains(once)).count(), 1, "{told:#?}");
    }
    assert!(told.last().unwrap().ends_with("tries again at 19:00:17"), "{told:#?}");
    // What was not just said is.
    let until = journal.now;
    journal.add(Event::RevertRetryScheduled { step: path("scale"), attempt: 3, until, failure: Failure::transient("no answer") });
    assert!(lines(&journal).last().unwrap().ends_with("tries again at 19:00:17: no answer"));
}

#[test]
fn an_interrupted_run_that_owes_something_offers_its_rollback() {
    let mut journal = Journal::new();
    journal.scaled();
    let mut view = journal.view(&pre_event());
    view.set_owner_alive(false);
    let commands: Vec<String> = view.next_commands().into_iter().map(|next| next.command).collect();
    assert_eq!(commands, ["runsheet resume 3fa9c1d2", "runsheet rollback 3fa9c1d2", "runsheet cancel 3fa9c1d2"]);
}
