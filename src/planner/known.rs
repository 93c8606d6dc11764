//! What is known in one playbook before any of its steps has run, and the values of templates as far as that goes.
//!
//! Must not evaluate anything that uses what is not known.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::expr::{Bindings, Expression, Root, resolve};
use crate::machine;
use crate::model::by_hand;
use crate::model::playbook::Playbook;
use crate::model::run::TargetSpec;
use crate::model::template::{Source, Template};

/// Names with their values, and those whose values are known later.
#[derive(Clone, Debug, Default)]
pub(super) struct Partial {
    known: Map<String, Value>,
    later: BTreeSet<String>,
}

impl Partial {
    pub fn whole(known: Map<String, Value>) -> Self {
        Self { known, later: BTreeSet::new() }
    }

    /// Whether the value at these keys is not known yet; without keys, of any.
    fn is_later(&self, keys: &[String]) -> bool {
        keys.first().map_or(!self.later.is_empty(), |name| self.later.contains(name))
    }
}

/// The item of a `for_each`.
#[derive(Clone, Debug)]
pub(super) enum Item {
    None,
    Known(Value),
    Later,
}

/// What the roots of expressions stand for.
#[derive(Clone, Debug)]
pub(super) struct Known<'a> {
    target: Option<&'a TargetSpec>,
    params: Partial,
    vars: Partial,
    item: Item,
    bindings: Bindings,
}

/// A value, or what it depends on.
pub(super) enum Found {
    Value(Value),
    Later(String),
}

impl<'a> Known<'a> {
    pub fn new(params: Partial, vars: Partial, target: Option<&'a TargetSpec>) -> Self {
        let mut bindings =
            Bindings::new().with(Root::Params, Value::Object(params.known.clone())).with(Root::Vars, Value::Object(vars.known.clone()));
        if let Some(target) = target {
            bindings = bindings.with(Root::Target, Value::Object(target.values.clone()));
        }
        Self { target, params, vars, item: Item::None, bindings }
    }

    /// What is known of a playbook that would be started with these parameters, of which some may be missing.
    pub fn started(playbook: &Playbook, params: &Map<String, Value>, target: &'a TargetSpec) -> Self {
        let later = playbook.params.iter().map(|param| &param.name).filter(|name| !params.contains_key(*name)).cloned().collect();
        let nothing = Self::new(Partial::default(), Partial::default(), Some(target));
        nothing.within(playbook, Partial { known: params.clone(), later })
    }

    /// The same within an instance of a `for_each`.
    pub fn with_item(&self, item: Item) -> Self {
        let mut inner = self.clone();
        if let Item::Known(value) = &item {
            inner.bindings = inner.bindings.with(Root::Item, value.clone());
        }
        inner.item = item;
        inner
    }

