//! Values that may hold expressions.
//!
//! Must not evaluate. Invariant: each expression that is in a template is also in the reader's list of occurrences, with the scope it stands in.

use std::sync::Arc;

use serde_json::Value;

use super::reader::{Reader, has_expression};
use super::source::{File, Span};
use super::yaml::{Kind, Node};
use crate::expr::{Expression, Part, scan};
use crate::model::template::{Segment, Source, Template};

/// What a secret stands in where it may.
pub(super) const SECRET: &str = "a secret input";

/// What an expression may refer to where it stands, beyond `params` and `target`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope {
    /// What it stands in, for messages: ``"`when`"``.
    pub(super) what: &'static str,
    /// The index of the step it belongs to.
    pub(super) owner: Option<usize>,
    pub(super) steps: bool,
    pub(super) item: bool,
    pub(super) result: bool,
    pub(super) prior: bool,
    /// Whether a null that is passed on as a whole does no harm.
    pub(super) null: bool,
    /// Whether it is evaluated before or apart from the step's `when`, which then guards nothing.
    pub(super) before_when: bool,
}

impl Scope {
    /// What stands in `vars` or the like: nothing but the parameters and the target.
    pub(super) const TOP: Self =
        Self { what: "here", owner: None, steps: false, item: false, result: false, prior: false, null: false, before_when: true };

    /// What stands in a step.
    pub(super) fn of_step(owner: usize, what: &'static str, item: bool) -> Self {
        Self { what, owner: Some(owner), steps: true, item, before_when: false, ..Self::TOP }
    }

    pub(super) fn with_result(self) -> Self {
        Self { result: true, ..self }
    }

    pub(super) fn with_prior(self) -> Self {
        Self { prior: true, ..self }
    }
}

/// One expression and where it stands.
#[derive(Debug)]
pub(super) struct Occurrence {
    pub(super) expression: Arc<Expression>,
    pub(super) scope: Scope,
    pub(super) place: ExpressionPlace,
    /// Whether it is the whole value.
    pub(super) whole: bool,
}

/// Where an expression's text stands in its file.
#[derive(Clone, Copy, Debug)]
pub(super) struct ExpressionPlace {
    /// Byte offset of its first character.
    start: usize,
    /// The quote its text stands in, if any.
    quote: char,
}

impl ExpressionPlace {
    /// The place of a part of it, counted in characters.
    pub(super) fn part(self, file: &File, offset: usize, length: usize) -> Span {
        let rest = file.text.get(self.start..).unwrap_or_default();
        file.place(self.start + advance(rest, self.quote, offset), length)
    }
}

/// How many bytes of a scalar's text as written stand for so many of its characters.
fn advance(raw: &str, quote: char, characters: usize) -> usize {
    let mut chars = raw.char_indices().peekable();
    for _ in 0..characters {
        // An escaped line end and the indentation after it stand for nothing.
        while quote == '"' && chars.peek().is_some_and(|(at, _)| raw[*at..].starts_with("\\\n") || raw[*at..].starts_with("\\\r")) {
            chars.next();
            while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        }
        match chars.next() {
            Some((_, '\\')) if quote == '"' => {
                chars.next();
            }
            Some((_, '\'')) if quote == '\'' => {
                chars.next();
            }
            // A line that is folded into the next counts as one space, whatever its indentation.
            Some((_, c)) if c.is_whitespace() && quote != '|' => {
                let at = chars.peek().map_or(raw.len(), |(at, _)| *at);
                let blank: usize = raw[at..].chars().take_while(|c| c.is_whitespace()).map(char::len_utf8).sum();
                if c == '\n' || c == '\r' || raw[at..at + blank].contains('\n') {
                    while chars.peek().is_some_and(|(next, _)| *next < at + blank) {
                        chars.next();
                    }
                }
            }
            Some(_) => {}
            None => break,
        }
    }
    while quote == '"' && chars.peek().is_some_and(|(at, _)| raw[*at..].starts_with("\\\n") || raw[*at..].starts_with("\\\r")) {
        chars.next();
        while chars.next_if(|(_, c)| c.is_whitespace()).is_some() {}
    }
    chars.peek().map_or(raw.len(), |(at, _)| *at)
}

