//! Answers in XML.
//!
//! Invariant: no value can end its element.

use super::query::Refused;

/// What stands within an element.
#[derive(Debug, Clone, Default)]
pub(super) struct Xml(String);

impl Xml {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// With an element that holds a text.
    pub(super) fn text(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.0.push_str(&format!("<{name}>{}</{name}>", escaped(&value.to_string())));
        self
    }

    /// The same where there is a value.
    pub(super) fn maybe(self, name: &str, value: Option<impl std::fmt::Display>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// With an element that holds others.
    pub(super) fn within(mut self, name: &str, inner: &Self) -> Self {
        self.0.push_str(&format!("<{name}>{}</{name}>", inner.0));
        self
    }

    /// With a list, each member in an element of its own.
    pub(super) fn list(self, name: &str, member: &str, all: impl IntoIterator<Item = Self>) -> Self {
        let inner = all.into_iter().fold(Self::new(), |inner, one| inner.within(member, &one));
        self.within(name, &inner)
    }

    /// The text of an element that stands alone in a list.
    pub(super) fn plain(value: &str) -> Self {
        Self(escaped(value))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn namespace(service: &str) -> &'static str {
    match service {
        "elasticache" => "http://elasticache.amazonaws.com/doc/2015-02-02/",
        "rds" => "http://rds.amazonaws.com/doc/2014-10-31/",
        _ => "https://sts.amazonaws.com/doc/2011-06-15/",
    }
}

const REQUEST: &str = "00000000-0000-4000-8000-000000000000";

/// An answer.
pub(super) fn answer(service: &str, action: &str, result: &Xml) -> String {
    let inner = Xml::new().within(&format!("{action}Result"), result).within("ResponseMetadata", &Xml::new().text("RequestId", REQUEST));
    format!("<{action}Response xmlns=\"{}\">{}</{action}Response>", namespace(service), inner.0)
}

/// A refusal.
pub(super) fn error(service: &str, refused: &Refused) -> String {
    let kind = if refused.status < 500 { "Sender" } else { "Receiver" };
    let inner = Xml::new().text("Type", kind).text("Code", refused.code).text("Message", &refused.message);
    let inner = Xml::new().within("Error", &inner).text("RequestId", REQUEST);
    format!("<ErrorResponse xmlns=\"{}\">{}</ErrorResponse>", namespace(service), inner.0)
}
