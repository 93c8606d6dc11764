//! `k8s.scale` on what a ScaledObject of KEDA owns.

use super::*;
use crate::actions::kubernetes::scaled_object::testing::{KEDA, TICKETS, hpa, tickets};
use crate::actions::kubernetes::scaled_object::{PAUSED, PAUSED_REPLICAS};
use crate::actions::kubernetes::stand_in::objects::Objects;
use crate::actions::trial;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/keda-hpa-tickets";

fn deployment(replicas: i64) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "ticket-service" } } },
        "status": { "observedGeneration": 1, "readyReplicas": replicas },
    })
}

async fn stage(scaled: Value) -> (Objects, Scale, Context, Arc<trial::Kept>) {
    let there = json!({ "kind": "APIResourceList", "resources": [] });
    let objects = Objects::start(&[(KEDA, there), (DEPLOYMENT, deployment(2)), (TICKETS, scaled), (HPA, hpa(2, 20, 2, "0"))]).await;
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

#[tokio::test]
async fn its_floor_is_set_and_taken_back_and_kedas_own_hpa_is_never_touched() {
    for (to, raise) in [(8, false), (0, false), (30, true)] {
        let (objects, action, cx, _) = stage(tickets(2, 20)).await;
        let (before, own) = (objects.get(TICKETS).unwrap()["spec"].clone(), objects.get(HPA).unwrap());
        trial::repeats(&action, &cx, &if raise { raising(to) } else { inputs(to) }).await;
        assert_eq!(objects.writes(), 2, "one forth, one back");
        assert!(objects.held.lock().unwrap().writes.iter().all(|(_, path)| path == TICKETS));
        assert_eq!((objects.get(TICKETS).unwrap()["spec"].clone(), objects.get(HPA).unwrap()), (before, own));
    }
}

#[tokio::test]
async fn the_plan_the_outputs_and_the_log_name_the_scaled_object() {
    let (_objects, action, cx, log) = stage(tickets(2, 20)).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    let change = &intent.changes[0];
    assert_eq!(change.object.0, "k8s:uid-1/production/scaledobject.keda.sh/tickets");
    assert_eq!((change.field.as_str(), change.label.as_str()), ("spec.minReplicaCount", "floor of the ScaledObject tickets"));
    assert_eq!(intent.by_hand, [r#"kubectl patch scaledobject tickets -n production --type=merge -p '{"spec":{"minReplicaCount":8}}'"#]);
    let Applied::Applied { outputs } = action.apply(&cx, &inputs(8), &intent).await else { panic!() };
    assert_eq!(outputs, json!({ "replicas": 8, "ready_replicas": 2, "previous_replicas": 2, "floor": true, "autoscaler": "tickets" }));
    let lines = log.lines.lock().unwrap().clone();
    let line = "the ScaledObject tickets owns the replicas of deployment/ticket-service: its spec.minReplicaCount goes from 2 to 8";
    assert!(lines.iter().any(|told| told == line), "{lines:?}");
}

#[tokio::test]
async fn a_floor_that_was_not_there_is_not_there_again() {
    let mut object = tickets(0, 20);
    object["spec"].as_object_mut().unwrap().remove("minReplicaCount");
    object["spec"].as_object_mut().unwrap().remove("maxReplicaCount");
    let (objects, action, cx, _) = stage(object).await;
    let intent = trial::planned(&action, &cx, &raising(120)).await;
    let priors: Vec<&Value> = intent.changes.iter().map(|change| &change.prior).collect();
    assert_eq!(priors, [&Value::Null, &Value::Null], "KEDA's own defaults are no fields");
    trial::repeats(&action, &cx, &raising(120)).await;
    let spec = objects.get(TICKETS).unwrap()["spec"].clone();
    assert!(spec.get("minReplicaCount").is_none() && spec.get("maxReplicaCount").is_none(), "{spec}");
}

#[tokio::test]
async fn what_keda_cannot_have_or_would_not_keep_is_refused() {
    let (objects, action, cx, _) = stage(tickets(2, 20)).await;
    let failure = refused(&action, &cx, &inputs(21)).await;
    assert_eq!(
        failure.message,
        "21 replicas of deployment/ticket-service are wanted, and its ScaledObject tickets goes up to 20 (`maxReplicaCount`)"
    );
    assert_eq!(failure.hint.unwrap(), "want 20 or fewer, or say `raise_maximum: true`");
    for (annotation, value) in [(PAUSED_REPLICAS, "4"), (PAUSED, "true")] {
        let mut paused = tickets(2, 20);
        paused["metadata"]["annotations"] = json!({ annotation: value });
        objects.put(TICKETS, paused);
        let failure = refused(&action, &cx, &inputs(8)).await;
        assert!(
            failure.message.contains(&format!("KEDA is paused for deployment/ticket-service (`{annotation}: \"{value}\"`")),
            "{failure}"
        );
        assert!(failure.hint.unwrap().contains(&format!("kubectl annotate scaledobject tickets {annotation}- -n production")));
    }
    let mut idle = tickets(2, 20);
    idle["spec"]["idleReplicaCount"] = json!(0);
    objects.put(TICKETS, idle);
    assert!(refused(&action, &cx, &inputs(8)).await.message.contains("goes down to 0 pods (`idleReplicaCount`)"));
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn an_hpa_beside_it_and_a_second_scaled_object_are_the_conflicts_they_are() {
    let (objects, action, cx, _) = stage(tickets(2, 20)).await;
    let mut other = hpa(2, 16, 2, "0");
    other["metadata"] = json!({ "name": "ticket-service-hpa" });
    let path = HPA.replace("keda-hpa-tickets", "ticket-service-hpa");
    objects.put(&path, other);
    let failure = action.observe(&cx, &inputs(8)).await.unwrap_err();
    assert!(failure.message.contains("KEDA's ScaledObject tickets and the HPA ticket-service-hpa, which is not KEDA's"), "{failure}");
    assert!(failure.hint.unwrap().contains("kubectl delete hpa ticket-service-hpa"));
    objects.held.lock().unwrap().objects.remove(&path);
    let mut second = tickets(1, 4);
    second["metadata"]["name"] = json!("second");
    objects.put(&TICKETS.replace("tickets", "second"), second);
    let failure = action.observe(&cx, &inputs(8)).await.unwrap_err();
    assert!(failure.message.starts_with("2 ScaledObjects scale deployment/ticket-service"), "{failure}");
}

#[tokio::test]
async fn what_changed_hands_or_was_paused_since_the_plan_is_left_alone() {
    let (objects, action, cx, _) = stage(tickets(2, 20)).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    let mut paused = objects.get(TICKETS).unwrap();
    paused["metadata"]["annotations"] = json!({ PAUSED: "true" });
    objects.put(TICKETS, paused);
    let Applied::NotApplied { failure } = action.apply(&cx, &inputs(8), &intent).await else { panic!() };
    assert!(failure.message.contains("KEDA was paused for deployment/ticket-service since this was planned"), "{failure}");
    objects.held.lock().unwrap().objects.remove(TICKETS);
    objects.held.lock().unwrap().objects.remove(HPA);
    let Applied::NotApplied { failure } = action.apply(&cx, &inputs(8), &intent).await else { panic!() };
    assert!(failure.message.starts_with("the ScaledObject tickets of deployment/ticket-service is gone since"), "{failure}");
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn a_floor_that_is_back_is_followed_or_the_trigger_is_named() {
    let (objects, action, cx, _) = stage(tickets(2, 20)).await;
    let intent = trial::planned(&action, &cx, &inputs(8)).await;
    for number in 0..8 {
        let name = format!("p-{number}");
        objects.put(&format!("/api/v1/namespaces/production/pods/{name}"), json!({ "metadata": { "name": name } }));
    }
    objects.put(HPA, hpa(2, 20, 8, "52"));
    let held = "8 pods are there where 2 are wanted: the trigger rabbitmq (s0-rabbitmq-ticket-purchases) is at 52 of 50: within the 10% tolerance, so it keeps 8 pods";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: held.to_owned() });
    objects.held.lock().unwrap().objects.retain(|path, _| !path.contains("/pods/p-") || path.ends_with("p-0") || path.ends_with("p-1"));
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
}
