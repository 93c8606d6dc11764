//! What a checker asks of an expression: the paths it uses, and which of them may be null where they are used.
//!
//! Must not know playbooks: whether a step may have failed is the checker's business. Invariant: a use is called guarded only where the
//! short-circuit of `&&`, `||` and `? :` makes sure of it.

use std::collections::BTreeSet;

use super::bindings::Root;
use super::tree::{Comprehension, Function, Kind, Node, Operator};

/// Something that is known to hold at a place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// `steps.<id>.status == "succeeded"`
    Succeeded(String),
    /// `steps.<id>.outputs.<name> != null`
    NotNull(String, String),
}

/// One path as it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where the path begins.
    pub root: Root,
    /// The literal keys after it.
    pub keys: Vec<String>,
    /// Where, in characters from the start of the expression.
    pub offset: usize,
    /// How many characters.
    pub length: usize,
    /// Whether null is no surprise here: it is compared with null, or a guard rules it out.
    pub guarded: bool,
}

/// Every path used, given what is known already.
pub(super) fn uses(node: &Node, known: &BTreeSet<Fact>) -> Vec<Use> {
    let mut found = Vec::new();
    walk(node, known, false, &mut found);
    found
}

fn walk(node: &Node, known: &BTreeSet<Fact>, null_is_fine: bool, found: &mut Vec<Use>) {
    if let Some((root, keys)) = node.path() {
        let guarded = null_is_fine
            || match (root, keys.as_slice()) {
                (Root::Steps, [id, "outputs", name, ..]) => {
                    known.contains(&Fact::Succeeded((*id).to_owned()))
                        || known.contains(&Fact::NotNull((*id).to_owned(), (*name).to_owned()))
                }
                _ => false,
            };
        let keys = keys.into_iter().map(str::to_owned).collect();
        found.push(Use { root, keys, offset: node.offset, length: node.length, guarded });
        return;
    }
    match &node.kind {
        Kind::Has(of, key) if of.path().is_some() => {
            let mut inner = Vec::new();
            walk(of, known, false, &mut inner);
            for mut one in inner {
                if one.root == Root::Steps || one.keys.is_empty() {
                    one.keys.push(key.clone());
                    // A key that is there may still hold null; the question itself is harmless one level below a map.
                    one.guarded = one.keys.len() <= 3 || one.guarded;
                }
                found.push(one);
            }
        }
        Kind::And(left, right) | Kind::Or(left, right) => {
            let and = matches!(node.kind, Kind::And(..));
            walk(left, known, false, found);
            walk(right, &with(known, facts(left, and)), false, found);
        }
        Kind::Condition(parts) => {
            let [condition, then, otherwise] = &**parts;
            walk(condition, known, false, found);
            walk(then, &with(known, facts(condition, true)), null_is_fine, found);
            walk(otherwise, &with(known, facts(condition, false)), null_is_fine, found);
        }
        Kind::Binary(Operator::Equal | Operator::NotEqual, left, right) => {
            // Comparing for equality takes null as it takes any value, as long as it is the value itself that may be null.
            walk(left, known, matches!(right.kind, Kind::Null), found);
            walk(right, known, matches!(left.kind, Kind::Null), found);
        }
        _ => node.children(&mut |child| walk(child, known, false, found)),
    }
}

fn with(known: &BTreeSet<Fact>, more: BTreeSet<Fact>) -> BTreeSet<Fact> {
    known.iter().cloned().chain(more).collect()
}

/// What holds where `node` has the value `truth`.
pub(super) fn facts(node: &Node, truth: bool) -> BTreeSet<Fact> {
    match &node.kind {
        Kind::Not(of) => facts(of, !truth),
        Kind::And(left, right) | Kind::Or(left, right) => {
            let (left, right) = (facts(left, truth), facts(right, truth));
            // `a && b` is true only if both are; it is false if either is, so that only what both say holds.
            if matches!(node.kind, Kind::And(..)) == truth { with(&left, right) } else { left.intersection(&right).cloned().collect() }
        }
        Kind::Binary(operator @ (Operator::Equal | Operator::NotEqual), left, right) => {
            let equal = (*operator == Operator::Equal) == truth;
            [(left, right), (right, left)].into_iter().filter_map(|(path, value)| fact(path, value, equal)).collect()
        }
        _ => BTreeSet::new(),
    }
}

fn fact(path: &Node, value: &Node, equal: bool) -> Option<Fact> {
    let (root, keys) = path.path()?;
    match (root, keys.as_slice(), &value.kind, equal) {
        (Root::Steps, [id, "status"], Kind::Text(text), true) if text == "succeeded" => Some(Fact::Succeeded((*id).to_owned())),
        (Root::Steps, [id, "outputs", name], Kind::Null, false) => Some(Fact::NotNull((*id).to_owned(), (*name).to_owned())),
        (Root::Steps, [id, "outputs", name], Kind::Text(_) | Kind::Int(_) | Kind::Double(_) | Kind::Bool(_), true) => {
            Some(Fact::NotNull((*id).to_owned(), (*name).to_owned()))
        }
        _ => None,
    }
}

/// The type that a value certainly has, as JSON Schema names it.
pub(super) fn certain_type(node: &Node) -> Option<&'static str> {
    Some(match &node.kind {
        Kind::Null => "null",
        Kind::Int(_) => "integer",
        Kind::Double(_) => "number",
        Kind::Text(_) | Kind::Type(_) => "string",
        Kind::List(_) => "array",
        Kind::Map(_) => "object",
        Kind::Bool(_) | Kind::Has(..) | Kind::Not(_) | Kind::And(..) | Kind::Or(..) => "boolean",
        Kind::Binary(operator, left, _) => match operator {
            Operator::Add | Operator::Subtract | Operator::Multiply | Operator::Divide | Operator::Modulo => match certain_type(left)? {
                // A number may turn out a double, a timestamp prints as a string: only texts and lists are sure.
                kind @ ("string" | "array") if *operator == Operator::Add => kind,
                _ => return None,
            },
            _ => "boolean",
        },
        Kind::Each(each) => match each.what {
            Comprehension::All | Comprehension::Exists | Comprehension::ExistsOne => "boolean",
            Comprehension::Map | Comprehension::Filter => "array",
        },
        Kind::Call(function, _) => match function {
            Function::Size | Function::Int | Function::Ceil | Function::Floor => "integer",
            Function::String | Function::Timestamp | Function::Duration | Function::Type => "string",
            Function::Double => "number",
            Function::Bool | Function::Matches | Function::Contains | Function::StartsWith | Function::EndsWith => "boolean",
            _ => return None,
        },
        Kind::Condition(parts) => {
            let (then, otherwise) = (certain_type(&parts[1])?, certain_type(&parts[2])?);
            if then == otherwise { then } else { return None }
        }
        _ => return None,
    })
}
