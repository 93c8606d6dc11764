//! `k8s.autoscaler` against a stand-in API server.

use std::sync::Arc;

use super::*;
use crate::actions::kubernetes::created::MARK;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;
use crate::model::change::Swap;
use crate::model::intent::Intent;
use crate::model::outcome::{Applied, Followed, Verdict};
use crate::ports::action::Action;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/ticket-service-hpa";
const POD: &str = "/api/v1/namespaces/production/pods/p-";

fn deployment(replicas: i64) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "ticket-service" } },
            "template": { "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "250m" } } }] } },
        },
        "status": { "observedGeneration": 1 },
    })
}

fn autoscaler(name: &str, target: &str, min: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": {
            "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": target },
            "minReplicas": min, "maxReplicas": 16, "metrics": [metric("cpu", 70)],
        },
        "status": { "currentReplicas": 5, "currentMetrics": [{ "type": "Resource", "resource": { "name": "cpu", "current": { "averageUtilization": 90 } } }] },
    })
}

fn metric(name: &str, percent: i64) -> Value {
    json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": percent } } })
}

/// As the API server does: rules for both directions as soon as there are any.
fn defaults(object: &mut Value) {
    if object["spec"]["behavior"].is_object() && object["spec"]["behavior"]["scaleUp"].is_null() {
        object["spec"]["behavior"]["scaleUp"] = json!({ "stabilizationWindowSeconds": 0 });
    }
}

async fn stage(objects: &[(&str, Value)]) -> (Objects, Autoscaler, Context, Arc<trial::Kept>) {
    let objects = Objects::start(objects).await;
    objects.put(DEPLOYMENT, deployment(2));
    objects.held.lock().unwrap().defaults = Some(defaults);
    for number in 0..2 {
        objects.put(&format!("{POD}{number}"), json!({ "metadata": { "name": format!("p-{number}") } }));
    }
    let action = Autoscaler::new(Arc::clone(&objects.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx, log)
}

fn inputs(more: Value) -> Inputs {
    let mut inputs = json!({ "name": "ticket-service-hpa", "workload": "deployment/ticket-service" });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Inputs(inputs)
}

fn new_one() -> Inputs {
    let behavior = json!({ "scaleDown": { "stabilizationWindowSeconds": 300 } });
    inputs(json!({ "min": 2, "max": 16.0, "metrics": { "cpu": 70, "memory": 80 }, "behavior": behavior }))
}

fn changing() -> Inputs {
    inputs(json!({ "min": 4, "max": 20, "metrics": [metric("memory", 80)], "behavior": { "scaleDown": { "selectPolicy": "Disabled" } } }))
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

async fn refused(action: &Autoscaler, cx: &Context, inputs: &Inputs) -> String {
    let prior = action.observe(cx, inputs).await.unwrap();
    action.plan(cx, inputs, &prior, &Rollback::Auto).unwrap_err().message
}

#[tokio::test]
async fn it_is_created_once_and_deleted_once() {
    let (objects, action, cx, log) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    assert_eq!(objects.writes(), 0, "a dry run changes nothing");
    assert_eq!((intent.changes[0].field.as_str(), &intent.changes[0].after), ("metadata.name", &json!("ticket-service-hpa")));
    trial::repeats(&action, &cx, &new_one()).await;
    assert_eq!(objects.writes(), 2, "{:?}", objects.held.lock().unwrap().writes);
    assert!(objects.get(HPA).is_none());
    let Applied::Applied { outputs } = action.apply(&cx, &new_one(), &intent).await else { panic!() };
    assert_eq!(
        outputs,
        json!({ "name": "ticket-service-hpa", "min": 2, "max": 16, "created": true, "previous_min": null, "previous_max": null })
    );
    let there = objects.get(HPA).unwrap();
    assert_eq!(there["spec"]["metrics"], json!([metric("cpu", 70), metric("memory", 80)]));
    assert_eq!(there["spec"]["behavior"]["scaleUp"], json!({ "stabilizationWindowSeconds": 0 }));
    let lines = log.lines.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line.starts_with("no request for app: memory:")), "{lines:?}");
    let prior = action.observe(&cx, &new_one()).await.unwrap();
    assert!(action.plan(&cx, &new_one(), &prior, &Rollback::Auto).unwrap().unchanged.is_some(), "defaults are no difference: {prior}");
    let touched: Vec<String> = touches(&new_one().0, cx.target.as_ref()).into_iter().map(|object| object.0).collect();
    assert_eq!(touched, ["k8s:uid-1/production/hpa/ticket-service-hpa", "k8s:uid-1/production/deployment/ticket-service"]);
}