impl Reader<'_> {
    /// A value that may hold expressions.
    pub(super) fn template(&mut self, node: &Node, scope: Scope) -> Template {
        if !has_expression(node) {
            return Template::Literal(self.literal(node, scope.what));
        }
        match &node.kind {
            Kind::Text(text, _) => self.text_template(node, text, scope),
            Kind::List(items) => Template::List(items.iter().map(|item| self.template(item, scope)).collect()),
            Kind::Map(entries) => {
                Template::Map(entries.iter().map(|(key, value)| (key.name.clone(), self.template(value, scope))).collect())
            }
            _ => Template::Literal(Value::Null),
        }
    }

    fn text_template(&mut self, node: &Node, text: &str, scope: Scope) -> Template {
        let parts = scan(text);
        let whole = matches!(parts.as_slice(), [Part::Expression(..)]) || only_expression(&parts);
        let places = self.places(node);
        let mut segments = Vec::with_capacity(parts.len());
        let mut next = places.into_iter();
        for part in parts {
            match part {
                Part::Plain(plain) => segments.push(Segment::Plain(plain)),
                Part::Unclosed => {
                    let place = next.next();
                    self.unclosed(node, place);
                    return Template::Literal(Value::Null);
                }
                Part::Expression(source, blank) => {
                    let Some((dollar, quote)) = next.next() else { continue };
                    let rest = self.file.text.get(dollar..).unwrap_or_default();
                    let place = ExpressionPlace { start: dollar + advance(rest, quote, blank), quote };
                    let span = place.part(self.file, 0, 1);
                    match Expression::parse(&source) {
                        Ok(expression) => self.occurrences.push(Occurrence { expression, scope, place, whole }),
                        Err(error) => {
                            let span = place.part(self.file, error.offset, error.length);
                            self.problems.full("expression", span, error.message, None, error.hint);
                        }
                    }
                    segments.push(Segment::Expression(Source { text: source, line: span.line, column: span.column }));
                }
            }
        }
        if whole {
            segments.retain(|segment| matches!(segment, Segment::Expression(_)));
            if let Some(Segment::Expression(source)) = segments.pop() {
                return Template::Expression(source);
            }
        }
        Template::Text(segments)
    }

    /// Where each `${{` of a text stands in the file, and in which quotes.
    pub(super) fn places(&self, node: &Node) -> Vec<(usize, char)> {
        let raw = self.file.text.get(node.span.start..node.span.end).unwrap_or_default();
        let quote = raw.chars().next().filter(|c| matches!(c, '"' | '\'' | '|' | '>')).unwrap_or(' ');
        let mut places = Vec::new();
        let mut from = 0;
        while let Some(at) = raw.get(from..).and_then(|rest| rest.find("${{")) {
            places.push((node.span.start + from + at, quote));
            from += at + 3;
            // A `${{` within an expression's string is not one of its own.
            let rest = &raw[from..];
            if let Some(Part::Expression(text, blank)) = scan(&format!("${{{{{rest}")).first() {
                from += advance(rest, quote, text.chars().count() + blank.saturating_sub(3));
            }
        }
        places
    }

    /// Says what became of a `${{` without `}}`.
    fn unclosed(&mut self, node: &Node, place: Option<(usize, char)>) {
        let span = place.map_or(node.span, |(at, _)| self.file.place(at, 3));
        let line = self.file.line(span.line);
        let comment = line.chars().skip((span.column as usize).saturating_sub(1)).collect::<String>().contains(" #");
        if comment && place.is_none_or(|(_, quote)| quote == ' ') {
            let hint = "put the whole value in quotes, or the `#` right after a character";
            self.problems.full(
                "lost-expression",
                span,
                "YAML takes ` #` and all after it for a comment".to_owned(),
                Some("this `${{` lost its `}}`".to_owned()),
                Some(hint.to_owned()),
            );
        } else {
            let hint = "an expression is written `${{ … }}`";
            self.problems.full("lost-expression", span, "this `${{` has no `}}`".to_owned(), None, Some(hint.to_owned()));
        }
    }

    /// A condition: one expression and nothing else.
    pub(super) fn source(&mut self, node: &Node, scope: Scope) -> Option<Source> {
        let what = scope.what;
        if let Kind::Text(text, _) = &node.kind {
            if !text.contains("${{") {
                self.problems.hint(
                    "expression",
                    node.span,
                    format!("{what} is an expression"),
                    format!("write `${{{{ {} }}}}`", text.trim()),
                );
                return None;
            }
            let before = self.problems.count();
            return match self.text_template(node, text, scope) {
                Template::Expression(source) => {
                    if let Some(kind) = self.occurrences.last().and_then(|last| last.expression.certain_type())
                        && kind != "boolean"
                        && before == self.problems.count()
                    {
                        self.problems.add("wrong-type", node.span, format!("{what} gives true or false, and this gives {}", article(kind)));
                    }
                    Some(source)
                }
                _ => {
                    if before == self.problems.count() {
                        self.problems.hint(
                            "expression",
                            node.span,
                            format!("{what} is one expression, with nothing around it"),
                            "write the whole condition within one `${{ … }}`",
                        );
                    }
                    None
                }
            };
        }
        self.problems.hint("wrong-type", node.span, format!("{what} is an expression, not {}", node.describe()), "write `${{ … }}`");
        None
    }
}

/// Whether there is one expression with nothing but blanks around it (a block scalar ends with a line feed).
fn only_expression(parts: &[Part]) -> bool {
    let mut expressions = 0;
    parts.iter().all(|part| match part {
        Part::Plain(plain) => plain.trim().is_empty() && plain.contains('\n'),
        Part::Expression(..) => {
            expressions += 1;
            true
        }
        Part::Unclosed => false,
    }) && expressions == 1
}

/// A type's name with its article.
pub(super) fn article(kind: &str) -> String {
    match kind {
        "null" => "nothing".to_owned(),
        "integer" | "array" | "object" => format!("an {kind}").replace("an array", "a list").replace("an object", "a map"),
        _ => format!("a {kind}"),
    }
}
