//! What a run would do, as a page to be read before it is confirmed.
//!
//! Must not: leave out that something is known later, or that more is touched than is listed. Lines keep within the width, but for words that are
//! longer than it.

use super::outputs::in_words;
use super::prose::wrapped;
use super::section::{LIMIT, section};
use super::style::{Role, Style};
use super::text;
use crate::model::change::ObjectRef;
use crate::model::preview::{Foreseen, Preview, PreviewStep, PreviewWait, Starts, Undo};
use crate::model::step::Effect;

/// How many steps are told in full; of the others only what they change is.
const STEPS: usize = 60;
/// How many locks, gates and lasting steps are listed.
const LISTED: usize = 3 * LIMIT;
/// The longest input that is shown whole, in columns.
const VALUE_LIMIT: usize = 320;

/// The page.
pub fn preview(preview: &Preview, style: &Style) -> String {
    let title = format!("{}  {}", style.paint(Role::Strong, &text::clean(&preview.playbook)), text::clean(&preview.summary));
    let mut page = wrapped(&title, style.width, 2);
    if let Some(target) = &preview.target {
        let facts = std::iter::once(("environment", target.environment.as_str()));
        let facts = facts.chain(target.facts.iter().map(|fact| (fact.name.as_str(), fact.value.as_str())));
        let facts: Vec<(String, String)> = facts.map(|(name, value)| (text::clean(name), text::clean(value))).collect();
        section(&mut page, style, "Target", columns(&facts, style));
    }
    let params: Vec<(String, String)> = preview
        .params
        .iter()
        .map(|param| {
            let default = if param.default { " (default)" } else { "" };
            (text::clean(&param.name), format!("{}{default}", text::value(&param.value)))
        })
        .collect();
    section(&mut page, style, "Parameters", columns(&params, style));
    section(&mut page, style, "Steps", steps(preview, style));
    let waits = preview.steps.iter().filter(|step| may_start(step)).flat_map(|step| {
        step.waits.iter().map(|wait| format!("{}: {}", text::clean(step.path.as_str()), of_wait(wait))).collect::<Vec<_>>()
    });
    section(&mut page, style, "It waits", list(waits, style));
    let kept = preview.steps.iter().filter(|step| may_start(step)).filter_map(|step| match &step.undo {
        Undo::Kept { why } => Some(format!("{}: {}", text::clean(step.path.as_str()), text::clean(why))),
        Undo::Nothing | Undo::Back | Undo::Action { .. } => None,
    });
    section(&mut page, style, "It cannot be taken back", list(kept, style));
    section(&mut page, style, "It locks", list(preview.locks.iter().map(lock), style));
    page.join("\n")
}

fn may_start(step: &PreviewStep) -> bool {
    !matches!(step.starts, Starts::No { .. })
}

fn steps(preview: &Preview, style: &Style) -> Vec<String> {
    let mut lines: Vec<String> = preview.steps.iter().take(STEPS).flat_map(|step| of_step(step, style)).collect();
    let more = &preview.steps[preview.steps.len().min(STEPS)..];
    if !more.is_empty() {
        let changing = more.iter().filter(|step| may_start(step) && step.effect.is_some_and(|effect| effect != Effect::Read)).count();
        lines.push(format!("… {} more, of which {changing} change something", more.len()));
    }
    if preview.left_out {
        lines.push("… and more than can be listed".to_owned());
    }
    lines
}

fn of_step(step: &PreviewStep, style: &Style) -> Vec<String> {
    let indent = "  ".repeat(step.depth.min(8));
    let width = style.width.saturating_sub(2 + indent.len());
    let each = match &step.instances {
        Some(keys) => format!(" for each of {}", some(keys)),
        None => String::new(),
    };
    let name = style.paint(Role::Strong, &text::clean(step.path.as_str()));
    let does = does(step).map(|words| format!("  {}", style.paint(Role::Quiet, words))).unwrap_or_default();
    let mut lines = wrapped(&format!("{name}  {}{each}{does}", style.paint(Role::Busy, &text::clean(&step.uses))), width, 4);
    let mut put = |line: &str, hanging: usize| {
        lines.extend(wrapped(line, width.saturating_sub(2), hanging).into_iter().map(|line| format!("  {line}")));
    };
    let say = |role: Role, word: &str, value: &str| format!("{} {value}", style.paint(role, word));
    if let Some(summary) = &step.summary {
        put(&say(Role::Quiet, "–", &text::clean(summary)), 2);
    }
    match &step.starts {
        Starts::Yes => {}
        Starts::No { why } => {
            put(&say(Role::Attention, "skipped:", &text::clean(why)), 2);
            return indented(lines, &indent);
        }
        Starts::Later { on } => put(&say(Role::Attention, "only if", &format!("{} (known later)", text::clean(on))), 2),
    }
    if !step.touches.is_empty() {
        put(&say(Role::Quiet, "changes", &some(&step.touches.iter().map(object).collect::<Vec<_>>())), 2);
    }
    let inputs: Vec<String> = step.inputs.iter().filter_map(|(name, value)| input(name, value)).collect();
    let together = inputs.join(", ");
    if inputs.len() == 1 || text::columns(&together) + "  with ".len() <= width {
        if !inputs.is_empty() {
            put(&say(Role::Quiet, "with", &together), 2);
        }
    } else {
        // One below the other, the word once.
        let under = " ".repeat("with ".len());
        for (index, input) in inputs.iter().enumerate() {
            let word = if index == 0 { say(Role::Quiet, "with", "") } else { under.clone() };
            put(&format!("{word}{input}"), under.len() + 2);
        }
    }
    for later in &step.later {
        put(&say(Role::Attention, "known later:", &text::clean(later)), 2);
    }
    if let Undo::Action { uses, approve } = &step.undo {
        let approval = if *approve { ", after an approval" } else { "" };
        put(&say(Role::Quiet, "taken back by", &format!("{}{approval}", text::clean(uses))), 2);
    }
    if let Some(problem) = &step.problem {
        put(&say(Role::Bad, "cannot work:", &text::clean(problem)), 2);
    }
    indented(lines, &indent)
}

