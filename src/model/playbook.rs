//! A playbook as it was checked at load.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};

use super::step::Step;
use super::template::Template;

/// A checked playbook: its ids are unique, its graph has no cycle, its references resolve. Made only by the `playbook` module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Playbook {
    /// `[a-z][a-z0-9-]*`, the same as its file's name.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// What a run must be given, in the order written.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub params: Vec<Param>,
    /// The secrets it may refer to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretDeclaration>,
    /// Values computed once, when the run (or the call) starts, in an order in which each finds those it refers to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vars: Vec<(String, Template)>,
    /// The steps, in the order written.
    pub steps: Vec<Step>,
    /// What a caller sees as `steps.<call>.outputs.<name>`, and `status` prints at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outputs: Vec<(String, Template)>,
    /// Whether anything refers to a target (`target.*`, or an action that needs one).
    pub needs_target: bool,
}

/// A declared parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// `[a-z][a-z0-9_]*`
    pub name: String,
    /// The type that a value must have.
    #[serde(rename = "type")]
    pub kind: ParamType,
    /// A format that a string must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<ParamFormat>,
    /// The allowed values, where only some are.
    #[serde(default, rename = "enum", skip_serializing_if = "Option::is_none")]
    pub allowed: Option<Vec<Value>>,
    /// The least that a number may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub minimum: Option<Number>,
    /// The most that a number may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Number>,
    /// The value where none is given; without one the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Value>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

/// The types of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamType {
    /// Text.
    String,
    /// A whole number, 64 bits, signed.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// RFC 3339 with an offset, or with a zone in brackets.
    Timestamp,
    /// `90s`, `10m`, `1h30m`.
    Duration,
    /// A list.
    List,
    /// A map with string keys.
    Map,
}

impl ParamType {
    /// Every type, in the order documented.
    pub const ALL: [Self; 8] =
        [Self::String, Self::Integer, Self::Number, Self::Boolean, Self::Timestamp, Self::Duration, Self::List, Self::Map];

    /// As written in a playbook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::List => "list",
            Self::Map => "map",
        }
    }
}

/// The formats of string parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParamFormat {
    /// RFC 9562, hyphenated.
    Uuid,
    /// An absolute `http` or `https` URL.
    Url,
    /// A DNS-1123 label: what Kubernetes takes as most names.
    Name,
    /// An e-mail address.
    Email,
    /// An amount as Kubernetes writes it: `500m`, `2`, `1Gi`.
    Quantity,
}

impl ParamFormat {
    /// Every format, in the order documented.
    pub const ALL: [Self; 5] = [Self::Uuid, Self::Url, Self::Name, Self::Email, Self::Quantity];

    /// As written in a playbook.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Uuid => "uuid",
            Self::Url => "url",
            Self::Name => "name",
            Self::Email => "email",
            Self::Quantity => "quantity",
        }
    }
}

/// A declared secret. Its value is never part of a playbook or a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretDeclaration {
    /// `[a-z][a-z0-9_]*`
    pub name: String,
    /// The environment variable it comes from where the target's environment names no source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// One line for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}
