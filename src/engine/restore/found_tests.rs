//! How far a field has come on its way back, and what of a field's history is left alone.

use serde_json::json;

use super::*;

fn swap(from: i64, to: i64) -> Swap {
    Swap {
        object: ObjectRef("k8s:u/ns/deployment/a".into()),
        field: "spec.replicas".into(),
        label: "replicas".into(),
        from: json!(from),
        to: json!(to),
    }
}

fn run(number: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(number))
}

/// What goes back in these swaps, one after the other.
fn found(swaps: &[(i64, i64)]) -> Found {
    let giving = |(at, (from, to)): (u128, &(i64, i64))| Giving {
        run: run(at),
        step: StepPath::new("scale"),
        occurrence: 1,
        action: "k8s.scale".into(),
        intent: Intent::default(),
        swaps: vec![swap(*from, *to)],
    };
    Found { runs: Vec::new(), give: (1..).zip(swaps).map(giving).collect(), left: Vec::new(), seen: Vec::new() }
}

fn ways(found: &Found, live: i64) -> Vec<Way> {
    let live = json!(live);
    (0..found.give.len()).map(|at| found.way(at, &found.give[at].swaps[0], Some(&live))).collect()
}

#[test]
fn a_field_that_goes_back_in_parts_is_as_far_as_its_value_says() {
    let found = found(&[(16, 8), (8, 2)]);
    assert_eq!(ways(&found, 16), [Way::Here, Way::Off], "the second has to wait for the first");
    assert_eq!(ways(&found, 8), [Way::Back, Way::Here]);
    assert_eq!(ways(&found, 2), [Way::Back, Way::Back]);
    assert_eq!(ways(&found, 5), [Way::Off, Way::Off]);
    assert_eq!(found.way(0, &found.give[0].swaps[0], None), Way::Off);
    assert_eq!(found.changes().iter().map(|change| (&change.prior, &change.after)).collect::<Vec<_>>(), [(&json!(16), &json!(2))]);
    assert_eq!(found.outputs()["given_back"][0]["run"], json!(run(2).short()), "whose value it has in the end");
}

#[test]
fn what_is_back_is_not_brought_forth_again() {
    let found = found(&[(16, 2), (2, 8), (8, 2)]);
    assert_eq!(ways(&found, 2), [Way::Back, Way::Back, Way::Back]);
    assert_eq!(ways(&found, 16), [Way::Here, Way::Off, Way::Off]);
}

#[test]
fn what_is_left_alone_goes_back_in_no_part() {
    let mut found = found(&[(16, 8), (8, 2)]);
    found.leave(&swap(16, 8), Some(&json!(5)), None);
    assert!(found.changes().is_empty());
    assert_eq!((&found.left[0].live, &found.left[0].wanted), (&json!(5), &json!(2)));
    assert_eq!(found.left[0].why, "somebody else has set it to 5: it was 16 when these runs had done");
}

/// Changes of one field: by which run, from, to, whether certain, whether it gives back.
fn history(changes: &[(u128, i64, i64, bool, bool)]) -> Vec<LedgerEntry> {
    let entry = |(at, (by, prior, after, settled, gives_back)): (i64, &(u128, i64, i64, bool, bool))| LedgerEntry {
        run: run(*by),
        step: StepPath::new("scale"),
        occurrence: 1,
        change: Change { prior: json!(prior), after: json!(after), ..change() },
        settled: *settled,
        gives_back: *gives_back,
        reverted: false,
        reverted_at: None,
        position: at,
    };
    (1..).zip(changes).map(entry).collect()
}

fn change() -> Change {
    let Swap { object, field, label, from, to } = swap(0, 0);
    Change { object, field, label, prior: from, after: to }
}

fn of(runs: &[u128]) -> impl Fn(&LedgerEntry) -> bool {
    move |entry| runs.iter().any(|of| run(*of) == entry.run)
}

#[test]
fn the_same_value_set_again_by_another_run_is_that_runs() {
    // 16 was given back, and the next event has set it again.
    let later = history(&[(1, 2, 16, true, false), (2, 16, 2, false, true), (3, 2, 16, true, false)]);
    let by = overtaken(&later, 1, Some(&json!(16)), of(&[2]));
    assert_eq!(by, Some(format!("scale of run {} has changed it since", run(3).short())));
    assert_eq!(overtaken(&later[..2], 1, Some(&json!(16)), of(&[2])), None);
    // Where it may have been set, the value tells.
    let maybe = history(&[(1, 2, 16, true, false), (2, 16, 2, false, true), (3, 2, 16, false, false)]);
    assert!(overtaken(&maybe, 1, Some(&json!(16)), of(&[2])).is_some());
    assert!(overtaken(&maybe, 1, Some(&json!(2)), of(&[2])).is_none());
}

#[test]
fn what_came_between_and_was_given_back_keeps_nobody_from_anything() {
    let nested = history(&[(1, 2, 8, true, false), (2, 8, 16, true, false), (3, 16, 8, true, true)]);
    assert!(changed_since(&nested, of(&[1])).is_none());
    assert!(changed_since(&nested[..2], of(&[1])).is_some_and(|left| left.wanted == json!(2)));
    // An earlier day of the same event, which was given back, is no broken chain.
    let again = history(&[(1, 2, 8, true, false), (2, 8, 2, true, true), (3, 4, 8, true, false)]);
    assert!(broken_off(&again, &again[2], of(&[1, 3])).is_none());
    let broken = history(&[(1, 2, 8, true, false), (3, 4, 8, true, false)]);
    assert!(broken_off(&broken, &broken[1], of(&[1, 3])).is_some_and(|left| left.wanted == json!(2)));
}
