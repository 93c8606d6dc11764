//! The evaluator: walks a checked tree over bound data, counting.
//!
//! The `cel` crate's own evaluator is not used: it copies what is bound, counts nothing, does not mix integers with doubles and does not say which
//! part of a path was missing. A test compares the two where they agree. Invariants: the cost is bounded by [`BUDGET`], never by time; the stack
//! by the depth of the tree; and the same bindings give the same value.

use std::cmp::Ordering;
use std::rc::Rc;

use super::arithmetic::{arithmetic, overflow};
use super::bindings::Bindings;
use super::functions;
use super::tree::{Comprehension, Each, Function, Kind, Node, Operator};
use super::value::Val;

/// The most that one evaluation may cost: a node visited is 1, so are an item looked at and every 16 bytes of text.
const BUDGET: u64 = 1_000_000;
/// The most that a value may take, about, in bytes.
const LARGEST: usize = 32 << 20;
/// How many keys of a map a message names.
const KEYS_SHOWN: usize = 12;

/// Why there is no value.
#[derive(Debug)]
pub(super) enum Fail {
    /// What was wrong with the values.
    Wrong(String),
    /// It costs too much: nothing may stand in for its value.
    TooCostly,
}

impl From<String> for Fail {
    fn from(message: String) -> Self {
        Self::Wrong(message)
    }
}

type Outcome<'v> = Result<Val<'v>, Fail>;

/// The value of a tree.
pub(super) fn evaluate(node: &Node, bindings: &Bindings) -> Result<serde_json::Value, String> {
    let mut evaluator = Evaluator { bindings, bound: Vec::new(), left: BUDGET };
    match evaluator.value(node) {
        Ok(value) if value.fits(&mut { LARGEST }) => value.into_json(),
        Ok(_) => Err(format!("its value is larger than {} MB; make less of it", LARGEST >> 20)),
        Err(Fail::Wrong(message)) => Err(message),
        Err(Fail::TooCostly) => Err(format!("it costs more than {BUDGET} steps to evaluate; do less at once, with shorter lists")),
    }
}

struct Evaluator<'v> {
    bindings: &'v Bindings,
    bound: Vec<(&'v str, Val<'v>)>,
    left: u64,
}

impl<'v> Evaluator<'v> {
    fn pay(&mut self, cost: usize) -> Result<(), Fail> {
        self.left = self.left.checked_sub(cost as u64).ok_or(Fail::TooCostly)?;
        Ok(())
    }

