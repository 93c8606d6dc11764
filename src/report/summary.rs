//! The end of a run: what was done, what failed, what is owed and how it is given back.

use super::frame::{Live, rows};
use super::section::{self, section};
use super::style::{Role, Style, of_run};
use super::text;
use super::view::RunView;
use crate::model::status::RunStatus;

/// How many steps the summary names; the most pressing, where there are more.
const STEPS: usize = 60;

/// What a run ends with, or where it stopped for now.
pub fn summary(view: &RunView, style: &Style) -> String {
    let mut page = vec![title(view, style), String::new()];
    page.extend(rows(view, &Live::default(), style, STEPS).into_iter().map(|row| text::fit(&row, style.width)));
    section(&mut page, style, "Failed", section::failures(view, style));
    let outputs = view.outputs().iter().map(|(name, value)| format!("{}: {}", text::clean(name), text::value(value))).collect();
    section(&mut page, style, "Outputs", outputs);
    section(&mut page, style, "Kept", section::kept(view));
    section(&mut page, style, "Owed", section::owed(view, style));
    if !view.status().is_finished() {
        section(&mut page, style, "Next", section::commands(&view.next_commands(), style));
    }
    notice(&mut page, view, style);
    page.join("\n")
}

/// `pre-event 3fa9c1d2 succeeded in 42s: reason`
pub(super) fn title(view: &RunView, style: &Style) -> String {
    let status = match view.status() {
        status @ (RunStatus::Running
        | RunStatus::Waiting
        | RunStatus::RollingBack
        | RunStatus::RolledBack
        | RunStatus::Stuck
        | RunStatus::Paused
        | RunStatus::Cancelled) => format!("is {}", style.paint(of_run(status), status.as_str())),
        status @ (RunStatus::Succeeded | RunStatus::SucceededWithFailures | RunStatus::Failed) => {
            style.paint(of_run(status), status.as_str())
        }
    };
    let mut title = format!("{} {} {status}", style.paint(Role::Strong, &text::clean(view.playbook())), view.run().short());
    if let (Some(from), Some(to)) = (view.created_at(), view.status_since()) {
        title.push_str(&match view.status() {
            status if status.is_finished() => format!(" after {}", text::duration(from, to)),
            _ => format!(" since {}", text::time(to, style)),
        });
    }
    if let Some(reason) = view.reason() {
        title.push_str(&format!(": {}", text::clean(reason)));
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
