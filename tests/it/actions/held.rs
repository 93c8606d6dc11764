//! Pods that do not come: what holds them is named by what the cluster itself says, and what was changed can be taken back all the same.

use runsheet::model::outcome::Applied;
use serde_json::{Value, json};

use crate::support::{Bench, deployment, on_both};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/production/deployments";

async fn a_quota_that_stops_at_the_ninth_pod_is_named(bench: Bench) {
    let quota =
        json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "eight-pods" }, "spec": { "hard": { "pods": "8" } } });
    bench.create("/api/v1/namespaces/production/resourcequotas", quota).await;
    let counted = || async {
        let quota = bench.get("/api/v1/namespaces/production/resourcequotas/eight-pods").await?;
        (quota["status"]["used"]["pods"] == "2").then_some(())
    };
    bench.until("the quota counts", counted).await;
    let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 12 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    // A real API server may let one or two more in, where its own count comes from a cache that is behind; what stops them is told all the same.
    let stopped = || async {
        let reading = step.observe().await.expect("a reading");
        let there = reading["ready_replicas"].as_u64().filter(|ready| (8..12).contains(ready))?;
        let holds = reading["holds"].as_str().unwrap_or_default();
        (holds.contains("exceeded quota: eight-pods") && holds.contains(&format!("{there} of 12"))).then_some(())
    };
    bench.until("eight pods are there, and what holds the others is told", stopped).await;
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/ticket-service" })).outputs().await;
    assert_eq!(status["complete"], false);
    assert!(status["message"].as_str().unwrap().contains("exceeded quota: eight-pods"), "{status}");
    let pods = bench.step("k8s.pods", json!({ "workload": "deployment/ticket-service" })).outputs().await;
    assert!(pods["quota"].to_string().contains("exceeded quota: eight-pods"), "{pods:#}");
    // Taken back, it ends: the pods are gone, and those that never came hold nothing.
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    step.until_followed(&intent).await;
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 2);
}

async fn a_disruption_budget_does_not_hold_a_scale_down(bench: Bench) {
    let labels = json!({ "matchLabels": { "app": "ticket-service" } });
    let budget = json!({ "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "all" }, "spec": { "maxUnavailable": 0, "selector": labels } });
    bench.create("/apis/policy/v1/namespaces/production/poddisruptionbudgets", budget).await;
    let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/ticket-service" }));
    status.until_outputs("four are ready", |outputs| outputs["ready_replicas"] == 4).await;
    // It speaks of evictions, and a controller that deletes its pods evicts none.
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    step.until_followed(&intent).await;
    let pods = bench.step("k8s.pods", json!({ "workload": "deployment/ticket-service" })).outputs().await;
    assert!(!pods.to_string().contains("isruption"), "nothing claims otherwise: {pods:#}");
}

async fn a_pod_that_no_node_takes_is_told_by_all_that_read(bench: Bench) {
    let mut object = deployment("picky", 1, "registry.example/app:1", "10m");
    object["spec"]["template"]["spec"]["nodeSelector"] = json!({ "example.com/disk": "fast" });
    bench.create(DEPLOYMENTS, object).await;
    let pods = bench.step("k8s.pods", json!({ "workload": "deployment/picky" }));
    let outputs = pods.until_outputs("it cannot be scheduled", |outputs| outputs["problems"].to_string().contains("Unschedulable")).await;
    let problem = |problem: &&Value| problem["reason"] == "Unschedulable";
    let problem = outputs["problems"].as_array().unwrap().iter().find(problem).unwrap();
    let message = problem["message"].as_str().unwrap();
    assert!(message.contains("didn't match Pod's node affinity/selector"), "{message}");
    let events = bench.step("k8s.events", json!({ "workload": "deployment/picky", "type": "Warning" }));
    let outputs = events.until_outputs("the scheduler has said so", |outputs| outputs.to_string().contains("FailedScheduling")).await;
    assert!(outputs["events"].to_string().contains("node affinity/selector"), "{outputs:#}");
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/picky" }));
    let told = |outputs: &Value| outputs["complete"] == false && outputs["message"] == "0 of 1 updated pods are available";
    status.until_outputs("the Deployment's controller has counted it", told).await;
    // A rollout of it can be taken back.
    let step = bench.step("k8s.scale", json!({ "workload": "deployment/picky", "replicas": 3 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    step.until_followed(&intent).await;
}

async fn an_image_that_is_not_there_is_told_by_all_that_read(bench: Bench) {
    bench.create(DEPLOYMENTS, deployment("fine", 2, "registry.example/app:1", "10m")).await;
    let object = format!("{DEPLOYMENTS}/fine");
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/fine" }));
    status.until_outputs("it is rolled out", |outputs| outputs["complete"] == true).await;
    let set = "spec.template.spec.containers[app].image";
    let step = bench.step("k8s.patch", json!({ "object": "deployment/fine", "set": { set: "registry.example/app:missing" } }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    let pods = bench.step("k8s.pods", json!({ "workload": "deployment/fine" }));
    let outputs = pods.until_outputs("it cannot be pulled", |outputs| outputs["problems"].to_string().contains("ImagePullBackOff")).await;
    assert!(outputs["problems"].to_string().contains("registry.example/app:missing"), "{outputs:#}");
    let outputs = status.outputs().await;
    assert!(outputs["complete"] == false && outputs["ready_replicas"] == 2, "the old pods stay: {outputs:#}");
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    status.until_outputs("the old image is rolled out again", |outputs| outputs["complete"] == true).await;
    assert_eq!(bench.get(&object).await.unwrap()["status"]["replicas"], 2);
}

on_both!(
    a_quota_that_stops_at_the_ninth_pod_is_named,
    a_disruption_budget_does_not_hold_a_scale_down,
    a_pod_that_no_node_takes_is_told_by_all_that_read,
    an_image_that_is_not_there_is_told_by_all_that_read
);
