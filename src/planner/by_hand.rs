//! A playbook as commands for a person's hands, from its text alone.
//!
//! Must not ask a target. Invariant: a value that depends on anything unknown is a shell variable with its expression beside it; nothing is
//! evaluated that would have to guess.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::hand_scope::Scope;
use super::hand_words::{agrees, condition as in_words, in_brackets, meanings, remarks, shown, waits, worked_out};
use crate::expr::{Bindings, Root};
use crate::model::by_hand::{ByHand, variable, variables_in};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::playbook::Playbook;
use crate::model::run::TargetSpec;
use crate::model::sheet::{HandCheck, HandStep, Sheet, Variable};
use crate::model::step::{Condition, Effect, Rollback, SecretInput, Step, Uses, Wait};
use crate::model::template::{Segment, Source, Template};

/// How deep playbooks may call each other here; the checker refuses cycles.
const DEEPEST: usize = 16;
/// The action that only looks at what it is given.
const ASSERT: &str = "assert";
/// The variable that stands for each of several items in turn.
const ITEM: &str = "ITEM";

/// What is known of a run that a person would do by hand.
pub struct ByHandOf<'a> {
    /// The playbook with all that it calls.
    pub definition: &'a Definition,
    /// Every action.
    pub catalogue: &'a Catalogue,
    /// The parameters that were given; others take their default, and those without one are variables.
    pub params: &'a Map<String, Value>,
    /// The target, where one is known.
    pub target: Option<&'a TargetSpec>,
}

/// The playbook as commands.
pub fn sheet(asked: &ByHandOf<'_>) -> Sheet {
    let root = asked.definition.root();
    let late = BTreeSet::from([ITEM.to_owned()]);
    let mut made = Made { asked, variables: Vec::new(), steps: Vec::new(), sets: Vec::new(), late };
    let mut params = Map::new();
    for param in &root.params {
        let value = asked.params.get(&param.name).cloned().or_else(|| param.default.clone()).unwrap_or_else(|| {
            let help = param.help.as_ref().map(|help| format!(": {help}")).unwrap_or_default();
            made.declare(&param.name, format!("parameter {}{help}", param.name))
        });
        params.insert(param.name.clone(), value);
    }
    made.playbook(root, params, "", None, 0);
    let environment = asked.target.map(|target| target.environment.clone());
    let (playbook, summary) = (root.name.clone(), root.summary.clone());
    let Made { mut variables, steps, .. } = made;
    variables.retain(|variable| steps.iter().any(|step| mentions(step, &variable.name)));
    Sheet { playbook, summary, environment, cluster: None, variables, steps }
}

/// Whether a person who does the step needs the variable.
fn mentions(step: &HandStep, name: &str) -> bool {
    let checks = step.before.iter().chain(&step.after);
    let of_checks = checks.flat_map(|check| std::iter::once(&check.that).chain(&check.otherwise).chain(&check.look));
    let of_sets = step.sets.iter().map(|set| &set.from);
    let lines = step.remarks.iter().chain(&step.look).chain(&step.act).chain(&step.undo).chain(of_checks).chain(of_sets);
    let ends = |rest: &str| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let (plain, braced) = (format!("${name}"), format!("${{{name}"));
    lines.into_iter().any(|line| {
        [&plain, &braced].into_iter().any(|used| line.match_indices(used.as_str()).any(|(at, _)| ends(&line[at + used.len()..])))
    })
}

struct Made<'a> {
    asked: &'a ByHandOf<'a>,
    variables: Vec<Variable>,
    steps: Vec<HandStep>,
    /// What the step at hand works out from what was noted.
    sets: Vec<Variable>,
    /// The names of variables that only a step's answer tells.
    late: BTreeSet<String>,
}

