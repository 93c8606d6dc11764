//! Walks a definition in the order written, and says of each step what it would do.
//!
//! Invariant: at most [`STEPS`] steps are listed and [`ITEMS`] instances looked at, whatever the playbook says.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::known::{Found, Item, Known, Partial};
use super::permissions::NeedsAsked;
use super::preview_step::{act, begin, of_alert, undo};
use super::waits::{add_waits, gate};
use crate::expr::{Expression, Root};
use crate::machine;
use crate::model::catalogue::Catalogue;
use crate::model::change::ObjectRef;
use crate::model::definition::Definition;
use crate::model::id::StepPath;
use crate::model::preview::{Fact, Preview, PreviewParam, PreviewStep, PreviewTarget, Starts};
use crate::model::run::RunSpec;
use crate::model::step::{Accept, Step, Uses};
use crate::model::template::{Source, Template};

/// The most steps that are listed.
const STEPS: usize = 5_000;
/// The most instances of one `for_each` that are looked at.
const ITEMS: usize = 1_000;

/// What is asked about.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// What would be executed.
    pub definition: &'a Definition,
    /// What it would be started with.
    pub spec: &'a RunSpec,
    /// The parameters that were given; the others are defaults.
    pub given: &'a BTreeSet<String>,
    /// What there is to know about actions.
    pub catalogue: &'a Catalogue,
    /// What else is known of the target, to be shown first.
    pub facts: &'a [Fact],
}

/// What a run would do.
pub fn preview(asked: Asked<'_>) -> Preview {
    let Asked { definition, spec, given, catalogue, facts } = asked;
    let root = definition.root();
    let known = Known::new(Partial::whole(spec.params.clone()), Partial::whole(spec.vars.clone()), spec.target.as_ref());
    let mut walk = Walk { definition, catalogue, steps: Vec::new(), left_out: false };
    walk.playbook(&root.name, None, (0, false), &known);
    let mut locks: Vec<ObjectRef> = walk.steps.iter().flat_map(|step| step.touches.iter().cloned()).collect();
    locks.sort();
    locks.dedup();
    Preview {
        playbook: root.name.clone(),
        summary: root.summary.clone(),
        target: spec.target.as_ref().map(|target| {
            let identity = target.identity.iter().map(|(what, value)| Fact { name: identity_name(what), value: plain(value) });
            let namespace = target.values.get("kubernetes").and_then(|kubernetes| kubernetes.get("namespace"));
            let namespace = namespace.map(|value| Fact { name: "namespace".to_owned(), value: plain(value) });
            let facts = facts.iter().cloned().chain(namespace).chain(identity).collect();
            PreviewTarget { environment: target.environment.clone(), facts }
        }),
        params: root
            .params
            .iter()
            .filter_map(|param| {
                let value = spec.params.get(&param.name)?.clone();
                Some(PreviewParam { name: param.name.clone(), value, default: !given.contains(&param.name) })
            })
            .collect(),
        steps: walk.steps,
        left_out: walk.left_out,
        locks,
    }
}

/// What is known to be wrong with a run of which only some parameters are known: its steps as far as they can be told, and the `vars` of the playbook
/// that have no value, each with why.
pub fn foreseen_of(asked: NeedsAsked<'_>) -> (Vec<PreviewStep>, Vec<(String, String)>) {
    let NeedsAsked { definition, catalogue, params, target } = asked;
    let root = definition.root();
    let known = Known::started(root, params, target);
    let mut walk = Walk { definition, catalogue, steps: Vec::new(), left_out: false };
    walk.playbook(&root.name, None, (0, false), &known);
    let vars = root.vars.iter().filter_map(|(name, template)| Some((name.clone(), known.find(template).err()?)));
    (walk.steps, vars.collect())
}

fn identity_name(what: &str) -> String {
    if what == "kubernetes" { "cluster UID".to_owned() } else { what.to_owned() }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

struct Walk<'a> {
    definition: &'a Definition,
    catalogue: &'a Catalogue,
    steps: Vec<PreviewStep>,
    left_out: bool,
}

