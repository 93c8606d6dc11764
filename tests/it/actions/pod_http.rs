//! `k8s.http`: each pod of a workload is asked.

use http::Method;
use runsheet::model::outcome::Applied;
use serde_json::json;

use crate::support::{Bench, Cut, on_both};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const PODS: &str = "/api/v1/namespaces/production/pods?labelSelector=app%3Dticket-service";

async fn each_ready_pod_is_asked_once(bench: Bench) {
    bench.patch(TICKETS, json!({ "spec": { "replicas": 5 } })).await;
    let status = bench.step("k8s.rollout_status", json!({ "workload": "deployment/ticket-service" }));
    status.until_outputs("five pods are ready", |outputs| outputs["ready_replicas"] == 5).await;
    let step = bench.step("k8s.http", json!({ "workload": "deployment/ticket-service", "path": "/health/ready", "settled": true }));
    let outputs = step.outputs().await;
    assert_eq!((&outputs["asked"], &outputs["succeeded"], &outputs["all_succeeded"]), (&json!(5), &json!(5), &json!(true)), "{outputs}");
}

async fn a_pod_that_answers_otherwise_is_named(bench: Bench) {
    let step = bench.step("k8s.http", json!({ "workload": "deployment/ticket-service", "path": "/no/such/page" }));
    let applied = step.read().await;
    let Applied::NotApplied { failure } = &applied else { panic!("{applied:?}") };
    let pods = bench.list(PODS).await;
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().unwrap();
        assert!(failure.message.contains(name) && failure.message.contains("404"), "{failure}");
    }
    assert_eq!(step.observe().await.unwrap()["all_succeeded"], false);
}

async fn a_write_whose_answer_is_lost_is_unknown(bench: Bench) {
    let event = "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11";
    let inputs =
        json!({ "workload": "deployment/ticket-service", "method": "POST", "path": "/internal/cache/warm", "json": { "eventId": event } });
    let step = bench.step("k8s.http", inputs);
    let intent = step.plan().await.intent;
    bench.cluster.cut("POST */proxy/*", Cut::After).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
}

async fn a_pod_that_dies_meanwhile_is_no_failure(bench: Bench) {
    let pods = bench.list(PODS).await;
    let name = pods[0]["metadata"]["name"].as_str().unwrap();
    let path = format!("/api/v1/namespaces/production/pods/{name}");
    bench.write(Method::DELETE, &path, "application/json", json!({ "gracePeriodSeconds": 0 })).await;
    let step = bench.step("k8s.http", json!({ "workload": "deployment/ticket-service", "path": "/health/ready" }));
    let outputs = step.outputs().await;
    assert_eq!(outputs["all_succeeded"], true, "{outputs}");
    let asked = outputs["pods"].as_array().unwrap();
    assert!(!asked.is_empty() && asked.iter().all(|pod| pod != name), "{outputs}");
}

on_both!(
    each_ready_pod_is_asked_once,
    a_pod_that_answers_otherwise_is_named,
    a_write_whose_answer_is_lost_is_unknown,
    a_pod_that_dies_meanwhile_is_no_failure
);
