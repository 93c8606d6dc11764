//! `k8s.rollout_restart` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const OURS: &str = "runsheet-0123456789abcdef0123456789abcdef";

fn deployment(restarted: &str) -> Value {
    json!({
        "metadata": { "generation": 1 },
        "spec": { "replicas": 2, "template": { "metadata": { "annotations": { "kubectl.kubernetes.io/restartedAt": restarted } } } },
        "status": { "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2 },
    })
}

fn inputs() -> Inputs {
    Inputs(json!({ "workload": "deployment/ticket-service" }))
}

async fn trial_of(object: Value) -> (Objects, RolloutRestart, Context) {
    let stand_in = Objects::start(&[(PATH, object)]).await;
    let action = RolloutRestart::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    (stand_in, action, cx)
}

#[tokio::test]
async fn one_doing_restarts_once() {
    let without = json!({ "metadata": {}, "spec": { "replicas": 1, "template": { "metadata": { "labels": {} } } }, "status": {} });
    for before in [deployment("2026-01-01T00:00:00Z"), without] {
        let (stand_in, action, cx) = trial_of(before).await;
        let intent = trial::planned(&action, &cx, &inputs()).await;
        assert_eq!(intent.revert, Revert::Keep { reason: "a restart cannot be undone".to_owned() });
        assert_eq!(intent.changes[0].after, OURS);
        assert_eq!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::Absent);
        for _ in 0..2 {
            let Applied::Applied { outputs } = action.apply(&cx, &inputs(), &intent).await else { panic!() };
            assert_eq!(outputs["restarted_at"], OURS);
            let declared: Vec<&str> = ENTRY.outputs.iter().map(|field| field.name.as_str()).collect();
            assert_eq!(outputs.as_object().unwrap().keys().collect::<Vec<_>>(), declared);
        }
        assert_eq!(stand_in.writes(), 1);
        assert_eq!(action.live(&cx, &intent).await.unwrap(), [Some(json!(OURS))]);
        assert!(matches!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::Present { .. }));
        let prior = action.observe(&cx, &inputs()).await.unwrap();
        assert!(action.plan(&cx, &inputs(), &prior, &Rollback::Auto).unwrap().unchanged.is_some(), "the same doing is done");
    }
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (stand_in, action, cx) = trial_of(deployment("before")).await;
        let intent = trial::planned(&action, &cx, &inputs()).await;
        stand_in.fault(fault);
        assert!(matches!(action.apply(&cx, &inputs(), &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &inputs(), &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[tokio::test]
async fn somebody_elses_restart_and_refusals_are_told() {
    let (stand_in, action, cx) = trial_of(deployment("before")).await;
    let intent = trial::planned(&action, &cx, &inputs()).await;
    stand_in.fault(Fault::Meanwhile(deployment("theirs")));
    let Applied::NotApplied { failure } = action.apply(&cx, &inputs(), &intent).await else { panic!() };
    assert!(failure.message.contains("somebody else changed it from \"before\" to \"theirs\""), "{failure}");
    assert!(matches!(action.verify(&cx, &inputs(), &intent).await.unwrap(), Verdict::CannotTell { .. }));
    stand_in.put(PATH, deployment("before"));
    for (status, reason, transient) in
        [(403, "Forbidden", false), (404, "NotFound", false), (409, "Conflict", true), (422, "Invalid", false)]
    {
        stand_in.fault(Fault::Refuse(status, reason, "as it was told"));
        let Applied::NotApplied { failure } = action.apply(&cx, &inputs(), &intent).await else { panic!() };
        assert!(failure.message.starts_with("patch deployments `ticket-service` in namespace production: "), "{failure}");
        assert_eq!(failure.transient, transient, "{status}");
    }
    assert_eq!(stand_in.writes(), 0);
}

#[tokio::test]
async fn what_would_restart_nothing_is_refused() {
    let mut paused = deployment("before");
    paused["spec"]["paused"] = json!(true);
    let (stand_in, action, cx) = trial_of(paused).await;
    let prior = action.observe(&cx, &inputs()).await.unwrap();
    let failure = action.plan(&cx, &inputs(), &prior, &Rollback::Auto).unwrap_err();
    assert_eq!(failure.message, "the rollout of deployment/ticket-service is paused");
    let path = "/apis/apps/v1/namespaces/production/statefulsets/db";
    stand_in.put(path, json!({ "spec": { "updateStrategy": { "type": "OnDelete" } } }));
    let inputs = Inputs(json!({ "workload": "statefulset/db" }));
    let prior = action.observe(&cx, &inputs).await.unwrap();
    let failure = action.plan(&cx, &inputs, &prior, &Rollback::Auto).unwrap_err();
    assert!(failure.message.contains("is OnDelete"), "{failure}");
}

#[test]
fn a_person_types_the_same() {
    let lines = by_hand(&inputs().0, Some(&trial::target("uid-1")));
    let what = "deployment/ticket-service -n production";
    assert_eq!(lines.act, [format!("kubectl rollout restart {what}"), format!("kubectl rollout status {what}")]);
}
