//! An object as a playbook names it: `deployment/ticket-service`, `keda.sh/v1alpha1/ScaledObject/ticket-service`; and how it is read.
//!
//! Invariant: a Secret is refused however it is spelled, before anything is asked.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::api::Api;
use super::errors::{Asked, Trouble};
use super::swap_fields::Place;
use super::workload::is_name;
use crate::model::outcome::Failure;

/// The kinds with a short name: short name, path of the API, plural, whether it belongs to a namespace.
const KINDS: [(&str, &str, &str, bool); 10] = [
    ("pod", "/api/v1", "pods", true),
    ("deployment", "/apis/apps/v1", "deployments", true),
    ("statefulset", "/apis/apps/v1", "statefulsets", true),
    ("replicaset", "/apis/apps/v1", "replicasets", true),
    ("service", "/api/v1", "services", true),
    ("configmap", "/api/v1", "configmaps", true),
    ("namespace", "/api/v1", "namespaces", false),
    ("node", "/api/v1", "nodes", false),
    ("job", "/apis/batch/v1", "jobs", true),
    ("hpa", "/apis/autoscaling/v2", "horizontalpodautoscalers", true),
];

/// An object, without its namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ObjectName {
    written: String,
    kind: Kind,
    name: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    /// An index into [`KINDS`].
    Short(usize),
    /// Looked up in the API's own list of resources.
    Long { api: String, kind: String },
}

/// Why a text names no object that may be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAnObject {
    /// It is of another form.
    #[error(
        "`{0}` names no object: write `KIND/NAME`, KIND one of {kinds}, or `GROUP/VERSION/Kind/NAME` (`v1/Kind/NAME` for the core group)",
        kinds = KINDS.map(|kind| kind.0).join(", ")
    )]
    Form(String),
    /// It is a Secret.
    #[error("Secrets are never read: their values would end up in outputs. Declare it under `secrets:` instead")]
    Secret,
}

impl std::str::FromStr for ObjectName {
    type Err = NotAnObject;

    fn from_str(text: &str) -> Result<Self, NotAnObject> {
        let wrong = || NotAnObject::Form(text.chars().take(120).collect());
        let parts: Vec<&str> = text.split('/').collect();
        let (kind, name) = match parts.as_slice() {
            [kind, _] if kind.eq_ignore_ascii_case("secret") || kind.eq_ignore_ascii_case("secrets") => return Err(NotAnObject::Secret),
            ["v1", kind, _] if kind.eq_ignore_ascii_case("secret") => return Err(NotAnObject::Secret),
            [kind, name] => (Kind::Short(KINDS.iter().position(|known| known.0 == *kind).ok_or_else(wrong)?), *name),
            [version, kind, name] => (Kind::Long { api: format!("/api/{version}"), kind: long(version, kind).ok_or_else(wrong)? }, *name),
            [group, version, kind, name] if is_name(group) => {
                (Kind::Long { api: format!("/apis/{group}/{version}"), kind: long(version, kind).ok_or_else(wrong)? }, *name)
            }
            _ => return Err(wrong()),
        };
        if !is_name(name) {
            return Err(wrong());
        }
        Ok(Self { written: text.to_owned(), kind, name: name.to_owned() })
    }
}

fn long(version: &str, kind: &str) -> Option<String> {
    let versioned = version.starts_with('v') && version.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let named = kind.starts_with(|c: char| c.is_ascii_uppercase()) && kind.chars().all(|c| c.is_ascii_alphanumeric());
    (versioned && named).then(|| kind.to_owned())
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

impl<'de> Deserialize<'de> for ObjectName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for ObjectName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Object".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([^/]+/){1,3}[a-z0-9]([-a-z0-9.]*[a-z0-9])?$" })
    }
}

/// A kind as the ledger and locks name it.
pub(super) fn kind_word(kind: &str) -> String {
    if kind == "HorizontalPodAutoscaler" { "hpa".to_owned() } else { kind.to_lowercase() }
}

/// What came of reading an object.
pub(super) enum Found {
    /// It is there.
    Object(Value),
    /// It is not.
    Missing,
}

