//! The ledger holds what may have been changed and was not put back: no more, and never less.

use super::*;
use crate::model::event::ResetTo;
use crate::model::ledger::LedgerEntry;
use crate::model::outcome::{Applied, Failure, Verdict};

/// The ledger of the replicas after these events: prior, after, occurrence, and whether it was reverted.
fn ledger(events: Vec<Event>) -> Vec<(i64, i64, u32, bool)> {
    let place = Place::new();
    let store = place.open();
    let object = intent(0, 0).changes[0].object.clone();
    wait(async {
        create(&store, id(1)).await;
        for (after, event) in (1..).zip(events) {
            append(&store, id(1), (after, 0), vec![event]).await.unwrap();
        }
        let entries = store.ledger(&object, "spec.replicas").await.unwrap();
        let owed: Vec<LedgerEntry> = entries.iter().filter(|entry| !entry.reverted).cloned().collect();
        assert_eq!(store.owed(id(1)).unwrap(), owed);
        assert!(entries.is_sorted_by(|one, other| one.position < other.position));
        let value = |value: &Value| value.as_i64().unwrap();
        entries.iter().map(|entry| (value(&entry.change.prior), value(&entry.change.after), entry.occurrence, entry.reverted)).collect()
    })
}

fn attempt(attempt: u32, prior: i64, after: i64) -> Event {
    Event::AttemptStarted { step: "scale".into(), attempt, intent: Box::new(intent(prior, after)) }
}

fn ended(attempt: u32, outcome: Applied) -> Event {
    Event::AttemptEnded { step: "scale".into(), attempt, outcome }
}

fn not_applied() -> Applied {
    Applied::NotApplied { failure: Failure::transient("connection refused") }
}

fn unknown() -> Applied {
    Applied::Unknown { failure: Failure::transient("connection cut") }
}

fn started() -> Event {
    Event::StepStarted { step: "scale".into(), occurrence: 1, inputs: ResolvedInputs::default(), intent: None }
}

fn verified(attempt: u32, verdict: Verdict) -> Event {
    Event::Verified { step: "scale".into(), attempt, verdict }
}

#[test]
fn an_intent_is_owed_until_it_is_put_back() {
    assert_eq!(ledger(vec![scaling("scale", 1, 2, 8)]), [(2, 8, 1, false)]);
    assert_eq!(ledger(vec![scaling("scale", 1, 2, 8), succeeded("scale")]), [(2, 8, 1, false)]);
    let rolled_back = Event::StepRolledBack { step: "scale".into(), note: None };
    assert_eq!(ledger(vec![scaling("scale", 1, 2, 8), succeeded("scale"), rolled_back]), [(2, 8, 1, true)]);
}

#[test]
fn an_attempt_without_effect_is_taken_out() {
    assert_eq!(ledger(vec![started(), attempt(1, 2, 8), ended(1, not_applied())]), []);
    assert_eq!(ledger(vec![started(), attempt(1, 2, 8), ended(1, unknown()), verified(1, Verdict::Absent)]), []);
    // With what is observed anew.
    assert_eq!(ledger(vec![started(), attempt(1, 2, 8), ended(1, not_applied()), attempt(2, 3, 8)]), [(3, 8, 1, false)]);
}

#[test]
fn what_gives_back_several_fields_may_have_given_back_some_when_not_all_of_it_is_there() {
    let back = || {
        let intent = Intent { gives_back: true, ..intent(8, 2) };
        Event::AttemptStarted { step: "scale".into(), attempt: 1, intent: Box::new(intent) }
    };
    let absent = vec![started(), back(), ended(1, unknown()), verified(1, Verdict::Absent)];
    assert_eq!(ledger(absent), [(8, 2, 1, false)]);
    assert_eq!(ledger(vec![started(), back(), ended(1, not_applied())]), []);
}

#[test]
fn what_an_earlier_attempt_may_have_done_stays_when_a_later_one_had_no_effect() {
    let cannot_tell = || verified(1, Verdict::CannotTell { reason: "it keeps no record".to_owned() });
    let again = vec![started(), attempt(1, 2, 8), ended(1, unknown()), cannot_tell(), attempt(2, 2, 8)];
    assert_eq!(ledger(again.clone()), [(2, 8, 1, false)], "the same change is entered once");
    let refused = [again.clone(), vec![ended(2, not_applied())]].concat();
    assert_eq!(ledger(refused), [(2, 8, 1, false)]);
    let absent = [again, vec![ended(2, unknown()), verified(2, Verdict::Absent)]].concat();
    assert_eq!(ledger(absent), [(2, 8, 1, false)]);
}

