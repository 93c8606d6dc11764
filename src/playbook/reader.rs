//! From the tree to values of the model: the small parts that every key shares.
//!
//! Must not stop at the first mistake. Invariant: what cannot be read leaves a problem behind, so that a default in its place is never used.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::diagnostics::{Problems, did_you_mean};
use super::source::{File, Span as Place};
use super::template::Occurrence;
use super::yaml::{Key, Kind, Node};
use crate::expr::scan;
use crate::model::catalogue::Catalogue;
use crate::model::duration::Span;

/// What reading one file carries along.
pub(super) struct Reader<'f> {
    pub(super) file: &'f File,
    pub(super) catalogue: &'f Catalogue,
    pub(super) problems: Problems<'f>,
    /// Every expression found, with where it stands.
    pub(super) occurrences: Vec<Occurrence>,
    /// Whether anything needs a target.
    pub(super) needs_target: bool,
    /// Parameters that are declared wrongly: they are there all the same.
    pub(super) misdeclared: BTreeSet<String>,
    /// Schemas of inputs, compiled when first needed.
    pub(super) validators: HashMap<String, Option<Arc<jsonschema::Validator>>>,
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f File, catalogue: &'f Catalogue) -> Self {
        let problems = Problems::new(file);
        Self {
            file,
            catalogue,
            problems,
            occurrences: Vec::new(),
            needs_target: false,
            misdeclared: BTreeSet::new(),
            validators: HashMap::new(),
        }
    }

    /// The entries of a map whose keys are all known.
    pub(super) fn map<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<&'n [(Key, Node)]> {
        let Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, &format!("{what} is a map"));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.name.as_str()) && !key.name.is_empty() && key.name != "<<" {
                if self.problems.is_full() {
                    self.problems.add("unknown-key", key.span, "");
                    continue;
                }
                let hint = did_you_mean(&key.name, known.iter().copied()).unwrap_or_else(|| format!("it may have: {}", known.join(", ")));
                let name: String = key.name.chars().take(80).collect();
                self.problems.hint("unknown-key", key.span, format!("{what} has no key `{name}`"), hint);
            }
        }
        Some(entries)
    }

    /// A map with any keys.
    pub(super) fn entries<'n>(&mut self, node: &'n Node, what: &str) -> &'n [(Key, Node)] {
        match &node.kind {
            Kind::Map(entries) => entries,
            _ => {
                self.wrong_type(node, &format!("{what} is a map"));
                &[]
            }
        }
    }

    /// The items of a list.
    pub(super) fn items<'n>(&mut self, node: &'n Node, what: &str) -> &'n [Node] {
        match &node.kind {
            Kind::List(items) => items,
            _ => {
                self.wrong_type(node, &format!("{what} is a list"));
                &[]
            }
        }
    }

    pub(super) fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let message = format!("{wanted}, not {}", node.describe());
        self.problems.add("wrong-type", node.span, message);
    }

    pub(super) fn missing(&mut self, span: Place, what: &str, key: &str, hint: &str) {
        self.problems.hint("missing-key", span, format!("{what} needs `{key}`"), hint);
    }

    /// A text in which no expression may stand.
    pub(super) fn text(&mut self, node: &Node, what: &str) -> Option<String> {
        match &node.kind {
            Kind::Text(text, _) => {
                if text.contains("${{") {
                    self.problems.add(
                        "expression",
                        node.span,
                        format!("{what} cannot hold an expression: it is read before anything runs"),
                    );
                    return None;
                }
                Some(text.clone())
            }
            Kind::Int(_) | Kind::Float(_) | Kind::Bool(_) => {
                self.problems.hint("wrong-type", node.span, format!("{what} is a string, not {}", node.describe()), "put it in quotes");
                None
            }
            _ => {
                self.wrong_type(node, &format!("{what} is a string"));
                None
            }
        }
    }

    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        match &node.kind {
            Kind::Bool(value) => Some(*value),
            _ => {
                self.wrong_type(node, &format!("{what} is `true` or `false`"));
                None
            }
        }
    }

    /// A whole number of at least 1.
    pub(super) fn count(&mut self, node: &Node, what: &str) -> Option<u32> {
        match &node.kind {
            Kind::Int(number) if (1..=100_000).contains(number) => u32::try_from(*number).ok(),
            Kind::Int(_) => {
                self.problems.add("wrong-value", node.span, format!("{what} is a whole number from 1 to 100000"));
                None
            }
            _ => {
                self.wrong_type(node, &format!("{what} is a whole number"));
                None
            }
        }
    }

    pub(super) fn duration(&mut self, node: &Node, what: &str) -> Option<Span> {
        match &node.kind {
            Kind::Text(text, _) if text.contains("${{") => {
                self.problems.add("expression", node.span, format!("{what} cannot be an expression: write a duration such as `90s`"));
                None
            }
            Kind::Text(text, _) => text
                .parse()
                .map_err(|error: crate::model::duration::NotASpan| self.problems.add("duration", node.span, error.to_string()))
                .ok(),
            Kind::Int(number) => {
                self.problems.hint(
                    "duration",
                    node.span,
                    format!("{what} is a duration, and a duration has a unit"),
                    format!("write `{number}s` or `{number}m`"),
                );
                None
            }
            _ => {
                self.wrong_type(node, &format!("{what} is a duration (`90s`, `10m`, `1h30m`)"));
                None
            }
        }
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&mut self, node: &Node, what: &str, choices: &[(&str, T)]) -> Option<T> {
        let text = self.text(node, what)?;
        if let Some((_, value)) = choices.iter().find(|(name, _)| *name == text) {
            return Some(*value);
        }
        let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
        let hint = did_you_mean(&text, names.iter().copied()).unwrap_or_else(|| format!("it is one of: {}", names.join(", ")));
        self.problems.hint("wrong-value", node.span, format!("{what} cannot be `{text}`"), hint);
        None
    }

    /// An id: `[a-z][a-z0-9_]*`.
    pub(super) fn id(&mut self, text: &str, span: Place, what: &str) -> bool {
        self.name(text, span, what, '_', "lower-case letters, digits and `_`")
    }

    /// The name of a playbook: `[a-z][a-z0-9-]*`.
    pub(super) fn file_name(&mut self, text: &str, span: Place, what: &str) -> bool {
        self.name(text, span, what, '-', "lower-case letters, digits and `-`")
    }

    fn name(&mut self, text: &str, span: Place, what: &str, joint: char, letters: &str) -> bool {
        let good = is_name(text, joint);
        if !good && !text.is_empty() {
            let mut better: String = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { joint }).collect();
            better = better.trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
            let message =
                format!("`{}` cannot be {what}: it begins with a letter and has {letters} only", text.chars().take(60).collect::<String>());
            let hint = if is_name(&better, joint) {
                format!("`{}` would do", better.chars().take(60).collect::<String>())
            } else {
                "choose another".to_owned()
            };
            self.problems.hint("bad-name", span, message, hint);
        } else if text.is_empty() {
            self.problems.add("bad-name", span, format!("{what} cannot be empty"));
        }
        good
    }

    /// A value in which no expression may stand.
    pub(super) fn literal(&mut self, node: &Node, what: &str) -> Value {
        match &node.kind {
            Kind::Null => Value::Null,
            Kind::Bool(value) => Value::Bool(*value),
            Kind::Int(value) => Value::from(*value),
            Kind::Float(value) => Value::from(*value),
            Kind::Text(text, _) => {
                if text.contains("${{") {
                    self.problems.add("expression", node.span, format!("{what} cannot hold an expression"));
                }
                Value::String(text.clone())
            }
            Kind::List(items) => Value::Array(items.iter().map(|item| self.literal(item, what)).collect()),
            Kind::Map(entries) => Value::Object(entries.iter().map(|(key, value)| (key.name.clone(), self.literal(value, what))).collect()),
        }
    }
}

/// Whether a text is a name with this joint.
pub(super) fn is_name(text: &str, joint: char) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint)
        && text.len() <= 63
}

/// Whether any text within holds an expression.
pub(super) fn has_expression(node: &Node) -> bool {
    match &node.kind {
        Kind::Text(text, _) => scan(text).iter().any(|part| !matches!(part, crate::expr::Part::Plain(_))),
        Kind::List(items) => items.iter().any(has_expression),
        Kind::Map(entries) => entries.iter().any(|(_, value)| has_expression(value)),
        _ => false,
    }
}