impl ObjectName {
    /// The object that a manifest is of.
    pub(super) fn of_manifest(api_version: &str, kind: &str, name: &str) -> Result<Self, NotAnObject> {
        let base = if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") };
        let short = KINDS.iter().find(|known| known.1 == base && known.0 == kind_word(kind));
        short.map_or_else(|| format!("{api_version}/{kind}/{name}"), |known| format!("{}/{name}", known.0)).parse()
    }

    /// Where it is: what this API calls its kind, and whether that belongs to a namespace.
    pub(super) async fn place(&self, api: &Api, namespace: impl FnOnce() -> Result<String, Failure>) -> Result<Place, Failure> {
        let (base, plural, namespaced) = self.located(api).await?;
        let namespace = if namespaced { namespace()? } else { String::new() };
        let within = if namespaced { format!("/namespaces/{namespace}") } else { String::new() };
        let shown = match &self.kind {
            Kind::Short(_) => self.written.clone(),
            Kind::Long { kind, .. } => format!("{}/{}", kind_word(kind), self.name),
        };
        Ok(Place { path: format!("{base}{within}/{plural}/{}", self.name), resource: plural, shown, name: self.name.clone(), namespace })
    }

    async fn located(&self, api: &Api) -> Result<(String, String, bool), Failure> {
        Ok(match &self.kind {
            Kind::Short(index) => {
                let (_, base, plural, namespaced) = KINDS[*index];
                (base.to_owned(), plural.to_owned(), namespaced)
            }
            Kind::Long { api: base, kind } => {
                let (plural, namespaced) = self.look_up(api, base, kind).await?;
                (base.clone(), plural, namespaced)
            }
        })
    }

    /// A failure to read that is worth another try ends as a transient one.
    pub(super) async fn read(&self, api: &Api, namespace: impl FnOnce() -> Result<String, Failure>) -> Result<Found, Failure> {
        let (base, plural, namespaced) = self.located(api).await?;
        let namespace = if namespaced { namespace()? } else { String::new() };
        let place = if namespaced { format!("/namespaces/{namespace}") } else { String::new() };
        match api.get(&format!("{base}{place}/{plural}/{}", self.name)).await {
            Ok(mut object) => {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    // Who set which field: long, and nothing that a playbook asks.
                    metadata.remove("managedFields");
                }
                Ok(Found::Object(object))
            }
            Err(trouble) if trouble.is_gone() => Ok(Found::Missing),
            Err(trouble) => Err(trouble.failure(Asked { verb: "get", resource: &plural, name: &self.name, namespace: &namespace })),
        }
    }

    async fn look_up(&self, api: &Api, base: &str, kind: &str) -> Result<(String, bool), Failure> {
        let asked = Asked { verb: "get", resource: base, name: "", namespace: "" };
        let unknown = || {
            Failure::permanent(format!("this cluster knows no {kind} at {base}"))
                .hint("`kubectl api-resources` lists what it knows; is the custom resource's definition installed?")
        };
        let list = match api.get(base).await {
            Ok(list) => list,
            Err(Trouble::Refused { status: 404, .. }) => return Err(unknown()),
            Err(trouble) => return Err(trouble.failure(asked)),
        };
        let resources = list.get("resources").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let found = resources.iter().find_map(|resource| {
            let name = resource.get("name")?.as_str()?;
            let matches = resource.get("kind")?.as_str()? == kind && !name.contains('/') && is_name(name);
            matches.then(|| (name.to_owned(), resource.get("namespaced").and_then(Value::as_bool).unwrap_or(false)))
        });
        found.ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_named_short_or_long() {
        for text in ["pod/a-1", "hpa/x", "keda.sh/v1alpha1/ScaledObject/x", "v1/Pod/x", "apps/v1/Deployment/x"] {
            assert_eq!(text.parse::<ObjectName>().unwrap().to_string(), text);
        }
        for text in
            ["", "pod", "pod/", "pods/x", "Pod/x", "a/b/c/d/e", "apps/v1/deployment/x", "apps/V1/Deployment/x", "pod/../x", "../v1/Pod/x"]
        {
            assert!(matches!(text.parse::<ObjectName>(), Err(NotAnObject::Form(_))), "{text}");
        }
    }

    #[test]
    fn a_secret_is_refused_however_it_is_spelled() {
        for text in ["secret/x", "Secret/x", "secrets/x", "v1/Secret/x"] {
            assert_eq!(text.parse::<ObjectName>(), Err(NotAnObject::Secret), "{text}");
        }
    }
}
