//! A workload as a playbook names it: `deployment/ticket-service`.
//!
//! Invariant: one spelling for each kind; a name is one that Kubernetes would take, so that it can stand in a path as it is.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

/// The kinds with a `scale` subresource and pods of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deployment,
    StatefulSet,
    ReplicaSet,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Deployment, Self::StatefulSet, Self::ReplicaSet];

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Deployment => "deployment",
            Self::StatefulSet => "statefulset",
            Self::ReplicaSet => "replicaset",
        }
    }

    /// As objects name it: `Deployment`.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::ReplicaSet => "ReplicaSet",
        }
    }

    /// As paths and access rules name it.
    pub(super) fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::ReplicaSet => "replicasets",
        }
    }

    /// Its `scale` subresource, as access rules name it.
    pub(super) fn scale(self) -> &'static str {
        match self {
            Self::Deployment => "deployments/scale",
            Self::StatefulSet => "statefulsets/scale",
            Self::ReplicaSet => "replicasets/scale",
        }
    }
}

/// A workload, without its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Workload {
    pub(super) kind: Kind,
    pub(super) name: String,
}

/// Why a text names no workload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` names no workload: write `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`")]
pub(super) struct NotAWorkload(String);

impl std::str::FromStr for Workload {
    type Err = NotAWorkload;

    fn from_str(text: &str) -> Result<Self, NotAWorkload> {
        let wrong = || NotAWorkload(text.chars().take(80).collect());
        let (kind, name) = text.split_once('/').ok_or_else(wrong)?;
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or_else(wrong)?;
        if !is_name(name) {
            return Err(wrong());
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

impl<'de> Deserialize<'de> for Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Workload {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Workload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(deployment|statefulset|replicaset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" })
    }
}

impl Workload {
    /// The reference by which a scaler names it.
    pub(super) fn reference(&self) -> Value {
        json!({ "apiVersion": "apps/v1", "kind": self.kind.title(), "name": self.name })
    }

    /// Its path.
    pub(super) fn path(&self, namespace: &str) -> String {
        format!("/apis/apps/v1/namespaces/{namespace}/{}/{}", self.kind.plural(), self.name)
    }
}

/// A workload whose pods follow a change of its template: a Deployment or a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rolling(pub(super) Workload);

impl std::str::FromStr for Rolling {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let workload: Workload = text.parse().map_err(|error: NotAWorkload| error.to_string())?;
        match workload.kind {
            Kind::Deployment | Kind::StatefulSet => Ok(Self(workload)),
            Kind::ReplicaSet => {
                Err(format!("`{workload}`: the pods of a ReplicaSet do not follow its template; name its Deployment, `deployment/NAME`"))
            }
        }
    }
}

impl<'de> Deserialize<'de> for Rolling {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Rolling {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "RollingWorkload".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(deployment|statefulset)/[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" })
    }
}

/// Whether Kubernetes takes this as a name (RFC 1123 subdomain).
pub(super) fn is_name(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.len() <= 253
        && text.starts_with(inner)
        && text.ends_with(inner)
        && !text.contains("..")
        && text.chars().all(|c| inner(c) || c == '-' || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_read_and_written() {
        for text in ["deployment/ticket-service", "statefulset/db", "replicaset/a.b-1"] {
            assert_eq!(text.parse::<Workload>().unwrap().to_string(), text);
        }
        let path = "deployment/x".parse::<Workload>().unwrap().path("production");
        assert_eq!(path, "/apis/apps/v1/namespaces/production/deployments/x");
    }

    #[test]
    fn what_is_no_workload_is_refused() {
        for text in [
            "",
            "ticket-service",
            "deploy/x",
            "Deployment/x",
            "deployment/",
            "deployment/a/b",
            "deployment/..",
            "deployment/a?b",
            "deployment/A",
        ] {
            assert!(text.parse::<Workload>().is_err(), "{text}");
        }
    }
}
