//! `k8s.top`: what pods and nodes use, by the metrics API.

use runsheet::model::intent::Intent;
use runsheet::model::outcome::Applied;
use serde_json::json;

use crate::support::{Bench, on_both};

async fn pods_are_told_against_what_they_ask_for(bench: Bench) {
    let step = bench.step("k8s.top", json!({ "workload": "deployment/ticket-service" }));
    let outputs = step.until_outputs("both pods have a sample", |outputs| outputs["sampled"] == 2).await;
    let number = |key: &str| outputs[key].as_u64().unwrap_or_else(|| panic!("{key}: {outputs:#}"));
    assert_eq!((&outputs["count"], &outputs["unsampled"]), (&json!(2), &json!([])), "{outputs:#}");
    // Two pods of the procedure: 250m and 256Mi each.
    assert_eq!((number("cpu_requested_millicores"), number("memory_requested_bytes")), (500, 512 << 20), "{outputs:#}");
    assert_eq!(number("cpu_percent"), number("cpu_millicores") * 100 / 500, "{outputs:#}");
    assert_eq!(number("memory_percent"), number("memory_bytes") * 100 / (512 << 20), "{outputs:#}");
    assert!(number("memory_bytes") > 0 && number("oldest_sample_s") < 120, "{outputs:#}");
    let top = outputs["top"].as_array().expect("a list");
    assert!(top.iter().all(|pod| pod["name"].as_str().is_some_and(|name| name.starts_with("ticket-service-"))), "{outputs:#}");
    let sum: u64 = top.iter().filter_map(|pod| pod["cpu_millicores"].as_u64()).sum();
    assert_eq!(sum, number("cpu_millicores"), "{outputs:#}");
    let by_label = bench.step("k8s.top", json!({ "selector": "app=ticket-service" })).outputs().await;
    assert_eq!(by_label["cpu_requested_millicores"], outputs["cpu_requested_millicores"]);
    let nobody = bench.step("k8s.top", json!({ "selector": "app=nobody" })).outputs().await;
    assert_eq!((&nobody["count"], &nobody["cpu_percent"]), (&json!(0), &json!(null)), "{nobody:#}");
}

async fn nodes_are_told_against_what_they_can_give(bench: Bench) {
    let outputs = bench.step("k8s.top", json!({ "nodes": true })).outputs().await;
    assert!(outputs["sampled"].as_u64().is_some_and(|nodes| nodes > 0) && outputs["sampled"] == outputs["count"], "{outputs:#}");
    assert!(outputs["cpu_percent"].as_u64().is_some_and(|percent| percent <= 100), "{outputs:#}");
    assert!(outputs["summary"].as_str().expect("a line").contains("of what they can give"), "{outputs:#}");
}

async fn a_cluster_without_metrics_and_an_account_that_may_not_are_told(bench: Bench) {
    let step = bench.step("k8s.top", json!({ "selector": "app=ticket-service" }));
    for (status, says, transient) in
        [(404, "it has no metrics server", false), (503, "the server failed (503)", true), (403, "forbidden (403)", false)]
    {
        bench.cluster.refuse("GET */metrics.k8s.io/*", status).await;
        if status == 403 {
            // What a server forbids is asked for once more, where it says that it is ready.
            bench.cluster.refuse("GET */metrics.k8s.io/*", status).await;
        }
        let applied = step.action.apply(&step.cx, &step.inputs, &Intent::default()).await;
        let Applied::NotApplied { failure } = &applied else { panic!("{status}: {applied:?}") };
        assert!(failure.message.contains(says) && failure.transient == transient, "{status}: {failure}");
        bench.cluster.heal().await;
    }
}

on_both!(
    pods_are_told_against_what_they_ask_for,
    nodes_are_told_against_what_they_can_give,
    a_cluster_without_metrics_and_an_account_that_may_not_are_told,
);
