//! A value as written against a JSON Schema, with the place of each complaint.
//!
//! A validator would need all values, and knows no places; here an expression may stand for any of them. Must not evaluate. Invariant: it complains of
//! nothing that a validator would accept once the expressions have values; what it does not know, it lets pass.

use serde_json::Value;

use super::diagnostics::did_you_mean;
use super::source::Span;
use super::template::article;
use super::yaml::{Kind, Node};
use crate::expr::{Expression, Part, scan};

const MARK: &str = "x-runsheet-secret";
/// The mark of an input that is read as it stands.
const LITERAL: &str = "x-runsheet-literal";
/// What an expression within a shell script is told, and what to do.
pub(super) const SHELL: (&str, &str) = (
    "an expression within a shell script could run whatever its value says",
    "give the value a name under `env:` and write \"$NAME\" in the script",
);
/// The most alternatives of one schema that are looked at.
const ALTERNATIVES: usize = 64;
/// The deepest chain of references within a schema.
const REFERENCES: usize = 16;

/// Something wrong with an input.
pub(super) struct Complaint {
    pub(super) code: &'static str,
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// How far off the alternative is that complains: a wrong type is further than a wrong value.
    weight: usize,
}

/// The ways in which a schema can be met: each a list of schemas that must all hold.
pub(super) fn expand<'s>(root: &'s Value, schema: &'s Value, depth: usize) -> Vec<Vec<&'s Value>> {
    let mut ways = vec![vec![schema]];
    if depth > REFERENCES {
        return ways;
    }
    let multiply = |ways: Vec<Vec<&'s Value>>, more: Vec<Vec<&'s Value>>| -> Vec<Vec<&'s Value>> {
        ways.iter().flat_map(|way| more.iter().map(|other| way.iter().chain(other).copied().collect())).take(ALTERNATIVES).collect()
    };
    if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|name| root.pointer(name.strip_prefix('#')?)) {
        ways = multiply(ways, expand(root, target, depth + 1));
    }
    for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
        ways = multiply(ways, expand(root, part, depth + 1));
    }
    for key in ["anyOf", "oneOf"] {
        if let Some(parts) = schema.get(key).and_then(Value::as_array) {
            let more = parts.iter().flat_map(|part| expand(root, part, depth + 1)).take(ALTERNATIVES).collect();
            ways = multiply(ways, more);
        }
    }
    ways
}

