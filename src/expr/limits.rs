//! What an expression may be at most, looked at before anything parses it.
//!
//! Must not understand the language beyond its tokens. Invariant: a text that passes is parsed within the parser thread's stack, and its tree
//! is walked within a small one (`tests` in `parse` and `evaluate` hold both).

use super::expression::ParseError;

/// The longest expression, in bytes.
pub(super) const BYTES: usize = 4096;
/// The most tokens.
const TOKENS: usize = 800;
/// The deepest nesting of brackets.
const BRACKETS: usize = 24;
/// The longest chain of `!` or `-` before a value.
const UNARY: usize = 8;
/// The most conditional operators `? :`.
const CONDITIONALS: usize = 24;
/// The deepest tree.
pub(super) const DEPTH: usize = 64;
/// The deepest nesting of `all`, `exists`, `exists_one`, `map` and `filter`.
pub(super) const COMPREHENSIONS: usize = 3;

/// Refuses a text that is too long or too deeply nested, or that holds what no expression may.
pub(super) fn check(text: &str) -> Result<(), ParseError> {
    let refuse = |message: String, offset: usize| {
        Err(ParseError { message, offset, length: 1, hint: Some("give its parts names in `vars`, and use those".to_owned()) })
    };
    if text.len() > BYTES {
        return refuse(format!("the expression is {} bytes long; at most {BYTES} are allowed", text.len()), 0);
    }
    if let Some(offset) = text.chars().position(|c| c == '\0') {
        return Err(ParseError { message: "the expression holds a NUL character".to_owned(), offset, length: 1, hint: None });
    }
    let chars: Vec<char> = text.chars().collect();
    let (mut at, mut tokens, mut depth, mut unary, mut conditionals) = (0, 0, 0_usize, 0, 0);
    while at < chars.len() {
        let c = chars[at];
        if c.is_whitespace() {
            at += 1;
            continue;
        }
        tokens += 1;
        if tokens > TOKENS {
            return refuse(format!("the expression has more than {TOKENS} parts"), at);
        }
        match c {
            '(' | '[' | '{' => {
                depth += 1;
                if depth > BRACKETS {
                    return refuse(format!("brackets are nested more than {BRACKETS} deep"), at);
                }
            }
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '?' => {
                conditionals += 1;
                if conditionals > CONDITIONALS {
                    return refuse(format!("there are more than {CONDITIONALS} conditionals (`? :`)"), at);
                }
            }
            _ => {}
        }
        unary = if c == '!' || c == '-' { unary + 1 } else { 0 };
        if unary > UNARY {
            return refuse(format!("there are more than {UNARY} `{c}` in a row"), at);
        }
        at = if c == '"' || c == '\'' {
            string_end(&chars, at, at > 0 && matches!(chars[at - 1], 'r' | 'R'))
        } else if c.is_alphanumeric() || c == '_' {
            at + chars[at..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count()
        } else {
            at + 1
        };
    }
    Ok(())
}

/// The place after the string literal that opens at `at`; the end of the text where it is not closed.
pub(super) fn string_end(chars: &[char], at: usize, raw: bool) -> usize {
    let quote = chars[at];
    let triple = chars.len() > at + 2 && chars[at + 1] == quote && chars[at + 2] == quote;
    let width = if triple { 3 } else { 1 };
    let mut next = at + width;
    while next < chars.len() {
        if chars[next] == '\\' && !raw {
            next += 2;
        } else if chars[next] == quote && (!triple || (next + 2 < chars.len() && chars[next + 1] == quote && chars[next + 2] == quote)) {
            return next + width;
        } else {
            next += 1;
        }
    }
    chars.len()
}