/// The instances of a step.
enum Instances {
    One,
    Each(Vec<(String, Value)>),
    Later,
}

impl Walk<'_> {
    /// `within`: how deep it is, and whether the run goes on whatever fails in it.
    fn playbook(&mut self, name: &str, base: Option<&StepPath>, within: (usize, bool), known: &Known<'_>) {
        let Some(playbook) = self.definition.playbooks.get(name) else { return };
        // Steps that will be skipped, and whether on purpose: what needs them is skipped too, unless it takes that.
        let mut skipped: BTreeMap<&str, bool> = BTreeMap::new();
        // Steps that may be skipped, or fail without harm: what needs them may not be reached.
        let mut unsure: BTreeSet<&str> = BTreeSet::new();
        for step in &playbook.steps {
            if self.steps.len() >= STEPS {
                self.left_out = true;
                return;
            }
            let path = base.map_or_else(|| StepPath::new(step.id.as_str()), |base| base.child(&step.id));
            let gated = step.approve.is_some() || step.at.is_some();
            let needs = step.needs.iter().any(|need| unsure.contains(need.step.as_str()) && !need.accept.contains(&Accept::Skipped));
            let mut shown = begin(step, path, (within.0, within.1 || gated || needs));
            let place = self.steps.len();
            match unmet(step, &skipped) {
                Some(why) => {
                    skipped.insert(&step.id, false);
                    shown.starts = Starts::No { why };
                    self.steps.push(shown);
                }
                None => {
                    if self.step(step, shown, known) {
                        skipped.insert(&step.id, true);
                    }
                }
            }
            if self.steps.get(place).is_some_and(|shown| shown.optional || shown.starts != Starts::Yes) {
                unsure.insert(&step.id);
            }
        }
    }

    /// Adds a step, and what it calls. Whether it will be skipped.
    fn step(&mut self, step: &Step, mut shown: PreviewStep, known: &Known<'_>) -> bool {
        let of_items = step.for_each.is_some() && step.when.as_ref().is_some_and(uses_item);
        if let Some(when) = step.when.as_ref().filter(|_| !of_items) {
            match known.is_true(when) {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    shown.starts = Starts::No { why: format!("its `when` is false: {}", when.text) };
                    self.steps.push(shown);
                    return true;
                }
                Ok(None) => shown.starts = Starts::Later { on: when.text.clone() },
                Err(why) => shown.problem = Some(why),
            }
        }
        add_waits(&mut shown, step, known);
        let mut instances = match instances(step, known) {
            Ok(instances) => instances,
            Err(why) => {
                shown.problem = Some(why);
                Instances::Later
            }
        };
        // There may be no instance at all.
        shown.optional |= matches!(instances, Instances::Later) && shown.problem.is_none();
        if let (Instances::Later, Some(each)) = (&instances, &step.for_each) {
            shown.later.extend(each.items.sources().first().map(|source| format!("for each of: {}", source.text)));
        }
        if let (Instances::Each(items), Some(when), true) = (&mut instances, &step.when, of_items) {
            let looked_at = items.len().min(ITEMS);
            items.truncate(looked_at);
            items.retain(|(_, item)| known.with_item(Item::Known(item.clone())).is_true(when) != Ok(Some(false)));
            if items.iter().any(|(_, item)| known.with_item(Item::Known(item.clone())).is_true(when) == Ok(None)) {
                shown.starts = Starts::Later { on: when.text.clone() };
            }
        }
        let scopes: Vec<(Option<String>, Known<'_>)> = match &instances {
            Instances::One => vec![(None, known.clone())],
            Instances::Later => vec![(None, known.with_item(Item::Later))],
            Instances::Each(items) => {
                shown.instances = Some(items.iter().map(|(key, _)| key.clone()).collect());
                if items.len() > ITEMS {
                    shown.later.push(format!("what is touched by {} more of its instances", items.len() - ITEMS));
                }
                let known = |(key, item): &(String, Value)| (Some(key.clone()), known.with_item(Item::Known(item.clone())));
                items.iter().take(ITEMS).map(known).collect()
            }
        };
        match &step.uses {
            Uses::Action { name, with, secrets } => {
                if name == "assert" && shown.depth == 0 {
                    shown.problem = shown.problem.or_else(|| not_so(with, known));
                }
                if let Some(entry) = self.catalogue.get(name).cloned() {
                    shown.undo = undo(step, &entry);
                    for (_, known) in &scopes {
                        act(&mut shown, &entry, with, secrets, known);
                    }
                    shown.touches.sort();
                    shown.touches.dedup();
                }
                self.steps.push(shown);
            }
            Uses::Playbook { name, params } => {
                let unsure = shown.optional || shown.starts != Starts::Yes;
                let (path, within, place) = (shown.path.clone(), (shown.depth + 1, unsure), self.steps.len());
                self.steps.push(shown);
                for (key, known) in &scopes {
                    let base = key.as_ref().map_or_else(|| path.clone(), |key| path.instance(key));
                    let Some(playbook) = self.definition.playbooks.get(name) else { continue };
                    match known.called(playbook, params) {
                        Ok(inner) => self.playbook(name, Some(&base), within, &inner),
                        Err(why) => self.steps[place].problem = Some(why),
                    }
                }
            }
            Uses::Monitor(monitor) => {
                let (path, depth) = (shown.path.clone(), shown.depth + 1);
                self.steps.push(shown);
                for alert in &monitor.alerts {
                    let base = path.instance(&alert.name);
                    let mut firing = begin(step, base.clone(), (depth, true));
                    firing.uses = format!("playbook {}", alert.playbook);
                    firing.summary = Some(of_alert(alert));
                    firing.starts = Starts::Later { on: alert.when.text.clone() };
                    let place = self.steps.len();
                    let known = known.with_item(Item::Later);
                    firing.waits.extend(alert.approve.as_ref().map(|of| gate(of, &known)));
                    self.steps.push(firing);
                    let Some(playbook) = self.definition.playbooks.get(&alert.playbook) else { continue };
                    match known.called(playbook, &alert.params) {
                        Ok(inner) => self.playbook(&alert.playbook, Some(&base), (depth + 1, true), &inner),
                        Err(why) => self.steps[place].problem = Some(why),
                    }
                }
            }
            Uses::Wait(_) | Uses::Approve(_) => self.steps.push(shown),
        }
        false
    }
}