    pub fn target(&self) -> Option<&'a TargetSpec> {
        self.target
    }

    /// Whether an expression uses what is not known yet.
    fn is_later(&self, source: &Source) -> bool {
        let Ok(expression) = Expression::parse(&source.text) else { return false };
        expression.uses(&BTreeSet::new()).iter().any(|used| match used.root {
            Root::Params => self.params.is_later(&used.keys),
            Root::Vars => self.vars.is_later(&used.keys),
            Root::Item => matches!(self.item, Item::Later),
            Root::Steps | Root::Result | Root::Prior | Root::Secrets => true,
            Root::Target => false,
        })
    }

    /// A template's value.
    ///
    /// # Errors
    /// When it is known to have none.
    pub fn find(&self, template: &Template) -> Result<Found, String> {
        if let Some(source) = template.sources().into_iter().find(|source| self.is_later(source)) {
            return Ok(Found::Later(source.text.clone()));
        }
        resolve(template, &self.bindings).map(Found::Value).map_err(|error| error.to_string())
    }

    /// A condition's value; `None`: it is known later.
    ///
    /// # Errors
    /// When it is known to have none, or no boolean one.
    pub fn is_true(&self, source: &Source) -> Result<Option<bool>, String> {
        match self.find(&Template::Expression(source.clone()))? {
            Found::Value(Value::Bool(holds)) => Ok(Some(holds)),
            Found::Value(other) => Err(format!("line {}: `{}` is {other}, not true or false", source.line, source.text)),
            Found::Later(_) => Ok(None),
        }
    }

    /// A template's value with something else in the place of each part that is known later. `later` is told of these parts: where in the value, and
    /// on what they depend.
    ///
    /// # Errors
    /// As [`Known::find`].
    pub fn fill(&self, template: &Template, instead: &Value, at: &str, later: &mut BTreeMap<String, String>) -> Result<Value, String> {
        match template {
            Template::Literal(value) => Ok(value.clone()),
            Template::List(items) => {
                let items = items.iter().enumerate().map(|(index, item)| self.fill(item, instead, &format!("{at}[{index}]"), later));
                items.collect::<Result<_, _>>().map(Value::Array)
            }
            Template::Map(entries) => {
                let entries = entries.iter().map(|(key, value)| {
                    let at = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
                    Ok((key.clone(), self.fill(value, instead, &at, later)?))
                });
                entries.collect::<Result<_, String>>().map(Value::Object)
            }
            Template::Expression(_) | Template::Text(_) => match self.find(template)? {
                Found::Value(value) => Ok(value),
                Found::Later(on) => {
                    later.insert(at.to_owned(), on);
                    Ok(instead.clone())
                }
            },
        }
    }

    /// What is known in a playbook that is called with these parameters.
    ///
    /// # Errors
    /// When it is known that the call cannot work.
    pub fn called(&self, playbook: &Playbook, params: &Template) -> Result<Known<'a>, String> {
        let mut later = BTreeMap::new();
        let given = match params {
            Template::Expression(source) if self.is_later(source) => {
                // Not even which are given is known.
                let all = playbook.params.iter().map(|param| param.name.clone()).collect();
                return Ok(self.within(playbook, Partial { known: Map::new(), later: all }));
            }
            _ => match self.fill(params, &Value::Null, "", &mut later)? {
                Value::Object(given) => given,
                Value::Null => Map::new(),
                other => return Err(format!("`params` is {other}, not a map")),
            },
        };
        // `fill` names places; a parameter is known later as a whole where any part of it is.
        let name_of = |at: &String| at.split(['.', '[']).next().unwrap_or_default().to_owned();
        let later: BTreeSet<String> = later.keys().map(name_of).collect();
        if later.is_empty() {
            let (params, vars) = machine::start::bind(playbook, given, self.target)?;
            return Ok(Self::new(Partial::whole(params), Partial::whole(vars), self.target).with_item(self.item.clone()));
        }
        let mut known = Map::new();
        for param in playbook.params.iter().filter(|param| !later.contains(&param.name)) {
            let value = given.get(&param.name).filter(|value| !value.is_null()).or(param.default.as_ref());
            known.insert(param.name.clone(), value.ok_or_else(|| format!("parameter `{}` is missing", param.name))?.clone());
        }
        Ok(self.within(playbook, Partial { known, later }))
    }

    /// With the `vars` that can be worked out from some of the parameters.
    fn within(&self, playbook: &Playbook, params: Partial) -> Known<'a> {
        let mut vars = Partial::default();
        for (name, template) in &playbook.vars {
            match Self::new(params.clone(), vars.clone(), self.target).find(template) {
                Ok(Found::Value(value)) => {
                    vars.known.insert(name.clone(), value);
                }
                // One that has no value fails when the playbook is called; by then more is known.
                Ok(Found::Later(_)) | Err(_) => {
                    vars.later.insert(name.clone());
                }
            }
        }
        Self::new(params, vars, self.target).with_item(self.item.clone())
    }
}

/// What stands for a value that is known later, so that whatever is made of it can be told from what is made of nothing.
pub(super) fn marker() -> Value {
    Value::String(by_hand::variable("later"))
}
