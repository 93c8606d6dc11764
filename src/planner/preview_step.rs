//! What one step would do: its inputs as far as they are known, what it touches and waits for, how it would be taken back.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::known::{Found, Known, marker};
use crate::model::catalogue::ActionEntry;
use crate::model::id::StepPath;
use crate::model::monitor::Alert;
use crate::model::preview::{Foreseen, PreviewStep, Starts, Undo};
use crate::model::step::{Effect, OnFailure, Rollback, SecretInput, Step, Uses};
use crate::model::template::Template;
use crate::ports::action::touched;

/// A step of which nothing is known yet but what the playbook says; how deep it is, and whether the run goes on whatever becomes of it.
pub(super) fn begin(step: &Step, path: StepPath, (depth, optional): (usize, bool)) -> PreviewStep {
    let (uses, effect) = match &step.uses {
        Uses::Action { name, .. } => (name.clone(), Some(step.effect)),
        Uses::Wait(_) => ("wait".to_owned(), None),
        Uses::Approve(_) => ("approve".to_owned(), None),
        Uses::Playbook { name, .. } => (format!("playbook {name}"), None),
        Uses::Monitor(_) => ("monitor".to_owned(), None),
    };
    PreviewStep {
        path,
        depth,
        uses,
        summary: step.summary.clone(),
        starts: Starts::Yes,
        instances: None,
        effect,
        touches: Vec::new(),
        inputs: Vec::new(),
        later: Vec::new(),
        waits: Vec::new(),
        undo: Undo::Nothing,
        optional: optional || step.on_failure == Some(OnFailure::Continue),
        problem: None,
    }
}

/// A value, as far as it is known.
pub(super) fn foreseen(known: &Known<'_>, template: &Template) -> Foreseen {
    match known.find(template) {
        Ok(Found::Value(value)) => Foreseen::Known(value),
        Ok(Found::Later(on)) => Foreseen::Later(on),
        // What it says when it comes to that.
        Err(why) => Foreseen::Later(why),
    }
}

/// What an alert does, in one line.
pub(super) fn of_alert(alert: &Alert) -> String {
    let hold = alert.hold.map_or_else(String::new, |hold| format!(" for {hold}"));
    let often = if alert.max_firings == 1 { "once".to_owned() } else { format!("up to {} times", alert.max_firings) };
    format!("starts when `{}` holds{hold}, {often}", alert.when.text)
}

/// What an action would do in one instance.
pub(super) fn act(shown: &mut PreviewStep, entry: &ActionEntry, with: &Template, secrets: &[SecretInput], known: &Known<'_>) {
    let mut later = BTreeMap::new();
    let inputs = match known.fill(with, &Value::Null, "", &mut later) {
        Ok(inputs) => inputs,
        Err(why) => {
            shown.problem = Some(why);
            return;
        }
    };
    if shown.inputs.is_empty() {
        shown.inputs = by_name(&inputs, &later, secrets);
    }
    for (at, on) in &later {
        let line = if at.is_empty() { on.clone() } else { format!("{at}: {on}") };
        if !shown.later.contains(&line) {
            shown.later.push(line);
        }
    }
    let touches = touched(entry, &inputs, known.target());
    // What is touched is known where it does not depend on what is put in the place of what is known later.
    let marked = known.fill(with, &marker(), "", &mut BTreeMap::new()).map(|inputs| touched(entry, &inputs, known.target()));
    if later.is_empty() || (!touches.is_empty() && marked.as_ref() == Ok(&touches)) {
        shown.touches.extend(touches);
    } else if entry.needs_target && shown.effect != Some(Effect::Read) {
        let line = "what it touches".to_owned();
        if !shown.later.contains(&line) {
            shown.later.push(line);
        }
    }
}

fn by_name(inputs: &Value, later: &BTreeMap<String, String>, secrets: &[SecretInput]) -> Vec<(String, Foreseen)> {
    let none = Map::new();
    let is_within = |at: &str, name: &str| at.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
    let entries = inputs.as_object().unwrap_or(&none).iter();
    entries
        .map(|(name, value)| {
            let secret = secrets.iter().find(|secret| secret.at == format!("/{name}"));
            let later = later.iter().find(|(at, _)| is_within(at, name));
            let foreseen = match (secret, later) {
                (Some(secret), _) => Foreseen::Secret(secret.secret.clone()),
                (None, Some((_, on))) => Foreseen::Later(on.clone()),
                (None, None) => Foreseen::Known(with_secrets_named(name, value, secrets)),
            };
            (name.clone(), foreseen)
        })
        .collect()
}

/// An input in which each secret stands by its name; until the step runs there is nothing in its place.
fn with_secrets_named(name: &str, value: &Value, secrets: &[SecretInput]) -> Value {
    let mut value = value.clone();
    for secret in secrets {
        let within = secret.at.strip_prefix('/').and_then(|at| at.strip_prefix(name)).filter(|at| at.starts_with('/'));
        if let Some(place) = within.and_then(|at| value.pointer_mut(at)) {
            *place = Value::from(format!("[secret {}]", secret.secret));
        }
    }
    value
}

/// How it would be taken back.
pub(super) fn undo(step: &Step, entry: &ActionEntry) -> Undo {
    match &step.rollback {
        _ if step.effect == Effect::Read => Undo::Nothing,
        Rollback::None => Undo::Kept { why: "the playbook says `rollback: none`".to_owned() },
        Rollback::Action { uses, approve, .. } => Undo::Action { uses: uses.clone(), approve: *approve },
        Rollback::Auto if entry.reverts => Undo::Back,
        Rollback::Auto => Undo::Kept { why: format!("`{}` has no rollback of its own", entry.name) },
    }
}
