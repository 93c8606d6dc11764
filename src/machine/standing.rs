//! How a field that a run changed stands now: ours, put back already, or somebody else's.

use serde_json::Value;

use crate::model::change::{Change, Standing};
use crate::model::id::{RunId, StepPath};
use crate::model::ledger::{LedgerEntry, given_back_by, in_force, taken_back_with};

/// How a field stands of which `history` is every change, of all runs: as [`standing`] says, unless the change was taken back with another already.
pub fn standing_of(change: &Change, live: Option<&Value>, history: Vec<LedgerEntry>, (run, step, occurrence): Doing<'_>) -> Standing {
    let own = history.iter().find(|entry| entry.run == run && entry.step == *step && entry.occurrence == occurrence);
    let with = own.and_then(|own| taken_back_with(&history, own).into_iter().find(|entry| live == Some(&entry.change.prior)));
    let taken_back = with.map(|entry| Standing::TakenBack { run: entry.run, step: entry.step.clone() });
    // What was taken back with another change leads nowhere any more, and breaks no chain.
    let in_force: Vec<LedgerEntry> = match own {
        Some(own) => {
            std::iter::once(own).chain(in_force(&history).into_iter().filter(|entry| entry.position > own.position)).cloned().collect()
        }
        None => Vec::new(),
    };
    let given_back = own.and_then(|own| given_back_by(&history, own)).map(|by| Standing::GivenBack { run: by.run, step: by.step.clone() });
    match (standing(change, live, &since(history, run, step, occurrence)), taken_back, given_back) {
        (standing @ (Standing::AlreadyPrior | Standing::Gone), ..) => standing,
        // Whatever is there, even the same value again: it was given back, and is not of this change.
        (_, _, Some(given_back)) => given_back,
        (Standing::Foreign { .. }, Some(taken_back), None) => taken_back,
        (Standing::Foreign { .. }, None, None) => standing(change, live, &in_force),
        (standing, ..) => standing,
    }
}

/// A doing of a step.
pub type Doing<'a> = (RunId, &'a StepPath, u32);

/// Compares three ways. `chain` is every change of this field that the ledger knows, in the order of their intents; a live value at the end of an unbroken
/// chain of our own changes that begins with this one is ours.
pub fn standing(change: &Change, live: Option<&Value>, chain: &[LedgerEntry]) -> Standing {
    let Some(live) = live else { return Standing::Gone };
    if *live == change.prior {
        return Standing::AlreadyPrior;
    }
    if *live == change.after {
        return Standing::Ours { live: live.clone() };
    }
    // Later changes of ours, each of which took over what the one before it had left.
    let mut ends = vec![&change.after];
    let mut begun = false;
    for entry in chain.iter().filter(|entry| !entry.reverted) {
        if !begun {
            begun = entry.change == *change;
            continue;
        }
        match (ends.contains(&&entry.change.prior), entry.settled) {
            (true, true) => ends = vec![&entry.change.after],
            // It may have been made, or not.
            (true, false) => ends.push(&entry.change.after),
            (false, true) => break,
            (false, false) => continue,
        }
        if entry.change.after == *live {
            return Standing::Ours { live: live.clone() };
        }
    }
    Standing::Foreign { live: live.clone() }
}

