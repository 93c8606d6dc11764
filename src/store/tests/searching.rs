//! Finding and listing runs.

use super::super::{Filter, FindError, Owner};
use super::*;
use crate::model::status::{RunStatus, StepStatus};

/// Ids that begin and end alike.
const IDS: [&str; 3] =
    ["01980000-0000-7000-8000-00003fa9c1d2", "01980000-0001-7000-8000-0000aaaac1d2", "01990000-0000-7000-8000-0000bbbb0001"];

fn filled() -> (Place, Store, Vec<RunId>) {
    let place = Place::new();
    let store = place.open();
    let runs: Vec<RunId> = IDS.iter().map(|id| id.parse().unwrap()).collect();
    for run in &runs {
        wait(create(&store, *run));
    }
    (place, store, runs)
}

#[test]
fn a_run_is_found_by_its_id_its_beginning_and_its_end() {
    let (_place, store, runs) = filled();
    for (text, expected) in [
        (IDS[0], runs[0]),
        ("3fa9c1d2", runs[0]),
        ("3FA9C1D2", runs[0]),
        ("aaaac1d2", runs[1]),
        ("0001", runs[2]),
        ("0199", runs[2]),
        ("01980000-0001", runs[1]),
        (&IDS[2].replace('-', ""), runs[2]),
    ] {
        assert_eq!(store.find_run(text).unwrap(), expected, "{text}");
    }
    assert_eq!(store.find_run(&runs[1].short()).unwrap(), runs[1]);
}

#[test]
fn a_text_that_fits_none_or_several_is_said_in_words() {
    let (_place, store, runs) = filled();
    let error = store.find_run("c1d2").unwrap_err();
    assert!(matches!(&error, FindError::Several { runs: found, .. } if *found == [runs[1], runs[0]]), "{error}");
    assert!(error.to_string().contains(IDS[0]) && error.to_string().contains(IDS[1]), "{error}");
    let error = store.find_run("ffff").unwrap_err();
    assert!(matches!(error, FindError::None { .. }) && error.to_string().contains("there is no run `ffff` in "), "{error}");
    for text in ["1d2", "", "scale", "%%%%", "____", &"1".repeat(33)] {
        assert!(matches!(store.find_run(text), Err(FindError::NotAnId { .. })), "{text}");
    }
}

#[test]
fn a_list_tells_what_each_run_is_about() {
    let (_place, store, runs) = filled();
    wait(async {
        let epoch = store.own(runs[0]).await.unwrap();
        let events = vec![
            Event::RunOwned { pid: 4711, host: "web-1".to_owned(), by: "me@here".to_owned() },
            scaling("scale", 1, 2, 8),
            succeeded("scale"),
            succeeded("other"),
            Event::StepUnknown { step: "third".into(), reason: "nobody can tell".to_owned() },
            Event::RunStatusChanged { status: RunStatus::Stuck, reason: Some("scale".to_owned()) },
        ];
        append(&store, runs[0], (1, epoch), events).await.unwrap();
        append(&store, runs[2], (1, 0), vec![Event::RunStatusChanged { status: RunStatus::Succeeded, reason: None }]).await.unwrap();
    });
    let listed = store.runs(10, &Filter::default()).unwrap().runs;
    assert_eq!(listed.iter().map(|run| run.run).collect::<Vec<_>>(), [runs[2], runs[1], runs[0]], "the latest first");
    let run = &listed[2];
    assert_eq!((run.status, run.reason.as_deref(), run.owed, run.events), (RunStatus::Stuck, Some("scale"), 1, 7));
    assert_eq!((run.playbook.as_str(), run.environment.as_deref(), run.by.as_str()), ("pre-event", Some("sandbox"), "me@here"));
    assert_eq!((run.created_at, run.updated_at), (at(1_000), at(2_000)));
    assert_eq!(run.owner, Some(Owner { pid: 4711, host: "web-1".to_owned(), by: "me@here".to_owned() }));
    assert_eq!(run.steps, BTreeMap::from([(StepStatus::Succeeded, 2), (StepStatus::Unknown, 1)]));
    assert_eq!(listed[1].owner, None);

    let only = |filter: Filter| store.runs(10, &filter).unwrap().runs.into_iter().map(|run| run.run).collect::<Vec<_>>();
    assert_eq!(store.runs(1, &Filter::default()).unwrap().runs.len(), 1);
    assert_eq!(only(Filter { run: Some(runs[1]), ..Filter::default() }), [runs[1]]);
    assert_eq!(only(Filter { playbook: Some("after-event".to_owned()), ..Filter::default() }), []);
    assert_eq!(only(Filter { environment: Some("sandbox".to_owned()), ..Filter::default() }).len(), 3);
    let open: Vec<_> = store.open_runs().unwrap().runs.into_iter().map(|run| run.run).collect();
    assert_eq!(open, [runs[1], runs[0]]);
    assert_eq!(store.latest_run().unwrap(), Some(runs[2]));
}

#[test]
fn a_run_is_open_as_long_as_it_has_not_finished() {
    let place = Place::new();
    let store = place.open();
    assert_eq!(store.latest_run().unwrap(), None);
    for (number, status) in (0..).zip(RunStatus::ALL) {
        wait(async {
            create(&store, id(number)).await;
            append(&store, id(number), (1, 0), vec![Event::RunStatusChanged { status: *status, reason: None }]).await.unwrap();
        });
    }
    let mut open: Vec<_> = store.open_runs().unwrap().runs.into_iter().map(|run| run.status).collect();
    open.reverse();
    let expected: Vec<_> = RunStatus::ALL.iter().copied().filter(|status| !status.is_finished()).collect();
    assert_eq!(open, expected);
    let plan: String = place
        .raw()
        .query_row(
            "EXPLAIN QUERY PLAN SELECT id FROM runs WHERE status IN ('running', 'waiting', 'paused', 'rolling_back', 'stuck')",
            [],
            |row| row.get(3),
        )
        .unwrap();
    assert!(plan.contains("runs_open"), "{plan}");
}

#[test]
fn a_run_that_was_planned_long_before_is_found_by_what_has_happened_to_it_since() {
    use crate::ports::history::History;
    let (_place, store, runs) = filled();
    let of = |names: &[&str], since| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        wait(store.runs_of(&names, at(since))).unwrap()
    };
    wait(append(&store, runs[1], (1, 0), vec![scaling("scale", 1, 2, 8)])).unwrap();
    assert_eq!(of(&["pre-event", "scale"], 0), runs);
    assert_eq!(of(&["pre-event"], 1_500), [runs[1]]);
    assert!(of(&["scale"], 0).is_empty());
}
