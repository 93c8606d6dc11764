//! `k8s.http` against a stand-in API server.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::*;
use crate::actions::kubernetes::stand_in::served::{Came, DEPLOYMENT, PODS, Served, cut, deployment, items, object, refusal, text};
use crate::actions::trial;
use crate::model::by_hand::variable;

fn pod(name: &str, ready: bool) -> Value {
    json!({
        "metadata": { "name": name, "uid": format!("uid-{name}") },
        "spec": { "containers": [
            { "name": "app", "ports": [{ "name": "http", "containerPort": 8080 }, { "name": "metrics", "containerPort": 9090 }] },
        ] },
        "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": if ready { "True" } else { "False" } }] },
    })
}

/// Pods `a`, `b` and `c`, with this answer of each to a request through the proxy.
async fn served(answer: impl Fn(&str, &Came) -> Response + Send + Sync + 'static) -> Served {
    Served::start(move |came| match came.path.as_str() {
        DEPLOYMENT => object(deployment(json!({}))),
        PODS => {
            let mut leaving = pod("leaving", true);
            leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            items(&[pod("a", true), pod("b", true), pod("c", true), pod("unready", false), leaving])
        }
        path => {
            let (id, _) = path.strip_prefix(PODS).and_then(|rest| rest[1..].split_once('/')).unwrap();
            answer(id.split(':').next().unwrap(), came)
        }
    })
    .await
}

fn asked(served: &Served) -> Vec<String> {
    let mut paths: Vec<String> = served.came().into_iter().filter(|came| came.path.contains("/proxy")).map(|came| came.path).collect();
    paths.sort_unstable();
    paths
}

fn inputs(rest: Value) -> Inputs {
    let mut inputs = json!({ "workload": "deployment/ticket-service", "path": "/health/ready" });
    inputs.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    Inputs(inputs)
}

async fn apply(served: &Served, rest: Value) -> Applied {
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("word", "hunter2")]);
    PodHttp::new(&served.connections).apply(&cx, &inputs(rest), &Intent::default()).await
}

fn ok(name: &str) -> Response {
    object(json!({ "pod": name, "word": "hunter2" }))
}

#[tokio::test]
async fn each_ready_pod_is_asked_once() {
    let served = served(|name, _| ok(name)).await;
    let Applied::Applied { outputs } = apply(&served, json!({})).await else { panic!() };
    let counts = ["asked", "succeeded", "failed"].map(|key| outputs[key].as_u64().unwrap());
    assert_eq!((counts, &outputs["all_succeeded"], &outputs["pods"]), ([3, 3, 0], &json!(true), &json!(["a", "b", "c"])));
    let first = &outputs["responses"][0];
    assert_eq!((&first["pod"], &first["status"], &first["json"]["word"]), (&json!("a"), &json!(200), &json!("[secret word]")));
    let path = |pod: &str, port: u16| format!("{PODS}/{pod}:{port}/proxy/health/ready");
    assert_eq!(asked(&served), [path("a", 8080), path("b", 8080), path("c", 8080)]);
    for (port, number) in [(json!("metrics"), 9090), (json!(81), 81)] {
        let served = self::served(|name, _| ok(name)).await;
        assert!(matches!(apply(&served, json!({ "port": port, "all": true })).await, Applied::Applied { .. }));
        assert_eq!(asked(&served), ["a", "b", "c", "unready"].map(|pod| path(pod, number)));
    }
}

#[tokio::test]
async fn a_failure_names_the_pods() {
    let served = served(|name, _| match name {
        "a" => ok(name),
        "b" => (StatusCode::SERVICE_UNAVAILABLE, "hunter2 is cold").into_response(),
        _ => refusal(503, "ServiceUnavailable", "error trying to reach service: dial tcp 10.0.0.3:8080: connect: connection refused"),
    })
    .await;
    let Applied::NotApplied { failure } = apply(&served, json!({})).await else { panic!() };
    assert_eq!(
        failure.message,
        "GET /health/ready: 2 of 3 pods of deployment/ticket-service did not answer as expected: b: status 503, not 200-299: [secret word] is \
         cold; c: the API server did not reach it: dial tcp 10.0.0.3:8080: connect: connection refused"
    );
    assert!(failure.transient);
    // As a check's reading the same is an answer.
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let outputs = PodHttp::new(&served.connections).observe(&cx, &inputs(json!({}))).await.unwrap();
    assert_eq!((&outputs["all_succeeded"], &outputs["failed"], &outputs["responses"][2]["pod"]), (&json!(false), &json!(2), &json!("a")));
}

