//! An expression in words that a person can check.
//!
//! Must not evaluate anything but what is known to be true or false. Invariant: nothing of the condition is left out; what has no words of its own
//! stands as it is written.

use serde_json::Value;

use super::bindings::Root;
use super::tree::{Comprehension, Each, Function, Kind, Node, Operator};

/// What a path stands for.
pub enum Said {
    /// A value that is known.
    Value(Value),
    /// Words for one that is not.
    Words(String),
}

/// What there is to say about a path: a root and the literal keys after it.
pub type Name<'n> = &'n dyn Fn(Root, &[&str]) -> Said;

/// The words of a condition: a path that stands for itself is asked to be true.
pub(super) fn condition(node: &Node, name: Name<'_>) -> String {
    match known(node, name) {
        Some(true) => return "true".to_owned(),
        Some(false) => return "false".to_owned(),
        None => {}
    }
    match &node.kind {
        Kind::And(left, right) => joined(node, left, right, ", and ", true, name),
        Kind::Or(left, right) => joined(node, left, right, ", or ", false, name),
        Kind::Not(of) => match &of.kind {
            Kind::Has(..) => format!("{} is not there", thing(of, name)),
            _ if of.path().is_some() => format!("{} is false", thing(of, name)),
            _ => format!("not ({})", condition(of, name)),
        },
        Kind::Has(..) => format!("{} is there", thing(node, name)),
        Kind::Each(each) if matches!(each.what, Comprehension::All | Comprehension::Exists | Comprehension::ExistsOne) => {
            quantified(each, name)
        }
        Kind::Binary(operator, left, right) => compared(*operator, left, right, name).unwrap_or_else(|| thing(node, name)),
        _ if node.path().is_some() || matches!(node.kind, Kind::Select(..) | Kind::Local(_)) => format!("{} is true", thing(node, name)),
        _ => thing(node, name),
    }
}

/// Whether it is known to be true or false already.
fn known(node: &Node, name: Name<'_>) -> Option<bool> {
    if let Some((root, keys)) = node.path() {
        return match name(root, &keys) {
            Said::Value(Value::Bool(value)) => Some(value),
            _ => None,
        };
    }
    match &node.kind {
        Kind::Bool(value) => Some(*value),
        Kind::Not(of) => known(of, name).map(|value| !value),
        _ => None,
    }
}

/// Two conditions; one that is known to make no difference is left out.
fn joined(node: &Node, left: &Node, right: &Node, word: &str, neutral: bool, name: Name<'_>) -> String {
    let within = |side: &Node| {
        let words = condition(side, name);
        let mixed = matches!((&node.kind, &side.kind), (Kind::And(..), Kind::Or(..)) | (Kind::Or(..), Kind::And(..)));
        if mixed { format!("({words})") } else { words }
    };
    match (known(left, name), known(right, name)) {
        (Some(value), _) if value == neutral => condition(right, name),
        (_, Some(value)) if value == neutral => condition(left, name),
        _ => format!("{}{word}{}", within(left), within(right)),
    }
}

fn quantified(each: &Each, name: Name<'_>) -> String {
    let of = match each.what {
        Comprehension::Exists => "for at least one",
        Comprehension::ExistsOne => "for exactly one",
        _ => "for each",
    };
    format!("{of} {} of {}: {}", each.variable, thing(&each.range, name), condition(&each.body, name))
}

fn compared(operator: Operator, left: &Node, right: &Node, name: Name<'_>) -> Option<String> {
    let is = match operator {
        Operator::Equal => "is",
        Operator::NotEqual => "is not",
        Operator::Less => "is less than",
        Operator::LessOrEqual => "is at most",
        Operator::Greater => "is more than",
        Operator::GreaterOrEqual => "is at least",
        Operator::In => return Some(format!("{} has {}", thing(right, name), thing(left, name))),
        _ => return None,
    };
    Some(match (&right.kind, operator) {
        (Kind::Null, Operator::Equal) => format!("{} is not there", thing(left, name)),
        (Kind::Null, Operator::NotEqual) => format!("{} is there", thing(left, name)),
        _ => format!("{} {is} {}", thing(left, name), thing(right, name)),
    })
}

