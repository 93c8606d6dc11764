//! `k8s.scale` on what an autoscaler owns.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/ticket-service-hpa";

fn deployment(replicas: i64) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "ticket-service" } } },
        "status": { "observedGeneration": 1, "readyReplicas": replicas },
    })
}

fn autoscaler(name: &str, min: i64, max: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" },
            "minReplicas": min, "maxReplicas": max,
            "metrics": [{ "type": "Resource", "resource": { "name": "memory", "target": { "type": "Utilization", "averageUtilization": 80 } } }],
        },
        "status": {
            "currentReplicas": 8, "desiredReplicas": 8,
            "currentMetrics": [{ "type": "Resource", "resource": { "name": "memory", "current": { "averageUtilization": 78 } } }],
        },
    })
}

async fn stage(replicas: i64, min: i64, max: i64) -> (Objects, Scale, Context, Arc<trial::Kept>) {
    let objects = Objects::start(&[(DEPLOYMENT, deployment(replicas)), (HPA, autoscaler("ticket-service-hpa", min, max))]).await;
    let action = Scale::new(Arc::clone(&objects.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx, log)
}

fn inputs(replicas: i64) -> Inputs {
    Inputs(json!({ "workload": "deployment/ticket-service", "replicas": replicas }))
}

fn raising(replicas: i64) -> Inputs {
    Inputs(json!({ "workload": "deployment/ticket-service", "replicas": replicas, "raise_maximum": true }))
}

async fn refused(action: &Scale, cx: &Context, inputs: &Inputs) -> Failure {
    let prior = action.observe(cx, inputs).await.unwrap();
    action.plan(cx, inputs, &prior, &Rollback::Auto).unwrap_err()
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_floor_is_set_twice_as_once_and_taken_back_twice_as_once() {
    for (to, raise) in [(8, false), (1, false), (20, true)] {
        let (objects, action, cx, _) = stage(2, 2, 16).await;
        let inputs = if raise { raising(to) } else { inputs(to) };
        trial::repeats(&action, &cx, &inputs).await;
        assert_eq!(objects.writes(), 2, "one forth, one back: a raised maximum goes with its floor");
        assert_eq!(objects.get(DEPLOYMENT).unwrap()["spec"]["replicas"], 2, "what the autoscaler owns is not set under it");
    }
}

#[tokio::test]
async fn the_plan_the_outputs_and_the_log_say_that_it_is_the_floor() {
    let (_objects, action, cx, log) = stage(2, 2, 16).await;
    let intent = trial::planned(&action, &cx, &raising(20)).await;
    let told: Vec<_> = intent
        .changes
        .iter()
        .map(|change| (change.object.0.as_str(), change.field.as_str(), change.label.as_str(), change.prior.clone(), change.after.clone()))
        .collect();
    let object = "k8s:uid-1/production/hpa/ticket-service-hpa";
    assert_eq!(
        told,
        [
            (object, "spec.minReplicas", "floor of the autoscaler ticket-service-hpa", json!(2), json!(20)),
            (object, "spec.maxReplicas", "maximum of the autoscaler ticket-service-hpa", json!(16), json!(20)),
        ]
    );
    assert_eq!(
        intent.undo_by_hand,
        [r#"kubectl patch hpa ticket-service-hpa -n production --type=merge -p '{"spec":{"minReplicas":2,"maxReplicas":16}}'"#]
    );
    let Applied::Applied { outputs } = action.apply(&cx, &raising(20), &intent).await else { panic!() };
    let wanted = json!({ "replicas": 20, "ready_replicas": 2, "previous_replicas": 2, "floor": true, "autoscaler": "ticket-service-hpa" });
    assert_eq!(outputs, wanted);
    let lines = log.lines.lock().unwrap().clone();
    let line = "the autoscaler ticket-service-hpa owns the replicas of deployment/ticket-service: its spec.minReplicas goes from 2 to 20";
    assert!(lines.iter().any(|told| told == line), "{lines:?}");
    let prior = action.observe(&cx, &inputs(20)).await.unwrap();
    let unchanged = action.plan(&cx, &inputs(20), &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!((&unchanged["floor"], &unchanged["previous_replicas"]), (&json!(true), &json!(20)));
    assert_eq!(prior["autoscaler"]["holds"], "the autoscaler is at its floor of 20");
}

#[tokio::test]
async fn what_an_autoscaler_cannot_have_is_refused() {
    let (objects, action, cx, _) = stage(2, 2, 16).await;
    let failure = refused(&action, &cx, &inputs(20)).await;
    assert!(
        failure
            .message
            .starts_with("20 replicas of deployment/ticket-service are wanted, and its autoscaler ticket-service-hpa goes up to 16")
    );
    assert_eq!(failure.hint.unwrap(), "want 16 or fewer, or say `raise_maximum: true`");
    let failure = refused(&action, &cx, &inputs(0)).await;
    assert!(failure.message.contains("its floor cannot be 0") && failure.message.contains("HPAScaleToZero"), "{failure}");
    objects.put(DEPLOYMENT, deployment(0));
    let failure = refused(&action, &cx, &inputs(8)).await;
    assert!(failure.message.contains("are 0, which switches its autoscaler ticket-service-hpa off"), "{failure}");
    objects.put(DEPLOYMENT, deployment(2));
    let mut keda = autoscaler("keda-hpa-tickets", 2, 16);
    keda["metadata"]["labels"] = json!({ "scaledobject.keda.sh/name": "tickets" });
    objects.put(HPA, keda);
    let failure = refused(&action, &cx, &inputs(8)).await;
    assert!(failure.message.contains("belongs to KEDA's ScaledObject tickets"), "{failure}");
    assert!(failure.hint.unwrap().contains("minReplicaCount"));
    objects.put(&format!("{HPA}-2"), autoscaler("second", 1, 4));
    let failure = action.observe(&cx, &inputs(8)).await.unwrap_err();
    assert!(failure.message.contains("2 autoscalers scale deployment/ticket-service in namespace production, against each other"));
    assert!(failure.message.ends_with("keda-hpa-tickets, second"), "{failure}");
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn what_another_controller_owns_is_refused() {
    for (workload, path, kind, name, shown) in [
        ("replicaset/x-1", "/apis/apps/v1/namespaces/production/replicasets/x-1", "Deployment", "x", "deployment/x"),
        ("statefulset/mq", "/apis/apps/v1/namespaces/production/statefulsets/mq", "RabbitmqCluster", "mq", "rabbitmqcluster/mq"),
    ] {
        let mut object = deployment(2);
        object["metadata"]["ownerReferences"] = json!([{ "kind": kind, "name": name, "controller": true }]);
        let objects = Objects::start(&[(path, object)]).await;
        let action = Scale::new(Arc::clone(&objects.connections));
        let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
        let failure = refused(&action, &cx, &Inputs(json!({ "workload": workload, "replicas": 3 }))).await;
        assert_eq!(failure.message, format!("{workload} belongs to {shown}, which puts its replicas back"));
        assert!(failure.hint.unwrap().starts_with(&format!("scale {shown} instead")));
    }
}

#[tokio::test]
async fn an_autoscaler_that_came_or_went_since_the_plan_stops_it() {
    let (objects, action, cx, _) = stage(2, 2, 16).await;
    let of_floor = trial::planned(&action, &cx, &inputs(8)).await;
    objects.held.lock().unwrap().objects.remove(HPA);
    let gone = failure(action.apply(&cx, &inputs(8), &of_floor).await);
    assert!(
        gone.message.starts_with("the autoscaler ticket-service-hpa of deployment/ticket-service is gone since this was planned"),
        "{gone}"
    );
    assert_eq!(action.live(&cx, &of_floor).await.unwrap(), [None]);
    let verdict = action.verify(&cx, &inputs(8), &of_floor).await.unwrap();
    assert!(
        matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("the autoscaler ticket-service-hpa is gone")),
        "{verdict:?}"
    );
    let of_replicas = trial::planned(&action, &cx, &inputs(8)).await;
    objects.put(HPA, autoscaler("ticket-service-hpa", 2, 16));
    let came = failure(action.apply(&cx, &inputs(8), &of_replicas).await);
    assert!(
        came.message.starts_with("the autoscaler ticket-service-hpa has taken over the replicas of deployment/ticket-service"),
        "{came}"
    );
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn replicas_are_not_put_back_under_an_autoscaler_that_came_since() {
    let (objects, action, cx, _) = stage(2, 2, 16).await;
    objects.held.lock().unwrap().objects.remove(HPA);
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    objects.put(HPA, autoscaler("ticket-service-hpa", 4, 16));
    let Change { object, field, label, prior, after } = intent.changes[0].clone();
    let left = failure(action.revert(&cx, &intent, &[Swap { object, field, label, from: after, to: prior }]).await);
    assert!(left.message.ends_with("since they were set: they were left alone"), "{left}");
    assert!(left.hint.as_deref().unwrap().starts_with("delete the autoscaler ticket-service-hpa"), "{left:?}");
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn a_cut_a_stranger_and_a_refusal() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (objects, action, cx, _) = stage(2, 2, 16).await;
        let intent = trial::planned(&action, &cx, &raising(20)).await;
        objects.fault(fault);
        assert!(matches!(action.apply(&cx, &raising(20), &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &raising(20), &intent).await.unwrap();
        assert_eq!((matches!(verdict, Verdict::Present { .. }), verdict == Verdict::Absent), (there, !there), "{verdict:?}");
    }
    let (objects, action, cx, _) = stage(2, 2, 16).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    objects.fault(Fault::Meanwhile(autoscaler("ticket-service-hpa", 5, 16)));
    let stranger = failure(action.apply(&cx, &inputs(8), &intent).await);
    assert!(stranger.message.contains("somebody else changed it from 2 to 5 meanwhile") && !stranger.transient, "{stranger}");
    assert_eq!(objects.writes(), 0);
    let verdict = action.verify(&cx, &inputs(8), &intent).await.unwrap();
    assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("are 5, neither 2 as before nor 8")), "{verdict:?}");
    objects.put(HPA, autoscaler("ticket-service-hpa", 2, 16));
    objects.fault(Fault::Refuse(403, "Forbidden", "no"));
    let forbidden = failure(action.apply(&cx, &inputs(8), &intent).await);
    assert!(forbidden.message.starts_with("patch horizontalpodautoscalers `ticket-service-hpa` in namespace production: forbidden (403)"));
}

#[tokio::test]
async fn a_floor_that_is_back_is_followed_or_the_metric_is_named() {
    let (objects, action, cx, _) = stage(2, 2, 16).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    let pods = |count: usize| {
        objects.held.lock().unwrap().objects.retain(|path, _| !path.contains("/pods/"));
        for number in 0..count {
            objects
                .put(&format!("/api/v1/namespaces/production/pods/p-{number}"), json!({ "metadata": { "name": format!("p-{number}") } }));
        }
    };
    pods(8);
    let held = "8 pods are there where 2 are wanted: memory is at 78% of 80%: within the 10% tolerance, so it keeps 8 pods";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: held.to_owned() });
    pods(2);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    pods(1);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: "1 of 2 pods are there".to_owned() });
    // Above the floor by load before the run: as many as then are no more than before.
    objects.put(DEPLOYMENT, deployment(5));
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    pods(4);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
}

