//! Lists: of runs and of playbooks.
//!
//! Must not: end in an empty table; where there is nothing, it says what to do.

use comfy_table::{Cell, Color, ColumnConstraint, ContentArrangement, Table, presets};
use jiff::Timestamp;

use super::style::{Role, Style, of_run};
use super::text;
use super::word::status_word;
use crate::model::id::RunId;
use crate::model::status::RunStatus;

/// From this width on a list shows its less urgent columns too.
const WIDE: usize = 100;

/// A line of the list of runs.
#[derive(Clone, Debug)]
pub struct RunRow {
    /// The run.
    pub id: RunId,
    /// Its playbook's name.
    pub playbook: String,
    /// Where it runs; `None` where the playbook needs no environment.
    pub environment: Option<String>,
    /// Where it stands.
    pub status: RunStatus,
    /// Why, for people.
    pub reason: Option<String>,
    /// When it was created.
    pub started: Timestamp,
    /// When something happened last.
    pub updated: Timestamp,
    /// Whether a process works on it, where that was asked.
    pub alive: Option<bool>,
    /// How many fields it has not given back.
    pub owed: usize,
    /// Who started it.
    pub by: String,
}

/// A line of the list of playbooks.
#[derive(Clone, Debug)]
pub struct ListRow {
    /// Its name.
    pub name: String,
    /// Its summary.
    pub summary: String,
    /// Its parameters: `event_id`, and `level?` where it has a default.
    pub params: Vec<String>,
    /// Why it cannot be run, in one line.
    pub problem: Option<String>,
}

