//! `k8s.events` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::served::{DEPLOYMENT, PODS, Served, deployment, items, object as answer, refusal};
use crate::actions::trial;
use crate::model::by_hand::variable;
use crate::ports::action::Action;

const EVENTS: &str = "/api/v1/namespaces/production/events";

fn event(kind: &str, name: &str, of: &str) -> Value {
    json!({
        "involvedObject": { "kind": kind, "name": name }, "type": of, "reason": "BackOff", "message": "back-off hunter2", "count": 3,
        "lastTimestamp": Timestamp::now().to_string(),
    })
}

async fn read(served: &Served, inputs: Value) -> Result<Value, Failure> {
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("word", "hunter2")]);
    Reader::<EventsReading>::new(&served.connections).observe(&cx, &Inputs(inputs)).await
}

#[tokio::test]
async fn a_workloads_events_are_those_of_its_own_sets_and_pods() {
    let owned = json!({ "metadata": { "name": "ticket-service-5d8f", "ownerReferences": [{ "uid": "uid-of-the-deployment" }] } });
    let strange = json!({ "metadata": { "name": "ticket-service-batch", "ownerReferences": [{ "uid": "another" }] } });
    let served = Served::start(move |came| match came.path.as_str() {
        DEPLOYMENT => answer(deployment(json!({}))),
        PODS => items(&[json!({ "metadata": { "name": "adopted" } })]),
        "/apis/apps/v1/namespaces/production/replicasets" => items(&[owned.clone(), strange.clone()]),
        EVENTS => items(&[
            event("Deployment", "ticket-service", "Normal"),
            event("ReplicaSet", "ticket-service-5d8f", "Warning"),
            event("Pod", "ticket-service-5d8f-gone1", "Warning"),
            event("Pod", "adopted", "Warning"),
            event("Deployment", "ticket-service-batch", "Warning"),
            event("ReplicaSet", "ticket-service-batch", "Warning"),
            event("Pod", "ticket-service-batch-abcde", "Warning"),
            event("Pod", "ticket-service-5d8f-abcde-x", "Warning"),
            event("Node", "ticket-service", "Warning"),
        ]),
        other => panic!("{other}"),
    })
    .await;
    let outputs = read(&served, json!({ "workload": "deployment/ticket-service" })).await.unwrap();
    let mut objects: Vec<&str> = outputs["events"].as_array().unwrap().iter().map(|event| event["object"].as_str().unwrap()).collect();
    objects.sort_unstable();
    assert_eq!(objects, ["deployment/ticket-service", "pod/adopted", "pod/ticket-service-5d8f-gone1", "replicaset/ticket-service-5d8f"]);
    assert_eq!((&outputs["total"], &outputs["warnings"]), (&json!(4), &json!(3)));
    assert_eq!(outputs["summary"], "4 events in the last 1h, 3 warnings (BackOff)");
    assert_eq!(outputs["events"][0]["message"], "back-off [secret word]");
}

#[tokio::test]
async fn an_object_and_a_type_are_asked_of_the_server() {
    let served = Served::start(|came| {
        let fields = came.query("fieldSelector");
        match came.path.as_str() {
            EVENTS => assert_eq!(fields, "involvedObject.kind=HorizontalPodAutoscaler,involvedObject.name=x,type=Warning"),
            "/api/v1/namespaces/default/events" => assert_eq!(fields, "involvedObject.kind=Node,involvedObject.name=n"),
            other => panic!("{other}"),
        }
        // A server that does not narrow the list is no reason to show what was not asked for.
        items(&[
            event("HorizontalPodAutoscaler", "x", "Warning"),
            event("HorizontalPodAutoscaler", "x", "Normal"),
            event("Node", "n", "Normal"),
        ])
    })
    .await;
    let outputs = read(&served, json!({ "object": "hpa/x", "type": "Warning" })).await.unwrap();
    assert_eq!((&outputs["total"], &outputs["events"][0]["count"]), (&json!(1), &json!(3)));
    let outputs = read(&served, json!({ "object": "node/n" })).await.unwrap();
    assert_eq!((&outputs["total"], &outputs["events"][0]["object"]), (&json!(1), &json!("node/n")));
}

#[tokio::test]
async fn old_events_are_left_out_and_the_list_has_a_limit() {
    let served = Served::start(|_| {
        let mut old = event("Pod", "old", "Normal");
        old["lastTimestamp"] = json!("2026-01-01T00:00:00Z");
        let mut earlier = event("Pod", "b", "Normal");
        earlier["lastTimestamp"] = json!((Timestamp::now() - SignedDuration::from_secs(60)).to_string());
        items(&[old, earlier, event("Pod", "a", "Normal")])
    })
    .await;
    let outputs = read(&served, json!({ "limit": 1 })).await.unwrap();
    assert_eq!((&outputs["total"], &outputs["truncated"], &outputs["events"][0]["object"]), (&json!(2), &json!(true), &json!("pod/a")));
    let all = read(&served, json!({ "since": "36500d" })).await.unwrap();
    assert_eq!(all["total"], 3);
}

#[tokio::test]
async fn refusals_are_told() {
    let served = Served::start(|_| refusal(403, "Forbidden", "no")).await;
    let failure = read(&served, json!({})).await.unwrap_err();
    assert_eq!(failure.message, "list events in namespace production: forbidden (403): no");
    for (inputs, wanted) in [
        (json!({ "object": "x" }), "`x` names no object"),
        (json!({ "object": "cronjob/x" }), "`cronjob/x` names no object"),
        (json!({ "object": "pod/x,type=y" }), "names no object"),
        (json!({ "object": "pod/x", "workload": "deployment/x" }), "cannot both be given"),
        (json!({ "type": "Error" }), "unknown variant `Error`"),
        (json!({ "limit": 0 }), "from 1 to 200"),
    ] {
        let failure = read(&served, inputs).await.unwrap_err();
        assert!(failure.message.contains(wanted), "{failure}");
    }
    // A read that is forbidden is asked again once.
    assert_eq!(served.came().len(), 2);
}

#[test]
fn the_same_by_hand() {
    let target = trial::target("uid-1");
    let lines = by_hand(&json!({ "object": variable("object"), "type": "Warning" }), Some(&target)).act;
    assert_eq!(lines, ["kubectl events -n production --for \"${OBJECT}\" --types=Warning"]);
    let lines = by_hand(&json!({ "workload": "deployment/x" }), None).act;
    assert_eq!(lines, ["kubectl events | grep -F -- x"]);
}
