//! `k8s.pods` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::served::{DEPLOYMENT, PODS, Served, deployment, items, object, refusal};
use crate::actions::trial;
use crate::model::by_hand::variable;
use crate::model::intent::Intent;
use crate::model::outcome::Applied;
use crate::model::step::Rollback;
use crate::ports::action::Action;

fn pod(name: &str, ready: bool) -> Value {
    let status = if ready { "True" } else { "False" };
    json!({
        "metadata": { "name": name, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "status": {
            "phase": "Running", "conditions": [{ "type": "Ready", "status": status, "reason": "ContainersNotReady" }],
            "containerStatuses": [{ "name": "app", "restartCount": 2 }],
        },
    })
}

async fn observed(served: &Served, inputs: Value) -> Result<Value, Failure> {
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("word", "hunter2")]);
    Reader::<PodsReading>::new(&served.connections).observe(&cx, &Inputs(inputs)).await
}

#[tokio::test]
async fn pods_are_counted_and_those_with_problems_come_first() {
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({ "conditions": [
            { "type": "Available", "status": "True" },
            { "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota: hunter2" },
        ] }))),
        PODS => {
            assert_eq!(came.query("labelSelector"), "app=ticket-service");
            if came.query("continue").is_empty() {
                object(json!({ "metadata": { "continue": "a b" }, "items": [pod("a", true), pod("c", false)] }))
            } else {
                assert_eq!(came.query("continue"), "a b");
                let leaving = json!({ "metadata": { "name": "b", "deletionTimestamp": "2100-01-01T00:00:00Z" }, "status": { "phase": "Running" } });
                let evicted = json!({ "metadata": { "name": "d" }, "status": { "phase": "Failed", "reason": "Evicted", "message": "low on memory" } });
                items(&[leaving, evicted])
            }
        }
        other => panic!("{other}"),
    })
    .await;
    let outputs = observed(&served, json!({ "workload": "deployment/ticket-service" })).await.unwrap();
    let counts = ["total", "ready", "pending", "terminating", "finished", "restarts"].map(|key| outputs[key].as_u64().unwrap());
    assert_eq!(counts, [3, 1, 0, 1, 1, 4]);
    assert_eq!(outputs["not_ready"], json!(["c"]));
    let names: Vec<&str> = outputs["pods"].as_array().unwrap().iter().map(|pod| pod["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["c", "d", "a", "b"]);
    assert_eq!(outputs["problems"][1], json!({ "pod": "d", "reason": "Evicted", "message": "low on memory" }));
    let quota = json!([{ "object": "deployment/ticket-service", "reason": "FailedCreate", "message": "pods \"x\" is forbidden: exceeded quota: [secret word]" }]);
    assert_eq!(outputs["quota"], quota);
    assert_eq!(
        outputs["summary"],
        "deployment/ticket-service: 3 pods, 1 ready, 1 not ready, 1 terminating (ContainersNotReady: 1, Evicted: 1); \
         pods could not be created: pods \"x\" is forbidden: exceeded quota: [secret word]"
    );
}

#[tokio::test]
async fn outputs_stay_bounded() {
    let served = Served::start(|came| match came.path.as_str() {
        PODS => items(&(0..300).map(|number| pod(&format!("pod-{number:03}"), number > 100)).collect::<Vec<_>>()),
        _ => items(&[]),
    })
    .await;
    let outputs = observed(&served, json!({ "selector": "app=x" })).await.unwrap();
    let sizes = ["pods", "problems", "not_ready"].map(|key| outputs[key].as_array().unwrap().len());
    assert_eq!((outputs["total"].as_u64(), sizes, &outputs["truncated"]), (Some(300), [50, 10, 20], &json!(true)));
    let mut rest = outputs.clone();
    rest["pods"] = Value::Null;
    assert!(rest.to_string().len() < 4096, "{}", rest.to_string().len());
}

#[tokio::test]
async fn a_list_without_an_end_is_refused() {
    let served = Served::start(|_| object(json!({ "metadata": { "continue": "more" }, "items": vec![json!({}); 500] }))).await;
    let failure = observed(&served, json!({ "selector": "app=x" })).await.unwrap_err();
    assert_eq!(failure.message, "list pods in namespace production: there are more than 10000");
    assert_eq!(served.came().len(), 20);
}

#[tokio::test]
async fn owners_that_may_not_be_read_are_no_failure() {
    let served = Served::start(|came| match came.path.as_str() {
        PODS => object(json!({ "metadata": {}, "items": null })),
        _ => refusal(403, "Forbidden", "not you"),
    })
    .await;
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    let inputs = Inputs(json!({ "selector": "app=x" }));
    let outputs = Reader::<PodsReading>::new(&served.connections).observe(&cx, &inputs).await.unwrap();
    assert_eq!((&outputs["total"], &outputs["quota"]), (&json!(0), &json!([])));
    let lines = log.lines.lock().unwrap();
    assert!(lines[1].contains("list replicasets in namespace production: forbidden (403): not you"), "{lines:?}");
}

#[tokio::test]
async fn each_refusal_is_told() {
    for (status, reason, transient, message) in [
        (
            401,
            "Unauthorized",
            false,
            "get deployments `ticket-service` in namespace production: the credentials are not accepted (401): said",
        ),
        (403, "Forbidden", false, "get deployments `ticket-service` in namespace production: forbidden (403): said"),
        (404, "NotFound", false, "there is no deployment/ticket-service in namespace production"),
        (429, "TooManyRequests", true, "get deployments `ticket-service` in namespace production: too many requests (429): said"),
        (503, "ServiceUnavailable", true, "get deployments `ticket-service` in namespace production: the server failed (503): said"),
    ] {
        let served = Served::start(move |_| refusal(status, reason, "said")).await;
        let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
        let inputs = Inputs(json!({ "workload": "deployment/ticket-service" }));
        let applied = Reader::<PodsReading>::new(&served.connections).apply(&cx, &inputs, &Intent::default()).await;
        let Applied::NotApplied { failure } = applied else { panic!("{applied:?}") };
        assert_eq!((failure.message.as_str(), failure.transient), (message, transient));
    }
}

#[tokio::test]
async fn a_step_names_its_pods_in_one_way() {
    let served = Served::start(|_| panic!("nothing is asked")).await;
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    for (inputs, wanted) in [
        (json!({}), "it needs `workload` or `selector`"),
        (json!({ "workload": "deployment/x", "selector": "a=b" }), "cannot both be given"),
        (json!({ "selector": " " }), "it would find every pod"),
        (json!({ "workload": "pod/x" }), "names no workload"),
        (json!({ "selector": "a=b", "namespace": "../x" }), "is not a namespace's name"),
    ] {
        let failure =
            Reader::<PodsReading>::new(&served.connections).plan(&cx, &Inputs(inputs), &Value::Null, &Rollback::Auto).unwrap_err();
        assert!(failure.message.contains(wanted), "{failure}");
    }
}

#[test]
fn the_same_by_hand() {
    let target = trial::target("uid-1");
    let lines = by_hand(&json!({ "selector": variable("label"), "namespace": "it's" }), Some(&target)).act;
    assert_eq!(lines, [r#"kubectl get pods -n 'it'\''s' -l "${LABEL}" -o wide"#]);
    let lines = by_hand(&json!({ "workload": "deployment/x" }), Some(&target)).act;
    assert_eq!(
        lines,
        [
            "SELECTOR=$(kubectl get deployment/x -n production --subresource=scale -o jsonpath='{.status.selector}')",
            "kubectl get pods -n production -l \"$SELECTOR\" -o wide",
        ]
    );
}