/// The list of runs, in the order given.
pub fn runs_table(rows: &[RunRow], style: &Style) -> String {
    if rows.is_empty() {
        let command = style.paint(Role::Command, "runsheet run pre-event -p event_id=<uuid>");
        return format!("No runs yet. Start one: {command}");
    }
    let wide = style.width >= WIDE;
    let mut table = table(style);
    let mut header = vec!["RUN", "PLAYBOOK", "TARGET", "STATUS", "STARTED"];
    if wide {
        header.extend(["UPDATED", "BY"]);
    }
    header.push("OWED");
    table.set_header(header);
    for row in rows {
        let mut cells = vec![
            Cell::new(row.id.short()),
            Cell::new(text::clean(&row.playbook)),
            Cell::new(row.environment.as_deref().map_or_else(|| "–".to_owned(), text::clean)),
            painted(status_word(row.status, row.alive, row.reason.as_deref()), of_run(row.status)),
            Cell::new(text::minute(row.started, style)),
        ];
        if wide {
            cells.push(Cell::new(text::ago(row.updated, style)));
            cells.push(Cell::new(text::clean(&row.by)));
        }
        cells.push(match row.owed {
            0 => Cell::new("–"),
            owed => painted(&text::count(owed, "field"), Role::Attention),
        });
        table.add_row(cells);
    }
    // Ids and statuses are copied and searched for: they stay whole.
    for whole in [0, 3] {
        if let Some(column) = table.column_mut(whole) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    lines(&table)
}

/// The list of playbooks, in the order given.
pub fn list_table(rows: &[ListRow], style: &Style) -> String {
    if rows.is_empty() {
        return format!(
            "No playbooks yet. Write one as playbooks/NAME.yaml, then check it: {}",
            style.paint(Role::Command, "runsheet validate")
        );
    }
    let mut table = table(style);
    table.set_header(["PLAYBOOK", "SUMMARY", "PARAMETERS"]);
    for row in rows {
        let what = match &row.problem {
            Some(problem) => painted(&format!("cannot be run: {}", text::clean(problem)), Role::Bad),
            None => Cell::new(text::clean(&row.summary)),
        };
        table.add_row([Cell::new(text::clean(&row.name)), what, Cell::new(text::clean(&row.params.join(" ")))]);
    }
    lines(&table)
}

pub(super) fn table(style: &Style) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    // Every cell has a space on either side; the first and the last of a line are taken off.
    table.set_width(u16::try_from(style.width + 2).unwrap_or(u16::MAX));
    if style.color {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    table
}

pub(super) fn painted(text: &str, role: Role) -> Cell {
    let cell = Cell::new(text);
    match role {
        Role::Good => cell.fg(Color::DarkGreen),
        Role::Bad => cell.fg(Color::DarkRed),
        Role::Attention => cell.fg(Color::DarkYellow),
        Role::Busy => cell.fg(Color::DarkCyan),
        Role::Quiet | Role::Strong | Role::Command | Role::Plain => cell,
    }
}

pub(super) fn lines(table: &Table) -> String {
    let lines: Vec<String> = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::super::fixture::{run_id, start};
    use super::*;

    fn rows() -> Vec<RunRow> {
        let row = RunRow {
            id: run_id(),
            playbook: "pre-event".into(),
            environment: Some("sandbox".into()),
            status: RunStatus::Stuck,
            reason: None,
            started: start(),
            updated: start() + jiff::SignedDuration::from_secs(90),
            alive: None,
            owed: 1,
            by: "ana@web-1".into(),
        };
        let other =
            RunRow { environment: None, status: RunStatus::SucceededWithFailures, owed: 0, playbook: "hello".into(), ..row.clone() };
        vec![row, other]
    }

    #[test]
    fn runs_at_80_and_120_columns() {
        let style = Style::plain(start() + jiff::SignedDuration::from_hours(7));
        assert_snapshot!(runs_table(&rows(), &Style { width: 80, ..style.clone() }), @r#"
        RUN       PLAYBOOK   TARGET   STATUS                   STARTED           OWED
        3fa9c1d2  pre-event  sandbox  stuck                    2026-11-23 19:00  1 field
        3fa9c1d2  hello      –        succeeded_with_failures  2026-11-23 19:00  –
"#);
        assert_snapshot!(runs_table(&rows(), &Style { width: 120, ..style.clone() }), @r#"
        RUN       PLAYBOOK   TARGET   STATUS                   STARTED           UPDATED     BY         OWED
        3fa9c1d2  pre-event  sandbox  stuck                    2026-11-23 19:00  6h 58m ago  ana@web-1  1 field
        3fa9c1d2  hello      –        succeeded_with_failures  2026-11-23 19:00  6h 58m ago  ana@web-1  –
"#);
        let colored = runs_table(&rows(), &Style { width: 120, color: true, ..style.clone() });
        assert!(colored.contains('\u{1b}'));
        let words = |text: &str| console::strip_ansi_codes(text).lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(words(&colored), words(&runs_table(&rows(), &Style { width: 120, ..style })));
    }

    #[test]
    fn playbooks_with_their_parameters_and_problems() {
        let row = |name: &str, problem: Option<&str>| ListRow {
            name: name.into(),
            summary: "Bring ticket-service to event capacity, one hour before the doors open".into(),
            params: vec!["event_id".into(), "level?".into()],
            problem: problem.map(str::to_owned),
        };
        let rows = [row("pre-event", None), row("broken", Some("broken.yaml:4:3: unknown key `stpes`"))];
        assert_snapshot!(list_table(&rows, &Style { width: 80, ..Style::plain(start()) }), @r#"
        PLAYBOOK   SUMMARY                                               PARAMETERS
        pre-event  Bring ticket-service to event capacity, one hour      event_id level?
                   before the doors open
        broken     cannot be run: broken.yaml:4:3: unknown key `stpes`   event_id level?
"#);
    }

    #[test]
    fn where_there_is_nothing_it_says_what_to_do() {
        let style = Style::plain(start());
        assert_eq!(runs_table(&[], &style), "No runs yet. Start one: runsheet run pre-event -p event_id=<uuid>");
        assert!(list_table(&[], &style).starts_with("No playbooks yet."));
    }
}
