//! A playbook as commands for a person's hands, from its text alone.
//!
//! Must not ask a target. Invariant: a value that depends on anything unknown is a shell variable with its expression beside it; nothing is
//! evaluated that would have to guess.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::expr::{Bindings, Expression, Root, resolve};
use crate::model::by_hand::{ByHand, variable, variables_in};
use crate::model::catalogue::Catalogue;
use crate::model::definition::Definition;
use crate::model::playbook::Playbook;
use crate::model::run::TargetSpec;
use crate::model::sheet::{HandCheck, HandStep, Sheet, Variable};
use crate::model::step::{Accept, Condition, Effect, Gate, Rollback, SecretInput, Step, Uses, Wait};
use crate::model::template::{Segment, Source, Template};

/// How deep playbooks may call each other here; the checker refuses cycles.
const DEEPEST: usize = 16;

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
    let mut made = Made { asked, variables: Vec::new(), steps: Vec::new() };
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
    Sheet { playbook, summary, environment, cluster: None, variables: made.variables, steps: made.steps }
}

struct Made<'a> {
    asked: &'a ByHandOf<'a>,
    variables: Vec<Variable>,
    steps: Vec<HandStep>,
}

/// What the roots stand for in one playbook.
struct Scope {
    bindings: Bindings,
    /// Before the names of variables: `caller_`.
    prefix: String,
    /// Before the paths of steps: `caller/`.
    place: String,
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
    fn outputs(&self, playbook: &Playbook, prefix: &str) -> Value {
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
        Value::Object(playbook.steps.iter().map(of).collect())
    }

    fn step(&mut self, scope: &Scope, step: &Step, depth: usize) {
        let path = format!("{}{}", scope.place, step.id);
        let mut made = HandStep { path, summary: step.summary.clone(), ..HandStep::default() };
        made.remarks = remarks(step);
        let mut inner = Scope { bindings: scope.bindings.clone(), prefix: scope.prefix.clone(), place: scope.place.clone() };
        if let Some(each) = &step.for_each {
            let items = self.value(scope, &each.items, &format!("{}{}_items", scope.prefix, step.id));
            made.remarks.push(format!("once for each ITEM of {}", shown(&items)));
            inner.bindings = inner.bindings.with(Root::Item, json!(variable("ITEM")));
        }
        made.before = self.checks(&inner, step, &step.before);
        made.after = self.checks(&inner, step, &step.after);
        match &step.uses {
            Uses::Action { name, with, secrets } => {
                made.uses.clone_from(name);
                let lines = self.lines(&inner, name, with, secrets, &step.id);
                (made.look, made.act) = (lines.look, lines.act);
                self.way_back(&inner, step, name, lines.undo, &mut made);
                made.notes = self.notes(scope, step);
            }
            Uses::Wait(wait) => {
                made.uses = "wait".to_owned();
                made.remarks.push(waits(wait));
                if let Wait::That(condition) = wait {
                    made.after = self.checks(&inner, step, std::slice::from_ref(&**condition));
                }
            }
            Uses::Approve(gate) => {
                made.uses = "approve".to_owned();
                made.remarks.push(agrees(gate));
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
                    let when = format!("when `{}` holds{hold}: `runsheet show {} --commands`", alert.when.text, alert.playbook);
                    made.remarks.push(when);
                }
            }
            Uses::Playbook { name, params } => {
                made.uses = format!("playbook {name}");
                self.steps.push(made);
                if depth < DEEPEST
                    && let Some(called) = self.asked.definition.playbooks.get(name).cloned()
                {
                    let given = self.value(&inner, params, &format!("{}{}", scope.prefix, step.id));
                    let mut bound = Map::new();
                    for param in &called.params {
                        let value = given.get(&param.name).filter(|value| !value.is_null()).cloned().or_else(|| param.default.clone());
                        let value = value.unwrap_or_else(|| self.declare(&param.name, format!("parameter {} of {name}", param.name)));
                        bound.insert(param.name.clone(), value);
                    }
                    let item = inner.bindings.get(Root::Item).cloned();
                    self.playbook(&called, bound, &format!("{}{}/", scope.place, step.id), item.as_deref(), depth + 1);
                }
                return;
            }
        }
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
            let values = known_values(scope, &condition.that);
            HandCheck {
                that: format!("{}{within}{hold}{values}", one_line(&condition.that.text)),
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
        let template = Template::Expression(source.clone());
        match resolve(&template, &scope.bindings) {
            // Without an unknown in it the value is what a run would have; with one, only where it was passed on and not looked at.
            Ok(value) if passes_on(&source.text) => value,
            Ok(value) if !self.depends_on_unknown(scope, source) => value,
            _ => self.declare(name, format!("${{{{ {} }}}}", one_line(&source.text))),
        }
    }

    /// Whether any value that the expression looks at is unknown.
    fn depends_on_unknown(&self, scope: &Scope, source: &Source) -> bool {
        let Ok(expression) = Expression::parse(&source.text) else { return true };
        expression.uses(&BTreeSet::new()).iter().any(|used| {
            let Some(root) = scope.bindings.get(used.root) else { return true };
            let found = used.keys.iter().try_fold(&**root, |at, key| at.get(key).or((!at.is_object()).then_some(at)));
            found.is_none_or(|value| !variables_in(&value.to_string()).is_empty())
        })
    }
}

