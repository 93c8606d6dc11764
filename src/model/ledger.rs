//! The ledger's entries, and what follows from all that were made of one field: what is still there, what was given back, and what can be.
//!
//! Must not ask anybody: a function of the entries alone. Invariant: what may not have been done hides nothing, and brings nothing back for certain.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::change::Change;
use super::id::{RunId, StepPath};

/// A change as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The run that made it.
    pub run: RunId,
    /// The step that made it.
    pub step: StepPath,
    /// Which doing of the step.
    pub occurrence: u32,
    /// The change.
    pub change: Change,
    /// Whether its step has succeeded: the target has it. Else it may have it.
    pub settled: bool,
    /// Whether it gave back what other changes had made: it is no new value, and is not taken back itself.
    pub gives_back: bool,
    /// Whether it has been put back.
    pub reverted: bool,
    /// Where in the order of all commits its putting back was recorded.
    pub reverted_at: Option<i64>,
    /// Rises with each intent that was committed, over all runs.
    pub position: i64,
}

/// A change in the history of its field.
struct Link<'h> {
    entry: &'h LedgerEntry,
    /// The change on which it was built, by its place in the history.
    base: Option<usize>,
    /// When it was taken back, by itself or with the one on which it was built.
    ended: Option<i64>,
}

/// What each change was built on: the latest before it that stood, if it left what this one found.
fn links(history: &[LedgerEntry]) -> Vec<Link<'_>> {
    let mut links: Vec<Link<'_>> = Vec::with_capacity(history.len());
    // What has ended is never built on again.
    let mut standing: Vec<usize> = Vec::new();
    for (at, entry) in history.iter().enumerate() {
        let mut base = None;
        while let Some(link) = standing.last().and_then(|place| links.get(*place))
            && link.ended.is_some_and(|ended| ended <= entry.position)
        {
            standing.pop();
        }
        for place in standing.iter().rev() {
            let Some(link) = links.get(*place) else { break };
            if link.ended.is_some_and(|ended| ended <= entry.position) {
                continue;
            }
            if link.entry.change.after == entry.change.prior {
                base = Some((*place, link.ended));
                break;
            }
            // What may not have been made was not, where the next found what was there before it.
            if link.entry.settled {
                break;
            }
        }
        let own = entry.reverted.then(|| entry.reverted_at.unwrap_or(i64::MAX));
        // What gave something back stands whatever becomes of that later: it is built on nothing.
        let with_base = base.filter(|_| !entry.gives_back).and_then(|(_, ended)| ended);
        let ended = own.into_iter().chain(with_base).min();
        links.push(Link { entry, base: base.map(|(place, _)| place), ended });
        standing.push(at);
    }
    links
}

/// Earlier changes of the same field on which this one was built without a break, and which have been put back since: with them, this one was taken
/// back too. `history` is every change of the field, in the order of their intents; the latest first.
pub fn taken_back_with<'h>(history: &'h [LedgerEntry], own: &LedgerEntry) -> Vec<&'h LedgerEntry> {
    let links = links(history);
    let mut found = Vec::new();
    let mut base = links.iter().find(|link| link.entry == own).and_then(|link| link.base);
    while let Some(link) = base.and_then(|base| links.get(base)) {
        if link.entry.reverted {
            found.push(link.entry);
        }
        // What gave something back is built on nothing.
        base = link.base.filter(|_| !link.entry.gives_back);
    }
    found
}

/// The changes of a field that were neither put back nor taken back with one that was.
pub fn in_force(history: &[LedgerEntry]) -> Vec<&LedgerEntry> {
    links(history).into_iter().filter(|link| link.ended.is_none()).map(|link| link.entry).collect()
}

/// What other runs made of the field after this change, each taking over what the one before had left: putting this change back takes them back too.
pub fn built_on<'h>(history: &'h [LedgerEntry], own: &LedgerEntry) -> Vec<&'h LedgerEntry> {
    let mut end = &own.change.after;
    let later = in_force(history).into_iter().filter(|entry| entry.position > own.position);
    later
        .take_while(|entry| {
            let goes_on = entry.run != own.run && entry.change.prior == *end;
            end = &entry.change.after;
            goes_on
        })
        .collect()
}

