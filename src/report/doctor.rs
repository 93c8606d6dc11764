//! What an account lacks, playbook by playbook and step by step.
//!
//! Invariant: no colour says what no mark says; names of playbooks and steps are never cut.

use comfy_table::Cell;

use super::environments::whole;
use super::style::{Role, Style};
use super::tables::{painted, table};
use super::text;

/// A line: a playbook, or something that one of its steps lacks.
#[derive(Clone, Debug)]
pub struct AccessRow {
    /// How it came out.
    pub role: Role,
    /// The playbook; empty for what a step lacks.
    pub playbook: String,
    /// The step; empty for the playbook's own line, and where it is that of the line before.
    pub step: String,
    /// Its action; empty where the step is.
    pub uses: String,
    /// In words.
    pub text: String,
}

/// The lines, in the order given.
pub fn access_table(rows: &[AccessRow], style: &Style) -> String {
    let mut table = table(style);
    for row in rows {
        let mark = match row.role {
            Role::Good => "✔",
            Role::Bad => "✘",
            _ => "!",
        };
        let name = if row.playbook.is_empty() && !row.step.is_empty() {
            Cell::new(format!("  {}", text::clean(&row.step)))
        } else {
            Cell::new(text::clean(&row.playbook))
        };
        table.add_row([painted(mark, row.role), name, Cell::new(text::clean(&row.uses)), Cell::new(text::clean(&row.text))]);
    }
    whole(&mut table, &[0, 1, 2]);
    // What is painted begins with an escape sequence, so that no space could be taken off in front of it.
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    table.set_width(u16::try_from(style.width + 1).unwrap_or(u16::MAX));
    table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;

    #[test]
    fn playbooks_and_their_steps_at_80_columns() {
        let row = |role, playbook: &str, step: &str, uses: &str, text: &str| AccessRow {
            role,
            playbook: playbook.into(),
            step: step.into(),
            uses: uses.into(),
            text: text.into(),
        };
        let rows = [
            row(Role::Good, "diagnose-load", "", "", "all of its 6 steps may be done"),
            row(Role::Bad, "scale", "", "", "1 of its 3 steps may not be done"),
            row(Role::Bad, "", "scale", "k8s.scale", "may not patch deployments/scale in namespace production"),
            row(Role::Attention, "", "", "", "its rollback may not list pods in namespace production"),
        ];
        let style = Style { width: 80, ..Style::plain(jiff::Timestamp::UNIX_EPOCH) };
        let shown = access_table(&rows, &style);
        assert!(shown.lines().all(|line| text::columns(line) <= 80), "{shown}");
        assert_snapshot!(shown, @r"
        ✔  diagnose-load             all of its 6 steps may be done
        ✘  scale                     1 of its 3 steps may not be done
        ✘    scale        k8s.scale  may not patch deployments/scale in namespace
                                     production
        !                            its rollback may not list pods in namespace
                                     production
        ");
        let colored = access_table(&rows, &Style { color: true, ..style });
        let plain: Vec<String> = console::strip_ansi_codes(&colored).lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(plain.join("\n"), shown);
    }
}
