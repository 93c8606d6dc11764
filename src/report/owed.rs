//! What a run owes: changes that were applied and not put back, and how they are.
//!
//! Invariant: a change of a field that a later step changed again is one debt, from the last value back to the first, as long as the chain is
//! unbroken; a field that came back to its first value by itself owes nothing.

use std::collections::HashMap;

use serde_json::Value;

use super::step_view::{EffectState, StepView};
use super::text;
use super::view::RunView;
use crate::model::change::{Change, ObjectRef, Standing};
use crate::model::id::{RunId, StepPath};
use crate::model::intent::Revert;
use crate::model::ledger::{LedgerEntry, built_on, is_given_back, taken_back_with};
use crate::model::status::StepStatus;

/// One thing to be given back.
#[derive(Clone, Debug, PartialEq)]
pub struct Owed {
    /// The steps that changed it, in their order.
    pub steps: Vec<StepPath>,
    /// What it is about.
    pub what: OwedWhat,
    /// Whether it is certain that the target has it; `false`: an attempt's outcome is not known, or it failed half-way.
    pub certain: bool,
    /// The undo by a person's hands: lines for a shell.
    pub undo_by_hand: Vec<String>,
}

/// What is to be given back.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly all are fields, and there are few")]
pub enum OwedWhat {
    /// A field of an object.
    Field {
        /// The object.
        object: ObjectRef,
        /// The field, as the API names it.
        field: String,
        /// What people call it.
        label: String,
        /// What was there before the run.
        prior: Value,
        /// What the run put there.
        after: Value,
        /// What is there now, where a rollback looked and found that somebody else changed it.
        live: Option<Value>,
        /// What later runs made of it since, in their order: it goes back with this.
        later: Vec<Later>,
    },
    /// Whatever the step's own rollback action gives back.
    Action {
        /// The rollback action's name.
        uses: String,
    },
}

/// What a later run made of a field.
#[derive(Clone, Debug, PartialEq)]
pub struct Later {
    /// The run.
    pub run: RunId,
    /// From which value.
    pub prior: Value,
    /// To which.
    pub after: Value,
}

impl Owed {
    /// In one line: `deployment/ticket-service: replicas 8 → 2`.
    pub fn in_words(&self) -> String {
        let mut words = match &self.what {
            OwedWhat::Field { object, label, prior, after, later, .. } => {
                let from = later.last().map_or(after, |later| &later.after);
                let with: Vec<String> = later
                    .iter()
                    .map(|later| format!("{} → {} of run {}", text::value(&later.prior), text::value(&later.after), later.run.short()))
                    .collect();
                let with = if with.is_empty() { String::new() } else { format!(", which takes back {} too", with.join(", ")) };
                format!("{}: {}{with}", text::object(object), text::step_of(label, from, prior))
            }
            OwedWhat::Action { uses } => {
                format!(
                    "{}: undone by {}",
                    self.steps.first().map(|step| text::clean(step.as_str())).unwrap_or_default(),
                    text::clean(uses)
                )
            }
        };
        if !self.certain {
            words.push_str(" (if it was applied)");
        }
        words
    }
}

