//! The table of differences in `docs/sandbox.md`.

use std::fmt::Write;
use std::path::Path;

use super::answer::Difference;

/// The columns.
const HEAD: &str = "| Asked | Where | Sandbox | Kubernetes | Why |";

/// A row of the page.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    ask: String,
    at: String,
    sandbox: String,
    real: String,
    why: String,
}

/// Stands for any text in a row.
const ANY: &str = "…";

impl Row {
    fn parse(line: &str) -> Option<Self> {
        let mut cells = vec![String::new()];
        let mut chars = line.trim().strip_prefix('|')?.strip_suffix('|')?.chars();
        while let Some(char) = chars.next() {
            match (char, cells.last_mut()) {
                ('\\', Some(last)) => last.extend(chars.next()),
                ('|', _) => cells.push(String::new()),
                (char, Some(last)) => last.push(char),
                (_, None) => return None,
            }
        }
        let cells: Vec<String> = cells.iter().map(|cell| cell.trim().to_owned()).collect();
        let [ask, at, sandbox, real, why] = cells.try_into().ok()?;
        Some(Self { ask, at: at.trim_matches('`').to_owned(), sandbox, real, why })
    }

    /// Whether it is about this difference. `*` stands for any text in the first two cells, `…` for any in the others.
    fn covers(&self, difference: &Difference) -> bool {
        let same = |cell: &str, said: &str| cell == ANY || cell == shortened(said);
        matches(&self.ask, &difference.ask)
            && matches(&self.at, &difference.at)
            && same(&self.sandbox, &difference.sandbox)
            && same(&self.real, &difference.real)
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// As much of a text as stands in a cell.
fn shortened(text: &str) -> String {
    let text = text.replace('\n', " ");
    let text = text.trim();
    match text.char_indices().nth(160) {
        Some((end, _)) => format!("{}…", text[..end].trim()),
        None => text.to_owned(),
    }
}

fn written(difference: &Difference) -> String {
    let Difference { ask, at, sandbox, real } = difference;
    let cell = |text: &str| shortened(text).replace('|', "\\|");
    format!("| {} | `{}` | {} | {} | |", cell(ask), cell(at), cell(sandbox), cell(real))
}

/// The page's rows.
pub struct Table(Vec<Row>);

impl Table {
    /// As the page has them.
    pub fn read() -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/sandbox.md");
        let page = std::fs::read_to_string(&file).expect("docs/sandbox.md");
        let lines = page.lines().skip_while(|line| *line != HEAD).skip(2).take_while(|line| line.starts_with('|'));
        Self(lines.map(|line| Row::parse(line).unwrap_or_else(|| panic!("no row: {line}"))).collect())
    }

    /// Whether a row is about this difference.
    pub fn covers(&self, difference: &Difference) -> bool {
        self.0.iter().any(|row| row.covers(difference))
    }

    /// Holds what was found against the page.
    #[track_caller]
    pub fn check(&self, found: &[Difference]) {
        let mut told = String::new();
        for difference in found.iter().filter(|difference| !self.covers(difference)) {
            let _ = write!(told, "\nnot listed:  {}", written(difference));
        }
        for row in &self.0 {
            if row.why.is_empty() {
                let _ = write!(told, "\nno reason:   {} `{}`", row.ask, row.at);
            }
            if !found.iter().any(|difference| row.covers(difference)) {
                let _ = write!(told, "\nthere no more: {} `{}`", row.ask, row.at);
            }
        }
        assert!(told.is_empty(), "docs/sandbox.md and the clusters say different things:{told}");
    }
}

#[test]
fn a_row_covers_what_it_names_and_nothing_else() {
    let row = Row::parse("| * | `status.*` | a \\| b | … | because |").expect("a row");
    let difference =
        |ask: &str, at: &str, sandbox: &str| Difference { ask: ask.into(), at: at.into(), sandbox: sandbox.into(), real: "x".into() };
    assert!(row.covers(&difference("any", "status.phase", "a | b")));
    assert!(!row.covers(&difference("any", "spec.status", "a | b")));
    assert!(!row.covers(&difference("any", "status.phase", "a")));
    assert_eq!(Row::parse("| only | four | cells | here |"), None);
    let long = difference("a", "b", &"x|".repeat(200));
    assert!(Row::parse(&written(&long).replace("| |", "| why |")).expect("a row").covers(&long), "{}", written(&long));
}
