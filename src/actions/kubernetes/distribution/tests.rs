//! `k8s.distribution` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::served::{DEPLOYMENT, PODS, Served, deployment, items, object, refusal};
use crate::actions::trial;
use crate::ports::action::Action;

fn pod(node: &str) -> Value {
    json!({ "metadata": { "name": "x" }, "spec": { "nodeName": node }, "status": { "phase": "Running" } })
}

fn node(name: &str, zone: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "topology.kubernetes.io/zone": zone } },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    })
}

async fn read(served: &Served) -> Result<Value, Failure> {
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    Reader::<DistributionReading>::new(&served.connections).observe(&cx, &Inputs(json!({ "workload": "deployment/ticket-service" }))).await
}

#[tokio::test]
async fn pods_are_counted_by_node_and_zone() {
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => {
            let mut leaving = pod("b");
            leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            items(&[pod("a"), pod("a"), pod("b"), pod(""), leaving])
        }
        "/api/v1/nodes" => items(&[node("a", "eu-1a"), node("b", "eu-1b"), node("c", "eu-1c")]),
        other => panic!("{other}"),
    })
    .await;
    let wanted = json!({
        "pods": 3, "unscheduled": 1, "by_node": { "a": 2, "b": 1, "c": 0 }, "by_zone": { "eu-1a": 2, "eu-1b": 1, "eu-1c": 0 },
        "skew_nodes": 2, "skew_zones": 2, "even": false, "zones_known": true, "truncated": false,
        "summary": "deployment/ticket-service: 3 pods on 2 of 3 nodes, skew 2; zones eu-1a: 2, eu-1b: 1, eu-1c: 0, skew 2; 1 pods are on no node yet",
    });
    assert_eq!(read(&served).await.unwrap(), wanted);
}

#[tokio::test]
async fn without_permission_on_nodes_the_zones_are_not_known() {
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => items(&[pod("a"), pod("b")]),
        _ => refusal(403, "Forbidden", "no"),
    })
    .await;
    let outputs = read(&served).await.unwrap();
    assert_eq!((&outputs["by_zone"], &outputs["skew_zones"], &outputs["zones_known"]), (&Value::Null, &Value::Null, &json!(false)));
    assert_eq!((&outputs["by_node"], &outputs["even"]), (&json!({ "a": 1, "b": 1 }), &json!(true)));
    let wanted = "deployment/ticket-service: 2 pods on 2 of 2 nodes, skew 0; zones, and nodes without a pod, are not known: list nodes: forbidden (403): no";
    assert_eq!(outputs["summary"], wanted);
    // A server that is away is no missing permission.
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => items(&[]),
        _ => refusal(503, "ServiceUnavailable", "away"),
    })
    .await;
    let failure = read(&served).await.unwrap_err();
    assert!(failure.transient && failure.message == "list nodes: the server failed (503): away", "{failure}");
}

#[test]
fn the_same_by_hand() {
    let lines = by_hand(&json!({ "selector": "app=x" }), Some(&trial::target("uid-1"))).act;
    let count = r#"kubectl get pods -n production -l app=x -o jsonpath='{range .items[*]}{.spec.nodeName}{"\n"}{end}' | sort | uniq -c"#;
    assert_eq!(lines, [count, "kubectl get nodes -L topology.kubernetes.io/zone"]);
}
