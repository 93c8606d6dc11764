//! The steps by which it is tried what actions ask of a cluster, and what is there before each.
//!
//! Invariant: every action on the cluster is among them, which `permissions` holds.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Bench, deployment};

const APPS: &str = "/apis/apps/v1/namespaces/production/deployments";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";
const SCALED_OBJECTS: &str = "/apis/keda.sh/v1alpha1/namespaces/production/scaledobjects";
const MAPS: &str = "/api/v1/namespaces/production/configmaps";
const SERVICES: &str = "/api/v1/namespaces/production/services";

/// What is there before a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The ticket service.
    Plain,
    /// It, with an autoscaler.
    Owned,
    /// It, with a ScaledObject of KEDA.
    Keda,
    /// It, with no replicas.
    Zero,
    /// It, and a ConfigMap `shop`.
    Map,
    /// It, and a Service `nobody` that leads nowhere.
    Nowhere,
    /// It, with an autoscaler that KEDA made of a ScaledObject.
    Scaled,
    /// It, owned by an Application of Argo CD that would heal itself, were its project not frozen.
    Tracked,
    /// As `Tracked`, and Application and project are owned by another Application in turn; an ApplicationSet makes the first.
    Parent,
}

/// A step that is tried.
pub struct Trial {
    pub action: &'static str,
    pub inputs: Value,
    pub stage: Stage,
}