/// The values that a condition compares with, where they are known: ` (vars.replicas is 8)`.
fn known_values(scope: &Scope, source: &Source) -> String {
    let Ok(expression) = Expression::parse(&source.text) else { return String::new() };
    let mut known: Vec<String> = Vec::new();
    for used in expression.uses(&BTreeSet::new()) {
        if !matches!(used.root, Root::Vars | Root::Params | Root::Target) {
            continue;
        }
        let root = scope.bindings.get(used.root).map(|value| &**value);
        let value = used.keys.iter().try_fold(root.unwrap_or(&Value::Null), |at, key| at.get(key));
        let plain = value.filter(|value| !value.is_object() && !value.is_array() && variables_in(&value.to_string()).is_empty());
        if let Some(value) = plain {
            let line = format!("{}.{} is {value}", used.root.as_str(), used.keys.join("."));
            if !known.contains(&line) {
                known.push(line);
            }
        }
    }
    if known.is_empty() { String::new() } else { format!(" ({})", known.join(", ")) }
}

/// Whether an expression only hands values on: paths, texts, `+` and `string()`.
fn passes_on(text: &str) -> bool {
    let mut bare = String::new();
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => bare.push(c),
        }
    }
    let bare = bare.replace("string(", "(");
    // A call or an operator other than `+` would look at the value.
    let plain = bare.chars().all(|c| c.is_alphanumeric() || "_.+()[] \n\t".contains(c));
    let calls = bare.as_bytes().windows(2).any(|pair| pair[1] == b'(' && (pair[0].is_ascii_alphanumeric() || pair[0] == b'_'));
    let computed = bare.as_bytes().windows(2).any(|pair| pair[0] == b'[' && pair[1].is_ascii_alphabetic());
    plain && !calls && !computed
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

fn remarks(step: &Step) -> Vec<String> {
    let mut remarks = Vec::new();
    let needs = step.needs.iter().map(|need| match need.accept.as_slice() {
        [Accept::Succeeded] => need.step.clone(),
        accept => format!("{} ({})", need.step, accept.iter().map(|accept| accept.as_str()).collect::<Vec<_>>().join(" or ")),
    });
    let needs: Vec<String> = needs.collect();
    if !needs.is_empty() {
        remarks.push(format!("after {}", needs.join(", ")));
    }
    if step.always {
        remarks.push("always, however the steps before it ended".to_owned());
    }
    if let Some(when) = &step.when {
        remarks.push(format!("only when {}", one_line(&when.text)));
    }
    if let Some(at) = &step.at {
        remarks.push(format!("not before {}", written(&at.time)));
        if let Some(not_after) = &at.not_after {
            remarks.push(format!("not after {}", written(not_after)));
        }
    }
    if let Some(gate) = &step.approve {
        remarks.push(agrees(gate));
    }
    remarks
}

fn agrees(gate: &Gate) -> String {
    let who = if gate.by.is_empty() { String::new() } else { format!(" of {}", gate.by.join(", ")) };
    let people = if gate.count == 1 { "one person" } else { "people" };
    let count = if gate.count == 1 { String::new() } else { format!("{} ", gate.count) };
    let message = gate.message.as_ref().map(|message| format!(": {}", written(message))).unwrap_or_default();
    format!("{count}{people}{who} must agree first{message}")
}

fn waits(wait: &Wait) -> String {
    match wait {
        Wait::Duration(span) => format!("wait for {}", written(span)),
        Wait::Until(time) => format!("wait until {}", written(time)),
        Wait::That(_) => "wait until this holds".to_owned(),
    }
}

/// A template as the playbook has it.
fn written(template: &Template) -> String {
    match template {
        Template::Literal(Value::String(text)) => one_line(text),
        Template::Literal(value) => value.to_string(),
        Template::Expression(source) => format!("${{{{ {} }}}}", one_line(&source.text)),
        Template::Text(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Plain(plain) => one_line(plain),
                Segment::Expression(source) => format!("${{{{ {} }}}}", one_line(&source.text)),
            })
            .collect::<Vec<_>>()
            .join(" "),
        Template::List(_) | Template::Map(_) => "…".to_owned(),
    }
}

/// A message with what is known in it, and `<ready replicas>` for what is read then.
fn in_brackets(scope: &Scope, message: &Template) -> String {
    let of = |source: &Source| match resolve(&Template::Expression(source.clone()), &scope.bindings) {
        Ok(value) => shown(&value),
        Err(_) => {
            let last = source.text.trim().rsplit('.').next().unwrap_or_default();
            let is_name = !last.is_empty() && last.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            format!("<{}>", if is_name { last.replace('_', " ") } else { one_line(&source.text) })
        }
    };
    match message {
        Template::Text(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Plain(plain) => plain.split('\n').collect::<Vec<_>>().join(" "),
                Segment::Expression(source) => of(source),
            })
            .collect(),
        Template::Expression(source) => of(source),
        other => written(other),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match variables_in(&text).as_slice() {
        [] => text,
        names => names.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(" "),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