#[test]
fn the_lines_for_hands_ask_whether_there_is_an_autoscaler() {
    use crate::model::by_hand::variable;
    let target = trial::target("u");
    let lines = super::by_hand::lines(&inputs(8).0, Some(&target));
    assert_eq!(
        lines.act,
        [
            r#"if [ -n "${SCALED_OBJECT_TICKET_SERVICE}" ]; then kubectl patch scaledobject "${SCALED_OBJECT_TICKET_SERVICE}" -n production --type=merge -p '{"spec":{"minReplicaCount":8}}'; elif [ -n "${AUTOSCALER_TICKET_SERVICE}" ]; then kubectl patch hpa "${AUTOSCALER_TICKET_SERVICE}" -n production --type=merge -p '{"spec":{"minReplicas":8}}'; else kubectl scale deployment/ticket-service --replicas=8 -n production; fi"#
        ]
    );
    assert_eq!(
        lines.look[5],
        "REPLICAS_BEFORE_TICKET_SERVICE=$(kubectl get deployment/ticket-service -n production -o jsonpath='{.spec.replicas}')"
    );
    assert!(lines.undo[0].contains(r#"'{"spec":{"minReplicas":'"${FLOOR_BEFORE_TICKET_SERVICE}"'}}'"#), "{}", lines.undo[0]);
    let unknown = json!({ "workload": variable("workload"), "replicas": variable("replicas") });
    let lines = super::by_hand::lines(&unknown, None);
    assert!(
        lines.act[0].ends_with(r#"else kubectl scale "${WORKLOAD}" --replicas="${REPLICAS}" -n "${NAMESPACE}"; fi"#),
        "{}",
        lines.act[0]
    );
    assert!(lines.look[5].starts_with("REPLICAS_BEFORE=$("), "{}", lines.look[5]);
}
