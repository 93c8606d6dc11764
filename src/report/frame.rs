//! One frame of the live view: a text of at most so many columns and lines.
//!
//! Must not: read a clock, ask the terminal or write anything: the same view gives the same frame.
//! Invariant: no line is wider than the width, there are never more lines than the height, and what needs attention is among them.

use std::collections::HashMap;

use super::checking;
use super::lines;
use super::prose::wrapped;
use super::rows::rows;
use super::step_view::StepView;
use super::style::{Role, Style, of_run, of_step};
use super::text;
use super::view::RunView;
use crate::model::change::Swap;
use crate::model::event::Waiting;
use crate::model::id::StepPath;
use crate::model::status::{RunStatus, StepStatus};

/// The longest line of output that is kept, in characters.
const LINE_LIMIT: usize = 500;
/// Columns of a duration (`12m 03s`) and of an attempt (`2/3`).
pub(super) const DURATION_WIDTH: usize = 7;
pub(super) const ATTEMPT_WIDTH: usize = 5;
/// Below this width a row ends with its duration.
pub(super) const DETAIL_LEAST: usize = 60;
/// Columns of the bar of a part.
const PART_WIDTH: usize = 10;

/// What is told between events: the last line of output and the progress of each step that is going on.
#[derive(Clone, Debug, Default)]
pub struct Live {
    steps: HashMap<StepPath, LiveStep>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LiveStep {
    line: Option<String>,
    part: Option<(u64, u64, String)>,
}

impl Live {
    /// A step printed a line.
    pub fn line(&mut self, step: &StepPath, line: &str) {
        let line = text::once(&text::clean(line));
        if !line.trim().is_empty() {
            self.steps.entry(step.clone()).or_default().line = Some(line.chars().take(LINE_LIMIT).collect());
        }
    }

    /// A step is so far.
    pub fn part(&mut self, step: &StepPath, done: u64, total: u64, what: &str) {
        self.steps.entry(step.clone()).or_default().part = Some((done, total, text::clean(what).chars().take(LINE_LIMIT).collect()));
    }

    pub(super) fn of(&self, step: &StepView) -> Option<&LiveStep> {
        self.steps.get(&step.path)
    }

