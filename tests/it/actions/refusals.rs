//! What a server refuses is not applied, for good or for now, and says what, where and to whom.

use runsheet::model::outcome::Applied;
use serde_json::{Value, json};

use crate::support::{Bench, on_both, settled};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";

/// Each action that writes: its inputs, and the request that has the effect.
fn writers() -> Vec<(&'static str, Value, &'static str)> {
    let tickets = "deployment/ticket-service";
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "a": "1" } });
    vec![
        ("k8s.scale", json!({ "workload": tickets, "replicas": 4 }), "PATCH */deployments/ticket-service/scale"),
        ("k8s.set_env", json!({ "workload": tickets, "env": { "A": "1" } }), "PATCH */deployments/ticket-service"),
        ("k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "500m" } }), "PATCH */deployments/ticket-service"),
        ("k8s.patch", json!({ "object": tickets, "set": { "spec.minReadySeconds": 1 } }), "PATCH */deployments/ticket-service"),
        ("k8s.rollout_restart", json!({ "workload": tickets }), "PATCH */deployments/ticket-service"),
        (
            "k8s.autoscaler",
            json!({ "name": "t", "workload": tickets, "min": 2, "max": 9, "metrics": { "cpu": 70 } }),
            "POST */horizontalpodautoscalers",
        ),
        ("k8s.apply", json!({ "object": map }), "POST */configmaps"),
        ("k8s.job", json!({ "name": "warm", "image": "registry.example/tools:1" }), "POST */jobs"),
    ]
}

async fn a_refusal_is_not_applied_and_says_what_was_refused(bench: Bench) {
    let before = settled(bench.get(TICKETS).await);
    for (action, inputs, route) in writers() {
        for (status, transient) in [(403, false), (429, true), (503, true)] {
            let step = bench.step(action, inputs.clone());
            let intent = step.plan().await.intent;
            let changes = bench.cluster.changes();
            bench.cluster.refuse(route, status).await;
            let applied = step.apply(&intent).await;
            let failure = match &applied {
                Applied::NotApplied { failure } => failure,
                // Without a Retry-After nobody knows what a 503 has done.
                Applied::Unknown { failure } if status == 503 => failure,
                other => panic!("{action}: {status}: {other:?}"),
            };
            assert_eq!(failure.transient, transient, "{action}: {status}: {failure:?}");
            assert!(
                failure.message.contains(bench.cluster.namespace()) && (transient || failure.hint.is_some()),
                "{action}: {status}: {failure:?}"
            );
            assert_eq!(bench.cluster.changes(), changes, "{action}: {status}");
        }
    }
    assert_eq!(settled(bench.get(TICKETS).await), before);
}

on_both!(a_refusal_is_not_applied_and_says_what_was_refused);
