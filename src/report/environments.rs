//! Environments: the list of them, one of them, and how a check of one came out.
//!
//! Must not show a secret: a secret is shown by where it comes from. Invariant: at 80 columns no line is cut.

use comfy_table::{Cell, ColumnConstraint};

use super::style::{Role, Style};
use super::tables::{lines, painted, table};
use super::text;

/// A line of the list of environments.
#[derive(Clone, Debug)]
pub struct EnvironmentRow {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// The kubeconfig's context.
    pub context: Option<String>,
    /// Where steps act that name no namespace.
    pub namespace: Option<String>,
    /// How a run in it is confirmed.
    pub confirm: Option<String>,
    /// What is wrong with its file.
    pub problem: Option<String>,
}

/// The list of environments, in the order given.
pub fn environments_table(rows: &[EnvironmentRow], style: &Style) -> String {
    let mut table = table(style);
    table.set_header(["ENVIRONMENT", "CONTEXT", "NAMESPACE", "CONFIRM", "SUMMARY"]);
    let or_none = |text: Option<&str>| Cell::new(text.map_or_else(|| "–".to_owned(), text::clean));
    for row in rows {
        let what = match &row.problem {
            Some(problem) => painted(&format!("cannot be used: {}", text::clean(problem)), Role::Bad),
            None => Cell::new(text::clean(&row.summary)),
        };
        table.add_row([
            Cell::new(text::clean(&row.name)),
            or_none(row.context.as_deref()),
            or_none(row.namespace.as_deref()),
            or_none(row.confirm.as_deref()),
            what,
        ]);
    }
    whole(&mut table, &[0, 3]);
    lines(&table)
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct CheckRow {
    /// How it came out.
    pub role: Role,
    /// What was looked at.
    pub what: String,
    /// In words.
    pub text: String,
    /// What to do.
    pub hint: Option<String>,
}

/// How a check came out, a line for each thing that was looked at.
pub fn checks_table(rows: &[CheckRow], style: &Style) -> String {
    let mut table = table(style);
    for row in rows {
        let mark = match row.role {
            Role::Good => "✔",
            Role::Bad => "✘",
            _ => "!",
        };
        table.add_row([painted(mark, row.role), Cell::new(&row.what), Cell::new(text::clean(&row.text))]);
        for hint in row.hint.iter().flat_map(|hint| hint.lines()) {
            table.add_row([Cell::new(""), Cell::new(""), painted(&format!("→ {}", text::clean(hint)), Role::Plain)]);
        }
    }
    whole(&mut table, &[0, 1]);
    // What is painted begins with an escape sequence, so that no space could be taken off in front of it.
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    table.set_width(u16::try_from(style.width + 1).unwrap_or(u16::MAX));
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

/// Names and what belongs to them.
pub fn facts_table(rows: &[(String, String)], style: &Style) -> String {
    let mut table = table(style);
    for (name, value) in rows {
        table.add_row([painted(name, Role::Quiet), Cell::new(text::clean(value))]);
    }
    whole(&mut table, &[0]);
    lines(&table)
}

/// What is copied and searched for stays whole.
pub(super) fn whole(table: &mut comfy_table::Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    fn style() -> Style {
        Style { width: 80, ..Style::plain(jiff::Timestamp::UNIX_EPOCH) }
    }

    #[test]
    fn the_list_at_80_columns() {
        let row = |name: &str, problem: Option<&str>| EnvironmentRow {
            name: name.into(),
            summary: "The staging cluster, which everybody shares".into(),
            context: Some("arn:aws:eks:eu-central-1:123456789012:cluster/staging".into()),
            namespace: Some("production".into()),
            confirm: Some("name".into()),
            problem: problem.map(str::to_owned),
        };
        let sandbox = EnvironmentRow {
            name: "sandbox".into(),
            summary: "The simulated platform: changes nothing outside itself".into(),
            context: None,
            namespace: Some("production".into()),
            confirm: None,
            problem: None,
        };
        let table = environments_table(&[row("staging", None), row("broken", Some("line 3: unknown key")), sandbox], &style());
        assert!(table.lines().all(|line| text::columns(line) <= 80), "{table}");
        assert!(table.contains("cannot be used"), "{table}");
    }

    #[test]
    fn colours_move_nothing() {
        let rows = [CheckRow { role: Role::Good, what: "uid".into(), text: "it is".into(), hint: Some("x".into()) }];
        let colored = checks_table(&rows, &Style { color: true, ..style() });
        assert!(colored.contains('\u{1b}'));
        let plain: Vec<String> = console::strip_ansi_codes(&colored).lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(plain.join("\n"), checks_table(&rows, &style()));
    }

    #[test]
    fn a_check_at_80_columns() {
        let rows = [
            CheckRow {
                role: Role::Good,
                what: "cluster".into(),
                text: "https://api.example:6443 answered within 12 ms".into(),
                hint: None,
            },
            CheckRow {
                role: Role::Bad,
                what: "secret".into(),
                text: "secret `service_token`: the environment variable SERVICE_TOKEN is not set".into(),
                hint: Some("set it, then check again; a secret's value is never stored, so it has to be there".into()),
            },
        ];
        assert_snapshot!(checks_table(&rows, &style()), @r"
        ✔  cluster  https://api.example:6443 answered within 12 ms
        ✘  secret   secret `service_token`: the environment variable SERVICE_TOKEN is
                    not set
                    → set it, then check again; a secret's value is never stored, so it
                    has to be there
        ");
    }
}
