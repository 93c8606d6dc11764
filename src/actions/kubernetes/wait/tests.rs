//! `k8s.wait` against a stand-in API server.

use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::actions::kubernetes::stand_in::StandIn;
use crate::actions::trial;
use crate::environment::KubernetesAccess;

fn inputs(condition: &str) -> Inputs {
    Inputs(json!({
        "object": "deployment/ticket-service", "condition": condition, "every": "10ms", "timeout": "5s", "vars": { "wanted": 4 },
    }))
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

/// Until the log holds this line.
async fn until(log: &trial::Kept, line: &str) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !log.lines.lock().unwrap().iter().any(|told| told.contains(line)) {
        assert!(Instant::now() < deadline, "`{line}` was never said: {:?}", log.lines.lock().unwrap());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn it_ends_when_the_condition_holds_and_tells_how_far_it_is() {
    let stand_in = StandIn::start(4).await;
    stand_in.cluster.lock().unwrap().gone = true;
    stand_in.cluster.lock().unwrap().pods.truncate(2);
    let action = Wait::new(Arc::clone(&stand_in.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    let inputs = inputs("result.status.readyReplicas >= vars.wanted");
    let intent = Intent::default();
    let platform = async {
        until(&log, "there is no deployment/ticket-service in namespace production").await;
        stand_in.cluster.lock().unwrap().gone = false;
        until(&log, "2 of 4 pods ready").await;
        stand_in.cluster.lock().unwrap().pods = (0..4).map(|number| (format!("pod-{number}"), false)).collect();
    };
    let (applied, ()) = tokio::join!(action.apply(&cx, &inputs, &intent), platform);
    let Applied::Applied { outputs } = applied else { panic!("{applied:?}") };
    assert_eq!((&outputs["holds"], &outputs["object"]["status"]["readyReplicas"]), (&json!(true), &json!(4)));
    assert_eq!(action.observe(&cx, &inputs).await.unwrap()["holds"], true);
}

#[tokio::test]
async fn when_the_time_is_over_it_says_what_was_seen_last() {
    let stand_in = StandIn::start(2).await;
    let action = Wait::new(Arc::clone(&stand_in.connections));
    let (mut cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    cx.timeout = Some(Duration::from_millis(300));
    for (condition, last) in [
        ("result.status.readyReplicas >= 4", "`result.status.readyReplicas >= 4` is false"),
        ("result.status.missing >= 4", "`result.status.missing >= 4`: no such key"),
    ] {
        let failure = failure(action.apply(&cx, &inputs(condition), &Intent::default()).await);
        let wanted = format!("deployment/ticket-service did not come to meet the condition within 300ms: {last}");
        assert!(failure.transient && failure.message.starts_with(&wanted), "{failure}");
        assert_eq!(action.observe(&cx, &inputs(condition)).await.unwrap()["holds"], false);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_waited_for_and_one_that_refuses_is_not() {
    for (status, transient) in [(503, true), (403, false)] {
        let server = MockServer::start().await;
        Mock::given(wiremock::matchers::path(crate::environment::IDENTITY_PATH))
            .respond_with(ResponseTemplate::new(200))
            .mount(&server)
            .await;
        Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(status)).mount(&server).await;
        let access = KubernetesAccess::Token { url: server.uri(), token: "a-token".to_owned().into() };
        let action = Wait::new(Arc::new(Connections::new().with_kubernetes(access)));
        let (mut cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
        cx.timeout = Some(Duration::from_millis(500));
        let failure = failure(action.apply(&cx, &inputs("true"), &Intent::default()).await);
        assert_eq!(failure.transient, transient, "{failure}");
        assert!(failure.message.contains(&status.to_string()), "{failure}");
        // One that forbids is asked whether it is ready, and once more.
        let asked = server.received_requests().await.unwrap().len();
        assert!(if transient { asked > 1 } else { asked == 3 }, "{status}: {asked}");
    }
}

#[tokio::test]
async fn a_condition_that_can_never_hold_is_refused() {
    let stand_in = StandIn::start(2).await;
    let action = Wait::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    for (condition, wanted) in [("result.status.(", "is not a CEL expression"), ("params.x == 1", "`condition` uses `params`")] {
        let failure = action.plan(&cx, &inputs(condition), &Value::Null, &Rollback::Auto).unwrap_err();
        assert!(failure.message.contains(wanted) && !failure.transient, "{failure}");
    }
    let failure = failure(action.apply(&cx, &inputs("result.status.readyReplicas"), &Intent::default()).await);
    assert_eq!((failure.message.as_str(), failure.transient), ("`condition` gives a number, not true or false", false));
}

#[test]
fn the_same_by_hand() {
    let wanted = crate::model::by_hand::variable("replicas");
    let inputs =
        json!({ "object": "deployment/x", "condition": "result.status.readyReplicas\n >= vars.wanted", "vars": { "wanted": wanted } });
    let until = "# until, within 5m: result.status.readyReplicas >= vars.wanted (result is the object, vars.wanted is $REPLICAS)";
    assert_eq!(by_hand(&inputs, None).act, [until, "kubectl get deployment/x -o yaml"]);
}
