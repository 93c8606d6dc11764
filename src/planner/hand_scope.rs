//! What the roots of expressions stand for where a playbook is done by hand.
//!
//! Must not guess. Invariant: a value that depends on anything unknown is not known, unless it is only handed on.

use std::collections::BTreeSet;

use serde_json::Value;

use super::hand_words::one_line;
use crate::expr::{Bindings, Expression, Root, resolve};
use crate::model::by_hand::variables_in;
use crate::model::template::{Source, Template};

/// What the roots stand for in one playbook.
pub(super) struct Scope {
    pub(super) bindings: Bindings,
    /// Before the names of variables: `caller_`.
    pub(super) prefix: String,
    /// Before the paths of steps: `caller/`.
    pub(super) place: String,
}

impl Scope {
    /// The value at a path, as far as there is one; what a variable stands for is the variable.
    pub(super) fn at(&self, root: Root, keys: &[&str]) -> Option<Value> {
        let root = self.bindings.get(root)?;
        keys.iter().try_fold(&**root, |at, key| at.get(key).or((!at.is_object() && !at.is_null()).then_some(at))).cloned()
    }

    /// The value of an expression: what a run would have, or what is only handed on.
    pub(super) fn known(&self, source: &Source) -> Option<Value> {
        let value = resolve(&Template::Expression(source.clone()), &self.bindings).ok()?;
        (passes_on(&source.text) || self.unknowns(source).is_some_and(|unknown| unknown.is_empty())).then_some(value)
    }

    /// The names of the variables that an expression looks at; `None`: it looks at something of which not even that is known.
    pub(super) fn unknowns(&self, source: &Source) -> Option<BTreeSet<String>> {
        let expression = Expression::parse(&source.text).ok()?;
        let mut names = BTreeSet::new();
        for used in expression.uses(&BTreeSet::new()) {
            let keys: Vec<&str> = used.keys.iter().map(String::as_str).collect();
            // What the target or a parameter does not have, it will not have later either.
            let there = matches!(used.root, Root::Target | Root::Params | Root::Vars) && self.bindings.get(used.root).is_some();
            match self.at(used.root, &keys) {
                Some(value) => names.extend(variables_in(&value.to_string()).into_iter().map(str::to_owned)),
                None if there => {}
                None => return None,
            }
        }
        Some(names)
    }

    /// Whether an expression looks at what a step answers, or at one of several items: it is not known before that.
    pub(super) fn is_late(&self, source: &Source, late: &BTreeSet<String>) -> bool {
        let roots = Expression::parse(&source.text).map(|parsed| parsed.references().roots.clone()).unwrap_or_default();
        roots.contains(&Root::Steps) || self.unknowns(source).is_some_and(|names| names.iter().any(|name| late.contains(name)))
    }

    /// As the playbook has it: `${{ … }}`.
    pub(super) fn as_written(source: &Source) -> String {
        format!("${{{{ {} }}}}", one_line(&source.text))
    }
}

/// Whether an expression only hands values on: paths, texts, `+` and `string()`.
fn passes_on(text: &str) -> bool {
    let mut bare = String::new();
    let mut quote = None;
    for c in text.chars() {
        match quote {
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if c == '"' || c == '\'' => quote = Some(c),
            None => bare.push(c),
        }
    }
    let bare = bare.replace("string(", "(");
    // A call or an operator other than `+` would look at the value.
    let plain = bare.chars().all(|c| c.is_alphanumeric() || "_.+()[] \n\t".contains(c));
    let calls = bare.as_bytes().windows(2).any(|pair| pair[1] == b'(' && (pair[0].is_ascii_alphanumeric() || pair[0] == b'_'));
    let computed = bare.as_bytes().windows(2).any(|pair| pair[0] == b'[' && pair[1].is_ascii_alphabetic());
    plain && !calls && !computed
}
