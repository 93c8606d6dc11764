//! What becomes of samples, pods and nodes.

use super::*;

fn samples() -> Samples {
    let container = |cpu: &str, memory: &str| json!({ "name": "c", "usage": { "cpu": cpu, "memory": memory } });
    let list = json!({ "items": [
        { "metadata": { "name": "a" }, "timestamp": "2026-07-01T12:00:00Z", "window": "15s", "containers": [container("180500001n", "200Mi"), container("10m", "1Ki")] },
        { "metadata": { "name": "b" }, "timestamp": "2026-07-01T11:59:30Z", "window": "15s", "containers": [container("0", "100Mi")] },
        { "metadata": { "name": "node-1" }, "timestamp": "2026-07-01T12:00:00Z", "usage": { "cpu": "2", "memory": "4Gi" } },
    ] });
    Samples::of(&list).unwrap()
}

fn pod(name: &str, requests: Value, limits: Value) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "containers": [{ "resources": { "requests": requests, "limits": limits } }] }, "status": { "phase": "Running" } })
}

fn now() -> Timestamp {
    "2026-07-01T12:00:10Z".parse().unwrap()
}

#[test]
fn pods_are_compared_with_what_they_ask_for_and_may_have() {
    let samples = samples();
    let both = |name: &str| pod(name, json!({ "cpu": "250m", "memory": "256Mi" }), json!({ "cpu": 1, "memory": "400Mi" }));
    let rows: Vec<Row> = [both("a"), both("b"), both("c")].iter().filter_map(|pod| Row::of_pod(pod, &samples)).collect();
    let outputs = outputs("deployment/x", "pods", &rows, now());
    // 180500001 n are 181 m, and the second container's 10 m.
    assert_eq!((&outputs["count"], &outputs["sampled"], &outputs["unsampled"]), (&json!(3), &json!(2), &json!(["c"])));
    assert_eq!((&outputs["cpu_millicores"], &outputs["memory_bytes"]), (&json!(191), &json!((300 << 20) + 1024)));
    assert_eq!(
        (&outputs["cpu_requested_millicores"], &outputs["cpu_percent"], &outputs["memory_percent"]),
        (&json!(500), &json!(38), &json!(58))
    );
    assert_eq!((&outputs["cpu_limit_percent"], &outputs["memory_limit_percent"]), (&json!(19), &json!(50)));
    assert_eq!(outputs["oldest_sample_s"], 40);
    let wanted = "deployment/x: 2 pods use 191m CPU (38% of what they ask for) and 300 MiB of memory (58% of what they ask for); samples are up to 40 s old; 1 without a sample";
    assert_eq!(outputs["summary"], wanted);
}

#[test]
fn what_nobody_asked_for_has_no_percentage_and_what_has_ended_is_left_out() {
    let samples = samples();
    let bare = pod("a", json!({ "cpu": "250m" }), Value::Null);
    let mut ended = pod("b", Value::Null, Value::Null);
    ended["status"]["phase"] = json!("Failed");
    let rows: Vec<Row> = [bare, ended].iter().filter_map(|pod| Row::of_pod(pod, &samples)).collect();
    let outputs = outputs("app=x", "pods", &rows, now());
    assert_eq!((&outputs["count"], &outputs["cpu_percent"], &outputs["memory_percent"]), (&json!(1), &json!(76), &Value::Null));
    assert_eq!((&outputs["memory_requested_bytes"], &outputs["memory_limit_percent"]), (&Value::Null, &Value::Null));
    let nobody = super::outputs("app=x", "pods", &[Row::of_pod(&pod("c", Value::Null, Value::Null), &samples).unwrap()], now());
    assert_eq!((&nobody["summary"], &nobody["oldest_sample_s"]), (&json!("app=x: none of 1 pods has a sample"), &Value::Null));
}

#[test]
fn nodes_are_compared_with_what_they_can_give() {
    let node = json!({ "metadata": { "name": "node-1" }, "status": { "allocatable": { "cpu": "8", "memory": "16Gi" } } });
    let rows = [Row::of_node(&node, &samples())];
    let outputs = outputs("the cluster", "nodes", &rows, now());
    assert_eq!(
        (&outputs["cpu_percent"], &outputs["memory_percent"], &outputs["cpu_limit_percent"]),
        (&json!(25), &json!(25), &Value::Null)
    );
    // A clock that is behind makes no sample older than none.
    assert_eq!(rows[0].age("2026-07-01T11:00:00Z".parse().unwrap()), Some(0));
}

#[test]
fn pods_and_nodes_are_not_mixed() {
    for (inputs, why) in [
        (json!({ "nodes": true, "selector": "app=x" }), "`nodes` is about all nodes"),
        (json!({}), "it needs `workload` or `selector`"),
        (json!({ "selector": " " }), "`selector` is empty"),
    ] {
        let failure = Input::of(&Inputs(inputs)).unwrap_err();
        assert!(failure.message.contains(why), "{failure}");
    }
}