    /// A step ended: its last line is of no interest any more.
    pub fn forget(&mut self, step: &StepPath) {
        self.steps.remove(step);
    }
}

/// A frame of at most `height` lines, each at most `style.width` columns wide.
pub fn render(view: &RunView, live: &Live, style: &Style, height: usize) -> String {
    let mut head = vec![header(view, style)];
    let mut foot = footer(view, style);
    if height < head.len() + foot.len() + 4 {
        foot.truncate(1);
    } else {
        head.push(String::new());
        foot.insert(0, String::new());
    }
    let rows = rows(view, live, style, height.saturating_sub(head.len() + foot.len()));
    let mut lines: Vec<String> = head.into_iter().chain(rows).chain(foot).map(|line| text::fit(&line, style.width)).collect();
    lines.truncate(height);
    lines.join("\n")
}

fn header(view: &RunView, style: &Style) -> String {
    let mut line = format!(
        "{}  {}  {}",
        style.paint(Role::Strong, &text::clean(view.playbook())),
        view.run().short(),
        style.paint(of_run(view.status()), view.status().as_str())
    );
    if let Some(from) = view.created_at() {
        let to = if view.status().is_finished() { view.updated_at().unwrap_or(style.now) } else { style.now };
        line.push_str(&format!("  {}", text::duration(from, to)));
    }
    if let Some(environment) = view.environment() {
        line.push_str(&format!("  {}", style.paint(Role::Quiet, &format!("on {}", text::clean(environment)))));
    }
    match view.why() {
        Some(why) => line.push_str(&format!("  {why}")),
        None if view.is_cancelling() => line.push_str("  ends when what runs has finished"),
        None => {}
    }
    line
}

/// The bar of the whole, what waits for a person, and the sandbox's notice.
fn footer(view: &RunView, style: &Style) -> Vec<String> {
    let totals = view.totals();
    let taken_back = [StepStatus::RolledBack, StepStatus::Kept, StepStatus::RollbackFailed].map(|status| totals.of(status)).iter().sum();
    let (done, all, what) = if view.status() == RunStatus::RollingBack {
        (taken_back, view.open.len() + totals.of(StepStatus::RolledBack), " taken back")
    } else {
        (totals.ended(), totals.all(), "")
    };
    let all = all.max(done);
    let mut line =
        format!("{}  {done}/{}{what}", bar(style, done as u64, all as u64, (style.width / 4).clamp(8, 40)), text::count(all, "step"));
    for status in [
        StepStatus::Running,
        StepStatus::Verifying,
        StepStatus::Waiting,
        StepStatus::RollingBack,
        StepStatus::Failed,
        StepStatus::Unknown,
        StepStatus::RollbackFailed,
    ] {
        if totals.of(status) > 0 {
            line.push_str(&format!("  {}", style.paint(of_step(status).1, &format!("{} {status}", totals.of(status)))));
        }
    }
    let mut lines: Vec<String> = Vec::new();
    // How what still runs is ended now is read whole: whoever pressed Ctrl-C looks for it.
    let waits = view.winding_down(style).map(|waits| wrapped(&waits, style.width, 2)).unwrap_or_default();
    lines.extend(waits.iter().map(|line| style.paint(Role::Attention, line)));
    lines.push(line);
    if let Some((first, more, next)) = view.most_pressing() {
        let more = if more > 0 { format!(" (and {more} more)") } else { String::new() };
        let who = style.paint(Role::Attention, &format!("{} {}{more}", text::clean(first.step.as_str()), first.why));
        lines.extend([who, style.paint(Role::Command, &next.command)]);
    }
    if view.is_sandbox() {
        lines.push(style.paint(Role::Quiet, &super::sandbox_notice(view)));
    }
    lines
}

/// The steps that matter most, in the playbook's order. What went wrong takes at most half of the room while something is going on.
pub(super) fn most_pressing(view: &RunView, room: usize) -> Vec<&StepView> {
    let of =
        |statuses: &'static [StepStatus]| statuses.iter().flat_map(|status| view.with_status(*status)).filter(|step| !step.has_children());
    let wrong: &[StepStatus] = &[StepStatus::RollbackFailed, StepStatus::Unknown, StepStatus::Failed];
    let going: &[StepStatus] = &[StepStatus::Running, StepStatus::Verifying, StepStatus::RollingBack, StepStatus::Waiting];
    let over = [StepStatus::Succeeded, StepStatus::RolledBack, StepStatus::Kept, StepStatus::Skipped];
    let going_on = of(going).take(room - room / 2).count();
    let mut chosen: Vec<&StepView> = of(wrong).take(room - going_on).collect();
    chosen.extend(of(going).take(room - chosen.len()));
    chosen.extend(of(&[StepStatus::Pending]).take((room - chosen.len()).div_ceil(2)));
    for status in over {
        let left = room - chosen.len();
        chosen.extend(view.with_status(status).rev().filter(|step| !step.has_children()).take(left));
    }
    let shown = view.with_status(StepStatus::Pending).filter(|step| !step.has_children());
    let pending = chosen.iter().filter(|step| step.status == StepStatus::Pending).count();
    let left = room - chosen.len();
    chosen.extend(shown.skip(pending).take(left));
    chosen.sort_by_cached_key(|step| view.rank(step));
    chosen
}

/// `2/3`, for a step that is tried again.
pub(super) fn attempt(step: &StepView) -> Option<String> {
    let number = step.retry.as_ref().map_or(step.attempt, |next| next.attempt);
    (number > 1).then(|| step.attempts().map_or_else(|| number.to_string(), |all| format!("{number}/{}", all.max(number))))
}

/// What there is to say of a step beyond its status.
pub(super) fn detail(step: &StepView, view: &RunView, live: Option<&LiveStep>, style: &Style) -> String {
    match step.status {
        StepStatus::Running | StepStatus::Verifying | StepStatus::RollingBack => checking::before(step, going_on(step, live, style)),
        StepStatus::Waiting => step.waiting.as_deref().map(|wait| with_rest(wait, style)).unwrap_or_default(),
        StepStatus::Pending if view.status() == RunStatus::Running => String::new(),
        _ => style.paint(if step.status == StepStatus::Failed { Role::Plain } else { Role::Quiet }, &ended(step)),
    }
}

fn going_on(step: &StepView, live: Option<&LiveStep>, style: &Style) -> String {
    let next = step.revert.as_ref().and_then(|revert| revert.retry.as_ref()).or(step.retry.as_deref());
    if let Some(next) = next {
        let reason = text::clean(&next.failure.message);
        return if next.until > style.now {
            format!("again in {}: {reason}", text::duration(style.now, next.until))
        } else {
            format!("again: {reason}")
        };
    }
    if let Some(wait) = step.waiting.as_deref() {
        return with_rest(wait, style);
    }
    if let Some((done, total, what)) = live.and_then(|live| live.part.as_ref()) {
        return format!("{} {done}/{total} {what}", bar(style, *done, *total, PART_WIDTH));
    }
    if let Some(holds) = step.revert.as_ref().and_then(|revert| revert.holds.as_deref()) {
        return text::clean(holds);
    }
    if let Some(line) = live.and_then(|live| live.line.as_deref()) {
        return line.to_owned();
    }
    match (&step.revert, step.intent.as_deref()) {
        (Some(revert), _) if !revert.swaps.is_empty() => {
            let swaps: Vec<_> = revert.swaps.iter().map(|swap| text::step_of(&swap.label, &swap.from, &swap.to)).collect();
            swaps.join(", ")
        }
        (_, Some(intent)) if !intent.changes.is_empty() => text::changes(&intent.changes),
        _ => step.summary().map(text::clean).unwrap_or_default(),
    }
}

/// What a step waits for, and how long still.
fn with_rest(wait: &Waiting, style: &Style) -> String {
    let words = lines::waiting(wait, style);
    match wait {
        Waiting::Samples { until: Some(until) } if *until > style.now => {
            format!("{words}, for another {}", text::duration(style.now, *until))
        }
        Waiting::Time { until } if *until > style.now => format!("{words}, in {}", text::duration(style.now, *until)),
        Waiting::Time { .. } | Waiting::Samples { .. } | Waiting::Approval { .. } | Waiting::Lock { .. } => words,
    }
}

/// What came of a step, in a few words.
pub(super) fn ended(step: &StepView) -> String {
    match step.status {
        StepStatus::Succeeded => {
            let changes = step.intent.as_deref().map(|intent| text::changes(&intent.changes)).filter(|changes| !changes.is_empty());
            let drift = step.drift.last().map(|drift| format!("{} is {} now", text::clean(&drift.what), text::value(&drift.found)));
            [changes, step.how.as_ref().map(lines::success), drift].into_iter().flatten().collect::<Vec<_>>().join(", ")
        }
        StepStatus::Failed | StepStatus::RollbackFailed => {
            step.failure.as_deref().map(|it| text::once(&text::clean(&it.message))).unwrap_or_default()
        }
        StepStatus::Skipped => step.skip.as_deref().map(lines::skipped).unwrap_or_default(),
        StepStatus::Unknown => step.unknown.as_deref().map(text::clean).unwrap_or_default(),
        StepStatus::RolledBack => step.note.as_deref().map_or_else(|| put_back(step), text::clean),
        StepStatus::Kept => step.kept.as_deref().map(|kept| text::clean(&kept.reason)).unwrap_or_default(),
        StepStatus::Pending | StepStatus::Waiting | StepStatus::Running | StepStatus::Verifying | StepStatus::RollingBack => String::new(),
    }
}

/// What was put back, and what a later run had changed in between.
fn put_back(step: &StepView) -> String {
    let Some(revert) = &step.revert else { return String::new() };
    let own = |swap: &Swap| {
        let changes = step.intent.as_deref().map(|intent| intent.changes.as_slice()).unwrap_or_default();
        changes.iter().any(|own| own.object == swap.object && own.field == swap.field && own.after == swap.from)
    };
    let mut words = String::new();
    let mut last = None;
    for swap in &revert.swaps {
        if last == Some(&swap.object) {
            words.push_str(", ");
        } else {
            words.push_str(&format!("{}{}: ", if last.is_some() { "; " } else { "" }, text::object(&swap.object)));
        }
        words.push_str(&text::step_of(&swap.label, &swap.from, &swap.to));
        if !own(swap) {
            words.push_str(", with what a later change had made of it");
        }
        last = Some(&swap.object);
    }
    words
}

fn bar(style: &Style, done: u64, all: u64, width: usize) -> String {
    let filled = if all == 0 { 0 } else { (u128::from(done.min(all)) * width as u128 / u128::from(all)) as usize };
    format!("{}{}", style.paint(Role::Busy, &"█".repeat(filled)), style.paint(Role::Quiet, &"░".repeat(width - filled)))
}
