//! The ledger's entries: for each field of each object touched, what was there before and after.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::{RunId, StepPath};

/// What was touched, by the target's own identity: `k8s:<cluster uid>/production/deployment/ticket-service`. Also the name of its lock.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectRef(pub String);

impl ObjectRef {
    /// As people name it, without the target's identity: `deployment/ticket-service in production`.
    pub fn in_words(&self) -> String {
        let parts: Vec<&str> = self.0.split('/').collect();
        match (self.0.starts_with("k8s:"), parts.as_slice()) {
            (true, [_, namespace, kind, name]) => format!("{kind}/{name} in {namespace}"),
            (true, [_, rest @ ..]) if !rest.is_empty() => rest.join("/"),
            (false, [account, service, name]) if account.starts_with("aws:") => {
                format!("{service}/{name} in {}", account.rsplit(':').next().unwrap_or_default())
            }
            _ => self.0.clone(),
        }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One field of one object, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The object.
    pub object: ObjectRef,
    /// The field, as the API names it: `spec.replicas`.
    pub field: String,
    /// What people call it: `replicas`.
    pub label: String,
    /// What was there; `null`: nothing.
    pub prior: Value,
    /// What the step puts there.
    pub after: Value,
}

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
        while let Some((place, link)) = standing.last().and_then(|place| Some((*place, links.get(*place)?))) {
            if link.ended.is_none_or(|ended| ended > entry.position) {
                base = (link.entry.change.after == entry.change.prior).then_some((place, link.ended));
                break;
            }
            standing.pop();
        }
        let own = entry.reverted.then(|| entry.reverted_at.unwrap_or(i64::MAX));
        let ended = own.into_iter().chain(base.and_then(|(_, ended)| ended)).min();
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
        base = link.base;
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

/// Whether later changes of the field, each of which took over what the one before had left, have certainly brought back what was there before this one,
/// or before those on which it was built: of this one, nothing is owed any more.
pub fn is_given_back(history: &[LedgerEntry], own: &LedgerEntry) -> bool {
    let links = links(history);
    let own_link = links.iter().find(|link| link.entry == own);
    let before = std::iter::successors(own_link, |link| links.get(link.base?)).map(|link| &link.entry.change.prior);
    let goals: Vec<&serde_json::Value> = before.collect();
    let mut end = &own.change.after;
    // What may not have been done brought nothing back for certain.
    let mut later = links.iter().filter(|link| link.ended.is_none() && link.entry.position > own.position && link.entry.settled).peekable();
    let any = later.peek().is_some();
    for link in later {
        if link.entry.change.prior != *end {
            return false;
        }
        end = &link.entry.change.after;
    }
    any && goals.contains(&end)
}

/// The changes of a field that can be given back together: from the earliest of the latest unbroken chain of chosen ones to its last. Empty where the
/// field's last change is none of those chosen, or the chain leads back to where it began.
pub fn to_give_back(history: &[LedgerEntry], chosen: impl Fn(&LedgerEntry) -> bool) -> Vec<&LedgerEntry> {
    let mut chain: Vec<&LedgerEntry> = Vec::new();
    for entry in in_force(history).into_iter().rev() {
        let goes_on = chain.last().is_none_or(|next| next.change.prior == entry.change.after);
        if !goes_on || !chosen(entry) {
            break;
        }
        chain.push(entry);
    }
    chain.reverse();
    match (chain.first(), chain.last()) {
        (Some(first), Some(last)) if first.change.prior != last.change.after => chain,
        _ => Vec::new(),
    }
}

/// How one field stands when it is to be put back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It equals the prior value: nothing is sent.
    AlreadyPrior,
    /// It is ours: swapped from `live` to `prior`.
    Ours {
        /// What is there now, and must still be there when the swap is made.
        live: Value,
    },
    /// Somebody else changed it: left alone.
    Foreign {
        /// What is there now.
        live: Value,
    },
    /// The change on which this one was built has been put back since, and this one with it: nothing is sent.
    TakenBack {
        /// The run that had made that change.
        run: RunId,
        /// The step that had.
        step: StepPath,
    },
    /// The object is gone.
    Gone,
}

/// One field to be swapped back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// The object.
    pub object: ObjectRef,
    /// The field, as the API names it.
    pub field: String,
    /// What people call it.
    pub label: String,
    /// What must be there when the swap is made.
    pub from: Value,
    /// What is put there.
    pub to: Value,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
        assert_eq!(given_back(&[(2, 8, true), (8, 2, false), (8, 2, true)]), [true, false, false]);
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
}