impl Made<'_> {
    /// Has the person set a variable; the text that stands for it.
    fn declare(&mut self, name: &str, from: String) -> Value {
        let text = variable(name);
        let name = variables_in(&text).concat();
        if !self.variables.iter().any(|known| known.name == name) {
            self.variables.push(Variable { name, from });
        }
        Value::String(text)
    }

    /// Has the person work a variable out at this step.
    fn declare_here(&mut self, name: &str, from: String) -> Value {
        let text = variable(name);
        let name = variables_in(&text).concat();
        if self.late.insert(name.clone()) {
            self.sets.push(Variable { name, from });
        }
        Value::String(text)
    }

    fn playbook(&mut self, playbook: &Playbook, params: Map<String, Value>, place: &str, item: Option<&Value>, depth: usize) {
        let mut bindings = Bindings::new().with(Root::Params, Value::Object(params));
        if let Some(target) = self.asked.target {
            bindings = bindings.with(Root::Target, Value::Object(target.values.clone()));
        }
        if let Some(item) = item {
            bindings = bindings.with(Root::Item, item.clone());
        }
        let mut scope = Scope { bindings, prefix: place.replace('/', "_"), place: place.to_owned() };
        let prefix = scope.prefix.clone();
        let mut vars = Map::new();
        for (name, template) in &playbook.vars {
            scope.bindings = scope.bindings.with(Root::Vars, Value::Object(vars.clone()));
            let value = self.value(&scope, template, &format!("{prefix}{name}"));
            vars.insert(name.clone(), value);
        }
        scope.bindings = scope.bindings.with(Root::Vars, Value::Object(vars)).with(Root::Steps, self.outputs(playbook, &prefix));
        for step in in_order(&playbook.steps) {
            self.step(&scope, step, depth);
        }
    }

    /// Every output of every step as a variable.
    fn outputs(&mut self, playbook: &Playbook, prefix: &str) -> Value {
        let of = |step: &Step| {
            let mut names: Vec<String> = step.outputs.iter().map(|(name, _)| name.clone()).collect();
            if let Uses::Action { name, .. } = &step.uses
                && let Some(entry) = self.asked.catalogue.get(name)
            {
                names.extend(entry.outputs.iter().map(|field| field.name.clone()));
            }
            if let Uses::Playbook { name, .. } = &step.uses
                && let Some(called) = self.asked.definition.playbooks.get(name)
            {
                names.extend(called.outputs.iter().map(|(name, _)| name.clone()));
            }
            let outputs: Map<String, Value> =
                names.into_iter().map(|name| (name.clone(), json!(variable(&format!("{prefix}{}_{name}", step.id))))).collect();
            (step.id.clone(), json!({ "outputs": outputs }))
        };
        let all = Value::Object(playbook.steps.iter().map(of).collect());
        self.late.extend(variables_in(&all.to_string()).into_iter().map(str::to_owned));
        all
    }

    fn step(&mut self, scope: &Scope, step: &Step, depth: usize) {
        let path = format!("{}{}", scope.place, step.id);
        let mut made = HandStep { path, summary: step.summary.clone(), ..HandStep::default() };
        made.remarks = remarks(scope, step);
        let mut inner = Scope { bindings: scope.bindings.clone(), prefix: scope.prefix.clone(), place: scope.place.clone() };
        let mut each_of = None;
        if let Some(each) = &step.for_each {
            let items = self.value(scope, &each.items, &format!("{}{}_items", scope.prefix, step.id));
            each_of = Some(shown(&items));
            made.remarks.push(format!("once for each ITEM of {}", shown(&items)));
            inner.bindings = inner.bindings.with(Root::Item, json!(variable(ITEM)));
        }
        made.before = self.checks(&inner, step, &step.before);
        made.after = self.checks(&inner, step, &step.after);
        match &step.uses {
            Uses::Action { name, with, .. } if name == ASSERT => {
                made.uses.clone_from(name);
                made.remarks.extend(asserted(&inner, with));
            }
            Uses::Action { name, with, secrets } => {
                made.uses.clone_from(name);
                let lines = self.lines(&inner, name, with, secrets, &step.id);
                (made.look, made.act) = (lines.look, lines.act);
                self.way_back(&inner, step, name, lines.undo, &mut made);
                made.notes = self.notes(scope, step);
                if let Some(items) = &each_of {
                    apart(&mut made, items);
                }
            }
            Uses::Wait(wait) => {
                made.uses = "wait".to_owned();
                made.remarks.push(waits(&inner, wait));
                if let Wait::That(condition) = wait {
                    made.after = self.checks(&inner, step, std::slice::from_ref(&**condition));
                }
            }
            Uses::Approve(gate) => {
                made.uses = "approve".to_owned();
                made.remarks.push(agrees(&inner, gate));
            }
            Uses::Monitor(monitor) => {
                made.uses = "monitor".to_owned();
                made.remarks.push(format!("again every {}, for as long as it lasts", monitor.every));
                for (_, reading) in &monitor.samples {
                    let lines = self.lines(&inner, &reading.uses, &reading.with, &reading.secrets, &step.id);
                    made.act.extend(lines.look.into_iter().chain(lines.act));
                }
                for alert in &monitor.alerts {
                    let hold = alert.hold.map_or_else(String::new, |hold| format!(" for {hold}"));
                    let when = format!("when {}{hold}: `runsheet show {} --commands`", in_words(&inner, &alert.when), alert.playbook);
                    made.remarks.push(when);
                }
            }
            Uses::Playbook { name, params } => {
                made.uses = format!("playbook {name}");
                let called = self.asked.definition.playbooks.get(name).filter(|_| depth < DEEPEST).cloned();
                let mut bound = Map::new();
                if let Some(called) = &called {
                    let given = self.value(&inner, params, &format!("{}{}", scope.prefix, step.id));
                    for param in &called.params {
                        let value = given.get(&param.name).filter(|value| !value.is_null()).cloned().or_else(|| param.default.clone());
                        let value = value.unwrap_or_else(|| self.declare(&param.name, format!("parameter {} of {name}", param.name)));
                        bound.insert(param.name.clone(), value);
                    }
                }
                made.sets = std::mem::take(&mut self.sets);
                self.steps.push(made);
                if let Some(called) = called {
                    let item = inner.bindings.get(Root::Item).cloned();
                    self.playbook(&called, bound, &format!("{}{}/", scope.place, step.id), item.as_deref(), depth + 1);
                }
                return;
            }
        }
        made.sets = std::mem::take(&mut self.sets);
        self.steps.push(made);
    }

    fn way_back(&mut self, scope: &Scope, step: &Step, name: &str, undo: Vec<String>, made: &mut HandStep) {
        if step.effect == Effect::Read {
            return;
        }
        match &step.rollback {
            Rollback::Action { uses, with, secrets, .. } => made.undo = self.lines(scope, uses, with, secrets, &step.id).act,
            Rollback::None => made.kept = Some("the playbook says `rollback: none`".to_owned()),
            Rollback::Auto if !undo.is_empty() => made.undo = undo,
            Rollback::Auto => made.kept = Some(format!("{name} has no revert")),
        }
    }

    /// The lines of an action with these inputs.
    fn lines(&mut self, scope: &Scope, name: &str, with: &Template, secrets: &[SecretInput], step: &str) -> ByHand {
        let Some(entry) = self.asked.catalogue.get(name) else { return ByHand::default() };
        let mut inputs = self.value(scope, with, &format!("{}{step}", scope.prefix));
        for secret in secrets {
            let value = self.declare(&secret.secret, format!("secret {}", secret.secret));
            if let Some(place) = inputs.pointer_mut(&secret.at) {
                *place = value;
            }
        }
        entry.lines_by_hand(&inputs, self.asked.target)
    }

    fn checks(&mut self, scope: &Scope, step: &Step, conditions: &[Condition]) -> Vec<HandCheck> {
        let of = |condition: &Condition| {
            let within = condition.within.map(|within| format!(", within {within}")).unwrap_or_default();
            let hold = condition.hold.map(|hold| format!(", for {hold}")).unwrap_or_default();
            let reading = condition.reading.as_ref();
            let look = reading.map(|reading| self.lines(scope, &reading.uses, &reading.with, &reading.secrets, &step.id));
            let own = if let Uses::Action { name, .. } = &step.uses { Some(name) } else { None };
            let asked = reading.map(|reading| &reading.uses).or(own);
            let means = meanings(&condition.that, asked.and_then(|name| self.asked.catalogue.get(name)).map(|entry| &**entry));
            HandCheck {
                that: format!("{}{within}{hold}{means}", in_words(scope, &condition.that)),
                otherwise: condition.message.as_ref().map(|message| in_brackets(scope, message)),
                look: look.map(|lines| lines.act).unwrap_or_default(),
            }
        };
        conditions.iter().map(of).collect()
    }

    /// The outputs of a step that others refer to.
    fn notes(&self, scope: &Scope, step: &Step) -> Vec<Variable> {
        let Uses::Action { name, .. } = &step.uses else { return Vec::new() };
        let Some(entry) = self.asked.catalogue.get(name) else { return Vec::new() };
        let all: String = self.asked.definition.sources.values().cloned().collect();
        let used = |output: &str| all.contains(&format!("steps.{}.outputs.{output}", step.id));
        let note = |name: &str, help: &str| Variable {
            name: variables_in(&variable(&format!("{}{}_{name}", scope.prefix, step.id))).concat(),
            from: help.to_owned(),
        };
        let own = step.outputs.iter().filter(|(name, _)| used(name)).map(|(name, _)| note(name, "as the playbook's `outputs` say"));
        let declared = entry.outputs.iter().filter(|field| used(&field.name)).map(|field| note(&field.name, &field.help));
        declared.chain(own).collect()
    }

    /// A template's value, as far as it is known.
    fn value(&mut self, scope: &Scope, template: &Template, name: &str) -> Value {
        match template {
            Template::Literal(value) => value.clone(),
            Template::Expression(source) => self.known(scope, source, name),
            Template::Text(segments) => {
                let mut text = String::new();
                for segment in segments {
                    match segment {
                        Segment::Plain(plain) => text.push_str(plain),
                        Segment::Expression(source) => match self.known(scope, source, name) {
                            Value::String(value) => text.push_str(&value),
                            value => text.push_str(&value.to_string()),
                        },
                    }
                }
                Value::String(text)
            }
            Template::List(items) => {
                items.iter().enumerate().map(|(at, item)| self.value(scope, item, &format!("{name}_{}", at + 1))).collect()
            }
            Template::Map(entries) => Value::Object(
                entries.iter().map(|(key, value)| (key.clone(), self.value(scope, value, &format!("{name}_{key}")))).collect(),
            ),
        }
    }

    fn known(&mut self, scope: &Scope, source: &Source, name: &str) -> Value {
        match scope.known(source) {
            Some(value) => value,
            None if scope.is_late(source, &self.late) => self.declare_here(name, worked_out(scope, source)),
            None => self.declare(name, Scope::as_written(source)),
        }
    }
}

