//! Fields that a GitOps controller applies: `k8s.apply` is refused with the owner's name; what swaps a field says whose it is, and swaps it.

use runsheet::model::outcome::Applied;
use serde_json::{Value, json};

use crate::support::{Bench, on_both, settled};

/// Argo CD's and Flux's.
const MANAGERS: [&str; 3] = ["argocd-controller", "kustomize-controller", "helm-controller"];

/// A Deployment as a repository keeps it.
fn kept(name: &str, replicas: u32) -> Value {
    let labels = json!({ "app": name });
    let container = json!({ "name": "app", "image": "registry.example/app:1", "env": [{ "name": "LEVEL", "value": "low" }] });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "labels": labels },
        "spec": { "replicas": replicas, "minReadySeconds": 1, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } },
    })
}

async fn what_a_controller_applies_is_not_applied_over_it(bench: Bench) {
    let bench = &bench;
    for manager in MANAGERS {
        let name = manager.replace("-controller", "");
        let object = format!("/apis/apps/v1/namespaces/production/deployments/{name}");
        bench.apply_as(manager, &object, kept(&name, 1)).await;
        let before = settled(bench.get(&object).await);
        let refused = bench.step("k8s.apply", json!({ "object": kept(&name, 2) })).try_plan().await.expect_err("it is theirs");
        assert!(refused.message.contains(&format!("spec.replicas is {manager}'s")), "{refused}");
        assert!(refused.hint.as_deref().is_some_and(|hint| hint.contains("force: true")), "{refused:?}");
        assert_eq!(settled(bench.get(&object).await), before);
        // What is there as they have it is nobody's loss. (Its controller has come to rest: it writes annotations of its own.)
        let object = &object;
        let rested = || async move {
            let there = bench.get(object).await?;
            (there["status"]["readyReplicas"] == 1 && there["status"]["observedGeneration"] == there["metadata"]["generation"])
                .then_some(())
        };
        bench.until("its pod is ready", rested).await;
        let plan = bench.step("k8s.apply", json!({ "object": kept(&name, 1) })).plan().await;
        assert!(plan.intent.changes.is_empty(), "{:?}", plan.intent.changes);
    }
}

async fn what_swaps_a_field_says_who_applies_it(bench: Bench) {
    let object = "/apis/apps/v1/namespaces/production/deployments/kept";
    bench.apply_as("argocd-controller", object, kept("kept", 1)).await;
    for (action, inputs) in [
        ("k8s.scale", json!({ "workload": "deployment/kept", "replicas": 2 })),
        ("k8s.set_env", json!({ "workload": "deployment/kept", "env": { "LEVEL": "high" } })),
        ("k8s.patch", json!({ "object": "deployment/kept", "set": { "spec.minReadySeconds": 2 } })),
    ] {
        let before = settled(bench.get(object).await);
        let step = bench.step(action, inputs);
        let intent = step.plan().await.intent;
        let warns = intent.note["warns"].as_str().unwrap_or_else(|| panic!("{action}: it says whose it is: {}", intent.note));
        assert!(warns.contains("argocd-controller"), "{action}: {warns}");
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{action}: {applied:?}");
        assert!(bench.log.text().contains(warns), "{action}: the step's log says it: {}", bench.log.text());
        assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }), "{action}");
        assert_eq!(settled(bench.get(object).await), before, "{action}");
        // It is ours by now, and nobody is named without need.
        let again = step.anew().plan().await.intent;
        assert_eq!(again.note["warns"], Value::Null, "{action}");
    }
}

async fn what_a_controller_puts_back_is_told_and_not_fought(bench: Bench) {
    let object = "/apis/apps/v1/namespaces/production/deployments/kept";
    bench.apply_as("argocd-controller", object, kept("kept", 1)).await;
    let step = bench.step("k8s.scale", json!({ "workload": "deployment/kept", "replicas": 3 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    assert!(!step.observe().await.unwrap()["holds"].as_str().is_some_and(|holds| holds.contains("argocd")), "it was set by the step");
    // It heals itself.
    bench.apply_as("argocd-controller", object, kept("kept", 1)).await;
    let (theirs, changes) = (settled(bench.get(object).await), bench.cluster.changes());
    let reading = step.observe().await.unwrap();
    let holds = reading["holds"].as_str().unwrap_or_else(|| panic!("it says who: {reading}"));
    assert!(holds.contains("1 replicas") && holds.contains("argocd-controller"), "{holds}");
    // What a rollback finds is what was there before: it sends nothing, and neither does one that sends all the same.
    assert_eq!(step.live(&intent).await, [Some(json!(1))]);
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    assert_eq!((settled(bench.get(object).await), bench.cluster.changes()), (theirs, changes));
}

on_both!(
    what_a_controller_applies_is_not_applied_over_it,
    what_swaps_a_field_says_who_applies_it,
    what_a_controller_puts_back_is_told_and_not_fought
);
