//! The Argo CD that a fresh cluster may have: its project, its Application of the ticket service, and what the repository of that says.
//!
//! It must not sync (the controller does). Invariant: without being asked for, there is none, and nothing bears its marks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::admit;
use super::namespace;
use super::resource::Resource;
use super::store::{Store, text};

/// Whether there is an Argo CD, and how its Application syncs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArgoCd {
    /// There is none.
    #[default]
    Off,
    /// Its Application syncs when the repository changes.
    On,
    /// Its Application puts back whatever is changed in the cluster as well.
    SelfHeal,
}

/// Its own namespace.
pub(crate) const NAMESPACE: &str = "argocd";
/// The name of its one Application.
const APPLICATION: &str = "ticket-service";
/// The repository whose content the cluster was made with.
pub(crate) const REPOSITORY: &str = "https://git.example.com/platform/tickets.git";
/// The commit of it.
pub(crate) const REVISION: &str = "6c1f0d2b7a9e4835c0b1d7e2f4a68c93d5e7b012";
/// The annotation that marks what belongs to an Application.
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
/// The annotation in which it keeps what it applied last.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

impl ArgoCd {
    /// All of them, in the order of their names' help.
    pub const ALL: [Self; 3] = [Self::Off, Self::On, Self::SelfHeal];

    /// Puts it into a cluster that is being made, and marks what belongs to its Application; what the repository says of each.
    pub(crate) fn install(self, store: &mut Store, created: &str, uid: impl Fn() -> String) -> Vec<Value> {
        if self == Self::Off {
            return Vec::new();
        }
        store.put(Resource::Namespaces, namespace::object(NAMESPACE, &uid(), created), None);
        let meta =
            |name: &str| json!({ "name": name, "namespace": NAMESPACE, "uid": uid(), "creationTimestamp": created, "generation": 1 });
        let anything = json!([{ "group": "*", "kind": "*" }]);
        store.put(
            Resource::AppProjects,
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "metadata": meta("default"),
                "spec": { "sourceRepos": ["*"], "destinations": [{ "namespace": "*", "server": "*" }], "clusterResourceWhitelist": anything },
            }),
            None,
        );
        let automated = if self == Self::SelfHeal { json!({ "prune": true, "selfHeal": true }) } else { json!({ "prune": true }) };
        store.put(
            Resource::Applications,
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": meta(APPLICATION),
                "spec": {
                    "project": "default",
                    "source": { "repoURL": REPOSITORY, "path": "production", "targetRevision": "HEAD" },
                    "destination": { "server": "https://kubernetes.default.svc", "namespace": "production" },
                    "syncPolicy": { "automated": automated },
                },
            }),
            None,
        );
        mark(store)
    }
}

/// Marks what is in `production` as the Application's; what the repository says of each.
fn mark(store: &mut Store) -> Vec<Value> {
    let scalers = [Resource::HorizontalPodAutoscalers, Resource::ScaledObjects];
    let scaled = scalers.into_iter().any(|resource| store.list(resource, None).next().is_some());
    let mut said = Vec::new();
    for resource in [Resource::Deployments, Resource::HorizontalPodAutoscalers, Resource::ScaledObjects, Resource::Services] {
        // As the API serves it: `1000m` is written as `1`.
        let all: Vec<Value> = store.list(resource, Some("production")).map(|entry| admit::as_served(resource, &entry.object)).collect();
        for mut object in all {
            let (group, kind, name) = (resource.group(), resource.kind(), text(&object, "/metadata/name").to_owned());
            let id = format!("{APPLICATION}:{group}/{kind}:production/{name}");
            let mut manifest = manifest(resource, &object, scaled);
            manifest["metadata"]["annotations"] = json!({ TRACKING_ID: id });
            // As kubectl writes it, with a line's end.
            object["metadata"]["annotations"] = json!({ TRACKING_ID: id, LAST_APPLIED: format!("{manifest}\n") });
            store.put(resource, object, None);
            said.push(manifest);
        }
    }
    said
}

/// What a person would have written of an object: no defaults, and no number of pods beside an autoscaler's.
fn manifest(resource: Resource, object: &Value, scaled: bool) -> Value {
    let picked = |value: &Value, names: &[&str]| -> Value {
        let members = value.as_object().into_iter().flatten().filter(|(name, _)| names.contains(&name.as_str()));
        Value::Object(members.map(|(name, value)| (name.clone(), value.clone())).collect::<Map<_, _>>())
    };
    let spec = &object["spec"];
    let spec = match resource {
        Resource::Deployments => {
            let template = &spec["template"];
            let container = ["name", "image", "ports", "env", "resources"];
            let containers = template["spec"]["containers"].as_array().into_iter().flatten().map(|one| picked(one, &container));
            let mut said = picked(spec, if scaled { &["selector"] } else { &["replicas", "selector"] });
            said["template"] =
                json!({ "metadata": picked(&template["metadata"], &["labels"]), "spec": { "containers": containers.collect::<Vec<_>>() } });
            said
        }
        Resource::Services => picked(spec, &["selector", "ports"]),
        _ => spec.clone(),
    };
    json!({
        "apiVersion": object["apiVersion"], "kind": object["kind"],
        "metadata": picked(&object["metadata"], &["name", "namespace", "labels"]), "spec": spec,
    })
}

/// An Application in words.
pub(crate) fn summary(application: &Value) -> String {
    let automated = &application["spec"]["syncPolicy"]["automated"];
    let how = match (automated.is_object() && automated["enabled"] != false, automated["selfHeal"] == true) {
        (true, true) => "heals itself",
        (true, false) => "syncs by commit",
        (false, _) => "syncs by hand",
    };
    let status = Some(text(application, "/status/sync/status")).filter(|status| !status.is_empty()).unwrap_or("Unknown");
    format!("{}/{} {status}, {how}", text(application, "/metadata/namespace"), text(application, "/metadata/name"))
}

impl fmt::Display for ArgoCd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "off",
            Self::On => "on",
            Self::SelfHeal => "self-heal",
        })
    }
}

impl FromStr for ArgoCd {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|one| one.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no Argo CD of the sandbox: write off, on or self-heal"))
    }
}
