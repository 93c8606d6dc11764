//! The end of a run: what was done, what failed, what is owed and how it is given back.

use super::outputs;
use super::prose::fold;
use super::rows::on_page;
use super::said;
use super::section::{self, section};
use super::skipped;
use super::style::{Role, Style, of_run};
use super::text;
use super::view::RunView;
use crate::model::status::RunStatus;

/// How many steps the summary names; the most pressing, where there are more.
const STEPS: usize = 60;

/// What a run ends with, or where it stopped for now.
pub fn summary(view: &RunView, style: &Style) -> String {
    let mut page = fold(&title(view, style), 0, style);
    page.push(String::new());
    page.extend(on_page(view, style, STEPS));
    section::prose(&mut page, style, "Failed", section::failures(view, style));
    outputs::section(&mut page, view, style);
    section::prose(&mut page, style, "Notes", said::section(view));
    section::prose(&mut page, style, "Kept", section::kept(view));
    section::prose(&mut page, style, "Owed", section::owed(view, style));
    section::prose(&mut page, style, "Not done", skipped::section(view, style));
    if !view.status().is_finished() {
        section(&mut page, style, "Next", section::next(view, style));
    }
    notice(&mut page, view, style);
    page.join("\n")
}

/// `pre-event 3fa9c1d2 succeeded in 42s: reason`
pub(super) fn title(view: &RunView, style: &Style) -> String {
    let name = format!("{} {}", style.paint(Role::Strong, &text::clean(view.playbook())), view.run().short());
    if let Some(why) = view.refused() {
        let word = style.paint(of_run(view.status()), view.word());
        return format!("{name} was {word} at its start, and began nothing: {}", text::clean(why));
    }
    let missed = skipped::in_short(view).filter(|_| view.status() == RunStatus::Succeeded);
    let status = match view.status() {
        status @ (RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::RollingBack
        | RunStatus::RolledBack
        | RunStatus::Stuck
        | RunStatus::Paused
        | RunStatus::Cancelled) => format!("is {}", style.paint(of_run(status), view.word())),
        status @ (RunStatus::Succeeded | RunStatus::SucceededWithFailures | RunStatus::Failed) => match missed {
            Some(missed) => format!("{}, but {missed},", style.paint(Role::Attention, status.as_str())),
            None => style.paint(of_run(status), status.as_str()),
        },
    };
    let mut title = format!("{name} {status}");
    if let (Some(from), Some(to)) = (view.created_at(), view.status_since()) {
        title.push_str(&match view.status() {
            RunStatus::RolledBack => match view.rollback() {
                Some(rollback) => format!(" in {}", text::duration(rollback.began_at, to)),
                None => String::new(),
            },
            status if status.is_finished() => format!(" after {}", text::duration(from, to)),
            _ => format!(" since {}", text::time(to, style)),
        });
    }
    match view.kept_changes() {
        kept if kept == 0 || view.status() != RunStatus::RolledBack => {}
        1 => title.push_str(", but 1 step keeps what it changed"),
        kept => title.push_str(&format!(", but {kept} steps keep what they changed")),
    }
    if view.word() != view.status().as_str() {
        title.push_str(&format!(" ({}, but nobody works on it)", view.status()));
    }
    if let Some(why) = view.why() {
        title.push_str(&format!(": {why}"));
    }
    title
}

/// The sandbox's notice, last of all.
pub(super) fn notice(page: &mut Vec<String>, view: &RunView, style: &Style) {
    if view.is_sandbox() {
        page.push(String::new());
        page.push(style.paint(Role::Attention, &super::sandbox_notice(view)));
    }
}
