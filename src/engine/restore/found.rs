//! What earlier runs changed, field by field: what can go back, and what is left alone.
//!
//! Must not change anything. Invariant: what is found is all that giving back needs: no playbook is read again, and no run.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::inputs::Input;
use super::order::{Doing, Part, backwards};
use super::past::{Behind, LiveValues, Past, unreadable};
use crate::model::change::{Change, ObjectRef, Swap};
use crate::model::id::{RunId, StepPath};
use crate::model::intent::Intent;
use crate::model::ledger::{LedgerEntry, is_given_back, made, still_there, to_give_back};
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// Fields that one step changed first, and that go back together.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Giving {
    /// The run whose value goes back there.
    pub(super) run: RunId,
    /// Its step.
    pub(super) step: StepPath,
    /// Which doing of it.
    pub(super) occurrence: u32,
    /// Its action.
    pub(super) action: String,
    /// Its intent.
    pub(super) intent: Intent,
    /// From what is there to what was. A field may go back in several of them, one after the other.
    pub(super) swaps: Vec<Swap>,
}

/// A field that is left alone.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Left {
    /// The object, in words.
    pub(super) object: String,
    /// What people call the field.
    pub(super) field: String,
    /// What is there; nothing where the object is gone, or it was not looked at.
    pub(super) live: Value,
    /// What was there before.
    pub(super) wanted: Value,
    /// Why.
    pub(super) why: String,
}

/// Up to where the ledger was read for a field: what comes after it is somebody else's.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    object: ObjectRef,
    field: String,
    position: i64,
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Found {
    /// The runs that were looked at, the earliest first.
    pub(super) runs: Vec<RunId>,
    /// What can go back, in the order in which it does: what was changed last goes first.
    pub(super) give: Vec<Giving>,
    /// What is left alone.
    pub(super) left: Vec<Left>,
    #[serde(default)]
    seen: Vec<Seen>,
}

/// How far a field has come on its way back.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Way {
    /// It is as far as this swap brings it, or farther.
    Back,
    /// This swap is next.
    Here,
    /// It is nowhere on its way: somebody else's.
    Off,
}

impl Found {
    /// As it was observed.
    pub(super) fn of(prior: &Value) -> Result<Self, Failure> {
        Self::deserialize(prior).map_err(|error| Failure::permanent(format!("what was found of earlier runs cannot be read: {error}")))
    }

    /// The step's outputs, where all of it has gone back.
    pub(super) fn outputs(&self) -> Value {
        let told = |(change, run): (Change, RunId)| json!({ "object": change.object.in_words(), "field": change.label, "from": change.prior, "to": change.after, "run": run.short() });
        json!({
            "given_back": self.whole_ways().into_iter().map(told).collect::<Vec<_>>(),
            "left": self.left,
            "runs": self.runs.iter().map(RunId::short).collect::<Vec<_>>(),
        })
    }

    /// What becomes of each field in all, as the ledger will have it.
    pub(super) fn changes(&self) -> Vec<Change> {
        self.whole_ways().into_iter().map(|(change, _)| change).collect()
    }

    /// Each field from its first swap's beginning to its last one's end, with the run whose value that is.
    fn whole_ways(&self) -> Vec<(Change, RunId)> {
        let mut ways: Vec<(Change, RunId)> = Vec::new();
        for (giving, Swap { object, field, label, from, to }) in self.swaps() {
            match ways.iter_mut().find(|(change, _)| change.object == *object && change.field == *field) {
                Some((change, run)) => {
                    change.after.clone_from(to);
                    *run = giving.run;
                }
                None => {
                    let (object, field, label) = (object.clone(), field.clone(), label.clone());
                    ways.push((Change { object, field, label, prior: from.clone(), after: to.clone() }, giving.run));
                }
            }
        }
        ways
    }

    fn swaps(&self) -> impl Iterator<Item = (&Giving, &Swap)> {
        self.give.iter().flat_map(|giving| giving.swaps.iter().map(move |swap| (giving, swap)))
    }

    /// How far the field of this swap, one of those of the giving at this place, has come by its live value.
    pub(super) fn way(&self, at: usize, swap: &Swap, live: Option<&Value>) -> Way {
        let Some(live) = live else { return Way::Off };
        let before = self.give.iter().take(at).flat_map(|giving| &giving.swaps);
        let own = |other: &&Swap| super::order::same_field(other, swap);
        let nth = before.filter(own).count();
        let path: Vec<&Swap> = self.swaps().map(|(_, swap)| swap).filter(own).collect();
        // A value that was there twice is taken for the one that is farther back.
        let values = path.first().map(|first| &first.from).into_iter().chain(path.iter().map(|swap| &swap.to));
        let reached = values.enumerate().filter(|(_, value)| *value == live).map(|(place, _)| place).last();
        match reached {
            Some(reached) if reached > nth => Way::Back,
            Some(reached) if reached == nth => Way::Here,
            _ => Way::Off,
        }
    }

    /// Leaves a field alone from here on.
    pub(super) fn leave(&mut self, swap: &Swap, live: Option<&Value>, why: Option<String>) {
        let whole = self.changes().into_iter().find(|change| change.object == swap.object && change.field == swap.field);
        let Some(whole) = whole else { return };
        self.left.push(foreign(&whole, live, why));
        for giving in &mut self.give {
            giving.swaps.retain(|other| !super::order::same_field(other, swap));
        }
    }
}

