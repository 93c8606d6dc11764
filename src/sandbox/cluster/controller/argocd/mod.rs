//! Argo CD: it compares what its Applications' repository says with what is there, says so in their status, and puts back what differs, where it is to.
//!
//! It must not act on what bears no mark of an Application, nor on an Application of another repository. Invariant: within its own time it heals after
//! [`HEAL_AFTER`], and never while a window denies it.

mod compare;
mod window;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Cluster;
use crate::sandbox::cluster::admit::{self, update};
use crate::sandbox::cluster::argocd::{NAMESPACE, REPOSITORY, REVISION};
use crate::sandbox::cluster::managed_fields::{self, Manager, Operation};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

/// How long a difference stands before it is healed, in milliseconds: its `--self-heal-timeout-seconds`.
const HEAL_AFTER: f64 = 5000.0;
/// Who it is to the API server.
const MANAGER: &str = "argocd-controller";

/// What it remembers.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// What the repository says, a manifest for each object; empty: there is no Argo CD.
    #[serde(default)]
    repository: Vec<Value>,
    /// When each Application that differs is healed, by its uid.
    #[serde(default)]
    due: BTreeMap<String, u64>,
}

impl Memory {
    /// One whose repository says this.
    pub(crate) fn of(repository: Vec<Value>) -> Self {
        Self { repository, due: BTreeMap::new() }
    }

    /// Whether there is an Argo CD.
    pub(crate) fn is_installed(&self) -> bool {
        !self.repository.is_empty()
    }
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    if !cluster.memory.argocd.is_installed() {
        return;
    }
    for entry in cluster.list(Resource::Applications) {
        let application = &entry.object;
        if text(application, "/spec/source/repoURL") == REPOSITORY {
            one(cluster, application);
        }
    }
}

/// What it owns, as it is said and as it is.
struct Owned {
    resource: Resource,
    said: Value,
    live: Option<Entry>,
    synced: bool,
}

fn owned(cluster: &Cluster<'_>, application: &Value) -> Vec<Owned> {
    let of = |said: &Value| {
        let resource =
            Resource::ALL.into_iter().find(|one| one.kind() == text(said, "/kind") && one.api_version() == text(said, "/apiVersion"))?;
        let live = cluster.store.get(resource, text(said, "/metadata/namespace"), text(said, "/metadata/name")).cloned();
        let ignored = compare::ignored(application, said);
        let synced = live.as_ref().is_some_and(|live| compare::same(said, &live.object, &ignored));
        Some(Owned { resource, said: said.clone(), live, synced })
    };
    cluster.memory.argocd.repository.iter().filter_map(of).collect()
}

fn one(cluster: &mut Cluster<'_>, application: &Value) {
    let uid = text(application, "/metadata/uid").to_owned();
    let mut all = owned(cluster, application);
    let mut synced = all.iter().all(|one| one.synced);
    let automated = &application["spec"]["syncPolicy"]["automated"];
    let heals = automated.is_object() && automated["enabled"] != false && automated["selfHeal"] == true;
    let mut healed = false;
    if synced || !heals || text(application, "/metadata/annotations/argocd.argoproj.io~1skip-reconcile") == "true" {
        cluster.memory.argocd.due.remove(&uid);
    } else if let Some(until) = denied_until(cluster, application) {
        cluster.memory.argocd.due.remove(&uid);
        cluster.at(until);
    } else {
        let after = cluster.moment.after(HEAL_AFTER);
        let due = *cluster.memory.argocd.due.entry(uid.clone()).or_insert(after);
        if due <= cluster.moment.now {
            cluster.memory.argocd.due.remove(&uid);
            for one in all.iter().filter(|one| !one.synced) {
                heal(cluster, application, one);
            }
            all = owned(cluster, application);
            synced = all.iter().all(|one| one.synced);
            healed = true;
        } else {
            cluster.at(due);
        }
    }
    report(cluster, application, &all, synced, healed);
}

fn denied_until(cluster: &Cluster<'_>, application: &Value) -> Option<u64> {
    let name = Some(text(application, "/spec/project")).filter(|name| !name.is_empty()).unwrap_or("default");
    // Projects are Argo CD's own; one that stands beside its Application counts too.
    let places = [NAMESPACE, text(application, "/metadata/namespace")];
    let project = places.into_iter().find_map(|namespace| cluster.store.get(Resource::AppProjects, namespace, name))?;
    window::denied_until(&project.object, application, cluster.moment.now)
}