#[tokio::test]
async fn a_pod_that_went_away_meanwhile_is_told_and_no_failure() {
    let served = served(|name, _| if name == "b" { refusal(404, "NotFound", "pods \"b\" not found") } else { ok(name) }).await;
    let Applied::Applied { outputs } = apply(&served, json!({})).await else { panic!() };
    assert_eq!((&outputs["gone"], &outputs["asked"], &outputs["all_succeeded"]), (&json!(["b"]), &json!(2), &json!(true)));
    // A 404 of the pod itself is an answer.
    let served = self::served(|_, _| (StatusCode::NOT_FOUND, "no such page").into_response()).await;
    let Applied::NotApplied { failure } = apply(&served, json!({})).await else { panic!() };
    assert!(failure.message.contains("3 of 3 pods") && failure.message.contains("status 404, not 200-299: no such page"), "{failure}");
    assert!(!failure.transient);
    assert!(matches!(apply(&served, json!({ "expect": { "status": [404] } })).await, Applied::Applied { .. }));
    let served = self::served(|name, _| refusal(404, "NotFound", name)).await;
    let Applied::NotApplied { failure } = apply(&served, json!({})).await else { panic!() };
    assert_eq!(failure.message, "GET /health/ready: the pods of deployment/ticket-service were gone before they could be asked");
}

#[tokio::test]
async fn a_write_is_applied_not_applied_or_unknown() {
    type Answer = fn(&str) -> Response;
    let dial = || refusal(503, "ServiceUnavailable", "error trying to reach service: dial tcp 10.0.0.3:8080: connect: connection refused");
    // What b answers (a and c do it), and what all answer.
    let table: [(Answer, &str, &str); 6] = [
        (|_| cut(), "unknown", "unknown"),
        (|_| refusal(503, "ServiceUnavailable", "error trying to reach service: EOF"), "unknown", "unknown"),
        (|_| (StatusCode::INTERNAL_SERVER_ERROR, "x").into_response(), "unknown", "unknown"),
        (|_| (StatusCode::FOUND, "x").into_response(), "with effect", "with effect"),
        (|_| (StatusCode::CONFLICT, "x").into_response(), "with effect", "not applied"),
        (|_| refusal(400, "BadRequest", "address not allowed"), "with effect", "not applied"),
    ];
    let word = |applied: Applied| match applied {
        Applied::Applied { .. } => "applied",
        Applied::NotApplied { .. } => "not applied",
        Applied::FailedWithEffect { .. } => "with effect",
        Applied::Unknown { .. } => "unknown",
    };
    let write = json!({ "method": "POST", "json": { "a": 1 } });
    for (number, (answer, one, all)) in table.into_iter().enumerate() {
        let served = self::served(move |name, _| if name == "b" { answer(name) } else { ok(name) }).await;
        assert_eq!(word(apply(&served, write.clone()).await), one, "{number}");
        let served = self::served(move |name, _| answer(name)).await;
        assert_eq!(word(apply(&served, write.clone()).await), all, "{number}");
    }
    let served = self::served(move |_, _| dial()).await;
    let Applied::NotApplied { failure } = apply(&served, write.clone()).await else { panic!() };
    assert!(failure.transient);
    let served = self::served(|name, _| ok(name)).await;
    assert_eq!(word(apply(&served, write.clone()).await), "applied");
    let came = served.came();
    let mut keys: Vec<&str> = came.iter().filter_map(|came| came.headers.get("idempotency-key")?.to_str().ok()).collect();
    keys.sort_unstable();
    let key = "0123456789abcdef0123456789abcdef";
    assert_eq!(keys, [format!("{key}-a"), format!("{key}-b"), format!("{key}-c")]);
    assert!(came.iter().filter(|came| came.method == "POST").all(|came| came.body == "{\"a\":1}"));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let action = PodHttp::new(&served.connections);
    assert!(matches!(action.verify(&cx, &inputs(write), &Intent::default()).await.unwrap(), Verdict::CannotTell { .. }));
    assert_eq!(action.verify(&cx, &inputs(json!({})), &Intent::default()).await.unwrap(), Verdict::Absent);
}

#[tokio::test]
async fn a_refusal_of_the_api_server_names_verb_and_resource_and_ends_it() {
    let served = served(|_, _| refusal(403, "Forbidden", "no")).await;
    let inputs = json!({ "method": "POST", "max_parallel": 1 });
    let Applied::NotApplied { failure } = apply(&served, inputs).await else { panic!() };
    let wanted = "a: create pods/proxy `a` in namespace production: forbidden (403): no; b: not asked: it would be refused as well";
    assert!(failure.message.contains(wanted), "{failure}");
    assert!(failure.hint.unwrap().contains("allow the verb `create` on `pods/proxy` in a Role"));
    assert_eq!((asked(&served).len(), failure.transient), (1, false));
}

