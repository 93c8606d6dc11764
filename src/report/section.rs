//! The parts that the pages on a run share: headings, what is owed, what is kept, failures, next commands.
//!
//! Must not: print a list without an end: what is more than [`LIMIT`] is counted.

use super::commands::Suggestion;
use super::lines;
use super::prose::fold;
use super::style::{Role, Style};
use super::text;
use super::view::RunView;
use crate::model::status::StepStatus;

/// How many entries of a list are printed.
pub(super) const LIMIT: usize = 20;

/// A heading and its lines, indented; nothing where there is no line.
pub(super) fn section(page: &mut Vec<String>, style: &Style, heading: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return;
    }
    if !page.is_empty() {
        page.push(String::new());
    }
    page.push(style.paint(Role::Strong, heading));
    page.extend(lines.into_iter().map(|line| format!("  {line}")));
}

/// The first entries, and how many more there are.
pub(super) fn limited<T>(entries: impl Iterator<Item = T>, mut lines_of: impl FnMut(T) -> Vec<String>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut more = 0_usize;
    for (index, entry) in entries.enumerate() {
        if index < LIMIT { lines.extend(lines_of(entry)) } else { more += 1 }
    }
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    lines
}

/// What is owed, and the command that gives it back.
pub(super) fn owed(view: &RunView, style: &Style) -> Vec<String> {
    let owed = view.owed();
    let mut lines = limited(owed.iter(), |owed| vec![owed.in_words()]);
    if !owed.is_empty() {
        let back = super::commands::of_run("rollback", view.run(), "").command;
        lines.push(format!("give it back: {}", style.paint(Role::Command, &back)));
    }
    lines
}

/// The same for sentences: a terminal breaks them between words.
pub(super) fn prose(page: &mut Vec<String>, style: &Style, heading: &str, lines: Vec<String>) {
    section(page, style, heading, lines.iter().flat_map(|line| fold(line, 2, style)).collect());
}

/// What is there and will not be taken back.
pub(super) fn kept(view: &RunView) -> Vec<String> {
    let kept = view.kept().map(|(step, kept)| (step, kept.reason.as_str())).chain(view.lasting());
    limited(kept, |(step, reason)| vec![format!("{}: {}", text::clean(step.path.as_str()), text::clean(reason))])
}

/// Each failure with its hint.
pub(super) fn failures(view: &RunView, style: &Style) -> Vec<String> {
    let failed = [StepStatus::RollbackFailed, StepStatus::Failed]
        .into_iter()
        .flat_map(|status| view.with_status(status))
        .filter(|step| view.failed_by_itself(step));
    limited(failed, |step| {
        let failure = step.failure.as_deref();
        let path = text::clean(step.path.as_str());
        let mut lines = vec![format!(
            "{path}: {}",
            failure.map_or_else(|| step.status.to_string(), |failure| text::once(&text::clean(&failure.message)))
        )];
        let hint = failure.and_then(|failure| failure.hint.as_deref());
        lines.extend(hint.map(|hint| format!("  {} {}", style.paint(Role::Attention, "hint:"), text::clean(hint))));
        lines
    })
}

/// Commands, one a line, with what they do.
pub(super) fn commands(commands: &[Suggestion], style: &Style) -> Vec<String> {
    let widest = commands.iter().map(|next| text::columns(&next.command)).max().unwrap_or(0);
    commands
        .iter()
        .map(|next| {
            let fill = " ".repeat(widest - text::columns(&next.command));
            format!("{}{fill}  {}", style.paint(Role::Command, &next.command), next.what)
        })
        .collect()
}

/// What can be typed next, beneath what is to be known of a run that waits, or still ends what runs.
pub(super) fn next(view: &RunView, style: &Style) -> Vec<String> {
    let known = view.stays(style).into_iter().chain(view.winding_down(style));
    let mut lines: Vec<String> = known.flat_map(|line| fold(&line, 2, style)).collect();
    lines.extend(commands(&view.next_commands(), style));
    lines
}

/// What operators told the run lately.
pub(super) fn instructions(view: &RunView, style: &Style) -> Vec<String> {
    let all: Vec<_> = view.instructions().collect();
    all.iter()
        .rev()
        .take(5)
        .rev()
        .map(|told| {
            let outcome = match (&told.refused, &told.reason) {
                (Some(why), _) => format!(", refused: {why}"),
                (None, Some(reason)) => format!(": {reason}"),
                (None, None) => String::new(),
            };
            text::clean(&format!("{}  {} by {}{outcome}", text::time(told.at, style), lines::told(&told.command), told.by))
        })
        .collect()
}