    fn value(&mut self, node: &'v Node) -> Outcome<'v> {
        self.pay(1)?;
        match &node.kind {
            Kind::Null => Ok(Val::Null),
            Kind::Bool(value) => Ok(Val::Bool(*value)),
            Kind::Int(value) => Ok(Val::Int(*value)),
            Kind::Double(value) => Ok(Val::Double(*value)),
            Kind::Text(text) => {
                self.pay(text.len() / 16)?;
                Ok(Val::text(text.as_str()))
            }
            Kind::Type(name) => Ok(Val::Type(name)),
            Kind::Root(root) => match self.bindings.get(*root) {
                Some(value) => Ok(Val::of(value)?),
                None => Err(Fail::Wrong(format!("`{}` has no value here", root.as_str()))),
            },
            Kind::Local(name) => {
                let bound = self.bound.iter().rev().find(|(bound, _)| bound == name);
                bound.map(|(_, value)| value.clone()).ok_or_else(|| Fail::Wrong(format!("`{name}` has no value here")))
            }
            Kind::Select(of, key) => self.select(of, key),
            Kind::Has(of, key) => {
                let owner = self.value(of)?;
                match owner.entries() {
                    Some(_) => Ok(Val::Bool(owner.entry(key).is_some())),
                    None => Err(not_a_map(of, &owner, key)),
                }
            }
            Kind::Index(of, index) => self.index(of, index),
            Kind::List(items) => Ok(Val::List(Rc::new(items.iter().map(|item| self.value(item)).collect::<Result<_, _>>()?))),
            Kind::Map(entries) => self.map(entries),
            Kind::Not(of) => Ok(Val::Bool(!self.boolean(of, "!")?)),
            Kind::Negate(of) => match self.value(of)? {
                Val::Int(value) => value.checked_neg().map(Val::Int).ok_or_else(|| overflow("-")),
                Val::Double(value) => Ok(Val::Double(-value)),
                Val::Duration(value) => Ok(Val::Duration(-value)),
                other => Err(Fail::Wrong(format!("`-` cannot take {}", other.kind()))),
            },
            Kind::And(left, right) => self.shortcut(left, right, false),
            Kind::Or(left, right) => self.shortcut(left, right, true),
            Kind::Condition(parts) => {
                let [condition, then, otherwise] = &**parts;
                if self.boolean(condition, "? :")? { self.value(then) } else { self.value(otherwise) }
            }
            Kind::Binary(operator, left, right) => {
                let (a, b) = (self.value(left)?, self.value(right)?);
                self.binary(*operator, a, b, (left, right))
            }
            Kind::Call(function, arguments) => self.call(*function, arguments),
            Kind::Each(each) => self.each(each),
        }
    }

    fn boolean(&mut self, node: &'v Node, operator: &str) -> Result<bool, Fail> {
        match self.value(node)? {
            Val::Bool(value) => Ok(value),
            other => Err(Fail::Wrong(format!("`{operator}` needs a boolean, and `{}` is {}", node.describe(), other.kind()))),
        }
    }

    /// `&&` and `||`: the value that decides wins over an error on the other side, in whichever order they stand.
    fn shortcut(&mut self, left: &'v Node, right: &'v Node, decides: bool) -> Outcome<'v> {
        let operator = if decides { "||" } else { "&&" };
        match self.boolean(left, operator) {
            Ok(value) if value == decides => Ok(Val::Bool(decides)),
            Ok(_) => Ok(Val::Bool(self.boolean(right, operator)?)),
            Err(Fail::TooCostly) => Err(Fail::TooCostly),
            Err(Fail::Wrong(message)) => match self.boolean(right, operator) {
                Ok(value) if value == decides => Ok(Val::Bool(decides)),
                Err(Fail::TooCostly) => Err(Fail::TooCostly),
                _ => Err(Fail::Wrong(message)),
            },
        }
    }

    fn select(&mut self, of: &'v Node, key: &str) -> Outcome<'v> {
        let owner = self.value(of)?;
        match owner.entry(key) {
            Some(value) => Ok(value?),
            None if owner.entries().is_some() => Err(no_such_key(of, &owner, key)),
            None => Err(not_a_map(of, &owner, key)),
        }
    }

    fn index(&mut self, of: &'v Node, index: &'v Node) -> Outcome<'v> {
        let (owner, at) = (self.value(of)?, self.value(index)?);
        if let Some(items) = owner.items() {
            let place = match at {
                Val::Int(place) => usize::try_from(place).ok(),
                _ => return Err(Fail::Wrong(format!("`{}` is a list: its index must be an integer, not {}", of.describe(), at.kind()))),
            };
            let found = place.and_then(|place| owner.item(place));
            let count = if items == 1 { "1 item".to_owned() } else { format!("{items} items") };
            return found
                .unwrap_or_else(|| Err(format!("`{}` has no item {}: it has {count}", of.describe(), at.print().unwrap_or_default())))
                .map_err(Fail::Wrong);
        }
        let key = match at.as_text() {
            Some(key) => key.to_owned(),
            None if owner.entries().is_some() => {
                return Err(Fail::Wrong(format!(
                    "the keys of `{}` are strings, and `{}` is {}",
                    of.describe(),
                    index.describe(),
                    at.kind()
                )));
            }
            None => index.describe(),
        };
        match owner.entry(&key) {
            Some(value) => Ok(value?),
            None if owner.entries().is_some() => Err(no_such_key(of, &owner, &key)),
            None => Err(not_a_map(of, &owner, &key)),
        }
    }

