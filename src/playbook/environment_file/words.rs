//! Diagnostics in the words of environments, without secrets.
//!
//! Must not drop a problem. Invariant: a quoted line shows nothing of what stands where a secret's source belongs, even where the file could not be
//! parsed.

use std::sync::LazyLock;

use regex::Regex;

use super::super::diagnostics::Diagnostics;

/// What no diagnostic may quote.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hidden {
    /// The line it begins on, 1-based.
    pub(super) line: u32,
    /// 1-based, in characters.
    pub(super) column: u32,
    /// In characters, on its first line.
    pub(super) length: u32,
    /// The last line that it reaches to.
    pub(super) last: u32,
}

/// A text after a key that names a secret, as far as a line alone can tell.
static WRITTEN_DOWN: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r#"(?i)(?P<key>(?:password|passwd|passphrase|token|secret|api_?key|private_?key|bearer|credentials)["']?\s*:\s*)(?P<text>[^\s{#\[&*!|>][^,}#]*)"#).ok()
});
/// The password of a URL.
static IN_A_URL: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"(?P<key>://[^\s/:@]*:)(?P<text>[^\s/@]+)@").ok());

/// What stands in the place of a hidden character.
const MARK: char = '•';

/// The same problems, in the words of environments, with the secrets in the lines that they quote hidden.
pub(super) fn without_secrets(mut diagnostics: Diagnostics, hidden: &[Hidden]) -> Diagnostics {
    for problem in &mut diagnostics.problems {
        let mut line: Vec<char> = problem.source_line.chars().collect();
        for one in hidden.iter().filter(|one| (one.line..=one.last).contains(&problem.line)) {
            let (from, length) = if one.line == problem.line {
                (one.column.saturating_sub(1) as usize, if one.last > one.line { usize::MAX } else { one.length as usize })
            } else {
                (0, usize::MAX)
            };
            line.iter_mut().skip(from).take(length).filter(|c| !c.is_whitespace()).for_each(|c| *c = MARK);
        }
        let mut text: String = line.into_iter().collect();
        for pattern in [&*WRITTEN_DOWN, &*IN_A_URL].into_iter().flatten() {
            text = mask(pattern, &text);
        }
        problem.source_line = text;
        let (message, hint) = words(problem.code, &problem.message);
        if let Some(message) = message {
            problem.message = message;
        }
        if let Some(hint) = hint {
            problem.hint = Some(hint.to_owned());
        }
    }
    diagnostics
}

fn mask(pattern: &Regex, line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut done = 0;
    for found in pattern.captures_iter(line) {
        let Some(text) = found.name("text") else { continue };
        out.push_str(line.get(done..text.start()).unwrap_or_default());
        out.extend(text.as_str().chars().map(|c| if c.is_whitespace() { c } else { MARK }));
        done = text.end();
    }
    out.push_str(line.get(done..).unwrap_or_default());
    out
}

/// What is said of every YAML file is said of playbooks where it is made.
fn words(code: &str, message: &str) -> (Option<String>, Option<&'static str>) {
    match code {
        "too-large" => (Some(message.replace("a playbook has", "an environment's file has")), Some("leave out what playbooks do not read")),
        "empty" => (None, Some("an environment begins with `environment: NAME`; `runsheet environment new NAME` drafts one")),
        "text" if !message.contains("UTF-8") => (None, Some("remove it: an environment's file is plain text")),
        "anchor" => (None, Some("write the value where it is used")),
        "alias" => (None, Some("write the value here; a text that begins with `*` is quoted")),
        "too-deep" => (None, Some("an environment is never that deep; look for a bracket too many")),
        "yaml" if message.contains("second document") => (None, Some("one file holds one environment: remove the `---` before this")),
        "read" if message.contains("symbolic link") => (None, Some("put the file itself in its place")),
        _ => (None, None),
    }
}