/// Makes an object what the repository says.
fn heal(cluster: &mut Cluster<'_>, application: &Value, one: &Owned) {
    let Some(live) = &one.live else { return };
    let ignored = if respects(application) { compare::ignored(application, &one.said) } else { Vec::new() };
    let mut wanted = Value::clone(&live.object);
    compare::merge(&mut wanted, &one.said, &live.object, &ignored);
    let refuse = |message: String| admit::mismatch(one.resource, &message);
    let admitted = admit::admit(one.resource, &wanted, refuse).and_then(|admitted| update::update(one.resource, &live.object, admitted));
    // What the API server does not take is left as it is, as the real one's sync would fail.
    let Ok(mut wanted) = admitted else { return };
    let manager = Manager::new(MANAGER, Operation::Update, one.resource);
    managed_fields::update(one.resource, &live.object, &mut wanted, &manager, &cluster.moment.stamp());
    cluster.touched = true;
    cluster.store.put(one.resource, wanted, live.life.clone());
}

fn respects(application: &Value) -> bool {
    let options = application["spec"]["syncPolicy"]["syncOptions"].as_array();
    options.into_iter().flatten().any(|option| option == "RespectIgnoreDifferences=true")
}

/// Writes the status, where it is another than before.
fn report(cluster: &mut Cluster<'_>, application: &Value, all: &[Owned], synced: bool, healed: bool) {
    let word = |synced: bool| if synced { "Synced" } else { "OutOfSync" };
    let resources: Vec<Value> = all
        .iter()
        .map(|one| {
            let mut shown = json!({
                "group": one.resource.group(), "version": one.resource.version(), "kind": one.resource.kind(),
                "namespace": text(&one.said, "/metadata/namespace"), "name": text(&one.said, "/metadata/name"), "status": word(one.synced),
            });
            if let Some(health) = health(one) {
                shown["health"] = json!({ "status": health });
            }
            shown
        })
        .collect();
    let worst = ["Missing", "Progressing"].into_iter().find(|state| all.iter().any(|one| health(one) == Some(state))).unwrap_or("Healthy");
    let spec = &application["spec"];
    let mut status = json!({
        "resources": resources,
        "sync": {
            "status": word(synced), "revision": REVISION,
            "comparedTo": { "source": spec["source"], "destination": spec["destination"] },
        },
        "health": { "status": worst },
        "sourceType": "Directory",
        "controllerNamespace": NAMESPACE,
    });
    if spec["ignoreDifferences"].is_array() {
        status["sync"]["comparedTo"]["ignoreDifferences"] = spec["ignoreDifferences"].clone();
    }
    let before = &application["status"];
    let now = cluster.moment.stamp();
    status["operationState"] = if healed {
        json!({
            "phase": "Succeeded", "message": "successfully synced (all tasks run)", "startedAt": now, "finishedAt": now,
            "operation": { "initiatedBy": { "automated": true }, "sync": { "revision": REVISION } },
            "syncResult": { "revision": REVISION, "source": spec["source"] },
        })
    } else {
        before["operationState"].clone()
    };
    if status["operationState"].is_null()
        && let Some(members) = status.as_object_mut()
    {
        members.shift_remove("operationState");
    }
    let timeless = |status: &Value| {
        let mut status = status.clone();
        if let Some(members) = status.as_object_mut() {
            members.shift_remove("reconciledAt");
        }
        status
    };
    if timeless(before) == status {
        return;
    }
    status["reconciledAt"] = json!(now);
    let mut object = application.clone();
    object["status"] = status;
    // Without a `status` subresource every change counts.
    object["metadata"]["generation"] = json!(application["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
    cluster.touched = true;
    cluster.store.put(Resource::Applications, object, None);
}

fn health(one: &Owned) -> Option<&'static str> {
    let Some(live) = &one.live else { return Some("Missing") };
    let (spec, status) = (&live.object["spec"], &live.object["status"]);
    match one.resource {
        Resource::Deployments => {
            let count = |name: &str| status[name].as_i64().unwrap_or(0);
            let wanted = spec["replicas"].as_i64().unwrap_or(1);
            let seen = status["observedGeneration"] == live.object["metadata"]["generation"];
            let done = seen
                && count("updatedReplicas") >= wanted
                && count("replicas") <= count("updatedReplicas")
                && count("availableReplicas") >= wanted;
            Some(if done { "Healthy" } else { "Progressing" })
        }
        Resource::HorizontalPodAutoscalers | Resource::Services => Some("Healthy"),
        _ => None,
    }
}