/// The mark of a secret input, wherever the schema has it.
pub(super) fn mark<'s>(root: &'s Value, schemas: &[&'s Value]) -> Option<&'s Value> {
    let all = schemas.iter().flat_map(|schema| expand(root, schema, 0)).flatten();
    all.filter_map(|schema| schema.get(MARK)).find(|mark| mark.as_bool() != Some(false))
}

/// What is wrong with a value, given schemas that must all hold: the complaints of the alternative that it comes nearest to.
pub(super) fn check(root: &Value, schemas: &[&Value], node: &Node) -> Vec<Complaint> {
    let mut ways: Vec<Vec<&Value>> = vec![Vec::new()];
    for schema in schemas {
        let more = expand(root, schema, 0);
        ways = ways.iter().flat_map(|way| more.iter().map(|other| way.iter().chain(other).copied().collect())).take(ALTERNATIVES).collect();
    }
    let mut best: Option<Vec<Complaint>> = None;
    for way in ways {
        let found = check_way(root, &way, node);
        if found.is_empty() {
            return found;
        }
        let weight = |complaints: &[Complaint]| complaints.iter().map(|complaint| complaint.weight).sum::<usize>();
        if best.as_ref().is_none_or(|best| weight(&found) < weight(best)) {
            best = Some(found);
        }
    }
    best.unwrap_or_default()
}

fn check_way(root: &Value, way: &[&Value], node: &Node) -> Vec<Complaint> {
    let complain = |code, message: String, hint: Option<String>, weight| Complaint { code, span: node.span, message, hint, weight };
    if way.iter().any(|schema| schema.as_bool() == Some(false)) {
        return vec![complain("wrong-value", "nothing may stand here".to_owned(), None, 100)];
    }
    let only_secret = mark(root, way).is_some_and(|mark| mark.as_str() == Some("only"));
    let kind = match &node.kind {
        Kind::Text(text, _) => {
            let parts = scan(text);
            let literal = way.iter().any(|schema| schema.get(LITERAL).is_some_and(|mark| mark.as_bool() == Some(true)));
            if literal && parts.iter().any(|part| !matches!(part, Part::Plain(_))) {
                return vec![complain("shell", SHELL.0.to_owned(), Some(SHELL.1.to_owned()), 5)];
            }
            match parts.as_slice() {
                [Part::Expression(source, _)] => match Expression::parse(source) {
                    Ok(expression) if expression.secret().is_some() => return Vec::new(),
                    Ok(expression) => {
                        if only_secret {
                            return vec![complain(
                                "secret",
                                "this input takes a secret and nothing else".to_owned(),
                                Some("write `${{ secrets.NAME }}`".to_owned()),
                                5,
                            )];
                        }
                        match expression.certain_type() {
                            Some(kind) if !allows(way, kind) => {
                                let message = format!("this must be {}, and the expression gives {}", wanted(way), article(kind));
                                return vec![complain("wrong-type", message, None, 50)];
                            }
                            _ => return Vec::new(),
                        }
                    }
                    Err(_) => return Vec::new(),
                },
                _ => {
                    if only_secret {
                        let hint = "declare it under `secrets:` and write `${{ secrets.NAME }}`".to_owned();
                        return vec![complain(
                            "secret",
                            "this input takes a secret, and a text in a playbook is no secret".to_owned(),
                            Some(hint),
                            5,
                        )];
                    }
                    if parts.iter().any(|part| !matches!(part, Part::Plain(_))) {
                        if allows(way, "string") {
                            return Vec::new();
                        }
                        return vec![complain(
                            "wrong-type",
                            format!("this must be {}, not a string", wanted(way)),
                            Some("an expression keeps its type only where it is the whole value".to_owned()),
                            50,
                        )];
                    }
                    "string"
                }
            }
        }
        Kind::Null => "null",
        Kind::Bool(_) => "boolean",
        Kind::Int(_) => "integer",
        Kind::Float(_) => "number",
        Kind::List(_) => "array",
        Kind::Map(_) => "object",
    };
    if !allows(way, kind) {
        let hint = match (kind, &node.kind) {
            ("integer" | "number" | "boolean", _) if allows(way, "string") => Some("put it in quotes".to_owned()),
            ("string", Kind::Text(text, false)) if text.parse::<i64>().is_ok() && allows(way, "integer") => {
                Some("remove the quotes".to_owned())
            }
            _ => None,
        };
        return vec![complain("wrong-type", format!("this must be {}, not {}", wanted(way), article(kind)), hint, 50)];
    }
    match &node.kind {
        Kind::Map(entries) => check_map(root, way, node, entries),
        Kind::List(items) => {
            let inner: Vec<&Value> = way.iter().filter_map(|schema| schema.get("items")).collect();
            let mut found: Vec<Complaint> = items.iter().flat_map(|item| check(root, &inner, item)).collect();
            let least = way.iter().filter_map(|schema| schema.get("minItems").and_then(Value::as_u64)).max().unwrap_or(0);
            if (items.len() as u64) < least {
                found.push(complain(
                    "wrong-value",
                    format!("the list needs at least {least} item{}", if least == 1 { "" } else { "s" }),
                    None,
                    1,
                ));
            }
            found
        }
        _ => check_scalar(way, node),
    }
}

fn check_map(root: &Value, way: &[&Value], node: &Node, entries: &[(super::yaml::Key, Node)]) -> Vec<Complaint> {
    let mut found = Vec::new();
    let known = || {
        way.iter()
            .filter_map(|schema| schema.get("properties").and_then(Value::as_object))
            .flat_map(|known| known.keys().map(String::as_str))
    };
    let closed = way
        .iter()
        .any(|schema| ["additionalProperties", "unevaluatedProperties"].iter().any(|key| schema.get(key) == Some(&Value::Bool(false))));
    for (key, value) in entries {
        let mut inner: Vec<&Value> =
            way.iter().filter_map(|schema| schema.get("properties").and_then(|known| known.get(&key.name))).collect();
        if inner.is_empty() {
            if closed {
                let names: Vec<_> = known().collect();
                let hint = did_you_mean(&key.name, names.iter().copied()).unwrap_or_else(|| {
                    if names.is_empty() { "it takes no inputs".to_owned() } else { format!("it takes: {}", names.join(", ")) }
                });
                found.push(Complaint {
                    code: "unknown-input",
                    span: key.span,
                    message: format!("{{what}} has no input `{}`", key.name),
                    hint: Some(hint),
                    weight: 10,
                });
                continue;
            }
            inner = way.iter().filter_map(|schema| schema.get("additionalProperties")).collect();
        }
        found.extend(check(root, &inner, value));
    }
    let required = way.iter().filter_map(|schema| schema.get("required").and_then(Value::as_array)).flatten().filter_map(Value::as_str);
    let mut missing: Vec<&str> = required.filter(|name| !entries.iter().any(|(key, _)| key.name == *name)).collect();
    missing.dedup();
    for name in missing {
        let help = way
            .iter()
            .find_map(|schema| schema.get("properties")?.get(name)?.get("description")?.as_str())
            .map(|help| format!("{name}: {}", help.lines().next().unwrap_or_default()));
        found.push(Complaint {
            code: "missing-input",
            span: node.span,
            message: format!("{{what}} needs the input `{name}`"),
            hint: help,
            weight: 10,
        });
    }
    found
}

fn check_scalar(way: &[&Value], node: &Node) -> Vec<Complaint> {
    let value = match &node.kind {
        Kind::Null => Value::Null,
        Kind::Bool(value) => Value::Bool(*value),
        Kind::Int(value) => Value::from(*value),
        Kind::Float(value) => Value::from(*value),
        Kind::Text(text, _) => Value::String(text.clone()),
        Kind::List(_) | Kind::Map(_) => return Vec::new(),
    };
    let complain =
        |message: String, hint: Option<String>| vec![Complaint { code: "wrong-value", span: node.span, message, hint, weight: 2 }];
    for schema in way {
        let allowed: Vec<&Value> = schema.get("enum").and_then(Value::as_array).into_iter().flatten().chain(schema.get("const")).collect();
        if !allowed.is_empty() && !allowed.contains(&&value) {
            let names: Vec<String> = allowed.iter().map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned)).collect();
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let hint =
                did_you_mean(&text, names.iter().map(String::as_str)).unwrap_or_else(|| format!("it is one of: {}", names.join(", ")));
            return complain(format!("this cannot be `{text}`"), Some(hint));
        }
        let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
        if let Some(number) = value.as_f64() {
            if let Some(least) = limit("minimum").filter(|least| number < *least) {
                return complain(format!("this is at least {least}"), None);
            }
            if let Some(most) = limit("maximum").filter(|most| number > *most) {
                return complain(format!("this is at most {most}"), None);
            }
            if let Some(bound) = limit("exclusiveMinimum").filter(|bound| number <= *bound) {
                return complain(format!("this is greater than {bound}"), None);
            }
        }
        if let Some(text) = value.as_str()
            && let Some(least) = schema.get("minLength").and_then(Value::as_u64)
            && (text.chars().count() as u64) < least
        {
            return complain(
                if least == 1 { "this cannot be empty".to_owned() } else { format!("this has at least {least} characters") },
                None,
            );
        }
    }
    Vec::new()
}

/// Whether all the schemas allow a type.
fn allows(way: &[&Value], kind: &str) -> bool {
    way.iter().all(|schema| match schema.get("type") {
        Some(Value::String(one)) => fits(one, kind),
        Some(Value::Array(some)) => some.iter().filter_map(Value::as_str).any(|one| fits(one, kind)),
        _ => true,
    })
}

fn fits(allowed: &str, kind: &str) -> bool {
    allowed == kind || (allowed == "number" && kind == "integer")
}

fn wanted(way: &[&Value]) -> String {
    let mut names: Vec<String> = Vec::new();
    for schema in way {
        match schema.get("type") {
            Some(Value::String(one)) => names.push(article(one)),
            Some(Value::Array(some)) => names.extend(some.iter().filter_map(Value::as_str).filter(|one| *one != "null").map(article)),
            _ => {}
        }
    }
    names.dedup();
    if names.is_empty() { "something else".to_owned() } else { names.join(" or ") }
}
