//! The steps as rows: a frame's, of one line each, and a page's, which leave out nothing.
//!
//! Invariant: a row of a frame is one line; where a page has no room for what a row says, that stands beneath it.

use super::frame::{ATTEMPT_WIDTH, DETAIL_LEAST, DURATION_WIDTH, Live, attempt, detail, most_pressing};
use super::lines::STATUS_WIDTH;
use super::prose::wrapped;
use super::step_view::StepView;
use super::style::{Role, Style, of_step};
use super::text;
use super::view::RunView;
use crate::model::status::StepStatus;

/// How far what stands beneath a row is indented.
const BENEATH: usize = 4;

/// A row: where the step stands, and what else there is to say.
#[derive(Debug, Default)]
struct Row {
    head: String,
    detail: String,
    /// Whether the page says the same elsewhere, in full.
    elsewhere: bool,
    /// Whether there is room for the head only.
    narrow: bool,
}

impl Row {
    fn in_one(self) -> String {
        let line = if self.narrow { self.head } else { format!("{}  {}", self.head, self.detail) };
        line.trim_end().to_owned()
    }

    fn on_page(self, style: &Style) -> Vec<String> {
        let fits = text::columns(&self.head) + 2 + text::columns(&self.detail) <= style.width;
        if self.detail.is_empty() || self.elsewhere || (fits && !self.narrow) {
            return vec![text::fit(&self.in_one(), style.width)];
        }
        if !style.wrap && !self.narrow {
            return vec![self.in_one()];
        }
        let beneath = wrapped(&self.detail, style.width.saturating_sub(BENEATH), 2);
        let beneath = beneath.into_iter().map(|line| format!("{}{line}", " ".repeat(BENEATH)));
        std::iter::once(text::fit(self.head.trim_end(), style.width)).chain(beneath).collect()
    }
}

/// The steps: all of them in the playbook's order where there is room, else those that matter most.
pub(super) fn rows(view: &RunView, live: &Live, style: &Style, room: usize) -> Vec<String> {
    listed(view, live, style, room).into_iter().map(Row::in_one).collect()
}

/// The same for a page: what a row says that is said nowhere else stands beneath it where the width has no room for it, and is never cut.
pub(super) fn on_page(view: &RunView, style: &Style, room: usize) -> Vec<String> {
    listed(view, &Live::default(), style, room).into_iter().flat_map(|row| row.on_page(style)).collect()
}

fn listed(view: &RunView, live: &Live, style: &Style, room: usize) -> Vec<Row> {
    if view.len() <= room {
        let steps: Vec<_> = view.steps().map(|step| (step, "  ".repeat(step.depth as usize) + &text::clean(step.name()))).collect();
        return table(&steps, view, live, style);
    }
    if room == 0 {
        return Vec::new();
    }
    let chosen = most_pressing(view, room - 1);
    let mut rest = view.totals();
    chosen.iter().for_each(|step| rest.take(step.status));
    let by_status: Vec<_> =
        StepStatus::ALL.iter().filter(|status| rest.of(**status) > 0).map(|status| format!("{} {status}", rest.of(*status))).collect();
    let steps: Vec<_> = chosen.into_iter().map(|step| (step, text::clean(step.path.as_str()))).collect();
    let mut rows = table(&steps, view, live, style);
    let head = style.paint(Role::Quiet, &format!("… {} more: {}", rest.all(), by_status.join(", ")));
    rows.push(Row { head, ..Row::default() });
    rows
}

fn table(steps: &[(&StepView, String)], view: &RunView, live: &Live, style: &Style) -> Vec<Row> {
    let widest = steps.iter().map(|(_, name)| text::columns(name)).max().unwrap_or(0);
    let name_width = widest.min((style.width / 3).max(12));
    let tried = steps.iter().any(|(step, _)| attempt(step).is_some());
    steps.iter().map(|(step, name)| row(step, name, name_width, tried, view, live, style)).collect()
}

fn row(step: &StepView, name: &str, name_width: usize, tried: bool, view: &RunView, live: &Live, style: &Style) -> Row {
    let (symbol, role) = of_step(step.status);
    let took = step.times().map_or(String::new(), |(from, to)| text::duration(from, to.unwrap_or(style.now)));
    let mut head = format!(
        "{} {}  {}{}  {took:>DURATION_WIDTH$}",
        style.paint(role, symbol),
        text::pad(name, name_width),
        style.paint(role, step.status.as_str()),
        " ".repeat(STATUS_WIDTH - step.status.as_str().len())
    );
    if tried && style.width >= DETAIL_LEAST {
        head.push_str(&format!("  {:<ATTEMPT_WIDTH$}", attempt(step).unwrap_or_default()));
    }
    let detail = detail(step, view, live.of(step), style);
    // What went wrong, was left out or is kept has a part of the page to itself.
    let elsewhere = matches!(step.status, StepStatus::Failed | StepStatus::RollbackFailed | StepStatus::Skipped | StepStatus::Kept);
    Row { head, detail, elsewhere, narrow: style.width < DETAIL_LEAST }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Journal, pre_event};
    use super::*;

    #[test]
    fn a_page_cuts_nothing_that_it_says_nowhere_else() {
        let mut journal = Journal::new();
        journal.scaled();
        let view = journal.view(&pre_event());
        let of = |style: Style| on_page(&view, &style, 9)[1..].iter().take(2).cloned().collect::<Vec<_>>();
        let narrow = Style { width: 60, wrap: true, ..Style::plain(journal.now) };
        let head = "✔ scale        succeeded            11s";
        assert_eq!(of(narrow.clone()), [head, "    deployment/ticket-service: replicas 2 → 8"]);
        assert_eq!(of(Style { width: 40, ..narrow.clone() })[..2], [head, "    deployment/ticket-service: replicas"]);
        // Where there is no terminal, a line stays whole.
        assert_eq!(of(Style { wrap: false, ..narrow.clone() })[0], format!("{head}  deployment/ticket-service: replicas 2 → 8"));
        let frame = rows(&view, &Live::default(), &narrow, 9);
        assert_eq!(frame.len(), 4, "a frame has a line for each step: {frame:#?}");
    }
}
