//! How a field that a run changed stands now: ours, put back already, or somebody else's.

use serde_json::Value;

use crate::model::change::{Change, LedgerEntry, Standing};
use crate::model::id::{RunId, StepPath};

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
    let mut end = &change.after;
    let mut begun = false;
    for entry in chain.iter().filter(|entry| !entry.reverted) {
        if !begun {
            begun = entry.change == *change;
            continue;
        }
        if entry.change.prior != *end {
            break;
        }
        end = &entry.change.after;
        if end == live {
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
            reverted: false,
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
}
