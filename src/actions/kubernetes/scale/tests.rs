//! `k8s.scale` against a stand-in API server.

use std::time::Duration;

use super::entry::touches;
use super::*;
use crate::actions::kubernetes::stand_in::{Fault, StandIn};
use crate::actions::trial;

fn inputs(replicas: i64) -> Inputs {
    Inputs(json!({ "workload": "deployment/ticket-service", "replicas": replicas }))
}

async fn trial_of(replicas: i64) -> (StandIn, Scale, Context) {
    let stand_in = StandIn::start(replicas).await;
    let action = Scale::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    (stand_in, action, cx)
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn twice_is_once_forth_and_back() {
    for (from, to) in [(2, 8), (8, 2), (0, 3), (3, 0)] {
        let (stand_in, action, cx) = trial_of(from).await;
        trial::repeats(&action, &cx, &inputs(to)).await;
        assert_eq!(stand_in.cluster.lock().unwrap().effects, [(from, to), (to, from)], "each swap had one effect");
    }
}

#[tokio::test]
async fn the_plan_names_object_field_and_both_values() {
    let (_stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    let change = &intent.changes[0];
    assert_eq!(change.object.0, "k8s:uid-1/production/deployment/ticket-service");
    assert_eq!(touches(&inputs(8).0, cx.target.as_ref()), std::slice::from_ref(&change.object));
    assert_eq!((change.field.as_str(), &change.prior, &change.after), ("spec.replicas", &json!(2), &json!(8)));
    assert_eq!(intent.by_hand, ["kubectl scale deployment/ticket-service --replicas=8 -n production"]);
    assert_eq!(intent.undo_by_hand, ["kubectl scale deployment/ticket-service --replicas=2 -n production"]);
    assert_eq!(intent.revert, Revert::Fields { settle: "10m".parse().unwrap() });
    let prior = intent.prior.clone();
    assert_eq!(prior["pods"], 2);
    assert!(matches!(action.plan(&cx, &inputs(8), &prior, &Rollback::None).unwrap().intent.revert, Revert::Keep { .. }));
    let unchanged = action.plan(&cx, &inputs(2), &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!(unchanged, json!({ "replicas": 2, "ready_replicas": 2, "previous_replicas": 2, "floor": false, "autoscaler": null }));
}

#[tokio::test]
async fn what_somebody_else_put_there_is_left_alone() {
    for from in [2, 0] {
        let (stand_in, action, cx) = trial_of(from).await;
        let intent = trial::planned(&action, &cx, &inputs(8)).await;
        stand_in.cluster.lock().unwrap().faults.push(Fault::Meanwhile(5));
        let failure = failure(action.apply(&cx, &inputs(8), &intent).await);
        assert!(!failure.transient);
        assert!(failure.message.contains(&format!("somebody else changed them from {from} to 5 meanwhile")), "{failure}");
        assert_eq!(stand_in.cluster.lock().unwrap().effects, []);
        let verdict = action.verify(&cx, &inputs(8), &intent).await.unwrap();
        assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("are 5, neither")), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_swap_that_lost_is_judged_by_what_is_there_now() {
    let (stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    // An earlier attempt of unknown outcome arrived late: the wanted value is there.
    stand_in.cluster.lock().unwrap().faults.push(Fault::Meanwhile(8));
    let applied = action.apply(&cx, &inputs(8), &intent).await;
    assert!(matches!(applied, Applied::Applied { .. }), "{applied:?}");
    // Another write was first and changed something else: ours may be tried again.
    stand_in.cluster.lock().unwrap().replicas = 2;
    // A rule that does not accept the value will not accept it the next time.
    for (status, transient) in [(409, true), (422, false)] {
        stand_in.cluster.lock().unwrap().faults.push(Fault::Refuse(status, None));
        assert_eq!(failure(action.apply(&cx, &inputs(8), &intent).await).transient, transient, "{status}");
    }
    assert_eq!(stand_in.cluster.lock().unwrap().effects, []);
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (stand_in, action, cx) = trial_of(2).await;
        let intent = trial::planned(&action, &cx, &inputs(8)).await;
        stand_in.cluster.lock().unwrap().faults.push(fault);
        let applied = action.apply(&cx, &inputs(8), &intent).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
        let verdict = action.verify(&cx, &inputs(8), &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[tokio::test]
async fn no_answer_is_unknown_within_the_steps_time() {
    let (stand_in, action, mut cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    stand_in.cluster.lock().unwrap().faults.push(Fault::Hang);
    cx.timeout = Some(Duration::from_millis(100));
    let applied = action.apply(&cx, &inputs(8), &intent).await;
    assert!(matches!(&applied, Applied::Unknown { failure } if failure.message.contains("did not answer within 0.1 s")), "{applied:?}");
}

#[tokio::test]
async fn refusals_are_sure_and_failures_of_the_server_are_not() {
    let (stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    // Status, Retry-After, whether it certainly was not applied, whether another try can help.
    let table = [
        (401, None, true, false),
        (403, None, true, false),
        (404, None, true, false),
        (429, Some("1"), true, true),
        (503, Some("1"), true, true),
        (408, None, false, true),
        (500, None, false, true),
        (503, None, false, true),
        (504, None, false, true),
    ];
    for (status, after, sure, transient) in table {
        stand_in.cluster.lock().unwrap().faults.push(Fault::Refuse(status, after));
        let failure = match action.apply(&cx, &inputs(8), &intent).await {
            Applied::NotApplied { failure } if sure => failure,
            Applied::Unknown { failure } if !sure => failure,
            other => panic!("{status}: {other:?}"),
        };
        assert_eq!(failure.transient, transient, "{status}");
        assert!(failure.message.contains(&status.to_string()), "{failure}");
        if status == 403 {
            assert!(
                failure.message.starts_with("patch deployments/scale `ticket-service` in namespace production: forbidden"),
                "{failure}"
            );
            assert!(failure.hint.unwrap().contains("kubectl auth can-i patch deployments --subresource=scale -n production"));
        }
    }
    assert_eq!(stand_in.cluster.lock().unwrap().effects, []);
}

#[tokio::test]
async fn a_refused_connection_is_not_applied() {
    let (_stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let access = crate::environment::KubernetesAccess::Token { url: format!("http://{free}"), token: "a-token".to_owned().into() };
    let action = Scale::new(Arc::new(Connections::new().with_kubernetes(access)));
    let failure = failure(action.apply(&cx, &inputs(8), &intent).await);
    assert!(failure.transient && failure.message.contains("refused") && !failure.message.contains("os error"), "{failure}");
}

#[tokio::test]
async fn a_revert_is_followed_when_the_pods_are_gone() {
    let (stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(5)).await;
    let pods = |staying: usize, leaving: usize| -> Vec<(String, bool)> {
        (0..staying).map(|n| (format!("stays-{n}"), false)).chain((0..leaving).map(|n| (format!("leaves-{n}"), true))).collect()
    };
    let mut holds = Vec::new();
    for (staying, leaving, observed) in [(5, 0, 0), (5, 0, 9), (2, 3, 9), (2, 7, 9), (1, 1, 9), (2, 0, 9)] {
        {
            let mut cluster = stand_in.cluster.lock().unwrap();
            cluster.pods = pods(staying, leaving);
            cluster.observed = observed;
        }
        holds.push(match action.followed(&cx, &intent).await.unwrap() {
            Followed::Yes => "yes".to_owned(),
            Followed::No { holds } => holds,
        });
    }
    let wanted = [
        "the controller of deployment/ticket-service has not taken up the change yet",
        "5 pods are there where 2 are wanted: stays-0, stays-1, stays-2, stays-3, stays-4",
        "3 of 5 pods are still terminating: leaves-0, leaves-1, leaves-2",
        "7 of 9 pods are still terminating: leaves-0, leaves-1, leaves-2, leaves-3, leaves-4 and 2 more",
        "1 of 2 pods are there",
        "yes",
    ];
    assert_eq!(holds, wanted);
}

#[tokio::test]
async fn a_workload_that_is_gone_is_told_apart_from_one_that_cannot_be_read() {
    let (stand_in, action, cx) = trial_of(2).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    stand_in.cluster.lock().unwrap().gone = true;
    assert_eq!(action.live(&cx, &intent).await.unwrap(), [None]);
    let failure = action.observe(&cx, &inputs(8)).await.unwrap_err();
    assert_eq!(failure.message, "there is no deployment/ticket-service in namespace production");
}

#[tokio::test]
async fn inputs_are_checked_before_anything_is_sent() {
    let (_stand_in, action, cx) = trial_of(2).await;
    let prior = action.observe(&cx, &inputs(2)).await.unwrap();
    let refused = |value: Value| action.plan(&cx, &Inputs(value), &prior, &Rollback::Auto).unwrap_err().message;
    assert!(refused(json!({ "workload": "deploy/x", "replicas": 1 })).contains("`deploy/x` names no workload"));
    assert!(refused(json!({ "workload": "deployment/x", "replicas": -1 })).contains("replicas cannot be -1"));
    assert!(refused(json!({ "workload": "deployment/x", "replicas": 1.5 })).contains("1.5 is not a whole number"));
    assert!(action.plan(&cx, &Inputs(json!({ "workload": "deployment/x", "replicas": 3.0 })), &prior, &Rollback::Auto).is_ok());
    assert!(refused(json!({ "workload": "deployment/x", "replica": 1 })).contains("unknown field `replica`"));
    assert!(refused(json!({ "workload": "deployment/x", "replicas": 1, "namespace": "a/b" })).contains("not a namespace's name"));
}