/// The changes in force without those that were given back, nor what gave them back; and of those, which entry did.
fn without_what_went_back(history: &[LedgerEntry]) -> (Vec<&LedgerEntry>, Vec<(&LedgerEntry, &LedgerEntry)>) {
    let mut there: Vec<&LedgerEntry> = Vec::new();
    let mut gone = Vec::new();
    let all = in_force(history);
    for (at, entry) in all.iter().copied().enumerate() {
        // One that failed half-way has given the field back all the same, where the next change found it so.
        let found =
            |next: &&&LedgerEntry| next.settled && next.change.prior == entry.change.after && next.change.prior != entry.change.prior;
        let certain = entry.settled || all.iter().skip(at + 1).find(|next| next.settled).filter(found).is_some();
        match (entry.gives_back && certain).then(|| began_with(&there, &entry.change)).flatten() {
            Some(first) => gone.extend(there.drain(first..).map(|gone| (gone, entry))),
            None => there.push(entry),
        }
    }
    (there, gone)
}

/// Where the unbroken chain begins that leads from what a give-back left to what it found.
fn began_with(chain: &[&LedgerEntry], back: &Change) -> Option<usize> {
    let mut wanted = &back.prior;
    for (at, entry) in chain.iter().enumerate().rev() {
        if entry.change.after == *wanted {
            wanted = &entry.change.prior;
            if *wanted == back.after {
                return Some(at);
            }
        } else if entry.settled {
            return None;
        }
    }
    None
}

/// What is left of a field's changes: those in force that were not given back, without what gave back the others.
pub fn still_there(history: &[LedgerEntry]) -> Vec<&LedgerEntry> {
    without_what_went_back(history).0
}

/// The later change that brought back what was there before this one, or before those on which it was built: of this one, nothing is owed any more,
/// whatever came after. Each change up to it took over what the one before had left, and it has certainly been made.
pub fn given_back_by<'h>(history: &'h [LedgerEntry], own: &LedgerEntry) -> Option<&'h LedgerEntry> {
    if let Some((_, by)) = without_what_went_back(history).1.into_iter().find(|(gone, _)| *gone == own) {
        return Some(by);
    }
    let links = links(history);
    let own_link = links.iter().find(|link| link.entry == own);
    // What gave something back is built on nothing: it began anew.
    let before = std::iter::successors(own_link, |link| if link.entry.gives_back { None } else { links.get(link.base?) });
    let goals: Vec<&Value> = before.filter(|link| !link.entry.gives_back).map(|link| &link.entry.change.prior).collect();
    let is_goal = |value: &Value| *value != own.change.after && goals.contains(&value);
    // Where the field may stand, as far as this change and those after it are known, and what brought it there.
    let mut ends: Vec<(&Value, Option<&LedgerEntry>)> = vec![(&own.change.after, None)];
    if !own.settled {
        ends.push((&own.change.prior, None));
    }
    for link in links.iter().filter(|link| link.ended.is_none() && link.entry.position > own.position) {
        let Change { prior, after, .. } = &link.entry.change;
        let from = ends.iter().find(|(end, _)| *end == prior).map(|(_, by)| *by);
        match (from, link.entry.settled) {
            // It found it so: it was brought back before, or this change was not made.
            (Some(by), true) if is_goal(prior) => return Some(by.unwrap_or(link.entry)),
            (Some(_), true) if is_goal(after) => return Some(link.entry),
            (Some(_), true) => ends = vec![(after, Some(link.entry))],
            (Some(_), false) => ends.push((after, Some(link.entry))),
            (None, true) => return None,
            (None, false) => {}
        }
    }
    None
}

/// Whether a later change brought back what was there before this one: see [`given_back_by`].
pub fn is_given_back(history: &[LedgerEntry], own: &LedgerEntry) -> bool {
    given_back_by(history, own).is_some()
}

