//! The part of PromQL that playbooks send: numbers, selectors, `rate`, `sum`, `vector`, `/` and `or`.
//!
//! It must not evaluate. Invariant: what is not wholly understood is an error with its place, as Prometheus gives one; nesting is bounded.

use regex::{Regex, RegexBuilder};

/// A query.
#[derive(Debug, Clone)]
pub(super) enum Query {
    Number(f64),
    Selector(Selector),
    /// Over so many seconds.
    Rate(Selector, f64),
    Sum(Box<Query>),
    Vector(Box<Query>),
    Divide(Box<Query>, Box<Query>),
    Or(Box<Query>, Box<Query>),
}

/// Series by their name and labels.
#[derive(Debug, Clone)]
pub(super) struct Selector {
    pub(super) name: String,
    pub(super) matchers: Vec<Matcher>,
}

/// What a label has to be.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    label: String,
    wanted: Wanted,
    negated: bool,
}

#[derive(Debug, Clone)]
enum Wanted {
    Text(String),
    Pattern(Regex),
}

impl Matcher {
    /// Whether a series fits, of which `label` gives each label's value; one that is not there is empty.
    pub(super) fn fits<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let value = label(&self.label).unwrap_or_default();
        let fits = match &self.wanted {
            Wanted::Text(text) => value == text,
            Wanted::Pattern(pattern) => pattern.is_match(value),
        };
        fits != self.negated
    }
}

/// The deepest nesting.
const DEEPEST: usize = 16;

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
}

/// Reads a query.
///
/// # Errors
/// Where and why it cannot be parsed: `1:4: parse error: …`.
pub(super) fn query(text: &str) -> Result<Query, String> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.blank();
    if parser.rest().is_empty() {
        return Err("unknown position: parse error: no expression found in input".to_owned());
    }
    let query = parser.either()?;
    if !parser.rest().is_empty() {
        return Err(parser.wrong(&format!("unexpected \"{}\"", parser.shown())));
    }
    Ok(query)
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn shown(&self) -> String {
        self.rest().chars().take(20).collect()
    }

    fn blank(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn wrong(&self, why: &str) -> String {
        format!("1:{}: parse error: {why}", self.text[..self.at].chars().count() + 1)
    }

    fn takes(&mut self, token: &str) -> bool {
        let there = self.rest().starts_with(token);
        if there {
            self.at += token.len();
            self.blank();
        }
        there
    }

    fn needs(&mut self, token: &str) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(self.wrong(&format!("unexpected \"{}\", expected \"{token}\"", self.shown()))) }
    }

    fn word(&mut self) -> &'a str {
        let length = self.rest().find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')).unwrap_or(self.rest().len());
        let word = &self.rest()[..length];
        self.at += length;
        self.blank();
        word
    }

    fn either(&mut self) -> Result<Query, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(self.wrong("this sandbox takes no query that is nested so deeply"));
        }
        let mut query = self.quotient()?;
        loop {
            let before = self.at;
            if self.word() != "or" {
                self.at = before;
                self.depth -= 1;
                return Ok(query);
            }
            let other = self.quotient()?;
            query = Query::Or(Box::new(query), Box::new(other));
        }
    }

    fn quotient(&mut self) -> Result<Query, String> {
        let mut query = self.term()?;
        while self.takes("/") {
            query = Query::Divide(Box::new(query), Box::new(self.term()?));
        }
        Ok(query)
    }

    fn term(&mut self) -> Result<Query, String> {
        if self.takes("(") {
            let query = self.either()?;
            self.needs(")")?;
            return Ok(query);
        }
        if self.rest().starts_with(|c: char| c.is_ascii_digit()) {
            let length = self.rest().find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(self.rest().len());
            let number = self.rest()[..length].parse().map_err(|_| self.wrong("bad number"))?;
            self.at += length;
            self.blank();
            return Ok(Query::Number(number));
        }
        let begin = self.at;
        let name = self.word();
        match (name, self.rest().starts_with('(')) {
            ("", _) => Err(self.wrong(&format!("unexpected \"{}\"", self.shown()))),
            ("sum" | "vector", true) => {
                self.needs("(")?;
                let inner = Box::new(self.either()?);
                self.needs(")")?;
                Ok(if name == "sum" { Query::Sum(inner) } else { Query::Vector(inner) })
            }
            ("rate", true) => {
                self.needs("(")?;
                let name = self.word();
                let selector = self.selector(name)?;
                self.needs("[")?;
                let range = self.duration()?;
                self.needs("]")?;
                self.needs(")")?;
                Ok(Query::Rate(selector, range))
            }
            (name, true) => {
                self.at = begin;
                Err(self.wrong(&format!("this sandbox knows no function \"{name}\"; it knows rate, sum and vector")))
            }
            (name, false) => self.selector(name).map(Query::Selector),
        }
    }

    fn selector(&mut self, name: &str) -> Result<Selector, String> {
        let mut matchers = Vec::new();
        if self.takes("{") {
            while !self.takes("}") {
                matchers.push(self.matcher()?);
                if !self.takes(",") && !self.rest().starts_with('}') {
                    return Err(self.wrong(&format!("unexpected \"{}\" in label matching, expected \",\" or \"}}\"", self.shown())));
                }
            }
        }
        if name.is_empty() {
            return Err(self.wrong("this sandbox takes no selector without a name"));
        }
        Ok(Selector { name: name.to_owned(), matchers })
    }

    fn matcher(&mut self) -> Result<Matcher, String> {
        let label = self.word().to_owned();
        let operator = ["=~", "!~", "!=", "="].into_iter().find(|operator| self.takes(operator));
        let operator = operator.ok_or_else(|| self.wrong("expected a label matching operator"))?;
        let quote = self.rest().chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.ok_or_else(|| self.wrong("expected a string in label matching"))?;
        let inner = &self.rest()[1..];
        let length = inner.find(quote).ok_or_else(|| self.wrong("unterminated quoted string"))?;
        let text = inner[..length].replace("\\\\", "\\");
        self.at += length + 2;
        self.blank();
        let wanted = if operator.ends_with('~') {
            // A pattern of Prometheus's fits the whole value.
            let built = RegexBuilder::new(&format!("^(?:{text})$")).size_limit(1 << 20).build();
            Wanted::Pattern(built.map_err(|_| self.wrong("error parsing regexp"))?)
        } else {
            Wanted::Text(text)
        };
        Ok(Matcher { label, wanted, negated: operator.starts_with('!') })
    }

    /// In seconds.
    fn duration(&mut self) -> Result<f64, String> {
        let word = self.word();
        let split = word.find(|c: char| !c.is_ascii_digit()).ok_or_else(|| self.wrong("missing unit character in duration"))?;
        let unit = match &word[split..] {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(self.wrong(&format!("not a valid duration string: \"{word}\""))),
        };
        let number: f64 = word[..split].parse().map_err(|_| self.wrong(&format!("not a valid duration string: \"{word}\"")))?;
        if number > 0.0 { Ok(number * unit) } else { Err(self.wrong("duration must be greater than 0")) }
    }
}
