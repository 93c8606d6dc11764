//! The inputs of an action against its JSON Schema, as far as they can be known before a run.
//!
//! Must not evaluate. Invariants: a secret gets into an input only where the schema marks it; an expression whose type cannot be known is let pass
//! here and is the action's to check.

use std::sync::Arc;

use serde_json::Value;

use super::diagnostics::did_you_mean;
use super::reader::{Reader, has_expression};
use super::source::Span;
use super::template::{Scope, article};
use super::yaml::{Kind, Node};
use crate::expr::{Expression, Part, scan};
use crate::model::catalogue::ActionEntry;
use crate::model::step::SecretInput;
use crate::model::template::Template;

const MARK: &str = "x-runsheet-secret";
/// The most alternatives of one schema that are looked at.
const ALTERNATIVES: usize = 64;
/// The deepest chain of references within a schema.
const REFERENCES: usize = 16;

/// Something wrong with an input.
struct Complaint {
    code: &'static str,
    span: Span,
    message: String,
    hint: Option<String>,
    /// How far off the alternative is that complains: a wrong type is further than a wrong value.
    weight: usize,
}

impl Reader<'_> {
    /// The inputs of an action: its template, and which of them are secrets. `with` is `None` where it was left out.
    pub(super) fn inputs(
        &mut self,
        with: Option<&Node>,
        uses: Span,
        entry: &Arc<ActionEntry>,
        scope: Scope,
    ) -> (Template, Vec<SecretInput>) {
        let nothing = Node { kind: Kind::Map(Vec::new()), span: uses };
        let node = match with {
            Some(Node { kind: Kind::Null, .. }) | None => &nothing,
            Some(node) => node,
        };
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong_type(node, "`with` is a map");
            return (Template::empty_map(), Vec::new());
        }
        let before = self.problems.count();
        let mut complaints = check(&entry.inputs, &[&entry.inputs], node);
        for complaint in &mut complaints {
            complaint.message = complaint.message.replace("{what}", &format!("`{}`", entry.name));
        }
        let fine = complaints.is_empty();
        for complaint in complaints {
            self.problems.full(complaint.code, complaint.span, complaint.message, None, complaint.hint);
        }
        let mut secrets = Vec::new();
        let template = self.input(node, &entry.inputs, vec![&entry.inputs], "", scope, &mut secrets);
        if fine && secrets.is_empty() && before == self.problems.count() && !has_expression(node) {
            self.validate(node, entry, &template);
        }
        (template, secrets)
    }

    /// Converts one input, taking secrets out.
    fn input(
        &mut self,
        node: &Node,
        root: &Value,
        schemas: Vec<&Value>,
        at: &str,
        scope: Scope,
        secrets: &mut Vec<SecretInput>,
    ) -> Template {
        match &node.kind {
            Kind::Text(text, _) => {
                if let [Part::Expression(source, _)] = scan(text).as_slice()
                    && let Ok(expression) = Expression::parse(source)
                    && let Some(name) = expression.secret()
                {
                    if mark(root, &schemas).is_none() {
                        let message = "a secret may not stand here: this input would be written down".to_owned();
                        let hint =
                            "secrets go only into inputs that are typed secret (`bearer` of `http.request`, say; see the action's page)"
                                .to_owned();
                        self.problems.full("secret", node.span, message, None, Some(hint));
                    }
                    secrets.push(SecretInput { at: at.to_owned(), secret: name.to_owned() });
                    // Its name is checked with the other references; the template holds nothing.
                    let scope = Scope { what: super::template::SECRET, ..scope };
                    let _ = self.template(node, scope);
                    return Template::Literal(Value::Null);
                }
                self.template(node, scope)
            }
            Kind::List(items) => {
                let inner: Vec<&Value> =
                    schemas.iter().flat_map(|schema| expand(root, schema, 0)).flatten().filter_map(|schema| schema.get("items")).collect();
                let parts = items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| self.input(item, root, inner.clone(), &format!("{at}/{index}"), scope, secrets));
                let parts: Vec<Template> = parts.collect();
                literal_list(parts)
            }
            Kind::Map(entries) => {
                let schemas: Vec<&Value> = schemas.iter().flat_map(|schema| expand(root, schema, 0)).flatten().collect();
                let mut parts = Vec::with_capacity(entries.len());
                for (key, value) in entries {
                    let mut inner: Vec<&Value> =
                        schemas.iter().filter_map(|schema| schema.get("properties").and_then(|known| known.get(&key.name))).collect();
                    if inner.is_empty() {
                        inner = schemas.iter().filter_map(|schema| schema.get("additionalProperties")).collect();
                    }
                    let pointer = format!("{at}/{}", key.name.replace('~', "~0").replace('/', "~1"));
                    parts.push((key.name.clone(), self.input(value, root, inner, &pointer, scope, secrets)));
                }
                literal_map(parts)
            }
            _ => self.template(node, scope),
        }
    }

    /// What only the whole schema can say, where all inputs are known.
    fn validate(&mut self, node: &Node, entry: &Arc<ActionEntry>, template: &Template) {
        let Template::Literal(value) = template else { return };
        let validator = self
            .validators
            .entry(entry.name.clone())
            .or_insert_with(|| jsonschema::validator_for(&entry.inputs).ok().map(Arc::new))
            .clone();
        let Some(validator) = validator else { return };
        if let Some(error) = validator.iter_errors(value).next() {
            let place = at_pointer(node, error.instance_path().as_str());
            self.problems.add("wrong-value", place.span, format!("`{}` cannot take this: {error}", entry.name));
        }
    }
}

fn literal_list(parts: Vec<Template>) -> Template {
    if parts.iter().all(|part| matches!(part, Template::Literal(_))) {
        return Template::Literal(
            parts.into_iter().map(|part| if let Template::Literal(value) = part { value } else { Value::Null }).collect(),
        );
    }
    Template::List(parts)
}

fn literal_map(parts: Vec<(String, Template)>) -> Template {
    if parts.iter().all(|(_, part)| matches!(part, Template::Literal(_))) {
        let entries = parts.into_iter().map(|(key, part)| (key, if let Template::Literal(value) = part { value } else { Value::Null }));
        return Template::Literal(Value::Object(entries.collect()));
    }
    Template::Map(parts)
}

fn at_pointer<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let mut node = node;
    for part in pointer.split('/').skip(1) {
        let part = part.replace("~1", "/").replace("~0", "~");
        let next = match &node.kind {
            Kind::List(items) => part.parse::<usize>().ok().and_then(|at| items.get(at)),
            _ => node.get(&part),
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

/// The ways in which a schema can be met: each a list of schemas that must all hold.
fn expand<'s>(root: &'s Value, schema: &'s Value, depth: usize) -> Vec<Vec<&'s Value>> {
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
fn mark<'s>(root: &'s Value, schemas: &[&'s Value]) -> Option<&'s Value> {
    let all = schemas.iter().flat_map(|schema| expand(root, schema, 0)).flatten();
    all.filter_map(|schema| schema.get(MARK)).find(|mark| mark.as_bool() != Some(false))
}

/// What is wrong with a value, given schemas that must all hold: the complaints of the alternative that it comes nearest to.
fn check(root: &Value, schemas: &[&Value], node: &Node) -> Vec<Complaint> {
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
