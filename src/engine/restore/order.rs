//! In which order changes go back: the latest first, and those of the same fields between which nothing else was changed as one.
//!
//! Must not look at anything but the ledger's entries. Invariant: whatever values the fields have together on the way back, they had on the way there: a pool
//! that shrank between two growths grows again after the second of them has gone back, and before the first does.

use std::cmp::Reverse;

use crate::model::change::Swap;
use crate::model::id::{RunId, StepPath};
use crate::model::ledger::LedgerEntry;

/// A doing of a step of a run.
pub(super) type Doing = (RunId, StepPath, u32);

/// Fields that go back together.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// The first that changed them: its action takes them back.
    pub(super) by: Doing,
    /// From what its followers left to what was there before it.
    pub(super) swaps: Vec<Swap>,
}

/// The way back through these chains, one for each field, the earliest change first.
pub(super) fn backwards(chains: &[Vec<LedgerEntry>]) -> Vec<Part> {
    let mut entries: Vec<&LedgerEntry> = chains.iter().flatten().collect();
    entries.sort_by_key(|entry| Reverse(entry.position));
    let mut parts: Vec<Part> = Vec::new();
    // What one intent changed goes back together.
    for together in entries.chunk_by(|one, other| one.position == other.position) {
        let Some(first) = together.first() else { continue };
        let mut swaps: Vec<Swap> = together.iter().map(|entry| swap(entry)).collect();
        if let Some(later) = parts.pop_if(|later| later.swaps.iter().all(|later| swaps.iter().any(|own| same_field(own, later)))) {
            for later in later.swaps {
                swaps.iter_mut().filter(|own| same_field(own, &later)).for_each(|own| own.from.clone_from(&later.from));
            }
        }
        parts.push(Part { by: (first.run, first.step.clone(), first.occurrence), swaps });
    }
    for part in &mut parts {
        part.swaps.retain(|swap| swap.from != swap.to);
    }
    parts.retain(|part| !part.swaps.is_empty());
    parts
}

fn swap(entry: &LedgerEntry) -> Swap {
    let change = &entry.change;
    Swap {
        object: change.object.clone(),
        field: change.field.clone(),
        label: change.label.clone(),
        from: change.after.clone(),
        to: change.prior.clone(),
    }
}

/// Whether both are about the same field.
pub(super) fn same_field(one: &Swap, other: &Swap) -> bool {
    one.object == other.object && one.field == other.field
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::change::{Change, ObjectRef};

    /// The chains of these changes, in the order in which they were made: field, from, to.
    fn chains(changes: &[(&str, i64, i64)]) -> Vec<Vec<LedgerEntry>> {
        let mut chains: Vec<Vec<LedgerEntry>> = Vec::new();
        for (at, (field, prior, after)) in (1_i64..).zip(changes) {
            let entry = LedgerEntry {
                run: RunId(uuid::Uuid::from_u128(at.unsigned_abs().into())),
                step: StepPath::new("step"),
                occurrence: 1,
                change: Change {
                    object: ObjectRef("k8s:u/ns/deployment/a".into()),
                    field: (*field).into(),
                    label: (*field).into(),
                    prior: json!(prior),
                    after: json!(after),
                },
                settled: true,
                gives_back: false,
                reverted: false,
                reverted_at: None,
                position: at,
            };
            match chains.iter_mut().find(|chain| chain[0].change.field == *field) {
                Some(chain) => chain.push(entry),
                None => chains.push(vec![entry]),
            }
        }
        chains
    }

    /// The way back, in words.
    fn back(changes: &[(&str, i64, i64)]) -> Vec<String> {
        let parts = backwards(&chains(changes));
        parts.iter().flat_map(|part| &part.swaps).map(|swap| format!("{} {}→{}", swap.field, swap.from, swap.to)).collect()
    }

    #[test]
    fn what_nothing_came_between_goes_back_as_one() {
        assert_eq!(back(&[("pool", 20, 9), ("replicas", 2, 8), ("replicas", 8, 16)]), ["replicas 16→2", "pool 9→20"]);
        assert_eq!(back(&[("replicas", 2, 8), ("replicas", 8, 2), ("pool", 20, 9), ("replicas", 2, 4)]), ["replicas 4→2", "pool 9→20"]);
    }

    #[test]
    fn a_pool_that_shrank_between_two_growths_grows_between_their_going_back() {
        let way = back(&[("replicas", 2, 8), ("pool", 20, 9), ("replicas", 8, 16)]);
        assert_eq!(way, ["replicas 16→8", "pool 9→20", "replicas 8→2"]);
    }

    #[test]
    fn what_one_step_changed_goes_back_together() {
        let mut both = chains(&[("cpu", 1, 2), ("memory", 1, 2), ("cpu", 2, 4)]);
        both[1][0].position = 1;
        both[1][0].run = both[0][0].run;
        let parts = backwards(&both);
        let swaps: Vec<_> = parts.iter().map(|part| part.swaps.iter().map(|s| (&s.from, &s.to)).collect::<Vec<_>>()).collect();
        assert_eq!(swaps, [[(&json!(4), &json!(1)), (&json!(2), &json!(1))]]);
        assert_eq!(parts[0].by.0, both[0][0].run, "the first to change them takes them back");
    }
}
