//! Where a run stands. A run that needs a person opens with what happened, then what it is about, then what can be done.
//!
//! Must not: say that a value is there now. It says what was seen last, and by whom it was set; only a rollback looks.

use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets};

use super::outputs;
use super::owed::OwedWhat;
use super::prose::fold;
use super::rows::on_page;
use super::said;
use super::samples;
use super::section::{self, limited, section};
use super::skipped;
use super::style::{Role, Style};
use super::summary::{notice, title};
use super::text;
use super::undo;
use super::view::RunView;
use crate::model::status::RunStatus;

/// How many steps the page names; the most pressing, where there are more.
const STEPS: usize = 40;

/// The page of a run.
pub fn status(view: &RunView, style: &Style) -> String {
    let mut page = fold(&title(view, style), 0, style);
    let needs = view.needs_person();
    if let Some(needs) = &needs {
        let happened = limited(needs.needs.iter(), |need| {
            let mut lines = vec![format!("{} {}", style.paint(Role::Strong, &text::clean(need.step.as_str())), need.why)];
            lines.extend(need.hint.as_ref().map(|hint| format!("  {} {hint}", style.paint(Role::Attention, "hint:"))));
            lines
        });
        section::prose(&mut page, style, "What happened", happened);
        section(&mut page, style, "What it is about", objects(view, style));
    }
    section(&mut page, style, "Next", section::next(view, style));
    if needs.is_some() {
        section(&mut page, style, "To undo it by hand", undo::by_hand(view, style));
    }
    section::prose(&mut page, style, "Run", facts(view, style));
    let steps = on_page(view, &Style { width: style.width.saturating_sub(2), ..style.clone() }, STEPS);
    section(&mut page, style, "Steps", steps);
    if needs.is_none() {
        section::prose(&mut page, style, "Failed", section::failures(view, style));
    }
    samples::section(&mut page, view, style);
    outputs::section(&mut page, view, style);
    section::prose(&mut page, style, "Notes", said::section(view));
    section::prose(&mut page, style, "Kept", section::kept(view));
    section::prose(&mut page, style, "Owed", section::owed(view, style));
    section::prose(&mut page, style, "Not done", skipped::section(view, style));
    section::prose(&mut page, style, "Operators", section::instructions(view, style));
    notice(&mut page, view, style);
    page.join("\n")
}

/// Object by object: what was there, what the run set, what is wanted, what was seen last.
fn objects(view: &RunView, style: &Style) -> Vec<String> {
    let back = matches!(view.status(), RunStatus::RollingBack | RunStatus::Stuck);
    let owed = view.owed();
    let fields = owed.iter().filter_map(|owed| match &owed.what {
        OwedWhat::Field { object, label, prior, after, live, later, .. } => Some((owed.certain, object, label, prior, after, live, later)),
        OwedWhat::Action { .. } => None,
    });
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(style.width).unwrap_or(u16::MAX));
    table.set_header(["object", "field", "was", "set to", "wanted", "last seen"]);
    let mut more = 0;
    for (index, (certain, object, label, prior, after, live, later)) in fields.enumerate() {
        if index >= section::LIMIT {
            more += 1;
            continue;
        }
        let (was, set) = (text::value(prior), text::value(after));
        let seen = match (live, later.last()) {
            (Some(live), _) => format!("{} (by somebody else)", text::value(live)),
            (None, Some(last)) => format!("{} (by run {})", text::value(&last.after), last.run.short()),
            (None, None) if certain => set.clone(),
            (None, None) => format!("not known ({was} or {set})"),
        };
        let wanted = if back { was.clone() } else { set.clone() };
        table.add_row([text::object(object), text::clean(label), was, set, wanted, seen]);
    }
    if table.row_count() == 0 {
        return Vec::new();
    }
    // A name is copied whole.
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    let mut lines: Vec<String> = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    if more > 0 {
        lines.push(format!("… {more} more"));
    }
    lines
}

fn facts(view: &RunView, style: &Style) -> Vec<String> {
    let mut facts = Vec::new();
    let mut fact = |name: &str, value: String| facts.push(format!("{name:<8}  {value}"));
    if let Some(spec) = view.spec() {
        let params: Vec<_> = spec.params.iter().map(|(name, value)| format!("{}={}", text::clean(name), text::value(value))).collect();
        if !params.is_empty() {
            fact("params", params.join(" "));
        }
        if let Some(environment) = view.environment() {
            fact("target", text::clean(environment));
        }
        fact("by", text::clean(&spec.by));
    }
    if let Some(at) = view.created_at() {
        fact("started", format!("{}, {}", text::time(at, style), text::ago(at, style)));
    }
    if let Some(at) = view.updated_at() {
        fact("updated", format!("{}, {}", text::time(at, style), text::ago(at, style)));
    }
    if let Some(owner) = view.owner().filter(|_| !view.status().is_finished()) {
        let who = format!("process {} on {}, started by {}", owner.pid, text::clean(&owner.host), text::clean(&owner.by));
        match view.owner_alive() {
            Some(true) => fact("owner", who),
            Some(false) => fact("owner", format!("nobody now; the last was {who}")),
            None => fact("owner", format!("{who} (the last known)")),
        }
    }
    let totals = view.totals();
    fact("steps", format!("{} of {} ended", totals.ended(), totals.all()));
    facts
}
