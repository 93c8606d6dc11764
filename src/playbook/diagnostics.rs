//! What is wrong with a playbook, where, and what to do.
//!
//! Must not print. Invariant: a list of problems is bounded, and so is each of its texts, however bad the file.

use std::collections::BTreeSet;

use serde::Serialize;

use super::source::{File, Span};

/// The most problems kept; the rest are counted.
const KEPT: usize = 100;
/// The longest line quoted, in characters.
const LINE: usize = 400;

/// One problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// A stable name: `unknown-key`.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// The file.
    pub path: String,
    /// 1-based; 0: the file as a whole.
    pub line: u32,
    /// 1-based, in characters.
    pub column: u32,
    /// How many characters are meant, on this line.
    pub length: u32,
    /// The line as it stands in the file (shortened where it is very long).
    pub source_line: String,
    /// What stands beside the underlined text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Every problem found, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Diagnostics {
    /// At most a hundred.
    pub problems: Vec<Diagnostic>,
    /// How many more there are.
    pub more: usize,
}

impl std::fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(super::render::render(self, false, 120).trim_end())
    }
}

impl std::error::Error for Diagnostics {}

impl Diagnostics {
    /// One problem with a file as a whole.
    pub(super) fn whole(path: &str, code: &'static str, message: String, hint: Option<String>) -> Self {
        let problem = Diagnostic {
            code,
            message,
            path: path.to_owned(),
            line: 0,
            column: 0,
            length: 0,
            source_line: String::new(),
            label: None,
            hint,
        };
        Self { problems: vec![problem], more: 0 }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.problems.len() + self.more
    }

    /// Puts another file's problems after these.
    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        for problem in other.problems {
            if self.problems.len() < KEPT { self.problems.push(problem) } else { self.more += 1 }
        }
    }
}

/// Collects the problems of one file.
pub(super) struct Problems<'f> {
    file: &'f File,
    found: Vec<Diagnostic>,
    seen: BTreeSet<(u32, u32, &'static str, String)>,
    more: usize,
}

impl<'f> Problems<'f> {
    pub(super) fn new(file: &'f File) -> Self {
        Self { file, found: Vec::new(), seen: BTreeSet::new(), more: 0 }
    }

    /// Adds a problem.
    pub(super) fn add(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.full(code, span, message.into(), None, None);
    }

    /// Adds a problem, with what to do.
    pub(super) fn hint(&mut self, code: &'static str, span: Span, message: impl Into<String>, hint: impl Into<String>) {
        self.full(code, span, message.into(), None, Some(hint.into()));
    }

    /// Adds a problem, with what stands beside the text and what to do.
    pub(super) fn full(&mut self, code: &'static str, span: Span, message: String, label: Option<String>, hint: Option<String>) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        if !self.seen.insert((span.line, span.column, code, message.clone())) {
            return;
        }
        // What YAML itself could not give a value has said so already.
        let unread =
            |problem: &Diagnostic| matches!(problem.code, "alias" | "number") && (problem.line, problem.column) == (span.line, span.column);
        if self.found.iter().any(unread) {
            return;
        }
        let line = self.file.line(span.line);
        let source_line = excerpt(line);
        let rest = u32::try_from(line.chars().count()).unwrap_or(u32::MAX).saturating_sub(span.column.saturating_sub(1));
        let length = span.length.clamp(1, rest.max(1));
        self.found.push(Diagnostic {
            code,
            message,
            path: self.file.name.clone(),
            line: span.line,
            column: span.column,
            length,
            source_line,
            label,
            hint,
        });
    }

    /// Forgets the problems of which this holds, by code, line and column: they only follow from another.
    pub(super) fn forget(&mut self, follows: impl Fn(&str, u32, u32) -> bool) {
        self.found.retain(|problem| !follows(problem.code, problem.line, problem.column));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether further problems are only counted, so that nobody need look for what they could say.
    pub(super) fn is_full(&self) -> bool {
        self.found.len() >= KEPT
    }

    pub(super) fn count(&self) -> usize {
        self.found.len() + self.more
    }

    pub(super) fn finish(mut self) -> Diagnostics {
        self.found.sort_by_key(|problem| (problem.line, problem.column));
        Diagnostics { problems: self.found, more: self.more }
    }
}

/// The line, shortened where it is very long.
fn excerpt(line: &str) -> String {
    if line.chars().count() <= LINE { line.to_owned() } else { line.chars().take(LINE).chain(['…']).collect() }
}

/// The nearest of some names, as a hint, where one is near.
pub fn did_you_mean<'n>(name: &str, among: impl IntoIterator<Item = &'n str>) -> Option<String> {
    // What is longer than any name is no misspelling of one.
    if name.len() > 200 {
        return None;
    }
    let near = among.into_iter().map(|other| (strsim::damerau_levenshtein(name, other), other)).min_by_key(|(distance, _)| *distance)?;
    let (distance, other) = near;
    let limit = (name.chars().count().max(other.chars().count()) / 3).max(1);
    ((distance <= limit && distance < name.chars().count()) || (name.len() > 3 && other.starts_with(name)))
        .then(|| format!("did you mean `{other}`?"))
}