impl Past {
    /// Looks at the runs, at the ledger, and at what is there now.
    pub(super) async fn find(&self, cx: &Context, input: &Input) -> Result<Found, Failure> {
        let Behind { runs, debts, fields, mut left } = self.behind(cx, input).await?;
        let is_chosen = |entry: &LedgerEntry| debts.contains_key(&doing(entry));
        let mut live: HashMap<Doing, LiveValues> = HashMap::new();
        let mut chains: Vec<Vec<LedgerEntry>> = Vec::new();
        let mut seen = Vec::new();
        for (object, field) in fields {
            let history = self.journal.ledger(&object, &field).await.map_err(unreadable)?;
            let chain = to_give_back(&history, is_chosen);
            let (Some(first), Some(last)) = (chain.first(), chain.last()) else {
                left.extend(changed_since(&history, is_chosen));
                continue;
            };
            left.extend(broken_off(&history, first, is_chosen));
            let by = doing(last);
            if !live.contains_key(&by) {
                let Some(debt) = debts.get(&by) else { continue };
                live.insert(by.clone(), self.live(cx, &debt.action, &debt.intent).await?);
            }
            let value = live.get(&by).and_then(|values| values.of(&object, &field));
            if value == Some(&first.change.prior) {
                continue;
            }
            let chain_ends = last.position;
            let whole = Change { prior: last.change.after.clone(), after: first.change.prior.clone(), ..last.change.clone() };
            let chain = value.map_or(&[][..], |value| made(&chain, value));
            let Some(last) = chain.last() else {
                // One of a run that is at work, or whose outcome is not known, may have been made.
                let by = overtaken(&history, chain_ends, value, is_chosen).filter(|_| value.is_some());
                left.push(foreign(&whole, value, by));
                continue;
            };
            if let Some(by) = overtaken(&history, last.position, value, is_chosen) {
                left.push(foreign(&whole, value, Some(by)));
                continue;
            }
            seen.push(Seen { object, field, position: last.position });
            chains.push(chain.iter().copied().cloned().collect());
        }
        let giving = |Part { by, swaps }: Part| {
            let debt = debts.get(&by)?;
            let (run, step, occurrence) = by;
            Some(Giving { run, step, occurrence, action: debt.action.clone(), intent: Intent::clone(&debt.intent), swaps })
        };
        let give = backwards(&chains).into_iter().filter_map(giving).collect();
        Ok(Found { runs, give, left, seen })
    }

    /// Who has changed the field of a swap since it was found; `None`: nobody of whom the ledger knows.
    pub(super) async fn overtaken(
        &self,
        cx: &Context,
        found: &Found,
        swap: &Swap,
        live: Option<&Value>,
    ) -> Result<Option<String>, Failure> {
        let Some(seen) = found.seen.iter().find(|seen| seen.object == swap.object && seen.field == swap.field) else { return Ok(None) };
        let history = self.journal.ledger(&swap.object, &swap.field).await.map_err(unreadable)?;
        Ok(overtaken(&history, seen.position, live, |entry| entry.run == cx.run && entry.step == cx.step))
    }
}

fn doing(entry: &LedgerEntry) -> Doing {
    (entry.run, entry.step.clone(), entry.occurrence)
}

/// Who changed a field after this place in the ledger, and so that it may be what is there.
fn overtaken(history: &[LedgerEntry], after: i64, live: Option<&Value>, own: impl Fn(&LedgerEntry) -> bool) -> Option<String> {
    let later = still_there(history).into_iter().filter(|entry| entry.position > after && !own(entry));
    let mut by = later.filter(|entry| entry.settled || Some(&entry.change.after) == live);
    by.next_back().map(has_changed)
}

fn has_changed(entry: &LedgerEntry) -> String {
    format!("{} of run {} has changed it since", entry.step, entry.run.short())
}

/// A field whose last change is not one of these runs'.
fn changed_since(history: &[LedgerEntry], chosen: impl Fn(&LedgerEntry) -> bool) -> Option<Left> {
    let there = still_there(history);
    let last = there.iter().rfind(|entry| entry.settled || chosen(entry)).filter(|last| !chosen(last))?;
    let own = there.iter().find(|entry| chosen(entry) && !is_given_back(history, entry))?;
    Some(Left {
        object: last.change.object.in_words(),
        field: last.change.label.clone(),
        live: Value::Null,
        wanted: own.change.prior.clone(),
        why: has_changed(last),
    })
}

/// Where the chain that goes back does not reach the first change of these runs.
fn broken_off(history: &[LedgerEntry], first: &LedgerEntry, chosen: impl Fn(&LedgerEntry) -> bool) -> Option<Left> {
    let there = still_there(history);
    let missed =
        |entry: &&&LedgerEntry| entry.position < first.position && entry.settled && chosen(entry) && !is_given_back(history, entry);
    let earlier: Vec<&&LedgerEntry> = there.iter().filter(missed).collect();
    let (oldest, latest) = (earlier.first()?, earlier.last()?);
    if latest.change.after == oldest.change.prior || oldest.change.prior == first.change.prior {
        return None;
    }
    Some(Left {
        object: first.change.object.in_words(),
        field: first.change.label.clone(),
        live: first.change.prior.clone(),
        wanted: oldest.change.prior.clone(),
        why: format!(
            "run {} had set it to {}, and it was {} when run {} came: somebody else set it in between",
            latest.run.short(),
            latest.change.after,
            first.change.prior,
            first.run.short()
        ),
    })
}

/// A field that is neither as these runs left it nor as it was before. `whole`: from the one to the other.
fn foreign(whole: &Change, live: Option<&Value>, why: Option<String>) -> Left {
    let why = why.unwrap_or_else(|| match live {
        Some(live) => format!("somebody else has set it to {live}: it was {} when these runs had done", whole.prior),
        None => "the object is gone, or another is there under its name".to_owned(),
    });
    let live = live.cloned().unwrap_or(Value::Null);
    Left { object: whole.object.in_words(), field: whole.label.clone(), live, wanted: whole.after.clone(), why }
}

#[cfg(test)]
#[path = "found_tests.rs"]
mod tests;