/// Every action that asks a cluster for anything, in each way that it asks.
pub fn trials(bench: &Bench, pod: &str) -> Vec<Trial> {
    let postgres = &bench.cluster.target().values["postgres"];
    let tickets = "deployment/ticket-service";
    let workload = json!({ "workload": tickets });
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "a": "1" } });
    let mut created = deployment("created", 1, "registry.example/app:1", "10m");
    created["apiVersion"] = json!("apps/v1");
    let hpa = json!({ "name": "tickets", "workload": tickets, "min": 3, "max": 12, "metrics": { "cpu": 70 } });
    let cpu = json!({ "type": "cpu", "metricType": "Utilization", "metadata": { "value": 60 } });
    let keda = json!({ "name": "tickets", "workload": tickets, "min": 3, "max": 12, "triggers": [cpu] });
    let pool = json!({ "workload": tickets, "env": { "DB_POOL_MAX": "9" }, "keep_within": { "database": postgres } });
    let budget = json!({ "workload": tickets, "replicas": 4, "pool_env": "DB_POOL_MAX", "database": postgres });
    let of = |stage, action, inputs| Trial { action, inputs, stage };
    let plain = |action, inputs| of(Stage::Plain, action, inputs);
    vec![
        plain("k8s.scale", json!({ "workload": tickets, "replicas": 4 })),
        of(Stage::Owned, "k8s.scale", json!({ "workload": tickets, "replicas": 4 })),
        of(Stage::Keda, "k8s.scale", json!({ "workload": tickets, "replicas": 4 })),
        of(Stage::Zero, "k8s.scale", json!({ "workload": tickets, "replicas": 4 })),
        plain("k8s.set_env", json!({ "workload": tickets, "env": { "A": "1" } })),
        plain("k8s.set_env", pool),
        plain("k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "300m" } })),
        plain("k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "300m" }, "mode": "in_place" })),
        plain("k8s.patch", json!({ "object": tickets, "set": { "spec.minReadySeconds": 1 } })),
        plain("k8s.patch", json!({ "object": tickets, "set": { "spec.replicas": 3 } })),
        plain("k8s.rollout_restart", workload.clone()),
        plain("k8s.autoscaler", hpa.clone()),
        of(Stage::Owned, "k8s.autoscaler", hpa),
        plain("k8s.keda", keda.clone()),
        of(Stage::Keda, "k8s.keda", keda.clone()),
        of(Stage::Tracked, "k8s.keda", keda),
        plain("k8s.apply", json!({ "object": map })),
        of(Stage::Map, "k8s.apply", json!({ "object": map, "force": true })),
        plain(
            "k8s.apply",
            json!({ "object": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service", "namespace": bench.cluster.namespace() }, "spec": { "replicas": 3 },
        }, "force": true }),
        ),
        plain("k8s.apply", json!({ "object": created })),
        plain("k8s.job", json!({ "name": "warm", "image": "registry.example/tools:1" })),
        plain("k8s.job", json!({ "name": "warm", "from": "cronjob/nightly" })),
        plain("k8s.get", json!({ "object": tickets })),
        plain("k8s.get", json!({ "object": "node/node-1", "missing_ok": true })),
        plain("k8s.wait", json!({ "object": tickets, "condition": "result.status.readyReplicas == 2" })),
        plain("k8s.pods", workload.clone()),
        plain("k8s.pods", json!({ "selector": "app=ticket-service" })),
        plain("k8s.endpoints", json!({ "service": "ticket-service" })),
        of(Stage::Nowhere, "k8s.endpoints", json!({ "service": "nobody" })),
        plain("k8s.distribution", workload.clone()),
        plain("k8s.distribution", json!({ "selector": "app=ticket-service" })),
        plain("k8s.events", workload.clone()),
        plain("k8s.events", json!({ "object": "pod/x" })),
        plain("k8s.events", json!({ "object": "node/x" })),
        plain("k8s.logs", workload.clone()),
        plain("k8s.logs", json!({ "pod": pod })),
        plain("k8s.rollout_status", workload.clone()),
        plain("k8s.top", workload.clone()),
        plain("k8s.top", json!({ "nodes": true })),
        plain("k8s.exec", json!({ "workload": tickets, "argv": ["true"] })),
        plain("k8s.exec", json!({ "pod": pod, "argv": ["true"] })),
        plain("k8s.http", json!({ "workload": tickets, "path": "/health/ready" })),
        plain(
            "k8s.http",
            json!({ "selector": "app=ticket-service", "method": "POST", "path": "/internal/cache/warm", "json": {}, "expect": { "status": ["200-499"] } }),
        ),
        plain("postgres.connection_budget", budget),
        of(Stage::Tracked, "k8s.scale", json!({ "workload": tickets, "replicas": 4 })),
        of(Stage::Tracked, "k8s.set_env", json!({ "workload": tickets, "env": { "DB_POOL_MAX": "9" } })),
        of(Stage::Tracked, "k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "300m" } })),
        of(Stage::Tracked, "k8s.patch", json!({ "object": tickets, "set": { "spec.replicas": 3 } })),
        of(
            Stage::Tracked,
            "k8s.autoscaler",
            json!({ "name": "tickets", "workload": tickets, "min": 2, "max": 12, "metrics": { "cpu": 70 } }),
        ),
        of(
            Stage::Tracked,
            "k8s.apply",
            json!({ "object": {
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service", "namespace": bench.cluster.namespace() }, "spec": { "replicas": 3 },
        }, "force": true }),
        ),
        of(Stage::Tracked, "argocd.application", json!({ "object": tickets, "replicas": true, "env": ["DB_POOL_MAX"] })),
        of(Stage::Scaled, "argocd.application", json!({ "object": tickets, "replicas": true })),
        of(Stage::Parent, "argocd.pause_sync", json!({ "application": "ticket-service" })),
        of(Stage::Parent, "argocd.sync_window", json!({ "applications": ["ticket-service"], "duration": "30d" })),
    ]
}

const MERGE: &str = "application/merge-patch+json";

/// A path of Argo CD's objects.
fn argocd(bench: &Bench, rest: &str) -> String {
    let namespace = bench.cluster.target().values["argocd"]["namespace"].as_str().expect("where Argo CD is").to_owned();
    format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/{rest}")
}

/// Argo CD, denied to sync at every moment.
async fn frozen(bench: &Bench) {
    bench.cluster.argocd(false).await;
    let window = json!({ "kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["*"] });
    bench.write(Method::PATCH, &argocd(bench, "appprojects/default"), MERGE, json!({ "spec": { "syncWindows": [window] } })).await;
}

/// Makes what is to be there before a step.
pub async fn furnish(bench: &Bench, stage: Stage) {
    match stage {
        Stage::Plain => {}
        Stage::Owned | Stage::Scaled => {
            let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
            let metric =
                json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
            let spec = json!({ "minReplicas": 2, "maxReplicas": 10, "scaleTargetRef": target, "metrics": [metric] });
            let labels = if stage == Stage::Scaled { json!({ "scaledobject.keda.sh/name": "tickets" }) } else { json!({}) };
            let metadata = json!({ "name": "tickets", "labels": labels });
            let hpa = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec });
            bench.create(HPAS, hpa).await;
        }
        Stage::Keda => {
            let cpu = json!({ "type": "cpu", "metricType": "Utilization", "metadata": { "value": "70" } });
            let spec =
                json!({ "scaleTargetRef": { "name": "ticket-service" }, "minReplicaCount": 2, "maxReplicaCount": 10, "triggers": [cpu] });
            let object =
                json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": { "name": "tickets" }, "spec": spec });
            bench.create(SCALED_OBJECTS, object).await;
        }
        Stage::Zero => {
            let path = format!("{APPS}/ticket-service");
            bench.patch(&path, json!({ "spec": { "replicas": 0 } })).await;
            // Its controller still writes the status while the pods go, and that is a conflict for whoever replaces the scale.
            let path = &path;
            bench
                .until("all of its pods are gone", || async move {
                    let object = bench.get(path).await?;
                    let gone = bench.list("/api/v1/namespaces/production/pods").await.is_empty();
                    (gone
                        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
                        && object["status"]["replicas"].as_i64().unwrap_or(0) == 0)
                        .then_some(())
                })
                .await;
        }
        Stage::Map => {
            let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "a": "2" } });
            bench.create(MAPS, map).await;
        }
        Stage::Nowhere => {
            let spec = json!({ "selector": { "app": "nobody" }, "ports": [{ "port": 80 }] });
            bench.create(SERVICES, json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "nobody" }, "spec": spec })).await;
        }
        Stage::Tracked => frozen(bench).await,
        Stage::Parent => {
            frozen(bench).await;
            let path = |rest: &str| argocd(bench, rest);
            let namespace = path("").rsplit('/').nth(1).expect("a namespace").to_owned();
            let id =
                |kind: &str, name: &str| json!({ "argocd.argoproj.io/tracking-id": format!("all:argoproj.io/{kind}:{namespace}/{name}") });
            let set = json!([{ "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "name": "all", "uid": "0a1b" }]);
            for (object, metadata) in [
                ("applications/ticket-service", json!({ "annotations": id("Application", "ticket-service"), "ownerReferences": set })),
                ("appprojects/default", json!({ "annotations": id("AppProject", "default") })),
            ] {
                bench.write(Method::PATCH, &path(object), MERGE, json!({ "metadata": metadata })).await;
            }
            let spec = json!({
                "project": "default", "destination": { "server": "https://kubernetes.default.svc", "namespace": namespace },
                "source": { "repoURL": "https://git.example.com/platform/all.git", "path": "." }, "syncPolicy": { "automated": { "selfHeal": true } },
            });
            let all = json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": "all" }, "spec": spec });
            bench.create(&path("applications"), all).await;
        }
    }
}
