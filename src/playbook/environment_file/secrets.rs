//! Where secrets come from, and what looks like a secret that was written down.
//!
//! Must not repeat what was found. Invariant: the text of a node that is refused here is hidden from every diagnostic.

use super::super::yaml::{Kind, Node};
use super::reading::EnvironmentReader;
use super::words::Hidden;
use crate::model::notification::SecretRef;

/// What the name of a value ends in that must be a secret.
const SECRET_ENDINGS: [&str; 9] =
    ["password", "passwd", "passphrase", "token", "secret", "api_key", "apikey", "private_key", "credentials"];
/// How to say where a secret comes from.
const SOURCES: &str = "write `{ env: NAME }` for the environment variable it comes from, or `{ file: PATH }`";

impl EnvironmentReader<'_> {
    /// `{ env: NAME }` or `{ file: PATH }`.
    pub(super) fn secret_ref(&mut self, node: &Node, what: &str) -> Option<SecretRef> {
        let Kind::Map(entries) = &node.kind else {
            self.hide(node);
            let message = match node.kind {
                Kind::Null => format!("{what} needs its source"),
                _ => format!("{what} is written in the file: a secret's text never stands here"),
            };
            self.inner.problems.hint("secret", node.span, message, SOURCES);
            return None;
        };
        self.inner.map(node, what, &["env", "file"])?;
        // `{ value: hunter2 }`
        entries.iter().filter(|(key, _)| !matches!(key.name.as_str(), "env" | "file")).for_each(|(_, value)| self.hide(value));
        match (node.get("env"), node.get("file")) {
            (Some(at), None) => {
                let name = self.inner.text(at, "`env`")?;
                let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                    && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if !good {
                    // It may be the secret itself.
                    self.hide(at);
                    let message = format!("{what}: `env` is not the name of an environment variable");
                    self.inner.problems.hint("wrong-value", at.span, message, "letters, digits and `_`: SERVICE_TOKEN");
                }
                good.then_some(SecretRef::Env(name))
            }
            (None, Some(at)) => self.path(at, "`file`").map(SecretRef::File),
            (Some(_), Some(at)) => {
                self.inner.problems.hint("wrong-value", at.span, format!("{what} has two sources"), "remove `env` or `file`");
                None
            }
            (None, None) => {
                self.inner.problems.hint("missing-key", node.span, format!("{what} needs its source"), SOURCES);
                None
            }
        }
    }

    /// Refuses what looks like a secret within `values`.
    pub(super) fn refuse_secrets(&mut self, name: &str, node: &Node) {
        match &node.kind {
            Kind::Map(entries) => entries.iter().for_each(|(key, value)| self.refuse_secrets(&key.name, value)),
            Kind::List(items) => items.iter().for_each(|item| self.refuse_secrets(name, item)),
            Kind::Text(text, _) => {
                if !text.is_empty() && ends_like_a_secret(name) {
                    self.hide(node);
                    let hint = "name its source under `secrets`, and read it in playbooks as `secrets.NAME`";
                    let message = format!("`{name}` looks like a secret: its text never stands in this file");
                    self.inner.problems.hint("secret", node.span, message, hint);
                } else {
                    self.has_credentials(text, node);
                }
            }
            Kind::Int(_) if ends_like_a_secret(name) => {
                self.hide(node);
                let message = format!("`{name}` looks like a secret: its text never stands in this file");
                self.inner.problems.hint("secret", node.span, message, "name its source under `secrets`");
            }
            Kind::Null | Kind::Bool(_) | Kind::Int(_) | Kind::Float(_) => {}
        }
    }

    /// Refuses a URL that carries credentials.
    pub(super) fn has_credentials(&mut self, text: &str, node: &Node) -> bool {
        let found = url::Url::parse(text).is_ok_and(|url| url.has_authority() && url.password().is_some());
        if found {
            self.hide(node);
            let hint = "take `USER:PASSWORD@` out; name the password's source under `secrets`";
            self.inner.problems.hint("secret", node.span, "this URL holds a password", hint);
        }
        found
    }

    fn hide(&mut self, node: &Node) {
        match &node.kind {
            Kind::Map(entries) => entries.iter().for_each(|(_, value)| self.hide(value)),
            Kind::List(items) => items.iter().for_each(|item| self.hide(item)),
            Kind::Null => {}
            _ => {
                let last = self.inner.file.place(node.span.end, 0).line;
                self.hidden.push(Hidden { line: node.span.line, column: node.span.column, length: node.span.length, last });
            }
        }
    }
}

fn ends_like_a_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase().replace('-', "_");
    SECRET_ENDINGS.iter().any(|ending| name.ends_with(ending))
}