#[test]
fn attempts_that_are_counted_anew_do_not_take_out_older_ones() {
    let failed = || ended(1, Applied::FailedWithEffect { failure: Failure::permanent("exit 1"), outputs: Value::Null });
    let reset = || Event::StepReset { step: "scale".into(), to: ResetTo::Pending };
    let events = vec![started(), attempt(1, 2, 8), failed(), reset(), started(), attempt(1, 2, 9), ended(1, not_applied())];
    assert_eq!(ledger(events), [(2, 8, 1, false)]);
}

#[test]
fn doing_it_again_after_a_rollback_is_a_new_entry() {
    let rolled_back = || Event::StepRolledBack { step: "scale".into(), note: None };
    let next = || Event::StepReset { step: "scale".into(), to: ResetTo::NextOccurrence };
    let mut begun = started();
    if let Event::StepStarted { occurrence, .. } = &mut begun {
        *occurrence = 2;
    }
    let events = vec![scaling("scale", 1, 2, 8), succeeded("scale"), rolled_back(), next(), begun, attempt(1, 2, 8)];
    assert_eq!(ledger(events), [(2, 8, 1, true), (2, 8, 2, false)]);
}

#[test]
fn the_ledger_of_a_field_goes_over_all_runs_in_the_order_of_commits() {
    let place = Place::new();
    let store = place.open();
    wait(async {
        for run in [id(2), id(1)] {
            create(&store, run).await;
        }
        append(&store, id(2), (1, 0), vec![scaling("scale", 1, 2, 8)]).await.unwrap();
        append(&store, id(1), (1, 0), vec![scaling("scale", 1, 8, 9), scaling("more", 1, 9, 10)]).await.unwrap();
        append(&store, id(2), (2, 0), vec![scaling("again", 1, 10, 11)]).await.unwrap();
        let entries = store.ledger(&intent(0, 0).changes[0].object, "spec.replicas").await.unwrap();
        let found: Vec<_> = entries.iter().map(|entry| (entry.run, entry.step.as_str())).collect();
        assert_eq!(found, [(id(2), "scale"), (id(1), "scale"), (id(1), "more"), (id(2), "again")]);
        assert_eq!(store.ledger(&intent(0, 0).changes[0].object, "spec.template").await.unwrap(), []);
    });
}

#[test]
fn a_change_that_went_back_with_the_one_it_was_built_on_is_not_counted_as_owed() {
    let place = Place::new();
    let store = place.open();
    let rolled_back = || Event::StepRolledBack { step: "scale".into(), note: None };
    let owed = |run: RunId| {
        let runs = store.runs(10, &crate::store::Filter { run: Some(run), ..Default::default() }).unwrap().runs;
        runs[0].owed
    };
    wait(async {
        for run in [id(1), id(2)] {
            create(&store, run).await;
        }
        // One that was put back before has nothing to do with it.
        append(&store, id(1), (1, 0), vec![scaling("scale", 1, 2, 8), succeeded("scale"), rolled_back()]).await.unwrap();
        append(&store, id(1), (4, 0), vec![scaling("scale", 2, 2, 8), succeeded("scale")]).await.unwrap();
        append(&store, id(2), (1, 0), vec![scaling("scale", 1, 8, 3), succeeded("scale")]).await.unwrap();
        assert_eq!((owed(id(1)), owed(id(2))), (1, 1));
        append(&store, id(1), (6, 0), vec![rolled_back()]).await.unwrap();
        assert_eq!((owed(id(1)), owed(id(2))), (0, 0));
        let entries = store.ledger(&intent(0, 0).changes[0].object, "spec.replicas").await.unwrap();
        assert!(entries[0].reverted_at < Some(entries[1].position) && entries[1].reverted_at > Some(entries[2].position), "{entries:?}");
    });
}

#[test]
fn what_gives_back_says_so_in_the_ledger_and_those_before_it_owe_nothing_when_the_next_one_grows() {
    let place = Place::new();
    let store = place.open();
    let owed = |run: RunId| {
        let runs = store.runs(10, &crate::store::Filter { run: Some(run), ..Default::default() }).unwrap().runs;
        runs[0].owed
    };
    let back = Intent { gives_back: true, ..intent(8, 2) };
    let back = Event::AttemptStarted { step: "give_back".into(), attempt: 1, intent: Box::new(back) };
    wait(async {
        for run in [id(1), id(2), id(3)] {
            create(&store, run).await;
        }
        append(&store, id(1), (1, 0), vec![scaling("scale", 1, 2, 8), succeeded("scale")]).await.unwrap();
        append(&store, id(2), (1, 0), vec![back, succeeded("give_back")]).await.unwrap();
        append(&store, id(3), (1, 0), vec![scaling("scale", 1, 2, 8), succeeded("scale")]).await.unwrap();
        let entries = store.ledger(&intent(0, 0).changes[0].object, "spec.replicas").await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.gives_back).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!((owed(id(1)), owed(id(3))), (0, 1));
    });
}
