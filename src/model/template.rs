//! Values of a playbook that may hold expressions.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The text between `${{` and `}}`, with where it stands in its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Source {
    /// The CEL expression, without its braces, trimmed.
    pub text: String,
    /// 1-based line of the expression's first character.
    pub line: u32,
    /// 1-based column, in characters.
    pub column: u32,
}

/// A value as written in a playbook. Only `Expression` and `Text` are evaluated, once; what comes out is data and never evaluated again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Template {
    /// Holds no expression anywhere within.
    Literal(Value),
    /// The whole value is one expression: it keeps its type.
    Expression(Source),
    /// Text with expressions in it: the result is a string.
    Text(Vec<Segment>),
    /// A list with an expression somewhere within.
    List(Vec<Template>),
    /// A map with an expression somewhere within its values (keys are never evaluated).
    Map(Vec<(String, Template)>),
}

/// A part of a text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// As it stands.
    Plain(String),
    /// Replaced by its value, printed: strings as they are, everything else as JSON.
    Expression(Source),
}

impl Template {
    /// An empty map, what `with:` is where it is left out.
    pub fn empty_map() -> Self {
        Self::Literal(Value::Object(serde_json::Map::new()))
    }

    /// Every expression within, in the order written.
    pub fn sources(&self) -> Vec<&Source> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Source>) {
        match self {
            Self::Literal(_) => {}
            Self::Expression(source) => found.push(source),
            Self::Text(segments) => found.extend(segments.iter().filter_map(|segment| match segment {
                Segment::Plain(_) => None,
                Segment::Expression(source) => Some(source),
            })),
            Self::List(items) => items.iter().for_each(|item| item.collect(found)),
            Self::Map(entries) => entries.iter().for_each(|(_, value)| value.collect(found)),
        }
    }
}
