//! The inputs of `http.request`, as a playbook writes them.
//!
//! Must not judge how they go together: that is `request`'s part. Invariant: what can carry a secret is of type [`Secret`] and nothing else is.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::actions::support::{DurationText, Secret};
use crate::model::duration::Span;

/// The methods that may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub(in crate::actions) enum Method {
    #[default]
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl Method {
    /// Whether it changes nothing.
    pub(in crate::actions) fn is_read(self) -> bool {
        matches!(self, Self::Get | Self::Head)
    }

    pub(in crate::actions) fn as_http(self) -> http::Method {
        match self {
            Self::Get => http::Method::GET,
            Self::Head => http::Method::HEAD,
            Self::Post => http::Method::POST,
            Self::Put => http::Method::PUT,
            Self::Patch => http::Method::PATCH,
            Self::Delete => http::Method::DELETE,
        }
    }
}

/// The inputs of `http.request`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The method; `GET` where it is left out.
    #[serde(default)]
    #[schemars(extend("x-runsheet-reads" = ["GET", "HEAD"], "default" = "GET"))]
    pub(super) method: Method,
    /// The URL, absolute, `http` or `https`, without credentials.
    pub(super) url: String,
    /// Headers by name.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// Headers whose values are secrets.
    #[serde(default)]
    pub(super) secret_headers: BTreeMap<String, Secret>,
    /// Parameters that are added to the URL's query.
    #[serde(default)]
    pub(super) query: BTreeMap<String, Scalar>,
    /// The body as JSON. At most one of `json`, `form` and `body`.
    pub(super) json: Option<Value>,
    /// The body as a form (`application/x-www-form-urlencoded`).
    pub(super) form: Option<BTreeMap<String, Scalar>>,
    /// The body as it stands.
    pub(super) body: Option<String>,
    /// The media type of `body`; `text/plain; charset=utf-8` where it is left out.
    pub(super) content_type: Option<String>,
    /// A bearer token.
    pub(super) bearer: Option<Secret>,
    /// Basic authentication.
    pub(super) basic: Option<Basic>,
    /// What counts as success.
    pub(super) expect: Option<Expect>,
    /// TLS settings.
    pub(super) tls: Option<Tls>,
    /// How long the whole request may take, answer included; `30s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) timeout: Option<Span>,
    /// How long it may take to connect; `10s` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) connect_timeout: Option<Span>,
    /// Whether a GET or HEAD follows redirects; `true` where it is left out. A write never does.
    pub(super) follow_redirects: Option<bool>,
    /// The largest body that is read of the answer, in bytes; 1048576 (1 MiB) where it is left out. A larger one is cut.
    #[schemars(range(min = 0, max = 67_108_864))]
    pub(super) max_body: Option<usize>,
    /// The read that tells whether a write of unknown outcome happened.
    pub(super) verify: Option<Verify>,
}

/// Basic authentication.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Basic {
    /// The user's name.
    pub(super) username: String,
    /// The password.
    pub(super) password: Secret,
}

/// What counts as success.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::actions) struct Expect {
    /// Statuses (`201`) or ranges of them (`"200-299"`).
    pub(in crate::actions) status: Vec<StatusRange>,
}

/// TLS settings.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tls {
    /// A file with PEM certificates that are trusted beside the machine's.
    #[schemars(with = "Option<String>")]
    pub(super) ca_file: Option<PathBuf>,
    /// Whether any certificate will do. Then nobody knows who answers.
    #[serde(default)]
    pub(super) insecure: bool,
    /// The name that the certificate is checked against, where it is not the URL's host.
    pub(super) server_name: Option<String>,
}

/// The read that tells whether a write of unknown outcome happened.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Verify {
    /// The URL that is read (GET).
    pub(super) url: String,
    /// Headers by name.
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    /// A bearer token.
    pub(super) bearer: Option<Secret>,
    /// The answer which says that the write happened.
    pub(super) present: Pattern,
    /// The answer which says that it did not.
    pub(super) absent: Option<Pattern>,
}

/// An answer that is looked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pattern {
    /// Its status; 2xx where it is left out.
    pub(super) status: Option<Vec<StatusRange>>,
    /// What its JSON body holds: maps may hold more than this, everything else must be equal.
    pub(super) json: Option<Value>,
}

/// A text, a number or a boolean.
#[derive(Clone, Debug)]
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(text) => Ok(Self(text)),
            other @ (Value::Number(_) | Value::Bool(_)) => Ok(Self(other.to_string())),
            _ => Err(serde::de::Error::custom("a parameter must be a text, a number or a boolean")),
        }
    }
}

impl JsonSchema for Scalar {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "number", "boolean"] })
    }
}

/// A status or a range of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::actions) struct StatusRange {
    pub(super) first: u16,
    pub(super) last: u16,
}

impl StatusRange {
    /// 2xx.
    pub(in crate::actions) const SUCCESS: Self = Self { first: 200, last: 299 };

    pub(in crate::actions) fn holds(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl std::fmt::Display for StatusRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl<'de> Deserialize<'de> for StatusRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        let read = || {
            let (first, last) = match &value {
                Value::Number(number) => {
                    let status = u16::try_from(number.as_u64()?).ok()?;
                    (status, status)
                }
                Value::String(text) => {
                    let (first, last) = text.split_once('-').unwrap_or((text, text));
                    (first.trim().parse().ok()?, last.trim().parse().ok()?)
                }
                _ => return None,
            };
            (first >= 100 && last <= 599 && first <= last).then_some(Self { first, last })
        };
        read().ok_or_else(|| serde::de::Error::custom(format!("{value} is not a status: write 201, or a range such as \"200-299\"")))
    }
}

impl JsonSchema for StatusRange {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Status".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["integer", "string"], "minimum": 100, "maximum": 599, "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$" })
    }
}
