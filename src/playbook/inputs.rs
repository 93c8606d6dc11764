//! The inputs of an action against its JSON Schema, as far as they can be known before a run.
//!
//! Must not evaluate. Invariants: a secret gets into an input only where the schema marks it; an expression whose type cannot be known is let pass
//! here and is the action's to check.

use std::sync::Arc;

use serde_json::Value;

use super::input_schema::{check, expand, mark};
use super::reader::{Reader, has_expression};
use super::source::Span;
use super::template::Scope;
use super::yaml::{Kind, Node};
use crate::expr::{Expression, Part, scan};
use crate::model::catalogue::ActionEntry;
use crate::model::step::SecretInput;
use crate::model::template::Template;

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