/// The part of a field's history that begins with this doing of a step: another run may have made the very same change before it, and what came after
/// that is another chain.
pub fn since(chain: Vec<LedgerEntry>, run: RunId, step: &StepPath, occurrence: u32) -> Vec<LedgerEntry> {
    let own = |entry: &LedgerEntry| entry.run == run && entry.step == *step && entry.occurrence == occurrence;
    match chain.iter().position(own) {
        Some(at) => chain.into_iter().skip(at).collect(),
        None => chain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::change::ObjectRef;
    use crate::model::ledger::built_on;

    fn change(prior: i64, after: i64) -> Change {
        Change {
            object: ObjectRef("k8s:u/ns/deployment/a".into()),
            field: "spec.replicas".into(),
            label: "replicas".into(),
            prior: json!(prior),
            after: json!(after),
        }
    }

    fn entry(prior: i64, after: i64, position: i64) -> LedgerEntry {
        LedgerEntry {
            run: RunId(uuid::Uuid::from_u128(1)),
            step: StepPath::new("s"),
            occurrence: 1,
            change: change(prior, after),
            settled: true,
            gives_back: false,
            reverted: false,
            reverted_at: None,
            position,
        }
    }

    #[test]
    fn each_field_is_compared_three_ways() {
        let ours = change(2, 8);
        let chain = [entry(2, 8, 1)];
        assert_eq!(standing(&ours, Some(&json!(2)), &chain), Standing::AlreadyPrior);
        assert_eq!(standing(&ours, Some(&json!(8)), &chain), Standing::Ours { live: json!(8) });
        assert_eq!(standing(&ours, Some(&json!(5)), &chain), Standing::Foreign { live: json!(5) });
        assert_eq!(standing(&ours, None, &chain), Standing::Gone);
    }

    #[test]
    fn the_end_of_an_unbroken_chain_is_ours_and_that_of_a_broken_one_is_not() {
        let ours = change(2, 8);
        assert_eq!(standing(&ours, Some(&json!(16)), &[entry(2, 8, 1), entry(8, 16, 2)]), Standing::Ours { live: json!(16) });
        // Somebody set 10 between our 8 and our 16.
        assert_eq!(standing(&ours, Some(&json!(16)), &[entry(2, 8, 1), entry(10, 16, 2)]), Standing::Foreign { live: json!(16) });
        // What was put back since is no part of the chain.
        let mut back = entry(8, 16, 2);
        back.reverted = true;
        assert_eq!(standing(&ours, Some(&json!(16)), &[entry(2, 8, 1), back]), Standing::Foreign { live: json!(16) });
    }

    fn of_run(run: u128, entry: LedgerEntry) -> LedgerEntry {
        LedgerEntry { run: RunId(uuid::Uuid::from_u128(run)), ..entry }
    }

    fn put_back(at: i64, entry: LedgerEntry) -> LedgerEntry {
        LedgerEntry { reverted: true, reverted_at: Some(at), ..entry }
    }

    /// How the change 8 → 3 of run 2, made at 5, stands where 2 is there now.
    fn after(history: &[LedgerEntry], live: i64) -> Standing {
        let own = of_run(2, entry(8, 3, 5));
        let history: Vec<LedgerEntry> = history.iter().cloned().chain([own.clone()]).collect();
        standing_of(&own.change, Some(&json!(live)), history, (own.run, &own.step, own.occurrence))
    }

    #[test]
    fn what_was_built_on_a_change_that_was_put_back_since_is_taken_back_with_it() {
        let taken_back = Standing::TakenBack { run: entry(2, 8, 1).run, step: StepPath::new("s") };
        assert_eq!(after(&[put_back(9, entry(2, 8, 1))], 2), taken_back);
        // The one before has not been put back: somebody else set 2.
        assert_eq!(after(&[entry(2, 8, 1)], 2), Standing::Foreign { live: json!(2) });
        // It was put back before this change was made, which found an 8 of somebody else.
        assert_eq!(after(&[put_back(4, entry(2, 8, 1))], 2), Standing::Foreign { live: json!(2) });
        // Something came between.
        assert_eq!(after(&[put_back(9, entry(2, 7, 1))], 2), Standing::Foreign { live: json!(2) });
        // Somebody changed it after it was put back.
        assert_eq!(after(&[put_back(9, entry(2, 8, 1))], 4), Standing::Foreign { live: json!(4) });
        // It is still as this run left it, or as it was before this run: as ever.
        assert_eq!(after(&[put_back(9, entry(2, 8, 1))], 3), Standing::Ours { live: json!(3) });
        assert_eq!(after(&[put_back(9, entry(2, 8, 1))], 8), Standing::AlreadyPrior);
        // Over two links.
        assert_eq!(after(&[put_back(9, entry(2, 6, 1)), of_run(3, entry(6, 8, 2))], 2), taken_back);
    }

    /// Run 1 made 1 → 2, run 2 2 → 8, run 3 8 → 3; then run 2 put 2 back, and run 3's change went back with it; then run 4 made 2 → 7.
    fn with_one_taken_back() -> Vec<LedgerEntry> {
        vec![of_run(1, entry(1, 2, 1)), put_back(9, of_run(2, entry(2, 8, 2))), of_run(3, entry(8, 3, 3)), of_run(4, entry(2, 7, 10))]
    }

    fn of(history: &[LedgerEntry], nth: usize, live: i64) -> Standing {
        let own = history[nth].clone();
        standing_of(&own.change, Some(&json!(live)), history.to_vec(), (own.run, &own.step, own.occurrence))
    }

    #[test]
    fn what_was_taken_back_with_another_breaks_no_chain_of_those_before_and_after_it() {
        let history = with_one_taken_back();
        assert_eq!(of(&history, 0, 7), Standing::Ours { live: json!(7) });
        assert_eq!(of(&history, 0, 3), Standing::Foreign { live: json!(3) }, "it led to 3 once");
        let built: Vec<RunId> = built_on(&history, &history[0]).iter().map(|entry| entry.run).collect();
        assert_eq!(built, [history[3].run], "the plan of the rollback says so too");
        // Run 1 was put back after that: run 4's change with it.
        let mut later = history.clone();
        later[0] = put_back(12, later[0].clone());
        assert_eq!(of(&later, 3, 1), Standing::TakenBack { run: later[0].run, step: StepPath::new("s") });
        // Somebody set 2 in between, and run 2 never put it back: the chain is broken.
        let mut broken = history;
        broken[1] = of_run(2, entry(2, 8, 2));
        assert_eq!(of(&broken, 0, 7), Standing::Foreign { live: json!(7) });
    }

    #[test]
    fn the_same_change_of_an_earlier_run_begins_no_chain_of_this_one() {
        let ours = change(2, 8);
        // Another run made the change and kept it, somebody put 2 back by hand, then this run made it again and went on to 16.
        let earlier = LedgerEntry { run: RunId(uuid::Uuid::from_u128(9)), ..entry(2, 8, 1) };
        let chain = vec![earlier.clone(), entry(2, 8, 2), entry(8, 16, 3)];
        let own = |run| since(chain.clone(), run, &StepPath::new("s"), 1);
        assert_eq!(standing(&ours, Some(&json!(16)), &own(entry(2, 8, 2).run)), Standing::Ours { live: json!(16) });
        assert_eq!(standing(&ours, Some(&json!(16)), &own(earlier.run)), Standing::Foreign { live: json!(16) });
    }

    #[test]
    fn what_another_run_gave_back_is_not_taken_back_from_whoever_set_it_again() {
        let back = LedgerEntry { gives_back: true, ..of_run(2, entry(8, 2, 2)) };
        let history = vec![of_run(1, entry(2, 8, 1)), back, of_run(3, entry(2, 8, 3))];
        assert_eq!(of(&history, 0, 8), Standing::GivenBack { run: history[1].run, step: StepPath::new("s") });
        assert_eq!(of(&history, 2, 8), Standing::Ours { live: json!(8) });
        assert_eq!(of(&history, 0, 2), Standing::AlreadyPrior);
    }

    #[test]
    fn a_change_that_was_not_made_breaks_no_chain() {
        let maybe = LedgerEntry { settled: false, ..of_run(2, entry(8, 16, 2)) };
        let history = vec![of_run(1, entry(2, 8, 1)), maybe, of_run(3, entry(8, 10, 3))];
        assert_eq!(of(&history, 0, 10), Standing::Ours { live: json!(10) });
        assert_eq!(of(&history, 0, 16), Standing::Ours { live: json!(16) }, "as far as anybody knows");
    }
}
