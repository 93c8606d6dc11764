//! One expression, parsed and checked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::bindings::{Bindings, Root};
use crate::model::template::Template;

/// A parsed expression.
pub struct Expression {}

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
    pub fn parse(_text: &str) -> Result<Arc<Self>, ParseError> {
        unimplemented!()
    }

    /// What it refers to.
    pub fn references(&self) -> &References {
        unimplemented!()
    }

    /// Its value.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn evaluate(&self, _bindings: &Bindings) -> Result<Value, EvalError> {
        unimplemented!()
    }
}

/// What the expressions of a template refer to, taken together. Expressions that do not parse are left out: they were refused at load.
pub fn references(_template: &Template) -> References {
    unimplemented!()
}

/// A template's value. What comes out is data: it is never evaluated again.
///
/// # Errors
/// [`EvalError`], with the line and column of the expression that has no value.
pub fn resolve(template: &Template, _bindings: &Bindings) -> Result<Value, EvalError> {
    match template {
        Template::Literal(value) => Ok(value.clone()),
        _ => unimplemented!(),
    }
}