#[tokio::test]
async fn no_ready_pod_is_a_failure_that_may_pass() {
    let served = Served::start(|came| match came.path.as_str() {
        PODS if came.query("labelSelector") == "app=none" => items(&[]),
        _ => items(&[pod("a", false)]),
    })
    .await;
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    for (selector, wanted) in [("app=none", "there is no pod of app=none"), ("app=x", "none of 1 pods of app=x is ready")] {
        let inputs = Inputs(json!({ "selector": selector, "path": "/" }));
        let applied = PodHttp::new(&served.connections).apply(&cx, &inputs, &Intent::default()).await;
        let Applied::NotApplied { failure } = applied else { panic!("{applied:?}") };
        assert_eq!((failure.message, failure.transient), (format!("GET /: {wanted}"), true));
    }
}

#[tokio::test]
async fn settled_asks_those_that_became_ready_meanwhile() {
    let lists = std::sync::atomic::AtomicUsize::new(0);
    let served = Served::start(move |came| match came.path.as_str() {
        PODS => match lists.fetch_add(1, Ordering::Relaxed) {
            0 => items(&[pod("a", true), pod("b", false)]),
            _ => items(&[pod("a", true), pod("b", true)]),
        },
        _ => text("fine"),
    })
    .await;
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    let inputs = Inputs(json!({ "selector": "app=x", "path": "/warm", "method": "POST", "settled": true }));
    let applied = PodHttp::new(&served.connections).apply(&cx, &inputs, &Intent::default()).await;
    let Applied::Applied { outputs } = applied else { panic!("{applied:?}") };
    assert_eq!((&outputs["pods"], asked(&served).len()), (&json!(["a", "b"]), 2));
    assert!(log.lines.lock().unwrap().contains(&"b: POST /warm: status 200".to_owned()));
}

#[tokio::test]
async fn a_pod_that_does_not_answer_is_waited_for_no_longer_than_said() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let access = crate::environment::KubernetesAccess::Token {
        url: format!("http://{}", listener.local_addr().unwrap()),
        token: "a-token".to_owned().into(),
    };
    let app = axum::Router::new().fallback(|uri: axum::http::Uri| async move {
        if uri.path() == PODS { items(&[pod("a", true)]) } else { std::future::pending().await }
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    let connections = Arc::new(Connections::new().with_kubernetes(access));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    for (method, unknown) in [("GET", false), ("PUT", true)] {
        let inputs = Inputs(json!({ "selector": "app=x", "path": "/x", "timeout": "100ms", "method": method }));
        let applied = PodHttp::new(&connections).apply(&cx, &inputs, &Intent::default()).await;
        assert_eq!(matches!(applied, Applied::Unknown { .. }), unknown, "{applied:?}");
        let (Applied::Unknown { failure } | Applied::NotApplied { failure }) = applied else { panic!("{applied:?}") };
        assert!(failure.message.contains("a: the Kubernetes API did not answer within 0.1 s"), "{failure}");
    }
}

#[test]
fn the_same_by_hand() {
    let target = trial::target("uid-1");
    let lines = by_hand(&json!({ "selector": "app=x", "path": "/a?b=1", "port": variable("port") }), Some(&target)).act;
    assert_eq!(
        lines,
        ["for pod in $(kubectl get pods -n production -l app=x -o jsonpath='{.items[*].metadata.name}'); do \
         kubectl get --raw /api/v1/namespaces/production/pods/\"$pod\":\"${PORT}\"/proxy'/a?b=1'; done",]
    );
    let inputs = json!({ "workload": "deployment/x", "path": "/w", "port": "http", "method": "POST", "json": { "id": variable("event") } });
    let lines = by_hand(&inputs, Some(&target)).act;
    assert_eq!(
        lines[1],
        "PORT=$(kubectl get pods -n production -l \"$SELECTOR\" -o 'jsonpath={.items[0].spec.containers[*].ports[?(@.name==\"http\")].containerPort}')"
    );
    assert!(lines[2].contains("do printf %s '{\"id\":\"'\"${EVENT}\"'\"}' | kubectl create --raw "), "{}", lines[2]);
    assert!(lines[2].ends_with("/pods/\"$pod\":\"$PORT\"/proxy/w -f -; done"), "{}", lines[2]);
    let lines = by_hand(&json!({ "selector": "app=x", "path": "/w", "method": "PATCH" }), Some(&target)).act;
    assert_eq!(lines, ["# kubectl has no --raw for PATCH: use `kubectl port-forward` and curl, pod by pod"]);
}
