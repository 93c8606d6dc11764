//! Finds the expressions in a text: `${{ … }}`.
//!
//! Must not parse what is within. Invariant: a `}}` within a string literal or a map of the expression does not end it.

use super::limits::string_end;

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// As it stands.
    Plain(String),
    /// An expression: its text, trimmed, and how many characters stand before its first, counted from the `$`.
    Expression(String, usize),
    /// A `${{` without its `}}`.
    Unclosed,
}

/// The parts of a text, in order.
pub fn scan(text: &str) -> Vec<Part> {
    if !text.contains("${{") {
        return vec![Part::Plain(text.to_owned())];
    }
    let chars: Vec<char> = text.chars().collect();
    let mut parts = Vec::new();
    let (mut at, mut plain) = (0, 0);
    while at < chars.len() {
        if !chars[at..].starts_with(&['$', '{', '{']) {
            at += 1;
            continue;
        }
        if plain < at {
            parts.push(Part::Plain(chars[plain..at].iter().collect()));
        }
        let Some(end) = close(&chars, at + 3) else {
            parts.push(Part::Unclosed);
            return parts;
        };
        let inner: String = chars[at + 3..end].iter().collect();
        let blank = inner.chars().take_while(|c| c.is_whitespace()).count();
        parts.push(Part::Expression(inner.trim().to_owned(), 3 + blank));
        at = end + 2;
        plain = at;
    }
    if plain < chars.len() {
        parts.push(Part::Plain(chars[plain..].iter().collect()));
    }
    parts
}

/// Where the `}}` is that ends the expression which begins at `at`.
fn close(chars: &[char], mut at: usize) -> Option<usize> {
    let start = at;
    let mut depth = 0_usize;
    while at < chars.len() {
        match chars[at] {
            '"' | '\'' => {
                let raw = at > start && matches!(chars[at - 1], 'r' | 'R');
                at = string_end(chars, at, raw);
                continue;
            }
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' if chars.get(at + 1) == Some(&'}') => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}