/// What an `assert` asks of a person.
fn asserted(scope: &Scope, with: &Template) -> Vec<String> {
    let Template::Map(entries) = with else { return Vec::new() };
    let entry = |key: &str| entries.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
    let that = match entry("that") {
        Some(Template::Expression(source)) => in_words(scope, source),
        _ => return Vec::new(),
    };
    let otherwise = entry("message").map(|message| format!("  (else: {})", in_brackets(scope, message)));
    std::iter::once(format!("see that {that}")).chain(otherwise).collect()
}

/// Keeps what was there before apart for each item: in a file of its own, which also outlives the terminal.
fn apart(step: &mut HandStep, items: &str) {
    let item = format!("{ITEM}=  # each of {items} in turn, with all that follows");
    let undone: String = step.undo.concat();
    let (mut look, mut back) = (Vec::new(), Vec::new());
    for line in std::mem::take(&mut step.look) {
        let name = line.split_once("=$(").map(|(name, _)| name.to_owned());
        look.push(line);
        let is_name = |name: &String| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if let Some(name) = name.filter(is_name).filter(|name| undone.contains(&format!("${{{name}"))) {
            let file = format!("\"{name}-$(printf %s \"${{{ITEM}}}\" | tr / _)\"");
            look.push(format!("printf %s \"${{{name}}}\" > {file}"));
            back.push(format!("{name}=$(cat {file})"));
        }
    }
    let first = if look.is_empty() { &mut step.act } else { &mut look };
    if !first.is_empty() {
        first.insert(0, item.clone());
    }
    step.look = look;
    if !step.undo.is_empty() {
        step.undo = std::iter::once(item).chain(back).chain(std::mem::take(&mut step.undo)).collect();
    }
}

fn in_order(steps: &[Step]) -> Vec<&Step> {
    let mut left: Vec<&Step> = steps.iter().collect();
    let mut done: BTreeSet<&str> = BTreeSet::new();
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let ready = left.iter().position(|step| step.needs.iter().all(|need| done.contains(need.step.as_str())));
        // The checker refuses cycles; without one there is always a step that is ready.
        let step = left.remove(ready.unwrap_or(0));
        done.insert(&step.id);
        order.push(step);
    }
    order
}