    fn map(&mut self, entries: &'v [(Node, Node)]) -> Outcome<'v> {
        let mut map: Vec<(Rc<str>, Val<'v>)> = Vec::with_capacity(entries.len());
        for (key_node, value) in entries {
            let key = self.value(key_node)?;
            let Some(key) = key.as_text() else {
                return Err(Fail::Wrong(format!("the keys of a map are strings, and `{}` is {}", key_node.describe(), key.kind())));
            };
            if map.iter().any(|(known, _)| &**known == key) {
                return Err(Fail::Wrong(format!("the map has the key {key:?} twice")));
            }
            map.push((key.into(), self.value(value)?));
        }
        Ok(Val::Map(Rc::new(map)))
    }

    fn binary(&mut self, operator: Operator, a: Val<'v>, b: Val<'v>, nodes: (&Node, &Node)) -> Outcome<'v> {
        let unfit = |a: &Val<'_>, b: &Val<'_>| {
            let mut message = format!("`{}` cannot take {} and {}", operator.as_str(), a.kind(), b.kind());
            for (node, value) in [(nodes.0, a), (nodes.1, b)] {
                if matches!(value, Val::Null) && node.path().is_some() {
                    message = format!("`{}` is null, and `{}` needs a value", node.describe(), operator.as_str());
                }
            }
            if operator == Operator::Add && (a.as_text().is_some() || b.as_text().is_some()) {
                message.push_str("; `string(x)` makes a text of a value");
            }
            Err(Fail::Wrong(message))
        };
        match operator {
            Operator::Equal => Ok(Val::Bool(self.equal(&a, &b)?)),
            Operator::NotEqual => Ok(Val::Bool(!self.equal(&a, &b)?)),
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                self.pay(a.as_text().map_or(0, str::len) / 16)?;
                if a.as_double().is_some_and(f64::is_nan) || b.as_double().is_some_and(f64::is_nan) {
                    return Ok(Val::Bool(false));
                }
                let Some(order) = a.compare(&b) else { return unfit(&a, &b) };
                Ok(Val::Bool(match operator {
                    Operator::Less => order == Ordering::Less,
                    Operator::LessOrEqual => order != Ordering::Greater,
                    Operator::Greater => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                }))
            }
            Operator::In => {
                if let Some(items) = b.items() {
                    for at in 0..items {
                        let Some(item) = b.item(at) else { break };
                        if self.equal(&a, &item?)? {
                            return Ok(Val::Bool(true));
                        }
                    }
                    return Ok(Val::Bool(false));
                }
                match (b.entries(), a.as_text()) {
                    (Some(_), Some(key)) => Ok(Val::Bool(b.entry(key).is_some())),
                    (Some(_), None) => Ok(Val::Bool(false)),
                    _ => unfit(&a, &b),
                }
            }
            Operator::Add => self.add(a, b, unfit),
            Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                arithmetic(operator, &a, &b).unwrap_or_else(|| unfit(&a, &b))
            }
        }
    }

    fn add(&mut self, a: Val<'v>, b: Val<'v>, unfit: impl Fn(&Val<'_>, &Val<'_>) -> Outcome<'v>) -> Outcome<'v> {
        if let (Some(left), Some(right)) = (a.as_text(), b.as_text()) {
            self.pay((left.len() + right.len()) / 16)?;
            return Ok(Val::text([left, right].concat()));
        }
        if let (Some(left), Some(right)) = (a.items(), b.items()) {
            self.pay(left + right)?;
            let items = (0..left).filter_map(|at| a.item(at)).chain((0..right).filter_map(|at| b.item(at)));
            return Ok(Val::List(Rc::new(items.collect::<Result<_, _>>()?)));
        }
        arithmetic(Operator::Add, &a, &b).unwrap_or_else(|| unfit(&a, &b))
    }

    /// Deep equality; numbers are equal across their types.
    fn equal(&mut self, a: &Val<'v>, b: &Val<'v>) -> Result<bool, Fail> {
        self.pay(1)?;
        if let (Some(left), Some(right)) = (a.as_text(), b.as_text()) {
            self.pay(left.len().min(right.len()) / 16)?;
            return Ok(left == right);
        }
        if let (Some(left), Some(right)) = (a.items(), b.items()) {
            if left != right {
                return Ok(false);
            }
            for at in 0..left {
                if let (Some(left), Some(right)) = (a.item(at), b.item(at))
                    && !self.equal(&left?, &right?)?
                {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        if let (Some(left), Some(right)) = (a.keys(), b.keys()) {
            self.pay(left.len())?;
            if left.len() != right.len() {
                return Ok(false);
            }
            for key in left {
                match (a.entry(&key), b.entry(&key)) {
                    (Some(left), Some(right)) if self.equal(&left.clone()?, &right.clone()?)? => {}
                    _ => return Ok(false),
                }
            }
            return Ok(true);
        }
        Ok(match (a, b) {
            (Val::Null, Val::Null) => true,
            (Val::Type(left), Val::Type(right)) => left == right,
            _ => a.type_name() != "string" && a.compare(b) == Some(Ordering::Equal),
        })
    }

    fn call(&mut self, function: Function, arguments: &'v [Node]) -> Outcome<'v> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let value = self.value(argument)?;
            self.pay(value.as_text().map_or(0, str::len) / 16 + value.items().unwrap_or(0))?;
            if matches!(value, Val::Null)
                && argument.path().is_some()
                && !matches!(function, Function::Type | Function::Dyn | Function::String)
            {
                return Err(Fail::Wrong(format!("`{}` is null, and `{}` needs a value", argument.describe(), function.as_str())));
            }
            values.push(value);
        }
        if function == Function::Matches {
            // Compiling a pattern is dearer than walking nodes.
            self.pay(1000)?;
        }
        Ok(functions::apply(function, &values)?)
    }

    fn each(&mut self, each: &'v Each) -> Outcome<'v> {
        let range = self.value(&each.range)?;
        let items: Vec<Val<'v>> = if let Some(count) = range.items() {
            self.pay(count)?;
            (0..count).filter_map(|at| range.item(at)).collect::<Result<_, _>>()?
        } else if let Some(keys) = range.keys() {
            self.pay(keys.len())?;
            keys.into_iter().map(Val::text).collect()
        } else {
            return Err(Fail::Wrong(format!("`{}` is {}, not a list or a map", each.range.describe(), range.kind())));
        };
        let mut kept = Vec::new();
        let mut count = 0_u32;
        let mut wrong = None;
        for item in items {
            self.bound.push((&each.variable, item.clone()));
            let outcome = self.iteration(each);
            self.bound.pop();
            match (each.what, outcome) {
                (Comprehension::All, Ok(Some(Val::Bool(false)))) => return Ok(Val::Bool(false)),
                (Comprehension::Exists, Ok(Some(Val::Bool(true)))) => return Ok(Val::Bool(true)),
                (Comprehension::ExistsOne, Ok(Some(Val::Bool(true)))) => count += 1,
                (Comprehension::Filter, Ok(Some(Val::Bool(true)))) => kept.push(item),
                (Comprehension::Map, Ok(Some(value))) => kept.push(value),
                (_, Ok(Some(Val::Bool(_)) | None)) => {}
                (_, Ok(Some(value))) => {
                    return Err(Fail::Wrong(format!(
                        "the condition over `{}` gives {}, not a boolean",
                        each.range.describe(),
                        value.kind()
                    )));
                }
                // One item that decides wins over an error at another.
                (Comprehension::All | Comprehension::Exists, Err(Fail::Wrong(message))) => wrong = wrong.or(Some(message)),
                (_, Err(fail)) => return Err(fail),
            }
        }
        if let Some(message) = wrong {
            return Err(Fail::Wrong(message));
        }
        Ok(match each.what {
            Comprehension::All => Val::Bool(true),
            Comprehension::Exists => Val::Bool(false),
            Comprehension::ExistsOne => Val::Bool(count == 1),
            Comprehension::Map | Comprehension::Filter => Val::List(Rc::new(kept)),
        })
    }

    fn iteration(&mut self, each: &'v Each) -> Result<Option<Val<'v>>, Fail> {
        if let Some(filter) = &each.filter
            && !self.boolean(filter, "map")?
        {
            return Ok(None);
        }
        self.value(&each.body).map(Some)
    }
}

fn no_such_key(of: &Node, owner: &Val<'_>, key: &str) -> Fail {
    let mut keys = owner.keys().unwrap_or_default();
    let more = keys.len().saturating_sub(KEYS_SHOWN);
    keys.truncate(KEYS_SHOWN);
    let mut listed = if keys.is_empty() { "it is empty".to_owned() } else { format!("it has: {}", keys.join(", ")) };
    if more > 0 {
        listed.push_str(&format!(" and {more} more"));
    }
    Fail::Wrong(format!("no such key `{key}` in {}; {listed}", of.describe()))
}

fn not_a_map(of: &Node, owner: &Val<'_>, key: &str) -> Fail {
    Fail::Wrong(match owner {
        Val::Null => format!("`{}` is null, so it has no `{key}`", of.describe()),
        _ => format!("`{}` is {}, so it has no `{key}`", of.describe(), owner.kind()),
    })
}
