//! What the guarded writes rely on, asked of the API server itself: each is documented nowhere, or otherwise by some.

use http::Method;
use serde_json::{Value, json};

use crate::support::{Bench, deployment, on_both};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const MAPS: &str = "/api/v1/namespaces/production/configmaps";
const JSON_PATCH: &str = "application/json-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
/// All that a failed `test` says.
const FAILED: &str = "the server rejected our request due to an error in our request";

fn test(path: &str, value: Value) -> Value {
    json!({ "op": "test", "path": path, "value": value })
}

async fn patched(bench: &Bench, path: &str, operations: Value) -> u16 {
    let (status, body) = bench.ask(Method::PATCH, path, JSON_PATCH, operations).await;
    if status == 422 {
        assert_eq!((&body["message"], &body["reason"]), (&json!(FAILED), &json!("Invalid")), "{body}");
    }
    status
}

async fn a_test_for_null_passes_where_the_member_is_missing_and_its_parent_is_not(bench: Bench) {
    let add = |path: &str| json!({ "op": "add", "path": path, "value": 1 });
    let path = "/spec/minReadySeconds";
    assert_eq!(patched(&bench, TICKETS, json!([test(path, Value::Null), add(path)])).await, 200);
    assert_eq!(patched(&bench, TICKETS, json!([test(path, Value::Null), add(path)])).await, 422, "it is there by now");
    assert_eq!(patched(&bench, TICKETS, json!([test("/spec/no/such", Value::Null), add(path)])).await, 422);
}

async fn a_test_holds_for_the_scale_subresource_too(bench: Bench) {
    let scale = format!("{TICKETS}/scale");
    let uid = bench.get(TICKETS).await.unwrap()["metadata"]["uid"].clone();
    let to = |replicas: u32| json!({ "op": "replace", "path": "/spec/replicas", "value": replicas });
    let is = |replicas: u32| test("/spec/replicas", json!(replicas));
    assert_eq!(patched(&bench, &scale, json!([is(3), to(4)])).await, 422);
    assert_eq!(patched(&bench, &scale, json!([test("/metadata/uid", json!("another")), is(2), to(4)])).await, 422);
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 2);
    assert_eq!(patched(&bench, &scale, json!([test("/metadata/uid", uid), is(2), to(0)])).await, 200);
    // Zero is left out, so that there is nothing to be tested.
    assert_eq!(bench.get(&scale).await.unwrap()["spec"], json!({}));
    assert_eq!(patched(&bench, &scale, json!([is(0), to(4)])).await, 422);
    let mut stale = bench.get(&scale).await.unwrap();
    bench.patch(TICKETS, json!({ "spec": { "replicas": 1 } })).await;
    stale["spec"] = json!({ "replicas": 4 });
    let (status, body) = bench.ask(Method::PUT, &scale, "application/json", stale).await;
    assert_eq!((status, &body["reason"]), (409, &json!("Conflict")), "{body}");
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 1);
}

