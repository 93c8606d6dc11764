//! Argo CD on a real control plane: a loop of the tests' own that heals as it does.
//!
//! It must not know any action. Invariant: its Application, its project and all that it owns are in the test's own namespace; the definitions are the
//! cluster's from its start. They hold no schema: what is real here is the API, what is not is Argo CD itself.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::namespace::Namespace;

const GROUP: &str = "/apis/argoproj.io/v1alpha1";
const TRACKING_ID: &str = "argocd.argoproj.io/tracking-id";
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// How often it looks.
const EVERY: Duration = Duration::from_millis(100);

/// Installs it in a namespace, as [`crate::support::control_plane::Cluster::argocd`] says; what it does is this task.
pub async fn install(namespace: &Arc<Namespace>, autoscaler: bool) -> tokio::task::JoinHandle<()> {
    let meta = |name: &str| json!({ "name": name, "namespace": namespace.name });
    let object = |kind: &str, name: &str, spec: Value| json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": meta(name), "spec": spec });
    let anything = json!([{ "namespace": "*", "server": "*" }]);
    let project = object("AppProject", "default", json!({ "sourceRepos": ["*"], "destinations": anything }));
    namespace.create(&namespace.path(GROUP, "appprojects"), &project).await;
    if autoscaler {
        let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
        let cpu =
            json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
        let spec = json!({ "minReplicas": 2, "maxReplicas": 16, "scaleTargetRef": target, "metrics": [cpu] });
        let hpa = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "ticket-service-hpa" }, "spec": spec });
        namespace.create(&namespace.path("/apis/autoscaling/v2", "horizontalpodautoscalers"), &hpa).await;
    }
    let mut owned = Vec::new();
    for (group, plural, name) in [
        ("/apis/apps/v1", "deployments", "ticket-service"),
        ("/api/v1", "services", "ticket-service"),
        ("/apis/autoscaling/v2", "horizontalpodautoscalers", "ticket-service-hpa"),
    ] {
        if autoscaler || plural != "horizontalpodautoscalers" {
            owned.push(mark(namespace, &namespace.path(group, &format!("{plural}/{name}")), autoscaler).await);
        }
    }
    let spec = json!({
        "project": "default",
        "source": { "repoURL": "https://git.example.com/platform/tickets.git", "path": "production", "targetRevision": "HEAD" },
        "destination": { "server": "https://kubernetes.default.svc", "namespace": namespace.name },
        "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
    });
    namespace.create(&namespace.path(GROUP, "applications"), &object("Application", "ticket-service", spec)).await;
    let namespace = Arc::clone(namespace);
    tokio::spawn(async move {
        loop {
            look(&namespace, &owned).await;
            tokio::time::sleep(EVERY).await;
        }
    })
}

/// An object that is owned: where it is, and what the repository says of it.
struct Owned {
    path: String,
    said: Value,
}

/// Marks an object as the Application's.
async fn mark(namespace: &Namespace, path: &str, scaled: bool) -> Owned {
    let object = namespace.get(path).await;
    let (version, kind, name) = (object["apiVersion"].as_str(), object["kind"].as_str(), object["metadata"]["name"].as_str());
    let (version, kind, name) = (version.expect("a version"), kind.expect("a kind"), name.expect("a name"));
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let spec = &object["spec"];
    let spec = match kind {
        "Deployment" => {
            let container = &spec["template"]["spec"]["containers"][0];
            let containers = json!([{ "name": container["name"], "image": container["image"], "env": container["env"], "resources": container["resources"] }]);
            let mut said = json!({ "selector": spec["selector"], "template": { "metadata": { "labels": spec["template"]["metadata"]["labels"] }, "spec": { "containers": containers } } });
            if !scaled {
                said["replicas"] = spec["replicas"].clone();
            }
            said
        }
        "Service" => json!({ "selector": spec["selector"], "ports": spec["ports"] }),
        _ => spec.clone(),
    };
    let id = format!("ticket-service:{group}/{kind}:{}/{name}", namespace.name);
    let said = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": name, "namespace": namespace.name, "annotations": { TRACKING_ID: id } }, "spec": spec });
    let marks = json!({ "metadata": { "annotations": { TRACKING_ID: id, LAST_APPLIED: format!("{said}\n") } } });
    let (status, answer) = namespace.ask(Method::PATCH, &format!("{path}?fieldManager=argocd-controller"), Some(&marks)).await;
    assert_eq!(status, 200, "{path}: {answer}");
    Owned { path: path.to_owned(), said }
}

/// Compares and, where it is to, heals. What goes wrong is tried again the next time, as Argo CD does.
async fn look(namespace: &Namespace, owned: &[Owned]) {
    let (_, application) = namespace.ask(Method::GET, &namespace.path(GROUP, "applications/ticket-service"), None).await;
    let (_, project) = namespace.ask(Method::GET, &namespace.path(GROUP, "appprojects/default"), None).await;
    let automated = &application["spec"]["syncPolicy"]["automated"];
    // Whatever window a test adds is open: how schedules are read is not what is tried here.
    let denied = project["spec"]["syncWindows"].as_array().into_iter().flatten().any(|window| window["kind"] == "deny");
    let heals = automated["selfHeal"] == true && automated["enabled"] != false && !denied;
    let mut synced = true;
    for Owned { path, said } in owned {
        let (status, live) = namespace.ask(Method::GET, path, None).await;
        if status != 200 {
            continue;
        }
        let ignored: Vec<&str> = application["spec"]["ignoreDifferences"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(|rule| rule["kind"] == said["kind"])
            .flat_map(|rule| rule["jsonPointers"].as_array().into_iter().flatten().filter_map(Value::as_str))
            .collect();
        let mut wanted = json!({ "spec": said["spec"] });
        for pointer in ignored {
            let Some((parent, name)) = pointer.rsplit_once('/') else { continue };
            if let Some(parent) = wanted.pointer_mut(parent).and_then(Value::as_object_mut) {
                parent.remove(name);
            }
        }
        if holds(&live, &wanted) {
            continue;
        }
        if heals {
            namespace.ask(Method::PATCH, &format!("{path}?fieldManager=argocd-controller"), Some(&wanted)).await;
        } else {
            synced = false;
        }
    }
    let word = if synced { "Synced" } else { "OutOfSync" };
    if application["spec"].is_object() && application["status"]["sync"]["status"] != word {
        let status = json!({ "status": { "sync": { "status": word }, "health": { "status": "Healthy" } } });
        let path = namespace.path(GROUP, "applications/ticket-service");
        namespace.kubernetes.ask("admin", Method::PATCH, &path, Some(("application/merge-patch+json", &status))).await;
    }
}

/// Whether an object has all that is said of it.
fn holds(live: &Value, said: &Value) -> bool {
    match (live, said) {
        (Value::Object(live), Value::Object(said)) => said.iter().all(|(name, said)| live.get(name).is_some_and(|live| holds(live, said))),
        (Value::Array(live), Value::Array(said)) if said.iter().all(|one| one["name"].is_string()) => {
            said.iter().all(|one| live.iter().any(|other| other["name"] == one["name"] && holds(other, one)))
        }
        (live, said) => live == said,
    }
}
