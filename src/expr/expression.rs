//! One expression, parsed and checked, and the values of templates.
//!
//! Must not remember values: only parsed texts are kept, and not too many. Invariant: whatever `parse` gave can be evaluated within the limits.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock, RwLock};

use serde_json::Value;

use super::bindings::{Bindings, Root};
use super::tree::{Kind, Node};
use super::uses::{self, Fact, Use};
use super::{evaluate, parse, words};
use crate::model::template::{Segment, Source, Template};

/// How much text the parsed expressions that are kept may have, in bytes. More than the largest playbook holds, so that a run parses each once.
const KEPT: usize = 2 << 20;

#[derive(Default)]
struct Parsed {
    by_text: HashMap<String, Arc<Expression>>,
    bytes: usize,
}

static PARSED: LazyLock<RwLock<Parsed>> = LazyLock::new(RwLock::default);

/// A parsed expression.
#[derive(Debug)]
pub struct Expression {
    text: String,
    tree: Node,
    references: References,
}

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Where, in characters from the start of the expression's text.
    pub offset: usize,
    /// How many characters.
    pub length: usize,
    /// What to do.
    pub hint: Option<String>,
}

/// Why an expression has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct EvalError {
    /// What happened, with the expression's text and its line and column where a template gave them.
    pub message: String,
}

/// What an expression refers to. Names bound by a comprehension are not references.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct References {
    /// The roots used.
    pub roots: BTreeSet<Root>,
    /// The ids of steps used (`steps.<id>`); steps can only be named, never computed.
    pub steps: BTreeSet<String>,
}

impl Expression {
    /// Parses, within the limits. Parsed expressions are cached by their text.
    ///
    /// # Errors
    /// [`ParseError`]
    pub fn parse(text: &str) -> Result<Arc<Self>, ParseError> {
        let known = PARSED.read().unwrap_or_else(std::sync::PoisonError::into_inner).by_text.get(text).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let tree = parse::parse(text)?;
        let mut references = References::default();
        collect(&tree, &mut references);
        let expression = Arc::new(Self { text: text.to_owned(), tree, references });
        let mut parsed = PARSED.write().unwrap_or_else(std::sync::PoisonError::into_inner);
        if parsed.bytes + text.len() > KEPT {
            *parsed = Parsed::default();
        }
        // Two threads may have parsed the same text: it counts once.
        if parsed.by_text.insert(text.to_owned(), expression.clone()).is_none() {
            parsed.bytes += text.len().max(1);
        }
        Ok(expression)
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it refers to.
    pub fn references(&self) -> &References {
        &self.references
    }

    /// Every path it uses (`params.level`, `steps.scale.outputs.ready`), with where it stands and whether it may be null there, given facts that hold
    /// already.
    pub fn uses(&self, known: &BTreeSet<Fact>) -> Vec<Use> {
        uses::uses(&self.tree, known)
    }

    /// What holds wherever the expression is true.
    pub fn facts_when_true(&self) -> BTreeSet<Fact> {
        uses::facts(&self.tree, true)
    }

    /// The name of the secret, where the whole expression is `secrets.NAME`.
    pub fn secret(&self) -> Option<&str> {
        match self.tree.path()? {
            (Root::Secrets, keys) if keys.len() == 1 => keys.first().copied(),
            _ => None,
        }
    }

    /// Whether it is one path and nothing more: `steps.scale.outputs.ready`.
    pub fn is_path(&self) -> bool {
        self.tree.path().is_some()
    }

    /// The type that its value certainly has, as a JSON Schema names it; `None` where that depends on data.
    pub fn certain_type(&self) -> Option<&'static str> {
        uses::certain_type(&self.tree)
    }

    /// As a condition in words that a person can check; `name` says what each path stands for.
    pub fn condition_in_words(&self, name: words::Name<'_>) -> String {
        words::condition(&self.tree, name)
    }

    /// As a value in words.
    pub fn value_in_words(&self, name: words::Name<'_>) -> String {
        words::thing(&self.tree, name)
    }

    /// Its value.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn evaluate(&self, bindings: &Bindings) -> Result<Value, EvalError> {
        evaluate::evaluate(&self.tree, bindings).map_err(|message| EvalError { message: format!("`{}`: {message}", shortened(&self.text)) })
    }
}

fn shortened(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if line.chars().count() <= 160 { line } else { line.chars().take(159).chain(['…']).collect() }
}

fn collect(node: &Node, references: &mut References) {
    if let Kind::Root(root) = node.kind {
        references.roots.insert(root);
    }
    if let Some((Root::Steps, keys)) = node.path()
        && let [id] = keys.as_slice()
    {
        references.steps.insert((*id).to_owned());
    }
    if let Kind::Has(of, key) = &node.kind
        && matches!(of.kind, Kind::Root(Root::Steps))
    {
        references.steps.insert(key.clone());
    }
    node.children(&mut |child| collect(child, references));
}

/// What the expressions of a template refer to, taken together. Expressions that do not parse are left out: they were refused at load.
pub fn references(template: &Template) -> References {
    let mut all = References::default();
    for source in template.sources() {
        if let Ok(expression) = Expression::parse(&source.text) {
            all.roots.extend(&expression.references.roots);
            all.steps.extend(expression.references.steps.iter().cloned());
        }
    }
    all
}

/// A template's value. What comes out is data: it is never evaluated again.
///
/// # Errors
/// [`EvalError`], with the line and column of the expression that has no value.
pub fn resolve(template: &Template, bindings: &Bindings) -> Result<Value, EvalError> {
    match template {
        Template::Literal(value) => Ok(value.clone()),
        Template::Expression(source) => value_of(source, bindings),
        Template::Text(segments) => {
            let mut text = String::new();
            for segment in segments {
                match segment {
                    Segment::Plain(plain) => text.push_str(plain),
                    Segment::Expression(source) => match value_of(source, bindings)? {
                        Value::String(value) => text.push_str(&value),
                        value => text.push_str(&value.to_string()),
                    },
                }
            }
            Ok(Value::String(text))
        }
        Template::List(items) => items.iter().map(|item| resolve(item, bindings)).collect(),
        Template::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| Ok((key.clone(), resolve(value, bindings)?)));
            Ok(Value::Object(entries.collect::<Result<_, EvalError>>()?))
        }
    }
}

fn value_of(source: &Source, bindings: &Bindings) -> Result<Value, EvalError> {
    let at = |message: String| EvalError { message: format!("line {}, column {}: {message}", source.line, source.column) };
    let expression = Expression::parse(&source.text).map_err(|error| at(format!("`{}`: {error}", shortened(&source.text))))?;
    expression.evaluate(bindings).map_err(|error| at(error.message))
}
