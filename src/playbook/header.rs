//! What stands at the top of a playbook beside its steps: name, parameters, secrets, variables, outputs.
//!
//! Must not look into steps. Invariant: a default is a value that the parameter would take.

use serde_json::{Number, Value};

use super::bind::conform;
use super::reader::Reader;
use super::source::Span;
use super::template::Scope;
use super::yaml::{Kind, Node};
use crate::model::playbook::{Param, ParamFormat, ParamType, SecretDeclaration};
use crate::model::template::Template;

/// The keys of a playbook.
pub(super) const KEYS: [&str; 7] = ["playbook", "summary", "params", "secrets", "vars", "steps", "outputs"];

/// A name, its value and where it stands.
pub(super) struct Named {
    pub(super) name: String,
    pub(super) value: Template,
    pub(super) span: Span,
    /// Which of the reader's occurrences are within it.
    pub(super) occurrences: std::ops::Range<usize>,
}

impl Reader<'_> {
    pub(super) fn params(&mut self, node: &Node) -> Vec<Param> {
        let mut params = Vec::new();
        for (key, value) in self.entries(node, "`params`") {
            self.id(&key.name, key.span, "the name of a parameter");
            if self.map(value, "a parameter", &["type", "format", "enum", "minimum", "maximum", "default", "help"]).is_none() {
                self.misdeclared.insert(key.name.clone());
                continue;
            }
            let kinds: Vec<(&str, ParamType)> = ParamType::ALL.iter().map(|kind| (kind.as_str(), *kind)).collect();
            let kind = match value.get("type") {
                Some(at) => self.choice(at, "`type`", &kinds),
                None => {
                    self.missing(
                        key.span,
                        "a parameter",
                        "type",
                        "one of: string, integer, number, boolean, timestamp, duration, list, map",
                    );
                    None
                }
            };
            let Some(kind) = kind else {
                self.misdeclared.insert(key.name.clone());
                continue;
            };
            let formats: Vec<(&str, ParamFormat)> = ParamFormat::ALL.iter().map(|format| (format.as_str(), *format)).collect();
            let format = value.get("format").and_then(|at| {
                if kind != ParamType::String {
                    self.problems.add("wrong-value", at.span, format!("`format` is for strings, and this is a {}", kind.as_str()));
                }
                self.choice(at, "`format`", &formats)
            });
            let mut param = Param {
                name: key.name.clone(),
                kind,
                format,
                allowed: None,
                minimum: self.bound(value, "minimum", kind),
                maximum: self.bound(value, "maximum", kind),
                default: None,
                help: value.get("help").and_then(|at| self.text(at, "`help`")),
            };
            if let (Some(least), Some(most), Some(at)) = (&param.minimum, &param.maximum, value.get("maximum"))
                && least.as_f64() > most.as_f64()
            {
                self.problems.add("wrong-value", at.span, format!("`maximum` is {most}, and `minimum` is {least}: no value is left"));
            }
            if let Some(at) = value.get("enum") {
                let items = self.items(at, "`enum`");
                if items.is_empty() && matches!(at.kind, Kind::List(_)) {
                    self.problems.add("wrong-value", at.span, "`enum` allows no value at all");
                }
                let values: Vec<Value> = items.iter().filter_map(|item| self.conforming(item, &param, "a value of `enum`")).collect();
                param.allowed = Some(values);
            }
            if let Some(at) = value.get("default") {
                param.default = self.conforming(at, &param, "the default");
            }
            params.push(param);
        }
        params
    }

    /// `minimum` or `maximum` of a parameter that is a number.
    fn bound(&mut self, param: &Node, key: &str, kind: ParamType) -> Option<Number> {
        let at = param.get(key)?;
        if !matches!(kind, ParamType::Integer | ParamType::Number) {
            self.problems.add("wrong-value", at.span, format!("`{key}` is for integers and numbers, and this is a {}", kind.as_str()));
            return None;
        }
        match self.literal(at, &format!("`{key}`")) {
            Value::Number(number) if kind == ParamType::Number || number.is_i64() => Some(number),
            other => {
                let wanted = if kind == ParamType::Integer { "a whole number" } else { "a number" };
                self.problems.add("wrong-value", at.span, format!("`{key}` is {wanted}, not `{other}`"));
                None
            }
        }
    }

    fn conforming(&mut self, node: &Node, param: &Param, what: &str) -> Option<Value> {
        let value = self.literal(node, what);
        match conform(param, value) {
            Ok(value) => Some(value),
            Err((message, hint)) => {
                self.problems.full("wrong-value", node.span, format!("{what} of `{}` {message}", param.name), None, hint);
                None
            }
        }
    }

    pub(super) fn secrets(&mut self, node: &Node) -> Vec<SecretDeclaration> {
        let mut secrets = Vec::new();
        for (key, value) in self.entries(node, "`secrets`") {
            self.id(&key.name, key.span, "the name of a secret");
            let mut secret = SecretDeclaration { name: key.name.clone(), env: None, help: None };
            if let Kind::Text(..) = value.kind {
                self.problems.hint(
                    "secret",
                    value.span,
                    "a secret is never written in a playbook",
                    "write `{}`, or `{ env: NAME }` for the environment variable it comes from",
                );
            } else if !matches!(value.kind, Kind::Null) && self.map(value, "a secret", &["env", "help"]).is_some() {
                secret.env = value.get("env").and_then(|at| self.text(at, "`env`"));
                secret.help = value.get("help").and_then(|at| self.text(at, "`help`"));
            }
            secrets.push(secret);
        }
        secrets
    }

    /// `vars`, or a playbook's `outputs`.
    pub(super) fn named(&mut self, node: &Node, what: &str, scope: Scope) -> Vec<Named> {
        let mut all = Vec::new();
        for (key, value) in self.entries(node, what) {
            self.id(&key.name, key.span, "a name");
            let first = self.occurrences.len();
            let template = self.template(value, scope);
            all.push(Named { name: key.name.clone(), value: template, span: key.span, occurrences: first..self.occurrences.len() });
        }
        all
    }
}
