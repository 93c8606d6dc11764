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
use super::permissions::On;
use super::swap_fields::Place;
use super::workload::is_name;
use crate::model::outcome::Failure;

/// A kind with a short name.
#[derive(Debug, PartialEq, Eq)]
struct Known {
    short: &'static str,
    /// As the API names it.
    kind: &'static str,
    /// The path of its API.
    api: &'static str,
    plural: &'static str,
    /// Whether it belongs to a namespace.
    namespaced: bool,
}

/// The kinds with a short name.
static KINDS: [Known; 10] = [
    Known { short: "pod", kind: "Pod", api: "/api/v1", plural: "pods", namespaced: true },
    Known { short: "deployment", kind: "Deployment", api: "/apis/apps/v1", plural: "deployments", namespaced: true },
    Known { short: "statefulset", kind: "StatefulSet", api: "/apis/apps/v1", plural: "statefulsets", namespaced: true },
    Known { short: "replicaset", kind: "ReplicaSet", api: "/apis/apps/v1", plural: "replicasets", namespaced: true },
    Known { short: "service", kind: "Service", api: "/api/v1", plural: "services", namespaced: true },
    Known { short: "configmap", kind: "ConfigMap", api: "/api/v1", plural: "configmaps", namespaced: true },
    Known { short: "namespace", kind: "Namespace", api: "/api/v1", plural: "namespaces", namespaced: false },
    Known { short: "node", kind: "Node", api: "/api/v1", plural: "nodes", namespaced: false },
    Known { short: "job", kind: "Job", api: "/apis/batch/v1", plural: "jobs", namespaced: true },
    Known {
        short: "hpa",
        kind: "HorizontalPodAutoscaler",
        api: "/apis/autoscaling/v2",
        plural: "horizontalpodautoscalers",
        namespaced: true,
    },
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
    Short(&'static Known),
    /// Looked up in the API's own list of resources.
    Long {
        api: String,
        kind: String,
    },
}

/// Why a text names no object that may be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotAnObject {
    /// It is of another form.
    #[error(
        "`{0}` names no object: write `KIND/NAME`, KIND one of {kinds}, or `GROUP/VERSION/Kind/NAME` (`v1/Kind/NAME` for the core group)",
        kinds = KINDS.each_ref().map(|known| known.short).join(", ")
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
            [kind, name] => (Kind::Short(KINDS.iter().find(|known| known.short == *kind).ok_or_else(wrong)?), *name),
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
        let short = KINDS.iter().find(|known| known.api == base && known.kind == kind);
        short.map_or_else(|| format!("{api_version}/{kind}/{name}"), |known| format!("{}/{name}", known.short)).parse()
    }

    /// The kind, as the API names it: `Deployment`.
    pub(super) fn kind(&self) -> &str {
        match &self.kind {
            Kind::Short(known) => known.kind,
            Kind::Long { kind, .. } => kind,
        }
    }

    /// Whether it is known, without asking, to belong to no namespace.
    pub(super) fn has_no_namespace(&self) -> bool {
        ["node/", "namespace/"].iter().any(|kind| self.canonical().starts_with(kind))
    }

    /// What access rules call it; its kind, where only the cluster tells that.
    pub(super) fn on(&self) -> On {
        let group_of = |api: &str| api.strip_prefix("/apis/").and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
        let known = match &self.kind {
            Kind::Short(known) => *known,
            Kind::Long { api, kind } => match KINDS.iter().find(|known| known.kind == kind && group_of(known.api) == group_of(api)) {
                Some(known) => known,
                None => {
                    let version = api.rsplit('/').next().unwrap_or_default();
                    return On::of_kind(&group_of(api), version, kind).named(&self.name);
                }
            },
        };
        let on = On::any(&group_of(known.api), known.plural).named(&self.name);
        if known.namespaced { on } else { on.of_the_cluster() }
    }

    /// One name for one object, however it is written and whatever version it is asked in: `deployment/x`, `scaledobject.keda.sh/x`.
    pub(super) fn canonical(&self) -> String {
        let name = &self.name;
        match &self.kind {
            Kind::Short(known) => format!("{}/{name}", known.short),
            Kind::Long { api, kind } => {
                let group = |api: &str| api.strip_prefix("/apis/").and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
                let same = |known: &&Known| known.kind == kind.as_str() && group(known.api) == group(api);
                let (kind, group) = (kind.to_ascii_lowercase(), group(api));
                match KINDS.iter().find(same) {
                    Some(known) => format!("{}/{name}", known.short),
                    None if group.is_empty() => format!("{kind}/{name}"),
                    None => format!("{kind}.{group}/{name}"),
                }
            }
        }
    }

    /// As `kubectl` takes it: `deployment/x`, `scaledobject.v1alpha1.keda.sh/x`.
    pub(super) fn kubectl(&self) -> String {
        match &self.kind {
            Kind::Short(_) => self.written.clone(),
            Kind::Long { api, kind } => match api.strip_prefix("/apis/").and_then(|rest| rest.split_once('/')) {
                Some((group, version)) => format!("{}.{version}.{group}/{}", kind.to_ascii_lowercase(), self.name),
                None => format!("{}/{}", kind.to_ascii_lowercase(), self.name),
            },
        }
    }

    /// Where it is; the namespace is empty for what belongs to none.
    ///
    /// # Errors
    /// Where the kind could not be looked up, or is not known.
    pub(super) async fn place(&self, api: &Api, namespace: impl FnOnce() -> Result<String, Failure>) -> Result<Place, Failure> {
        let (base, plural, namespaced) = match &self.kind {
            Kind::Short(known) => (known.api.to_owned(), known.plural.to_owned(), known.namespaced),
            Kind::Long { api: base, kind } => {
                let (plural, namespaced) = self.look_up(api, base, kind).await?;
                (base.clone(), plural, namespaced)
            }
        };
        let namespace = if namespaced { namespace()? } else { String::new() };
        let within = if namespaced { format!("/namespaces/{namespace}") } else { String::new() };
        let path = format!("{base}{within}/{plural}/{}", self.name);
        Ok(Place { path, resource: plural, shown: self.canonical(), name: self.name.clone(), namespace, uid: None })
    }

    /// A failure to read that is worth another try ends as a transient one.
    pub(super) async fn read(&self, api: &Api, namespace: impl FnOnce() -> Result<String, Failure>) -> Result<Found, Failure> {
        let place = self.place(api, namespace).await?;
        match api.get(&place.path).await {
            Ok(mut object) => {
                if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
                    // Who set which field: long, and nothing that a playbook asks.
                    metadata.remove("managedFields");
                }
                Ok(Found::Object(object))
            }
            Err(trouble) if trouble.is_gone() => Ok(Found::Missing),
            Err(trouble) => Err(trouble.failure(place.asked("get"))),
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
    fn an_object_has_one_name_however_it_is_written() {
        for (text, canonical, kubectl) in [
            ("deployment/x", "deployment/x", "deployment/x"),
            ("apps/v1/Deployment/x", "deployment/x", "deployment.v1.apps/x"),
            ("autoscaling/v1/HorizontalPodAutoscaler/x", "hpa/x", "horizontalpodautoscaler.v1.autoscaling/x"),
            ("v1/Pod/x", "pod/x", "pod/x"),
            ("v1/LimitRange/x", "limitrange/x", "limitrange/x"),
            ("example.com/v1/Deployment/x", "deployment.example.com/x", "deployment.v1.example.com/x"),
            ("keda.sh/v1alpha1/ScaledObject/x", "scaledobject.keda.sh/x", "scaledobject.v1alpha1.keda.sh/x"),
        ] {
            let object: ObjectName = text.parse().unwrap();
            assert_eq!((object.canonical().as_str(), object.kubectl().as_str()), (canonical, kubectl), "{text}");
        }
        for known in &KINDS {
            assert_eq!(kind_word(known.kind), known.short);
        }
    }

    #[test]
    fn a_secret_is_refused_however_it_is_spelled() {
        for text in ["secret/x", "Secret/x", "secrets/x", "v1/Secret/x"] {
            assert_eq!(text.parse::<ObjectName>(), Err(NotAnObject::Secret), "{text}");
        }
    }
}