fn indented(lines: Vec<String>, indent: &str) -> Vec<String> {
    lines.into_iter().map(|line| format!("{indent}{line}")).collect()
}

/// What a step does to the target, where the list of what it changes does not say it.
fn does(step: &PreviewStep) -> Option<&'static str> {
    let silent = step.touches.is_empty() && step.later.is_empty() && may_start(step);
    match step.effect? {
        Effect::Read => Some("only reads"),
        Effect::Idempotent if silent => Some("writes, may be repeated"),
        Effect::Once if silent => Some("writes, once"),
        Effect::Idempotent | Effect::Once => None,
    }
}

/// An input that is known; what is known later has lines of its own.
fn input(name: &str, value: &Foreseen) -> Option<String> {
    let value = match value {
        Foreseen::Known(value) => text::fit(&in_words(value), VALUE_LIMIT),
        Foreseen::Secret(secret) => format!("[secret {}]", text::clean(secret)),
        Foreseen::Later(_) => return None,
    };
    Some(format!("{}: {value}", text::clean(name)))
}

fn of_wait(wait: &PreviewWait) -> String {
    let said = |value: &Foreseen| match value {
        Foreseen::Known(value) => text::value(value),
        Foreseen::Secret(name) => format!("[secret {}]", text::clean(name)),
        Foreseen::Later(on) => format!("known later: {}", text::clean(on)),
    };
    match wait {
        PreviewWait::Gate { count, by, message } => {
            let mut words = format!("for {}", text::count(*count as usize, "approval"));
            if !by.is_empty() {
                words.push_str(&format!(" by {}", text::clean(&by.join(" or "))));
            }
            words.push_str(&message.as_ref().map(|message| format!(": {}", said(message))).unwrap_or_default());
            words
        }
        PreviewWait::Time { until } => {
            let is_span = matches!(until, Foreseen::Known(value) if value.as_str().is_some_and(|text| text.parse::<crate::model::duration::Span>().is_ok()));
            format!("{} {}", if is_span { "for" } else { "until" }, said(until))
        }
        PreviewWait::Condition { that } => format!("until {}", text::clean(that)),
        PreviewWait::Check { that, hold } => format!("until it has held for {hold}: {}", text::clean(that)),
    }
}

/// `deployment/ticket-service in production`
fn object(object: &ObjectRef) -> String {
    text::clean(&object.in_words())
}

/// The lock's name without the cluster's UID, which stands above.
fn lock(object: &ObjectRef) -> String {
    match object.0.strip_prefix("k8s:").and_then(|rest| rest.split_once('/')) {
        Some((_, name)) => text::clean(name),
        None => text::clean(&object.0),
    }
}

/// The first few, and how many more there are.
fn some(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(LIMIT).map(|name| text::clean(name)).collect();
    let more = names.len().saturating_sub(LIMIT);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

fn list(entries: impl Iterator<Item = String>, style: &Style) -> Vec<String> {
    let mut lines = Vec::new();
    let mut more = 0_usize;
    for (index, entry) in entries.enumerate() {
        if index < LISTED { lines.extend(wrapped(&entry, style.width.saturating_sub(2), 2)) } else { more += 1 }
    }
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    lines
}

/// Names and values beside each other.
fn columns(pairs: &[(String, String)], style: &Style) -> Vec<String> {
    let widest = pairs.iter().map(|(name, _)| text::columns(name)).max().unwrap_or(0).min(30);
    pairs
        .iter()
        .flat_map(|(name, value)| {
            let fill = " ".repeat(widest.saturating_sub(text::columns(name)));
            wrapped(&format!("{name}{fill}  {value}"), style.width.saturating_sub(2), widest + 2)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_are_told_with_their_namespace_and_locks_without_the_cluster() {
        let deployment = ObjectRef("k8s:4f0c/production/deployment/ticket-service".to_owned());
        assert_eq!(object(&deployment), "deployment/ticket-service in production");
        assert_eq!(lock(&deployment), "production/deployment/ticket-service");
        assert_eq!(lock(&ObjectRef("postgres:7/tickets".to_owned())), "postgres:7/tickets");
    }
}