#[tokio::test]
async fn what_is_there_is_changed_once_and_changed_back_once() {
    let (objects, action, cx, _) = stage(&[(HPA, autoscaler("ticket-service-hpa", "ticket-service", 2))]).await;
    let before = objects.get(HPA).unwrap()["spec"].clone();
    let intent = trial::planned(&action, &cx, &changing()).await;
    let fields: Vec<&str> = intent.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["spec.minReplicas", "spec.maxReplicas", "spec.metrics", "spec.behavior"]);
    assert_eq!(intent.changes[3].after["scaleUp"], json!({ "stabilizationWindowSeconds": 0 }), "as the server has it");
    trial::repeats(&action, &cx, &changing()).await;
    assert_eq!((objects.writes(), &objects.get(HPA).unwrap()["spec"]), (2, &before));
    let unchanged = inputs(json!({ "max": 16, "metrics": { "cpu": 70 } }));
    let prior = action.observe(&cx, &unchanged).await.unwrap();
    let outputs = action.plan(&cx, &unchanged, &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!((&outputs["min"], &outputs["previous_max"], &outputs["created"]), (&json!(2), &json!(16), &json!(false)));
}

#[tokio::test]
async fn a_cut_is_resolved_by_who_created_it() {
    for (there, after) in [(false, Fault::CutBefore), (true, Fault::CutAfter)] {
        for (inputs, objects) in [(new_one(), vec![]), (changing(), vec![(HPA, autoscaler("ticket-service-hpa", "ticket-service", 2))])] {
            let (objects, action, cx, _) = stage(&objects).await;
            let intent = trial::planned(&action, &cx, &inputs).await;
            objects.fault(after.clone());
            assert!(matches!(action.apply(&cx, &inputs, &intent).await, Applied::Unknown { .. }));
            let verdict = action.verify(&cx, &inputs, &intent).await.unwrap();
            assert_eq!((matches!(verdict, Verdict::Present { .. }), verdict == Verdict::Absent), (there, !there), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn none_is_created_over_replicas_that_are_not_what_was_planned_to_go_back_to() {
    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    assert_eq!(intent.changes[1].prior, json!(2));
    objects.put(DEPLOYMENT, deployment(5));
    let refused = failure(action.apply(&cx, &new_one(), &intent).await);
    assert_eq!(refused.message, "replicas of deployment/ticket-service are 5, and were 2 when this was planned");
    assert!(objects.get(HPA).is_none());
    // No HPA scales what is at 0: those are not in its hands.
    objects.put(DEPLOYMENT, deployment(0));
    assert_eq!(trial::planned(&action, &cx, &new_one()).await.changes.len(), 1);
}

#[tokio::test]
async fn what_somebody_else_created_or_changed_is_left_alone() {
    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    objects.put(HPA, autoscaler("ticket-service-hpa", "other", 1));
    let theirs = failure(action.apply(&cx, &new_one(), &intent).await);
    assert!(
        theirs.message.contains("hpa/ticket-service-hpa in namespace production is there already: somebody else created it"),
        "{theirs}"
    );
    let verdict = action.verify(&cx, &new_one(), &intent).await.unwrap();
    assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("created by somebody else")), "{verdict:?}");
    assert!(failure(action.revert(&cx, &intent, &deletion(&intent)).await).message.contains("is left alone"));
    objects.held.lock().unwrap().objects.remove(HPA);
    objects.put(&format!("{HPA}-2"), autoscaler("second", "ticket-service", 1));
    assert!(
        failure(action.apply(&cx, &new_one(), &intent).await).message.contains("has another autoscaler since this was planned, second")
    );
    objects.held.lock().unwrap().objects.remove(&format!("{HPA}-2"));
    assert!(matches!(action.apply(&cx, &new_one(), &intent).await, Applied::Applied { .. }));
    let mut changed = objects.get(HPA).unwrap();
    changed["spec"]["maxReplicas"] = json!(99);
    objects.put(HPA, changed);
    let changed = json!("ticket-service-hpa (changed since at spec.maxReplicas)");
    assert_eq!(action.live(&cx, &intent).await.unwrap(), [Some(changed), Some(json!("by the autoscaler ticket-service-hpa"))]);
    assert!(failure(action.revert(&cx, &intent, &deletion(&intent)).await).message.contains("is left alone"));
    assert!(objects.get(HPA).is_some());

    let (objects, action, cx, _) = stage(&[(HPA, autoscaler("ticket-service-hpa", "ticket-service", 2))]).await;
    let intent = trial::planned(&action, &cx, &changing()).await;
    objects.fault(Fault::Meanwhile(autoscaler("ticket-service-hpa", "ticket-service", 7)));
    assert!(failure(action.apply(&cx, &changing(), &intent).await).message.contains("somebody else changed it from 2 to 7 meanwhile"));
    assert_eq!(objects.writes(), 0);
}

fn deletion(intent: &Intent) -> Vec<Swap> {
    let change = &intent.changes[0];
    vec![Swap {
        object: change.object.clone(),
        field: change.field.clone(),
        label: change.label.clone(),
        from: change.after.clone(),
        to: Value::Null,
    }]
}

#[tokio::test]
async fn a_status_update_between_does_not_stop_a_deletion_and_a_refusal_does() {
    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    action.apply(&cx, &new_one(), &intent).await;
    let mut seen = objects.get(HPA).unwrap();
    seen["status"] = json!({ "currentReplicas": 2 });
    objects.fault(Fault::Refuse(403, "Forbidden", "no"));
    let forbidden = failure(action.revert(&cx, &intent, &deletion(&intent)).await);
    assert!(forbidden.message.starts_with("delete horizontalpodautoscalers `ticket-service-hpa` in namespace production: forbidden (403)"));
    objects.fault(Fault::Meanwhile(seen));
    assert!(matches!(action.revert(&cx, &intent, &deletion(&intent)).await, Applied::Applied { .. }));
    assert!(objects.get(HPA).is_none());
    objects.fault(Fault::Refuse(422, "Invalid", "spec.maxReplicas: too odd"));
    let invalid = failure(action.apply(&cx, &new_one(), &intent).await);
    assert!(
        !invalid.transient && invalid.message.contains("create horizontalpodautoscalers") && invalid.message.contains("too odd"),
        "{invalid}"
    );
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_asked_of_the_server() {
    let (objects, action, cx, _) = stage(&[(HPA, autoscaler("ticket-service-hpa", "ticket-service", 2))]).await;
    assert!(
        refused(&action, &cx, &inputs(json!({ "min": 20 }))).await.contains("floor of ticket-service-hpa would be 20 and its maximum 16")
    );
    assert!(refused(&action, &cx, &inputs(json!({ "min": 0 }))).await.contains("HPAScaleToZero"));
    assert!(refused(&action, &cx, &inputs(json!({ "metrics": {} }))).await.contains("has no metric to go by"));
    let second = Inputs(json!({ "name": "second", "workload": "deployment/ticket-service", "max": 4, "metrics": { "cpu": 50 } }));
    assert!(refused(&action, &cx, &second).await.contains("deployment/ticket-service has another autoscaler already, ticket-service-hpa"));
    let nowhere = Inputs(json!({ "name": "ticket-service-hpa", "workload": "deployment/gone" }));
    assert!(refused(&action, &cx, &nowhere).await.contains("there is no deployment/gone in namespace production"));
    objects.put(HPA, autoscaler("ticket-service-hpa", "another", 2));
    assert!(refused(&action, &cx, &inputs(json!({}))).await.contains("scales Deployment/another, not deployment/ticket-service"));
    let mut keda = autoscaler("ticket-service-hpa", "ticket-service", 2);
    keda["metadata"]["ownerReferences"] = json!([{ "kind": "ScaledObject", "name": "tickets", "controller": true }]);
    objects.put(HPA, keda);
    assert!(refused(&action, &cx, &changing()).await.contains("belongs to KEDA's ScaledObject tickets"));
    objects.held.lock().unwrap().objects.remove(HPA);
    assert!(refused(&action, &cx, &inputs(json!({ "metrics": { "cpu": 70 } }))).await.contains("a new one needs `max`"));
    assert!(refused(&action, &cx, &inputs(json!({ "max": 4 }))).await.contains("has no metric to go by"));
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn what_is_taken_back_is_followed_or_what_holds_it_is_named() {
    let (objects, action, cx, _) = stage(&[(HPA, autoscaler("ticket-service-hpa", "ticket-service", 2))]).await;
    let intent = trial::planned(&action, &cx, &changing()).await;
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    for number in 2..5 {
        objects.put(&format!("{POD}{number}"), json!({ "metadata": { "name": format!("p-{number}") } }));
    }
    let held = "5 pods are there where 2 are wanted: cpu is at 90% of 70%: it wants 7 pods";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: held.to_owned() });

    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    action.apply(&cx, &new_one(), &intent).await;
    assert_eq!(objects.get(HPA).unwrap()["metadata"]["annotations"][MARK], cx.idempotency_key);
    let there = action.followed(&cx, &intent).await.unwrap();
    assert_eq!(there, Followed::No { holds: "hpa/ticket-service-hpa in namespace production is not gone yet".to_owned() });
    objects.held.lock().unwrap().objects.remove(HPA);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    objects.put(DEPLOYMENT, deployment(6));
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert!(
        holds.contains("stays at 6 replicas where 2 were wanted before: `kubectl scale deployment/ticket-service --replicas=2"),
        "{holds}"
    );
}

#[test]
fn the_lines_for_hands_change_or_create() {
    let target = trial::target("u");
    let lines = super::by_hand::lines(&inputs(json!({ "max": 9, "metrics": { "cpu": 70 } })).0, Some(&target));
    assert!(lines.act[0].starts_with(r#"if [ -n "${AUTOSCALER_BEFORE_TICKET_SERVICE_HPA}" ]; then kubectl patch hpa ticket-service-hpa -n production --type=merge -p '{"spec":{"maxReplicas":9,"metrics":[{"#), "{}", lines.act[0]);
    assert!(lines.act[0].contains(r#"else printf '%s' '{"apiVersion":"autoscaling/v2","#), "{}", lines.act[0]);
    assert!(
        lines.look[2].ends_with("=$(kubectl get deployment/ticket-service -n production -o jsonpath='{.spec.replicas}')"),
        "{}",
        lines.look[2]
    );
    let undo = r#"else kubectl delete hpa ticket-service-hpa -n production && kubectl scale deployment/ticket-service --replicas="${REPLICAS_BEFORE_TICKET_SERVICE_HPA}" -n production; fi"#;
    assert!(lines.undo[0].ends_with(undo), "{}", lines.undo[0]);
}