impl RunView {
    /// What was applied, or may have been, and not put back; in the order of the intents. What the playbook or the action says to keep is not owed.
    pub fn owed(&self) -> Vec<Owed> {
        let mut owed: Vec<Owed> = Vec::new();
        let mut latest: HashMap<(&ObjectRef, &str), usize> = HashMap::new();
        for (_, at) in &self.open {
            let step = &self.steps[*at as usize];
            let Some(intent) = step.intent.as_deref() else { continue };
            // What an operator left as it is, is owed no more.
            if step.status == StepStatus::Kept && step.kept.as_ref().is_some_and(|kept| !kept.blocks) {
                continue;
            }
            let certain = step.effect == EffectState::Applied;
            match &intent.revert {
                Revert::Nothing | Revert::Keep { .. } => {}
                Revert::Action { uses, .. } => {
                    if step.status != StepStatus::Kept {
                        owed.push(Owed {
                            steps: vec![step.path.clone()],
                            what: OwedWhat::Action { uses: uses.clone() },
                            certain,
                            undo_by_hand: intent.undo_by_hand.clone(),
                        });
                    }
                }
                Revert::Fields { .. } => {
                    let left = intent.changes.iter().enumerate().filter(|(index, _)| !step.is_put_back(*index));
                    for (index, change) in left.filter(|(_, change)| !self.is_taken_back(step, change)) {
                        let live = live_value(step, index);
                        let key = (&change.object, change.field.as_str());
                        let chained = latest.get(&key).copied().filter(|place| follows(&owed[*place], &change.prior));
                        let place = chained.unwrap_or(owed.len());
                        if chained.is_none() {
                            latest.insert(key, place);
                            owed.push(Owed {
                                steps: Vec::new(),
                                what: OwedWhat::Field {
                                    object: change.object.clone(),
                                    field: change.field.clone(),
                                    label: change.label.clone(),
                                    prior: change.prior.clone(),
                                    after: Value::Null,
                                    live: None,
                                    later: Vec::new(),
                                },
                                certain: true,
                                undo_by_hand: Vec::new(),
                            });
                        }
                        let entry = &mut owed[place];
                        entry.steps.push(step.path.clone());
                        entry.certain &= certain;
                        // The undo of the first step of a chain puts back what was there before all of it.
                        if entry.undo_by_hand.is_empty() {
                            entry.undo_by_hand.clone_from(&intent.undo_by_hand);
                        }
                        if let OwedWhat::Field { after, live: seen, later, .. } = &mut entry.what {
                            after.clone_from(&change.after);
                            *later = self.later(step, change);
                            *seen = live.or(seen.take());
                        }
                    }
                }
            }
        }
        owed.retain(|entry| match &entry.what {
            OwedWhat::Field { prior, after, live, later, .. } => prior != after || live.is_some() || !later.is_empty(),
            OwedWhat::Action { .. } => true,
        });
        owed
    }

    /// What the ledger has of a step's change, and of all others of its field.
    fn entered(&self, step: &StepView, change: &Change) -> Option<(&[LedgerEntry], &LedgerEntry)> {
        let history = self.histories.get(&(change.object.clone(), change.field.clone()))?;
        let own = |entry: &&LedgerEntry| {
            entry.run == self.run && entry.step == step.path && entry.occurrence == step.occurrence && entry.change == *change
        };
        Some((history, history.iter().find(own)?))
    }

    /// Whether a change went back with an earlier one of the same field, on which it was built, or was given back by later ones.
    fn is_taken_back(&self, step: &StepView, change: &Change) -> bool {
        self.entered(step, change).is_some_and(|(history, own)| !taken_back_with(history, own).is_empty() || is_given_back(history, own))
    }

    fn later(&self, step: &StepView, change: &Change) -> Vec<Later> {
        let Some((history, own)) = self.entered(step, change) else { return Vec::new() };
        let later = |entry: &LedgerEntry| Later { run: entry.run, prior: entry.change.prior.clone(), after: entry.change.after.clone() };
        built_on(history, own).into_iter().map(later).collect()
    }

    /// Steps whose effect is there and which no rollback takes back, with the reason.
    pub fn lasting(&self) -> impl Iterator<Item = (&StepView, &str)> {
        self.open.iter().filter_map(|(_, at)| {
            let step = &self.steps[*at as usize];
            match &step.intent.as_deref()?.revert {
                Revert::Keep { reason } if step.status != StepStatus::Kept => Some((step, reason.as_str())),
                Revert::Keep { .. } | Revert::Nothing | Revert::Fields { .. } | Revert::Action { .. } => None,
            }
        })
    }
}

/// Whether a change with this prior value goes on from where the debt ends.
fn follows(owed: &Owed, prior: &Value) -> bool {
    matches!(&owed.what, OwedWhat::Field { after, .. } if after == prior)
}

/// What a rollback found in a field that is not the run's any more.
fn live_value(step: &StepView, index: usize) -> Option<Value> {
    match step.revert.as_ref()?.standings.get(index)? {
        Standing::Foreign { live } => Some(live.clone()),
        Standing::Ours { .. } | Standing::AlreadyPrior | Standing::TakenBack { .. } | Standing::GivenBack { .. } | Standing::Gone => None,
    }
}
