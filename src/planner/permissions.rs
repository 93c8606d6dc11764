//! What an account must be allowed for each step of a playbook, as far as that can be told before any of them has run.
//!
//! Must not ask a cluster. Invariant: a parameter that is not given is not known yet, which is no mistake; a step that is known to be skipped needs
//! nothing; at most [`STEPS`] steps and [`ITEMS`] instances of one are looked at, whatever the playbook says.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::known::{Found, Item, Known, marker};
use super::preview::unmet;
use crate::machine;
use crate::model::by_hand::variables_in;
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::id::StepPath;
use crate::model::permission::{Need, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::model::step::{Condition, Effect, Rollback, Step, Uses, Wait};
use crate::model::template::Template;

/// The most steps that are looked at.
const STEPS: usize = 5_000;
/// The most instances of one `for_each` that are looked at.
const ITEMS: usize = 1_000;

/// What is asked about.
#[derive(Clone, Copy)]
pub struct NeedsAsked<'a> {
    /// What would be executed.
    pub definition: &'a Definition,
    /// What there is to know about actions.
    pub catalogue: &'a Catalogue,
    /// The parameters that are known, defaults included.
    pub params: &'a Map<String, Value>,
    /// Where it would act.
    pub target: &'a TargetSpec,
}

/// A step with what it needs.
#[derive(Clone, Debug, PartialEq)]
pub struct StepNeeds {
    /// The step; of a `for_each` all instances together.
    pub path: StepPath,
    /// Its action.
    pub uses: String,
    /// What it needs: itself, its checks, and its way back.
    pub needs: Needs,
}

/// The needs of every step that may start, those of called playbooks included, in the order written. Steps that ask no cluster for anything are left
/// out.
pub fn permissions(asked: NeedsAsked<'_>) -> Vec<StepNeeds> {
    let root = asked.definition.root();
    let mut walk = Walk { asked, found: Vec::new(), looked_at: 0 };
    walk.playbook(&root.name, None, &Known::started(root, asked.params, asked.target));
    walk.found.retain(|step| !step.needs.all.is_empty() || !step.needs.untold.is_empty());
    walk.found
}

struct Walk<'a> {
    asked: NeedsAsked<'a>,
    found: Vec<StepNeeds>,
    looked_at: usize,
}

