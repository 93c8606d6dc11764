//! What a person reads beside the commands: conditions, times and messages in words.
//!
//! Must not ask a target. Invariant: what is known stands with its value, and what is not with the name of its variable or of what is read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::hand_scope::Scope;
use crate::expr::{Expression, Root, Said};
use crate::model::by_hand::variables_in;
use crate::model::catalogue::ActionEntry;
use crate::model::step::{Accept, Gate, Step, Wait};
use crate::model::template::{Segment, Source, Template};

/// A condition in words.
pub(super) fn condition(scope: &Scope, that: &Source) -> String {
    let name = |root: Root, keys: &[&str]| said(scope, root, keys);
    Expression::parse(&that.text).map_or_else(|_| one_line(&that.text), |parsed| one_line(&parsed.condition_in_words(&name)))
}

/// A value in words.
fn value(scope: &Scope, source: &Source) -> String {
    let name = |root: Root, keys: &[&str]| said(scope, root, keys);
    Expression::parse(&source.text).map_or_else(|_| one_line(&source.text), |parsed| one_line(&parsed.value_in_words(&name)))
}

/// The value that an expression works out, in words; what it is made of stands with its names.
pub(super) fn worked_out(scope: &Scope, source: &Source) -> String {
    value(scope, source)
}

/// What the yes-or-no answers mean that a condition asks for: ` (rolled out: whether …)`.
pub(super) fn meanings(that: &Source, entry: Option<&ActionEntry>) -> String {
    let (Ok(parsed), Some(entry)) = (Expression::parse(&that.text), entry) else { return String::new() };
    let mut told: Vec<String> = Vec::new();
    for used in parsed.uses(&BTreeSet::new()).iter().filter(|used| used.root == Root::Result) {
        let [key] = used.keys.as_slice() else { continue };
        let field = entry.outputs.iter().find(|field| field.name == *key && field.kind == "boolean");
        let line = field.map(|field| format!("{}: {}", key.replace('_', " "), field.help));
        told.extend(line.filter(|line| !told.contains(line)));
    }
    if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
}

fn said(scope: &Scope, root: Root, keys: &[&str]) -> Said {
    let named = |keys: &[&str]| match keys {
        [] => "the answer".to_owned(),
        [one] => one.replace('_', " "),
        path => path.join("."),
    };
    let path = || format!("`{}.{}`", root.as_str(), keys.join("."));
    match (root, keys) {
        (Root::Result, keys) => return Said::Words(named(keys)),
        (Root::Prior, keys) => return Said::Words(format!("{} before", named(keys))),
        (Root::Target, []) => return Said::Words("the environment".to_owned()),
        (Root::Steps, [step, "status"]) => return Said::Words(format!("how {step} ended")),
        _ => {}
    }
    match scope.at(root, keys) {
        Some(found) if !variables_in(&found.to_string()).is_empty() && !found.is_object() => Said::Words(shown(&found)),
        Some(found) if !found.is_object() => Said::Value(found),
        _ => Said::Words(path()),
    }
}

/// What there is to know before a step is done.
pub(super) fn remarks(scope: &Scope, step: &Step) -> Vec<String> {
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
        match condition(scope, when).as_str() {
            "true" => {}
            "false" => remarks.push("leave this step out: with these values its `when` is false".to_owned()),
            when => remarks.push(format!("only when {when}")),
        }
    }
    if let Some(at) = &step.at {
        remarks.push(format!("not before {}", written(scope, &at.time)));
        if let Some(not_after) = &at.not_after {
            remarks.push(format!("not after {}", written(scope, not_after)));
        }
    }
    if let Some(gate) = &step.approve {
        remarks.push(agrees(scope, gate));
    }
    remarks
}

/// Who must agree.
pub(super) fn agrees(scope: &Scope, gate: &Gate) -> String {
    let who = if gate.by.is_empty() { String::new() } else { format!(" of {}", gate.by.join(", ")) };
    let people = if gate.count == 1 { "one person" } else { "people" };
    let count = if gate.count == 1 { String::new() } else { format!("{} ", gate.count) };
    let message = gate.message.as_ref().map(|message| format!(": {}", written(scope, message))).unwrap_or_default();
    format!("{count}{people}{who} must agree first{message}")
}

/// What is waited for.
pub(super) fn waits(scope: &Scope, wait: &Wait) -> String {
    match wait {
        Wait::Duration(span) => format!("wait for {}", written(scope, span)),
        Wait::Until(time) => format!("wait until {}", written(scope, time)),
        Wait::That(_) => "wait until this holds".to_owned(),
    }
}

/// A template in words.
fn written(scope: &Scope, template: &Template) -> String {
    match template {
        Template::Literal(Value::String(text)) => one_line(text),
        Template::Literal(value) => value.to_string(),
        Template::Expression(source) => value(scope, source),
        Template::Text(segments) => segments
            .iter()
            .map(|segment| match segment {
                Segment::Plain(plain) => plain.split('\n').collect::<Vec<_>>().join(" "),
                Segment::Expression(source) => value(scope, source),
            })
            .collect(),
        Template::List(_) | Template::Map(_) => "…".to_owned(),
    }
}

/// A message with what is known in it, and `<ready replicas>` for what is read then.
pub(super) fn in_brackets(scope: &Scope, message: &Template) -> String {
    let of = |source: &Source| match scope.known(source) {
        Some(value) => shown(&value),
        None => {
            let last = source.text.trim().rsplit('.').next().unwrap_or_default();
            let is_name = !last.is_empty() && last.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            format!("<{}>", if is_name { last.replace('_', " ") } else { value(scope, source) })
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
        other => written(scope, other),
    }
}

/// A value, and a variable as a shell writes it.
pub(super) fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match variables_in(&text).as_slice() {
        [] => text,
        names => names.iter().map(|name| format!("${{{name}}}")).collect::<Vec<_>>().join(" "),
    }
}

/// A text in one line.
pub(super) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