/// Why a step will be skipped for want of a need.
pub(super) fn unmet(step: &Step, skipped: &BTreeMap<&str, bool>) -> Option<String> {
    if step.always {
        return None;
    }
    let unmet = step
        .needs
        .iter()
        .find(|need| skipped.get(need.step.as_str()).is_some_and(|on_purpose| !(*on_purpose && need.accept.contains(&Accept::Skipped))))?;
    Some(format!("it needs {}, which will be skipped", unmet.step))
}

fn uses_item(source: &Source) -> bool {
    Expression::parse(&source.text).is_ok_and(|expression| expression.references().roots.contains(&Root::Item))
}

fn instances(step: &Step, known: &Known<'_>) -> Result<Instances, String> {
    let Some(each) = &step.for_each else { return Ok(Instances::One) };
    match known.find(&each.items)? {
        Found::Value(items) => machine::keyed(items).map(Instances::Each).map_err(|failure| failure.message),
        Found::Later(_) => Ok(Instances::Later),
    }
}

/// What a step of the playbook itself asserts, where it is known not to hold. What never holds was written to fail, and a called playbook may be
/// called because it does.
fn not_so(with: &Template, known: &Known<'_>) -> Option<String> {
    let Template::Map(entries) = with else { return None };
    let entry = |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    let Some(Template::Expression(that)) = entry("that") else { return None };
    if known.is_true(that) != Ok(Some(false)) {
        return None;
    }
    match entry("message").map(|message| known.find(message)) {
        Some(Ok(Found::Value(Value::String(message)))) => Some(message),
        _ => Some(format!("what it asserts does not hold: {}", that.text)),
    }
}
