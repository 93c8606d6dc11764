//! `k8s.logs` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::served::{DEPLOYMENT, PODS, Served, cut, deployment, items, object, refusal, text};
use crate::actions::trial;
use crate::model::by_hand::variable;
use crate::ports::action::Action;

fn pod(name: &str) -> Value {
    json!({
        "metadata": { "name": name, "annotations": { "kubectl.kubernetes.io/default-container": "app" } },
        "spec": { "containers": [{ "name": "proxy" }, { "name": "app" }] },
    })
}

async fn read(served: &Served, inputs: Value) -> (Result<Value, Failure>, Vec<String>) {
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[("word", "hunter2")]);
    let read = Reader::<LogsReading>::new(&served.connections).observe(&cx, &Inputs(inputs)).await;
    (read, log.lines.lock().unwrap().clone())
}

#[tokio::test]
async fn the_lines_of_one_pod_are_told_without_secrets() {
    let served = Served::start(|came| match came.path.strip_prefix(PODS).unwrap() {
        "/a" => object(pod("a")),
        "/a/log" => {
            let asked = ["container", "tailLines", "sinceSeconds", "previous"].map(|name| came.query(name));
            assert_eq!(asked, ["app", "7", "90", "true"]);
            text("one\nthe word is hunter2\n")
        }
        other => panic!("{other}"),
    })
    .await;
    let (read, log) = read(&served, json!({ "pod": "a", "tail": 7, "since": "1m30s", "previous": true })).await;
    let lines = ["one", "the word is [secret word]"];
    let wanted = json!({
        "count": 2, "lines": lines, "pods": [{ "pod": "a", "container": "app", "lines": 2, "error": null }], "truncated": false,
    });
    assert_eq!(read.unwrap(), wanted);
    assert_eq!(log, lines);
}

#[tokio::test]
async fn each_pod_of_a_workload_is_read_and_one_that_cannot_be_is_told() {
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => items(&[pod("c"), pod("b"), pod("a")]),
        path if path.ends_with("/a/log") => text("of a\n"),
        path if path.ends_with("/b/log") => refusal(404, "NotFound", "pods \"b\" not found"),
        _ => refusal(400, "BadRequest", "container \"app\" in pod \"c\" is waiting to start: ContainerCreating"),
    })
    .await;
    let (read, log) = read(&served, json!({ "workload": "deployment/ticket-service" })).await;
    let read = read.unwrap();
    assert_eq!((&read["lines"], &read["count"]), (&json!(["a: of a"]), &json!(1)));
    assert_eq!((&read["pods"][0]["error"], &read["pods"][1]["error"]), (&Value::Null, &json!("it is gone")));
    let wanted = "c: get pods/log `c` in namespace production: answered with status 400: container \"app\" in pod \"c\" is waiting to start: ContainerCreating";
    assert_eq!(log, ["a: of a", "b: it is gone", wanted]);
}

#[tokio::test]
async fn where_not_one_log_can_be_read_it_fails() {
    for (status, reason, transient, wanted) in [
        (403, "Forbidden", false, "get pods/log `a` in namespace production: forbidden (403): said"),
        (400, "BadRequest", false, "get pods/log `a` in namespace production: answered with status 400: said"),
        (500, "InternalError", true, "get pods/log `a` in namespace production: the server failed (500): said"),
    ] {
        let served =
            Served::start(move |came| if came.path.ends_with("/log") { refusal(status, reason, "said") } else { object(pod("a")) }).await;
        let failure = read(&served, json!({ "pod": "a" })).await.0.unwrap_err();
        assert_eq!((failure.message.as_str(), failure.transient), (wanted, transient));
    }
    let served = Served::start(|came| if came.path.ends_with("/log") { cut() } else { object(pod("a")) }).await;
    let failure = read(&served, json!({ "pod": "a" })).await.0.unwrap_err();
    assert!(failure.transient && failure.message.contains("was cut before the whole answer was there"), "{failure}");
    let served = Served::start(|_| refusal(404, "NotFound", "pods \"a\" not found")).await;
    let failure = read(&served, json!({ "pod": "a" })).await.0.unwrap_err();
    assert_eq!(failure.message, "get pods `a` in namespace production: not found (404): pods \"a\" not found");
    let served = Served::start(|came| if came.path == DEPLOYMENT { object(deployment(json!({}))) } else { items(&[]) }).await;
    let failure = read(&served, json!({ "workload": "deployment/ticket-service" })).await.0.unwrap_err();
    assert_eq!((failure.message.as_str(), failure.transient), ("there is no pod of deployment/ticket-service", true));
}

#[tokio::test]
async fn outputs_stay_bounded_whatever_pods_write() {
    let served = Served::start(|came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => items(&(0..25).map(|number| pod(&format!("p-{number:02}"))).collect::<Vec<_>>()),
        // The end of what is read cuts a secret in two.
        path if path.ends_with("/p-00/log") => text(format!("x\n{}hunter2", "y".repeat(READ - 6))),
        _ => text((0..100).map(|number| format!("\u{1}line {number}\n")).collect::<String>()),
    })
    .await;
    let (read, log) = read(&served, json!({ "workload": "deployment/ticket-service" })).await;
    let read = read.unwrap();
    assert!(read["lines"].to_string().len() <= KEPT + 2, "{}", read["lines"].to_string().len());
    assert_eq!((read["pods"].as_array().unwrap().len(), &read["truncated"]), (20, &json!(true)));
    assert_eq!(read["pods"][0]["lines"], 1);
    assert!(!log.iter().any(|line| line.contains("yhunt")), "half a secret");
    let lines: Vec<&str> = read["lines"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    assert!(lines.contains(&"p-00: x") && lines.contains(&"p-19: \u{1}line 99") && log[0].starts_with("5 more pods are left out"));
}

#[test]
fn the_same_by_hand() {
    let target = trial::target("uid-1");
    let lines = by_hand(&json!({ "pod": variable("pod"), "container": "app", "since": "1d", "previous": true }), Some(&target)).act;
    assert_eq!(lines, ["kubectl logs \"${POD}\" -n production -c app --tail=100 --since=86400s --previous"]);
    let lines = by_hand(&json!({ "workload": "deployment/x", "tail": variable("n"), "since": variable("age") }), None).act;
    assert_eq!(lines[1], "kubectl logs -l \"$SELECTOR\" --prefix --max-log-requests=20 --tail=\"${N}\" --since=\"${AGE}\"");
}
