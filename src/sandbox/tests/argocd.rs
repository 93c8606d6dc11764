//! The sandbox's Argo CD: it is there when it is asked for, heals what it owns within seconds, and survives what the sandbox survives.

use kube::api::{Api, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::super::{ArgoCd, Autoscaler, Options, reset, reset_to, status};
use super::{FAST, Sandbox, eventually, status as refused};

fn applications(sandbox: &Sandbox) -> Api<DynamicObject> {
    let kind = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk("argoproj.io", "v1alpha1", "Application"), "applications");
    Api::namespaced_with(sandbox.client.clone(), "argocd", &kind)
}

async fn application(sandbox: &Sandbox) -> Value {
    serde_json::to_value(applications(sandbox).get("ticket-service").await.unwrap()).unwrap()
}

async fn patch(sandbox: &Sandbox, spec: Value) {
    let patch = Patch::Merge(json!({ "spec": spec }));
    applications(sandbox).patch("ticket-service", &PatchParams::default(), &patch).await.unwrap();
}

fn healing() -> Options {
    Options { speed: FAST, argocd: ArgoCd::SelfHeal, ..Options::default() }
}

#[tokio::test]
async fn a_cluster_without_argo_cd_knows_none_of_its_kinds() {
    let sandbox = Sandbox::start().await;
    assert_eq!(refused(applications(&sandbox).list(&ListParams::default()).await).0, 404);
    let groups = sandbox.client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().all(|group| group.name != "argoproj.io"));
    let marks = sandbox.deployments().get("ticket-service").await.unwrap().metadata.annotations.unwrap();
    assert!(!marks.contains_key("argocd.argoproj.io/tracking-id"), "{marks:?}");
}

#[tokio::test]
async fn what_differs_is_put_back_within_seconds_and_is_no_effect() {
    let sandbox = Sandbox::with(healing()).await;
    assert_eq!(application(&sandbox).await["status"]["sync"]["status"], "Synced");
    sandbox.scale(5).await.unwrap();
    eventually("it is out of sync", || async { application(&sandbox).await["status"]["sync"]["status"] == "OutOfSync" }).await;
    eventually("it is put back", || async { sandbox.replicas().await == 2 }).await;
    eventually("it says so", || async { application(&sandbox).await["status"]["operationState"]["phase"] == "Succeeded" }).await;
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 5"], "what controllers do is no effect");
    let managers = sandbox.deployments().get("ticket-service").await.unwrap().metadata.managed_fields.unwrap();
    assert!(managers.iter().any(|entry| entry.manager.as_deref() == Some("argocd-controller")));
}

#[tokio::test]
async fn what_is_paused_ignored_or_frozen_is_left_alone() {
    let sandbox = Sandbox::with(healing()).await;
    patch(&sandbox, json!({ "ignoreDifferences": [{ "group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"] }] })).await;
    sandbox.scale(3).await.unwrap();
    eventually("three pods", || async { sandbox.ready_replicas().await == 3 }).await;
    assert_eq!(application(&sandbox).await["status"]["sync"]["status"], "Synced");
    patch(&sandbox, json!({ "ignoreDifferences": null, "syncPolicy": { "automated": null } })).await;
    eventually("it is out of sync", || async { application(&sandbox).await["status"]["sync"]["status"] == "OutOfSync" }).await;
    patch(&sandbox, json!({ "syncPolicy": { "automated": { "selfHeal": true } } })).await;
    eventually("it is put back", || async { sandbox.replicas().await == 2 }).await;
}

#[tokio::test]
async fn beside_keda_it_owns_the_scaled_object_and_leaves_kedas_own_autoscaler_alone() {
    let sandbox = Sandbox::with(Options { autoscaler: Autoscaler::Keda, ..healing() }).await;
    let kind = |group: &str, version: &str, name: &str, plural: &str| {
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, name), plural)
    };
    let of = |kind: &ApiResource| Api::<DynamicObject>::namespaced_with(sandbox.client.clone(), "production", kind);
    let scaled = of(&kind("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects"));
    let hpas = of(&kind("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"));
    let floor = || async { scaled.get("ticket-service-scaler").await.unwrap().data["spec"]["minReplicaCount"].clone() };
    eventually("KEDA has made its autoscaler", || async { hpas.get_opt("keda-hpa-ticket-service-scaler").await.unwrap().is_some() }).await;
    assert_eq!(application(&sandbox).await["status"]["sync"]["status"], "Synced");
    let change = Patch::Merge(json!({ "spec": { "minReplicaCount": 5 } }));
    scaled.patch("ticket-service-scaler", &PatchParams::default(), &change).await.unwrap();
    eventually("it is out of sync", || async { application(&sandbox).await["status"]["sync"]["status"] == "OutOfSync" }).await;
    eventually("the floor is put back", || async { floor().await == 2 }).await;
    eventually("it is synced, and stays so", || async { application(&sandbox).await["status"]["sync"]["status"] == "Synced" }).await;
    // KEDA's own is as KEDA makes it, whoever owns the ScaledObject.
    let listed = application(&sandbox).await["status"]["resources"].clone();
    let kinds: Vec<&str> = listed.as_array().unwrap().iter().filter_map(|one| one["kind"].as_str()).collect();
    assert!(kinds.contains(&"ScaledObject") && !kinds.contains(&"HorizontalPodAutoscaler"), "{kinds:?}");
}

#[tokio::test]
async fn it_survives_a_restart_and_a_reset_and_heals_what_was_changed_before() {
    let sandbox = Sandbox::with(Options { autoscaler: Autoscaler::Cpu, speed: 1.0, ..healing() }).await;
    sandbox.fault(&["change", "production/hpa/ticket-service-hpa", "spec.minReplicas", "6"]).await;
    let sandbox = sandbox.restart().await;
    eventually("the floor is put back", || async {
        let text = &status(sandbox.path()).await.unwrap().live.unwrap().overview.deployments[1];
        text.starts_with("production/ticket-service-hpa 2..16")
    })
    .await;
    patch(&sandbox, json!({ "syncPolicy": { "automated": null } })).await;
    reset(sandbox.path()).await.unwrap();
    assert_eq!(application(&sandbox).await["spec"]["syncPolicy"]["automated"]["selfHeal"], true);
    reset_to(sandbox.path(), None, Some(ArgoCd::Off), None).await.unwrap();
    assert_eq!(refused(applications(&sandbox).get("ticket-service").await).0, 404);
}

#[tokio::test]
async fn a_custom_resource_takes_no_strategic_merge() {
    let sandbox = Sandbox::with(healing()).await;
    let patch = Patch::Strategic(json!({ "spec": { "project": "other" } }));
    let answer = applications(&sandbox).patch("ticket-service", &PatchParams::default(), &patch).await;
    assert_eq!(refused(answer).0, 415);
}
