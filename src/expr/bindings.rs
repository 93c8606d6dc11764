//! What the roots of expressions stand for in one evaluation.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

/// The roots of expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Root {
    /// Parameters of the playbook.
    Params,
    /// Values computed once, at the start.
    Vars,
    /// `steps.<id>.{status,outputs}` of ancestors.
    Steps,
    /// The environment's values.
    Target,
    /// Secrets, allowed only as a whole value in inputs typed secret; never bound.
    Secrets,
    /// The item of a `for_each`.
    Item,
    /// The latest reading, in checks and outputs.
    Result,
    /// What was there before, in checks after and in `rollback`.
    Prior,
}

impl Root {
    /// Every root, in the order documented.
    pub const ALL: [Self; 8] = [Self::Params, Self::Vars, Self::Steps, Self::Target, Self::Secrets, Self::Item, Self::Result, Self::Prior];

    /// As written in expressions.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Params => "params",
            Self::Vars => "vars",
            Self::Steps => "steps",
            Self::Target => "target",
            Self::Secrets => "secrets",
            Self::Item => "item",
            Self::Result => "result",
            Self::Prior => "prior",
        }
    }
}

/// Values for roots. A root that is not bound is an error where it is used. `Steps` is bound to a map of just the steps that
/// [`References`](super::References) names.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    values: BTreeMap<Root, Arc<Value>>,
}

impl Bindings {
    /// Nothing bound.
    pub fn new() -> Self {
        Self::default()
    }

    /// With this root bound.
    #[must_use]
    pub fn with(mut self, root: Root, value: impl Into<Arc<Value>>) -> Self {
        self.values.insert(root, value.into());
        self
    }

    /// What a root is bound to.
    pub fn get(&self, root: Root) -> Option<&Arc<Value>> {
        self.values.get(&root)
    }
}
