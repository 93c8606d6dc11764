//! The actions that read: right answers on real states, and nothing changed.

use serde_json::{Value, json};

use crate::support::{Bench, Trouble, deployment, on_both};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/production/deployments";

/// Whether a pod has this problem; its message.
fn problem(outputs: &Value, reason: &str) -> Option<String> {
    let all = outputs["problems"].as_array()?;
    let found = all.iter().find(|problem| problem["reason"] == reason)?;
    Some(found["message"].as_str().unwrap_or_default().to_owned())
}

async fn pods_that_do_not_come_up_are_told_with_their_reason(bench: Bench) {
    bench.create(DEPLOYMENTS, deployment("no-image", 1, "registry.example/app:missing", "10m")).await;
    bench.create(DEPLOYMENTS, deployment("too-big", 1, "registry.example/app:1", "1000")).await;
    bench.create(DEPLOYMENTS, deployment("crasher", 1, "registry.example/app:1", "10m")).await;
    bench.cluster.suffer(Trouble::Crash("crasher", 1)).await;
    for (name, reason, says) in [
        ("no-image", "ImagePullBackOff", "registry.example/app:missing"),
        ("too-big", "Unschedulable", "Insufficient cpu"),
        ("crasher", "CrashLoopBackOff", ""),
    ] {
        let step = bench.step("k8s.pods", json!({ "workload": format!("deployment/{name}") }));
        let outputs = step.until_outputs(&format!("{name} is in trouble"), |outputs| problem(outputs, reason).is_some()).await;
        assert!(problem(&outputs, reason).unwrap().contains(says), "{outputs:#}");
        assert_eq!((&outputs["ready"], &outputs["total"]), (&json!(0), &json!(1)), "{outputs:#}");
        assert!(outputs["summary"].as_str().unwrap().contains(reason), "{outputs:#}");
    }
    let events = bench.step("k8s.events", json!({ "workload": "deployment/too-big", "type": "Warning" }));
    let outputs = events.until_outputs("the scheduler said so", |outputs| outputs["warnings"] != 0).await;
    assert!(outputs["events"][0]["message"].as_str().unwrap().contains("Insufficient cpu"), "{outputs:#}");
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/no-image" }));
    assert_eq!(status.outputs().await["complete"], false);
}

async fn pods_that_a_quota_forbids_are_told_though_they_are_not_there(bench: Bench) {
    let quota = json!({ "apiVersion": "v1", "kind": "ResourceQuota", "metadata": { "name": "few" }, "spec": { "hard": { "pods": "3" } } });
    bench.create("/api/v1/namespaces/production/resourcequotas", quota).await;
    bench.patch(&format!("{DEPLOYMENTS}/ticket-service"), json!({ "spec": { "replicas": 6 } })).await;
    let step = bench.step("k8s.pods", json!({ "workload": "deployment/ticket-service" }));
    let outputs = step.until_outputs("the quota is told", |outputs| outputs["quota"].as_array().is_some_and(|all| !all.is_empty())).await;
    assert!(outputs["quota"][0]["message"].as_str().unwrap().contains("exceeded quota: few"), "{outputs:#}");
    assert_eq!(outputs["total"], 3, "{outputs:#}");
}

async fn a_healthy_workload_reads_as_healthy_and_reading_changes_nothing(bench: Bench) {
    let workload = json!({ "workload": "deployment/ticket-service" });
    let changes = bench.cluster.changes();
    let pods = bench.step("k8s.pods", workload.clone()).outputs().await;
    assert_eq!(
        (&pods["total"], &pods["ready"], &pods["problems"], &pods["quota"]),
        (&json!(2), &json!(2), &json!([]), &json!([])),
        "{pods:#}"
    );
    let status = bench.step("k8s.rollout_status", workload.clone()).outputs().await;
    assert_eq!((&status["complete"], &status["ready_replicas"]), (&json!(true), &json!(2)), "{status:#}");
    let spread = bench.step("k8s.distribution", workload.clone()).outputs().await;
    assert_eq!((&spread["pods"], &spread["unscheduled"], &spread["zones_known"]), (&json!(2), &json!(0), &json!(true)), "{spread:#}");
    let by_node: i64 = spread["by_node"].as_object().unwrap().values().filter_map(Value::as_i64).sum();
    assert_eq!(by_node, 2, "{spread:#}");
    let logs = bench.step("k8s.logs", workload.clone()).outputs().await;
    assert!(logs["count"].as_i64().unwrap() > 0 && logs["pods"].as_array().unwrap().len() == 2, "{logs:#}");
    let endpoints = bench.step("k8s.endpoints", json!({ "service": "ticket-service" })).outputs().await;
    assert_eq!((&endpoints["ready"], &endpoints["not_ready"]), (&json!(2), &json!(0)), "{endpoints:#}");
    let object = bench.step("k8s.get", json!({ "object": "deployment/ticket-service" })).outputs().await;
    assert_eq!(object["object"]["spec"]["replicas"], 2);
    let missing = bench.step("k8s.get", json!({ "object": "configmap/none", "missing_ok": true })).outputs().await;
    assert_eq!(missing["object"], Value::Null);
    let waited = bench.step("k8s.wait", json!({ "object": "deployment/ticket-service", "condition": "result.status.readyReplicas == 2" }));
    assert_eq!(waited.outputs().await["holds"], true);
    assert_eq!(bench.cluster.changes(), changes);
}

async fn pods_that_are_not_ready_get_no_requests(bench: Bench) {
    bench.cluster.suffer(Trouble::Unready("ticket-service", 1)).await;
    bench.patch(&format!("{DEPLOYMENTS}/ticket-service"), json!({ "spec": { "replicas": 3 } })).await;
    let step = bench.step("k8s.endpoints", json!({ "service": "ticket-service" }));
    let outputs = step.until_outputs("one is not ready", |outputs| outputs["not_ready"] == 1).await;
    assert_eq!(outputs["ready"], 2, "{outputs:#}");
    bench.cluster.heal().await;
    step.until_outputs("all are ready", |outputs| outputs["ready"] == 3 && outputs["not_ready"] == 0).await;
}

async fn the_budget_reads_the_same_twice(bench: Bench) {
    let inputs = json!({
        "workload": "deployment/ticket-service", "replicas": 16, "pool_env": "DB_POOL_MAX",
        "database": bench.cluster.target().values["postgres"],
    });
    let step = bench.step("postgres.connection_budget", inputs);
    let (changes, first) = (bench.cluster.changes(), step.outputs().await);
    assert_eq!(step.outputs().await, first);
    assert_eq!((&first["fits"], &first["largest_pool_size"], &first["pods"]), (&json!(false), &json!(9), &json!(20)), "{first:#}");
    assert_eq!(bench.cluster.changes(), changes);
}

on_both!(
    pods_that_do_not_come_up_are_told_with_their_reason,
    pods_that_a_quota_forbids_are_told_though_they_are_not_there,
    a_healthy_workload_reads_as_healthy_and_reading_changes_nothing,
    pods_that_are_not_ready_get_no_requests,
    the_budget_reads_the_same_twice
);