/// The words of a value.
pub(super) fn thing(node: &Node, name: Name<'_>) -> String {
    if let Some((root, keys)) = node.path() {
        return match name(root, &keys) {
            Said::Value(Value::String(text)) => text,
            Said::Value(value) => value.to_string(),
            Said::Words(words) => words,
        };
    }
    let list = |items: &[Node]| items.iter().map(|item| thing(item, name)).collect::<Vec<_>>().join(", ");
    match &node.kind {
        Kind::Null => "nothing".to_owned(),
        Kind::Bool(value) => value.to_string(),
        Kind::Int(value) => value.to_string(),
        Kind::Double(value) => value.to_string(),
        Kind::Text(text) => format!("`{text}`"),
        Kind::Type(of) => (*of).to_owned(),
        Kind::Root(root) => root.as_str().to_owned(),
        Kind::Local(local) => local.clone(),
        Kind::Select(of, key) => format!("{}.{key}", thing(of, name)),
        Kind::Has(of, key) => match of.path() {
            Some((root, mut keys)) => {
                keys.push(key);
                match name(root, &keys) {
                    Said::Words(words) => words,
                    Said::Value(_) => format!("{}.{}", root.as_str(), keys.join(".")),
                }
            }
            None => format!("{}.{key}", thing(of, name)),
        },
        Kind::Index(of, at) => format!("{}[{}]", thing(of, name), thing(at, name)),
        Kind::List(items) => format!("[{}]", list(items)),
        Kind::Map(_) => "…".to_owned(),
        Kind::Negate(of) => format!("-{}", thing(of, name)),
        Kind::Condition(parts) => {
            let [when, then, otherwise] = &**parts;
            format!("{} where {}, else {}", thing(then, name), condition(when, name), thing(otherwise, name))
        }
        Kind::Binary(operator, left, right) => match compared(*operator, left, right, name) {
            Some(words) => format!("({words})"),
            None => format!("{} {} {}", thing(left, name), operator.as_str(), thing(right, name)),
        },
        Kind::Call(Function::Size, of) => format!("the number of {}", list(of)),
        // What only changes a type changes nothing for a person.
        Kind::Call(Function::Timestamp | Function::Duration | Function::String | Function::Int | Function::Double | Function::Dyn, of) => {
            list(of)
        }
        Kind::Call(function, of) => format!("{}({})", function.as_str(), list(of)),
        Kind::Each(each) if each.what == Comprehension::Map => {
            let of = format!("each {} of {}", each.variable, thing(&each.range, name));
            let only = each.filter.as_ref().map(|filter| format!(" where {}", condition(filter, name))).unwrap_or_default();
            format!("({} of {of}{only})", thing(&each.body, name))
        }
        Kind::Each(each) if each.what == Comprehension::Filter => {
            format!("(each {} of {} where {})", each.variable, thing(&each.range, name), condition(&each.body, name))
        }
        Kind::Not(_) | Kind::And(..) | Kind::Or(..) | Kind::Each(_) => format!("({})", condition(node, name)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::expr::Expression;

    fn words(text: &str) -> String {
        let name = |root: Root, keys: &[&str]| match (root, keys) {
            (Root::Params, ["off"]) => Said::Value(json!(false)),
            (Root::Vars, ["replicas"]) => Said::Value(json!(8)),
            (Root::Target, []) => Said::Words("the environment".to_owned()),
            (_, keys) => Said::Words(keys.join(".").replace('_', " ")),
        };
        Expression::parse(text).unwrap().condition_in_words(&name)
    }

    #[test]
    fn a_condition_is_said_so_that_it_can_be_checked() {
        for (text, wanted) in [
            ("result.rolled_out", "rolled out is true"),
            ("!result.syncing", "syncing is false"),
            ("result.ready_replicas >= vars.replicas", "ready replicas is at least 8"),
            ("params.off || size(result.puts_back) == 0", "the number of puts back is 0"),
            ("result.value != null && result.value < 1.0", "value is there, and value is less than 1"),
            ("\"prometheus\" in target", "the environment has `prometheus`"),
            ("has(target.pgbouncer)", "pgbouncer is there"),
            ("result.responses.all(r, r.json.warm >= r.json.size)", "for each r of responses: r.json.warm is at least r.json.size"),
            ("timestamp(params.at) - duration(params.lead) < timestamp(params.end)", "at - lead is less than end"),
            ("(result.a || result.b) && result.c", "(a is true, or b is true), and c is true"),
        ] {
            assert_eq!(words(text), wanted, "{text}");
        }
    }
}