async fn an_apply_under_an_old_version_is_a_conflict(bench: Bench) {
    let map = |data: Value| json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": data });
    let old = bench.create(MAPS, map(json!({ "a": "1" }))).await["metadata"]["resourceVersion"].clone();
    let path = format!("{MAPS}/shop");
    bench.patch(&path, json!({ "data": { "a": "2" } })).await;
    let mut late = map(json!({ "b": "1" }));
    late["metadata"]["resourceVersion"] = old;
    let apply = async |object: Value| {
        bench.ask(Method::PATCH, &format!("{path}?fieldManager=runsheet"), "application/apply-patch+yaml", object).await
    };
    let (status, body) = apply(late.clone()).await;
    assert_eq!((status, &body["reason"]), (409, &json!("Conflict")), "{body}");
    assert!(body["details"]["causes"].as_array().is_none_or(Vec::is_empty), "that is how it is told from a field that others own: {body}");
    // A field that others own says so.
    let (status, body) = apply(map(json!({ "a": "3" }))).await;
    assert_eq!((status, &body["details"]["causes"][0]["reason"]), (409, &json!("FieldManagerConflict")), "{body}");
    // Under a version alone what is gone is created anew; under its uid it is not.
    let uid = bench.get(&path).await.unwrap()["metadata"]["uid"].clone();
    bench.delete(&path).await;
    let mut certain = late.clone();
    certain["metadata"]["uid"] = uid;
    let (status, body) = apply(certain.clone()).await;
    assert_eq!((status, &body["reason"], bench.get(&path).await), (409, &json!("Conflict"), None), "{body}");
    assert_eq!(apply(late).await.0, 201);
    // Nor does what was made anew take it.
    certain["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    let (status, body) = apply(certain).await;
    assert!([409, 422].contains(&status), "{status}: {body}");
}

async fn a_dry_run_changes_nothing(bench: Bench) {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "dry" } });
    let (status, made) = bench.ask(Method::POST, &format!("{MAPS}?dryRun=All"), "application/json", map).await;
    assert_eq!((status, &made["metadata"]["name"]), (201, &json!("dry")), "{made}");
    assert_eq!(bench.get(&format!("{MAPS}/dry")).await, None);
    let before = bench.get(TICKETS).await.unwrap();
    let to = json!([{ "op": "replace", "path": "/spec/replicas", "value": 9 }]);
    let (status, would) = bench.ask(Method::PATCH, &format!("{TICKETS}?dryRun=All"), JSON_PATCH, to).await;
    assert_eq!((status, &would["spec"]["replicas"]), (200, &json!(9)), "{would}");
    let after = bench.get(TICKETS).await.unwrap();
    assert_eq!((&after["spec"], &after["metadata"]["generation"]), (&before["spec"], &before["metadata"]["generation"]));
}

async fn a_deletion_under_another_uid_or_version_is_refused(bench: Bench) {
    let map = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "kept" }, "data": { "a": "1" } });
    let made = bench.create(MAPS, map).await;
    let path = format!("{MAPS}/kept");
    bench.patch(&path, json!({ "data": { "a": "2" } })).await;
    for preconditions in [
        json!({ "uid": "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11" }),
        json!({ "uid": made["metadata"]["uid"], "resourceVersion": made["metadata"]["resourceVersion"] }),
    ] {
        let body = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": preconditions });
        let (status, body) = bench.ask(Method::DELETE, &path, "application/json", body).await;
        assert_eq!((status, &body["reason"]), (409, &json!("Conflict")), "{body}");
    }
    assert!(bench.get(&path).await.is_some());
}

async fn a_pod_is_resized_by_either_patch_and_only_where_its_amounts_are_as_tested(bench: Bench) {
    bench.create("/apis/apps/v1/namespaces/production/deployments", deployment("still", 1, "registry.example/app:1", "10m")).await;
    let of_it = || async { bench.list("/api/v1/namespaces/production/pods?labelSelector=app%3Dstill").await.first().cloned() };
    let pod = bench.until("there is a pod", of_it).await;
    let pod = format!("/api/v1/namespaces/production/pods/{}", pod["metadata"]["name"].as_str().unwrap());
    let resize = format!("{pod}/resize");
    let cpu = "/spec/containers/0/resources/requests/cpu";
    let swap = |from: &str, to: &str| json!([test(cpu, json!(from)), { "op": "replace", "path": cpu, "value": to }]);
    assert_eq!(patched(&bench, &resize, swap("11m", "20m")).await, 422);
    assert_eq!(patched(&bench, &resize, swap("10m", "20m")).await, 200);
    let by_name = json!({ "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "30m" } } }] } });
    let (status, body) = bench.ask(Method::PATCH, &resize, STRATEGIC, by_name).await;
    assert_eq!((status, &body["spec"]["containers"][0]["resources"]["requests"]["cpu"]), (200, &json!("30m")), "{body}");
    // Not by a patch of the pod itself.
    let (status, body) = bench.ask(Method::PATCH, &pod, JSON_PATCH, swap("30m", "40m")).await;
    assert_eq!(status, 422, "{body}");
}

on_both!(
    a_test_for_null_passes_where_the_member_is_missing_and_its_parent_is_not,
    a_test_holds_for_the_scale_subresource_too,
    an_apply_under_an_old_version_is_a_conflict,
    a_dry_run_changes_nothing,
    a_deletion_under_another_uid_or_version_is_refused,
    a_pod_is_resized_by_either_patch_and_only_where_its_amounts_are_as_tested
);