/// The changes of a field that can be given back together: from the earliest of the latest unbroken chain of chosen ones to its last. Empty where the
/// field's last change is none of those chosen, or the chain leads back to where it began. Of the last, some may not have been made.
pub fn to_give_back(history: &[LedgerEntry], chosen: impl Fn(&LedgerEntry) -> bool) -> Vec<&LedgerEntry> {
    let mut chain: Vec<&LedgerEntry> = Vec::new();
    for entry in still_there(history).into_iter().rev() {
        let goes_on = chain.last().is_none_or(|next| next.change.prior == entry.change.after);
        match (goes_on, entry.settled) {
            (true, _) if chosen(entry) => chain.push(entry),
            // It was not made, as what came after it found what was there before; or if it was, what is there now is not of these.
            (_, false) => {}
            _ => break,
        }
    }
    chain.reverse();
    match (chain.first(), chain.last()) {
        (Some(first), Some(last)) if first.change.prior != last.change.after || !last.settled => chain,
        _ => Vec::new(),
    }
}

/// Of such a chain, what was made, by the value that is there now: whatever is not known to have been made at its end may be missing. Nothing where that
/// value is none of the chain's.
pub fn made<'h, 'c>(chain: &'c [&'h LedgerEntry], live: &Value) -> &'c [&'h LedgerEntry] {
    let mut end = chain.len();
    while let Some(last) = chain[..end].last() {
        if last.change.after == *live {
            return &chain[..end];
        }
        if last.settled {
            break;
        }
        end -= 1;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::change::ObjectRef;

    /// Changes of one field, each by a run of its own: from, to, and whether it is known to have been made.
    fn history(changes: &[(i64, i64, bool)]) -> Vec<LedgerEntry> {
        let entry = |(at, (prior, after, settled)): (u32, &(i64, i64, bool))| LedgerEntry {
            run: RunId(uuid::Uuid::from_u128(u128::from(at))),
            step: StepPath::new("scale"),
            occurrence: 1,
            change: Change {
                object: ObjectRef("k8s:u/ns/deployment/a".into()),
                field: "spec.replicas".into(),
                label: "replicas".into(),
                prior: json!(prior),
                after: json!(after),
            },
            settled: *settled,
            gives_back: false,
            reverted: false,
            reverted_at: None,
            position: i64::from(at),
        };
        (1..).zip(changes).map(entry).collect()
    }

    /// Which of them are given back.
    fn given_back(changes: &[(i64, i64, bool)]) -> Vec<bool> {
        let history = history(changes);
        history.iter().map(|entry| is_given_back(&history, entry)).collect()
    }

    #[test]
    fn a_change_is_given_back_with_the_chain_that_it_was_built_on() {
        assert_eq!(given_back(&[(2, 8, true), (8, 16, true), (16, 2, true)]), [true, true, false]);
        assert_eq!(given_back(&[(2, 8, true), (8, 16, true), (16, 8, true)]), [false, true, false]);
        // Somebody set 10 in between: 2 was not brought back by what led to 10.
        assert_eq!(given_back(&[(2, 8, true), (10, 16, true), (16, 10, true)]), [false, true, false]);
        // What may not have been done brings nothing back for certain, and does not hide what was done later.
        assert_eq!(given_back(&[(2, 8, true), (8, 2, false)]), [false, false]);
        assert_eq!(
            given_back(&[(2, 8, true), (8, 2, false), (8, 2, true)]),
            [true, true, false],
            "the second was not made: the third found 8"
        );
    }

    #[test]
    fn what_began_anew_after_a_give_back_stands_though_the_first_is_rolled_back_later() {
        let mut history = history(&[(2, 8, true), (8, 2, true), (2, 8, true)]);
        history[1].gives_back = true;
        history[0].reverted = true;
        history[0].reverted_at = Some(9);
        assert_eq!(in_force(&history).iter().map(|entry| entry.position).collect::<Vec<_>>(), [2, 3]);
        assert!(taken_back_with(&history, &history[2]).is_empty() && !is_given_back(&history, &history[2]));
    }

    #[test]
    fn what_goes_back_together_is_the_latest_unbroken_chain_of_those_chosen() {
        let chain = |changes: &[(i64, i64, bool)], chosen: &[i64]| {
            let history = history(changes);
            let chain = to_give_back(&history, |entry| chosen.contains(&entry.position));
            chain.iter().map(|entry| entry.position).collect::<Vec<_>>()
        };
        assert_eq!(chain(&[(2, 8, true), (8, 16, true)], &[1, 2]), [1, 2]);
        assert_eq!(chain(&[(2, 4, true), (4, 8, true)], &[2]), [2], "what was there before is another's");
        assert_eq!(chain(&[(2, 8, true), (8, 16, true)], &[1]), [0; 0], "another run has the last word");
        assert_eq!(chain(&[(2, 8, true), (10, 16, true)], &[1, 2]), [2], "somebody else set 10");
        assert_eq!(chain(&[(2, 8, true), (8, 2, true)], &[1, 2]), [0; 0], "it is back already");
    }

    /// The same, where those at these places give back.
    fn giving(changes: &[(i64, i64, bool)], back: &[usize]) -> Vec<LedgerEntry> {
        let mut history = history(changes);
        back.iter().for_each(|at| history[*at].gives_back = true);
        history
    }

    #[test]
    fn what_was_given_back_owes_nothing_when_the_next_one_grows() {
        let grown_again = [(2, 8, true), (8, 16, true), (16, 2, true), (2, 8, true), (8, 16, true)];
        let history = giving(&grown_again, &[2]);
        let owes: Vec<bool> = history.iter().map(|entry| !is_given_back(&history, entry)).collect();
        assert_eq!(owes, [false, false, true, true, true], "the second event's two changes are owed, none of the first's");
        assert_eq!(given_back_by(&history, &history[0]).map(|by| by.position), Some(3));
        assert_eq!(still_there(&history).iter().map(|entry| entry.position).collect::<Vec<_>>(), [4, 5]);
        // One that failed later, with the pods that did not go, has brought 2 back all the same: the next event found it.
        let history = giving(&[(2, 8, true), (8, 2, false), (2, 8, true)], &[1]);
        assert_eq!(given_back_by(&history, &history[0]).map(|by| by.position), Some(2));
        assert_eq!(still_there(&history).iter().map(|entry| entry.position).collect::<Vec<_>>(), [3]);
        assert!(given_back_by(&history[..2], &history[0]).is_none(), "nobody has found it yet");
        // Without a word of it, a run that brought 2 back has done so all the same.
        assert_eq!(given_back(&[(2, 8, true), (8, 2, true), (2, 8, true)]), [true, true, false]);
    }

    #[test]
    fn what_failed_after_it_was_done_stands_in_nobodys_way() {
        // 8 → 16 was done, or not: what gave back found the one or the other.
        assert_eq!(given_back(&[(2, 8, true), (8, 16, false), (16, 2, true)]), [true, true, false]);
        assert_eq!(given_back(&[(2, 8, true), (8, 16, false), (8, 2, true)]), [true, true, false]);
        assert_eq!(given_back(&[(2, 8, true), (10, 16, false), (16, 2, true)]), [false, false, false]);
    }

    #[test]
    fn an_event_within_another_leaves_the_other_its_own() {
        let history = giving(&[(2, 8, true), (8, 16, true), (16, 8, true)], &[2]);
        let chain = to_give_back(&history, |entry| entry.position == 1);
        assert_eq!(chain.iter().map(|entry| entry.position).collect::<Vec<_>>(), [1]);
        // A person who set 8 again has not given anything back: it is that person's 8.
        let history = giving(&[(2, 8, true), (8, 16, true), (16, 8, true)], &[]);
        assert!(to_give_back(&history, |entry| entry.position == 1).is_empty());
    }

    #[test]
    fn of_a_chain_only_its_uncertain_end_may_be_missing() {
        let history = history(&[(2, 8, true), (8, 16, false)]);
        let chain = to_give_back(&history, |_| true);
        let made_of = |live: i64| made(&chain, &json!(live)).len();
        assert_eq!((made_of(16), made_of(8), made_of(5)), (2, 1, 0));
        let history = self::history(&[(2, 8, true), (8, 16, true)]);
        assert_eq!(made(&to_give_back(&history, |_| true), &json!(8)).len(), 0, "somebody else set it to 8");
        // What was not made in between is stepped over.
        let history = self::history(&[(2, 8, true), (8, 16, false), (8, 10, true)]);
        let chain: Vec<i64> = to_give_back(&history, |_| true).iter().map(|entry| entry.position).collect();
        assert_eq!(chain, [1, 3]);
        assert!(links(&history)[2].base == Some(0));
    }
}