impl Walk<'_> {
    fn playbook(&mut self, name: &str, base: Option<&StepPath>, known: &Known<'_>) {
        let Some(playbook) = self.asked.definition.playbooks.get(name) else { return };
        // Steps that will be skipped, and whether on purpose: what needs them is skipped too, unless it takes that.
        let mut skipped: BTreeMap<&str, bool> = BTreeMap::new();
        for step in &playbook.steps {
            let path = base.map_or_else(|| StepPath::new(step.id.as_str()), |base| base.child(&step.id));
            if unmet(step, &skipped).is_some() {
                skipped.insert(&step.id, false);
                continue;
            }
            // What cannot be worked out is told when it comes to that.
            let is_off = |scope: &Known<'_>| step.when.as_ref().is_some_and(|when| scope.is_true(when) == Ok(Some(false)));
            if step.for_each.is_none() && is_off(known) {
                skipped.insert(&step.id, true);
                continue;
            }
            for scope in scopes(step, known).into_iter().filter(|scope| !is_off(scope)) {
                self.looked_at += 1;
                if self.looked_at > STEPS {
                    return;
                }
                self.step(step, &path, &scope);
            }
        }
    }

    fn step(&mut self, step: &Step, path: &StepPath, known: &Known<'_>) {
        let mut needs = Needs::default();
        match &step.uses {
            Uses::Action { name, with, .. } => {
                let keeps = step.effect == Effect::Read || step.rollback != Rollback::Auto || !self.reverts(name);
                self.action(&mut needs, name, with, known, |need| if keeps { forth(need) } else { Some(need) });
                if let Rollback::Action { uses, with, .. } = &step.rollback {
                    self.action(&mut needs, uses, with, known, |need| forth(need).map(|need| Need { purpose: Purpose::Reverts, ..need }));
                }
                self.checks(&mut needs, step.before.iter().chain(&step.after), known);
                self.add(path, name, needs);
            }
            Uses::Wait(Wait::That(condition)) => {
                self.checks(&mut needs, std::iter::once(&**condition), known);
                self.add(path, "wait", needs);
            }
            Uses::Playbook { name, params } => {
                if let Some(called) = self.asked.definition.playbooks.get(name)
                    && let Ok(inner) = known.called(called, params)
                {
                    self.playbook(name, Some(path), &inner);
                }
            }
            Uses::Monitor(monitor) => {
                for (_, reading) in &monitor.samples {
                    self.action(&mut needs, &reading.uses, &reading.with, known, forth);
                }
                self.add(path, "monitor", needs);
                for alert in &monitor.alerts {
                    if let Some(called) = self.asked.definition.playbooks.get(&alert.playbook)
                        && let Ok(inner) = known.with_item(Item::Later).called(called, &alert.params)
                    {
                        self.playbook(&alert.playbook, Some(&path.instance(&alert.name)), &inner);
                    }
                }
            }
            Uses::Wait(Wait::Duration(_) | Wait::Until(_)) | Uses::Approve(_) => {}
        }
    }

    fn reverts(&self, action: &str) -> bool {
        self.asked.catalogue.get(action).is_some_and(|entry| entry.reverts)
    }

    fn checks<'s>(&self, needs: &mut Needs, conditions: impl Iterator<Item = &'s Condition>, known: &Known<'_>) {
        for reading in conditions.filter_map(|condition| condition.reading.as_ref()) {
            self.action(needs, &reading.uses, &reading.with, known, forth);
        }
    }

    /// Adds what an action needs with these inputs.
    fn action(&self, needs: &mut Needs, name: &str, with: &Template, known: &Known<'_>, pick: impl Fn(Need) -> Option<Need>) {
        let Some(entry) = self.asked.catalogue.get(name) else { return };
        let inputs = match known.fill(with, &marker(), "", &mut BTreeMap::new()) {
            Ok(inputs) => inputs,
            Err(why) if entry.needs_target => return needs.untold(format!("its inputs ({why})")),
            Err(_) => return,
        };
        if inputs.as_str().is_some_and(|text| !variables_in(text).is_empty()) && entry.needs_target {
            return needs.untold("its inputs");
        }
        let found = (entry.permissions)(&inputs, Some(self.asked.target));
        found.all.into_iter().filter_map(pick).for_each(|need| needs.add(need));
        found.untold.into_iter().for_each(|what| needs.untold(what));
    }

    fn add(&mut self, path: &StepPath, uses: &str, needs: Needs) {
        match self.found.iter_mut().find(|step| step.path == *path) {
            Some(known) => {
                needs.all.into_iter().for_each(|need| known.needs.add(need));
                needs.untold.into_iter().for_each(|what| known.needs.untold(what));
            }
            None => self.found.push(StepNeeds { path: path.clone(), uses: uses.to_owned(), needs }),
        }
    }
}

/// A need of what is never taken back itself.
fn forth(need: Need) -> Option<Need> {
    (need.purpose != Purpose::Reverts).then_some(need)
}

/// What is known in each instance of a step.
fn scopes<'a>(step: &Step, known: &Known<'a>) -> Vec<Known<'a>> {
    let Some(each) = &step.for_each else { return vec![known.clone()] };
    let items = match known.find(&each.items) {
        Ok(Found::Value(items)) => machine::keyed(items).ok(),
        Ok(Found::Later(_)) | Err(_) => None,
    };
    match items {
        Some(items) => items.into_iter().take(ITEMS).map(|(_, item)| known.with_item(Item::Known(item))).collect(),
        None => vec![known.with_item(Item::Later)],
    }
}
