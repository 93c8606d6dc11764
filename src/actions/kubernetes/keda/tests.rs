//! `k8s.keda` against a stand-in API server.

use std::sync::Arc;

use super::*;
use crate::actions::kubernetes::created::MARK;
use crate::actions::kubernetes::scaled_object::testing::{KEDA, TICKETS, hpa, tickets};
use crate::actions::kubernetes::scaled_object::{PAUSED, PAUSED_REPLICAS, PAUSED_SCALE_IN};
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;
use crate::model::outcome::{Applied, Followed, Verdict};
use crate::ports::action::Action;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/keda-hpa-tickets";
const POD: &str = "/api/v1/namespaces/production/pods/p-";

fn deployment(replicas: i64) -> Value {
    let container =
        json!({ "name": "app", "env": [{ "name": "RABBITMQ_URL", "value": "amqp://x" }], "resources": { "requests": { "cpu": "250m" } } });
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": { "app": "ticket-service" } },
            "template": { "spec": { "containers": [container] } },
        },
        "status": { "observedGeneration": 1 },
    })
}

fn other_hpa() -> Value {
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
    json!({ "metadata": { "name": "ticket-service-hpa" }, "spec": { "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 16 } })
}

async fn stage(objects: &[(&str, Value)]) -> (Objects, Keda, Context, Arc<trial::Kept>) {
    let objects = Objects::start(objects).await;
    objects.put(KEDA, json!({ "kind": "APIResourceList", "resources": [] }));
    objects.put(DEPLOYMENT, deployment(2));
    for number in 0..2 {
        objects.put(&format!("{POD}{number}"), json!({ "metadata": { "name": format!("p-{number}") } }));
    }
    let action = Keda::new(Arc::clone(&objects.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx, log)
}

async fn there() -> (Objects, Keda, Context, Arc<trial::Kept>) {
    stage(&[(TICKETS, tickets(2, 20)), (HPA, hpa(2, 20, 2, "0"))]).await
}

fn inputs(more: Value) -> Inputs {
    let mut inputs = json!({ "name": "tickets", "workload": "deployment/ticket-service" });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Inputs(inputs)
}

fn queue() -> Value {
    json!([{ "type": "rabbitmq", "metadata": { "hostFromEnv": "RABBITMQ_URL", "queueName": "q", "mode": "QueueLength", "value": 50 } }])
}

fn new_one() -> Inputs {
    inputs(json!({ "min": 2, "max": 20.0, "triggers": queue(), "paused_scale_in": true }))
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

async fn refused(action: &Keda, cx: &Context, inputs: &Inputs) -> String {
    let prior = action.observe(cx, inputs).await.unwrap();
    action.plan(cx, inputs, &prior, &Rollback::Auto).unwrap_err().message
}

#[tokio::test]
async fn it_is_created_once_and_deleted_once() {
    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    assert_eq!(objects.writes(), 0, "a dry run changes nothing");
    trial::repeats(&action, &cx, &new_one()).await;
    assert_eq!(objects.writes(), 2, "{:?}", objects.held.lock().unwrap().writes);
    let Applied::Applied { outputs } = action.apply(&cx, &new_one(), &intent).await else { panic!() };
    assert_eq!(
        outputs,
        json!({
            "name": "tickets", "min": 2, "max": 20, "created": true, "previous_min": null, "previous_max": null, "hpa": "keda-hpa-tickets",
            "paused": false,
        })
    );
    let made = objects.get(TICKETS).unwrap();
    assert_eq!(made["spec"]["triggers"][0]["metadata"]["value"], "50", "KEDA takes only texts");
    assert_eq!(made["spec"]["advanced"], json!({ "restoreToOriginalReplicaCount": true }));
    assert_eq!(made["metadata"]["annotations"], json!({ PAUSED_SCALE_IN: "true", MARK: cx.idempotency_key }));
    let touched: Vec<String> = touches(&new_one().0, cx.target.as_ref()).into_iter().map(|object| object.0).collect();
    assert_eq!(touched, ["k8s:uid-1/production/scaledobject.keda.sh/tickets", "k8s:uid-1/production/deployment/ticket-service"]);
}

#[tokio::test]
async fn what_is_there_is_changed_once_and_changed_back_once() {
    for (more, fields) in [
        (json!({ "min": 8 }), vec!["spec.minReplicaCount"]),
        (json!({ "min": 8, "max": 30 }), vec!["spec.minReplicaCount", "spec.maxReplicaCount"]),
        (json!({ "triggers": queue() }), vec!["spec.triggers"]),
        (json!({ "behavior": { "scaleDown": { "stabilizationWindowSeconds": 60 } } }), vec!["spec.advanced"]),
        (json!({ "paused": true }), vec!["metadata.annotations[autoscaling.keda.sh/paused]"]),
        (json!({ "paused_replicas": 4 }), vec!["metadata.annotations[autoscaling.keda.sh/paused-replicas]"]),
        (
            json!({ "min": 3, "paused_scale_in": true }),
            vec!["spec.minReplicaCount", "metadata.annotations[autoscaling.keda.sh/paused-scale-in]"],
        ),
    ] {
        let (objects, action, cx, _) = there().await;
        let before = objects.get(TICKETS).unwrap();
        let inputs = inputs(more);
        let intent = trial::planned(&action, &cx, &inputs).await;
        assert_eq!(intent.changes.iter().map(|change| change.field.as_str()).collect::<Vec<_>>(), fields);
        trial::repeats(&action, &cx, &inputs).await;
        let after = objects.get(TICKETS).unwrap();
        assert_eq!((objects.writes(), &after["spec"]), (2, &before["spec"]), "{fields:?}: absent is absent again");
        assert!(after["metadata"]["annotations"].as_object().is_none_or(|all| all.is_empty()), "{after}");
    }
}

#[tokio::test]
async fn a_floor_that_was_not_there_is_not_there_again_and_a_pause_is_taken_away() {
    let mut object = tickets(0, 20);
    object["spec"].as_object_mut().unwrap().remove("minReplicaCount");
    object["metadata"]["annotations"] = json!({ PAUSED: "true", PAUSED_REPLICAS: "4", "mine": "1" });
    let (objects, action, cx, _) = stage(&[(TICKETS, object)]).await;
    let before = objects.get(TICKETS).unwrap();
    let inputs = inputs(json!({ "min": 3, "paused": false }));
    let intent = trial::planned(&action, &cx, &inputs).await;
    assert_eq!(intent.changes[0].prior, Value::Null);
    assert_eq!(
        intent.undo_by_hand,
        [
            r#"kubectl patch scaledobject tickets -n production --type=merge -p '{"spec":{"minReplicaCount":null},"metadata":{"annotations":{"autoscaling.keda.sh/paused":"true","autoscaling.keda.sh/paused-replicas":"4"}}}'"#
        ]
    );
    trial::repeats(&action, &cx, &inputs).await;
    let after = objects.get(TICKETS).unwrap();
    assert_eq!((&after["spec"], &after["metadata"]["annotations"]), (&before["spec"], &before["metadata"]["annotations"]));
    action.apply(&cx, &inputs, &intent).await;
    assert_eq!(objects.get(TICKETS).unwrap()["metadata"]["annotations"], json!({ "mine": "1" }));
    let prior = action.observe(&cx, &inputs).await.unwrap();
    let outputs = action.plan(&cx, &inputs, &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!((&outputs["min"], &outputs["paused"]), (&json!(3), &json!(false)));
}

#[tokio::test]
async fn a_cut_is_resolved_by_who_created_it() {
    for (there, fault) in [(false, Fault::CutBefore), (true, Fault::CutAfter)] {
        for (inputs, objects) in [(new_one(), vec![]), (inputs(json!({ "min": 8 })), vec![(TICKETS, tickets(2, 20))])] {
            let (objects, action, cx, _) = stage(&objects).await;
            let intent = trial::planned(&action, &cx, &inputs).await;
            objects.fault(fault.clone());
            assert!(matches!(action.apply(&cx, &inputs, &intent).await, Applied::Unknown { .. }));
            let verdict = action.verify(&cx, &inputs, &intent).await.unwrap();
            assert_eq!((matches!(verdict, Verdict::Present { .. }), verdict == Verdict::Absent), (there, !there), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn what_somebody_else_created_or_changed_is_left_alone() {
    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    objects.put(HPA.replace("keda-hpa-tickets", "ticket-service-hpa").as_str(), other_hpa());
    let theirs = failure(action.apply(&cx, &new_one(), &intent).await);
    assert!(
        theirs.message.contains("the autoscaler ticket-service-hpa scales deployment/ticket-service since this was planned"),
        "{theirs}"
    );
    objects.held.lock().unwrap().objects.retain(|path, _| !path.contains("horizontalpodautoscalers/"));
    objects.put(TICKETS, tickets(1, 5));
    let theirs = failure(action.apply(&cx, &new_one(), &intent).await);
    assert!(theirs.message.contains("scaledobject/tickets in namespace production is there already"), "{theirs}");

    let (objects, action, cx, _) = there().await;
    let changing = inputs(json!({ "min": 8 }));
    let intent = trial::planned(&action, &cx, &changing).await;
    objects.fault(Fault::Meanwhile(tickets(5, 20)));
    assert!(failure(action.apply(&cx, &changing, &intent).await).message.contains("somebody else changed it from 2 to 5 meanwhile"));
    assert_eq!(objects.writes(), 0);
    let verdict = action.verify(&cx, &changing, &intent).await.unwrap();
    assert!(matches!(&verdict, Verdict::CannotTell { reason } if reason.contains("is 5, neither 2 as before nor 8")), "{verdict:?}");
}

#[tokio::test]
async fn what_cannot_be_is_refused_before_anything_is_asked_of_the_server() {
    let (objects, action, cx, _) = there().await;
    for (more, told) in [
        (json!({ "min": 21 }), "the floor of tickets would be 21 and its maximum 20"),
        (json!({ "max": 1 }), "the floor of tickets would be 2 and its maximum 1"),
        (json!({ "paused": true, "paused_replicas": 3 }), "`paused` and `paused_replicas` are both given"),
        (json!({ "paused_replicas": -1 }), "paused_replicas cannot be -1"),
        (json!({ "triggers": [] }), "`triggers` is empty"),
        (
            json!({ "triggers": [{ "type": "rabbitmq", "metadata": { "queueName": "q", "queueLength": "50" } }] }),
            "`queueLength` is KEDA's former word",
        ),
        (
            json!({ "triggers": [{ "type": "rabbitmq", "metadata": { "hostFromEnv": "MQ", "queueName": "q", "mode": "QueueLength", "value": 5 } }] }),
            "the variable MQ, and the first container of deployment/ticket-service has none",
        ),
        (
            json!({ "triggers": [{ "type": "memory", "metricType": "Utilization", "metadata": { "value": "80" } }] }),
            "the container app of deployment/ticket-service has no request for memory",
        ),
        (
            json!({ "min": 0, "triggers": [{ "type": "cpu", "metricType": "Utilization", "metadata": { "value": "80" } }] }),
            "goes by cpu and memory alone",
        ),
    ] {
        let message = refused(&action, &cx, &inputs(more)).await;
        assert!(message.contains(told), "{told}: {message}");
    }
    let nowhere = Inputs(json!({ "name": "tickets", "workload": "deployment/gone" }));
    assert!(refused(&action, &cx, &nowhere).await.contains("there is no deployment/gone in namespace production"));
    let second = Inputs(json!({ "name": "second", "workload": "deployment/ticket-service", "min": 1, "max": 4, "triggers": queue() }));
    assert!(refused(&action, &cx, &second).await.contains("has another ScaledObject already, tickets"));
    objects.put(HPA.replace("keda-hpa-tickets", "ticket-service-hpa").as_str(), other_hpa());
    let message = refused(&action, &cx, &inputs(json!({ "min": 4 }))).await;
    assert!(message.contains("KEDA's ScaledObject tickets and the HPA ticket-service-hpa"), "{message}");
    assert_eq!(objects.writes(), 0);

    let (objects, action, cx, _) = stage(&[]).await;
    for (more, missing) in [
        (json!({ "min": 1, "max": 4 }), "`triggers`"),
        (json!({ "max": 4, "triggers": queue() }), "`min`"),
        (json!({ "min": 1, "triggers": queue() }), "`max`"),
    ] {
        let message = refused(&action, &cx, &inputs(more)).await;
        assert!(message.contains(&format!("a new one needs {missing}")), "{message}");
    }
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn a_secret_of_the_run_is_not_written_into_a_trigger() {
    let (_objects, action, _, _) = there().await;
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("token", "s3cr3t-of-the-run")]);
    let triggers = json!([{ "type": "prometheus", "metadata": { "serverAddress": "http://p", "query": "x", "threshold": "1", "customHeaders": "a=s3cr3t-of-the-run" } }]);
    let failure = action.observe(&cx, &inputs(json!({ "triggers": triggers }))).await.unwrap_err();
    assert!(failure.message.contains("holds a secret of this run") && !failure.message.contains("s3cr3t"), "{failure}");
}

#[tokio::test]
async fn what_is_taken_back_is_followed_or_what_holds_it_is_named() {
    let (objects, action, cx, _) = there().await;
    let intent = trial::planned(&action, &cx, &inputs(json!({ "min": 8 }))).await;
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    for number in 2..8 {
        objects.put(&format!("{POD}{number}"), json!({ "metadata": { "name": format!("p-{number}") } }));
    }
    objects.put(HPA, hpa(2, 20, 8, "52"));
    let held = "8 pods are there where 2 are wanted: the trigger rabbitmq (s0-rabbitmq-ticket-purchases) is at 52 of 50: within the 10% tolerance, so it keeps 8 pods";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: held.to_owned() });
    objects.held.lock().unwrap().objects.remove(HPA);
    let not_yet = "KEDA has not made its autoscaler keda-hpa-tickets yet";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: not_yet.to_owned() });

    let (objects, action, cx, _) = stage(&[]).await;
    let intent = trial::planned(&action, &cx, &new_one()).await;
    action.apply(&cx, &new_one(), &intent).await;
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert!(holds.starts_with("scaledobject/tickets in namespace production is not gone yet"), "{holds}");
    let mut leaving = objects.get(TICKETS).unwrap();
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    objects.put(TICKETS, leaving);
    assert_eq!(action.live(&cx, &intent).await.unwrap(), [Some(Value::Null), Some(json!(2))], "one that was deleted is on its way");
    objects.held.lock().unwrap().objects.remove(TICKETS);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    objects.put(DEPLOYMENT, deployment(6));
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert!(holds.contains("stays at 6 replicas where 2 were wanted before"), "{holds}");
}

#[tokio::test]
async fn what_argo_cd_would_put_back_is_refused_before_anything_is_changed() {
    const SHOP: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
    let application = |policy: Value| json!({ "metadata": { "name": "shop", "namespace": "argocd" }, "spec": { "syncPolicy": policy }, "status": { "sync": { "status": "Synced" } } });
    let heals = application(json!({ "automated": { "selfHeal": true } }));
    let owned = |mut object: Value, id: &str, applied: Value| {
        object["metadata"]["namespace"] = json!("production");
        object["metadata"]["annotations"] = json!({
            "argocd.argoproj.io/tracking-id": format!("shop:{id}"), "kubectl.kubernetes.io/last-applied-configuration": applied.to_string(),
        });
        object
    };
    let scaled = owned(
        tickets(2, 20),
        "keda.sh/ScaledObject:production/tickets",
        json!({ "spec": { "minReplicaCount": 2, "maxReplicaCount": 20 } }),
    );
    let workload = |applied: Value| {
        let mut object = owned(deployment(2), "apps/Deployment:production/ticket-service", applied);
        (object["apiVersion"], object["kind"]) = (json!("apps/v1"), json!("Deployment"));
        object
    };

    let (objects, action, cx, log) = stage(&[(TICKETS, scaled), (HPA, hpa(2, 20, 2, "0")), (SHOP, heals.clone())]).await;
    let message = refused(&action, &cx, &inputs(json!({ "min": 8 }))).await;
    assert!(
        message
            .starts_with("spec.minReplicaCount of production/scaledobject.keda.sh/tickets belongs to the Argo CD Application argocd/shop"),
        "{message}"
    );
    // What the repository says nothing of stays.
    let intent = trial::planned(&action, &cx, &inputs(json!({ "paused_scale_in": true }))).await;
    assert_eq!(intent.changes.len(), 1);
    objects.put(SHOP, application(json!({ "automated": {} })));
    let changing = inputs(json!({ "min": 8 }));
    let intent = trial::planned(&action, &cx, &changing).await;
    assert!(matches!(action.apply(&cx, &changing, &intent).await, Applied::Applied { .. }));
    let lines = log.lines.lock().unwrap().clone();
    assert!(lines.iter().any(|line| line.contains("the next commit puts spec.minReplicaCount")), "{lines:?}");

    // One that is created sets the replicas that the repository names, and so does a floor.
    let (objects, action, cx, _) = stage(&[(SHOP, heals)]).await;
    objects.put(DEPLOYMENT, workload(json!({ "spec": { "replicas": 2 } })));
    let told = "spec.replicas of production/deployment/ticket-service belongs to the Argo CD Application argocd/shop";
    let message = refused(&action, &cx, &new_one()).await;
    assert!(message.starts_with(told), "{message}");
    objects.put(TICKETS, tickets(2, 20));
    let message = refused(&action, &cx, &inputs(json!({ "min": 8 }))).await;
    assert!(message.starts_with(told), "{message}");
    objects.put(DEPLOYMENT, workload(json!({ "spec": {} })));
    assert_eq!(trial::planned(&action, &cx, &inputs(json!({ "min": 8 }))).await.changes.len(), 1, "the repository leaves them to KEDA");
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn one_that_is_being_deleted_is_waited_for_and_one_that_sleeps_may_have_no_pod() {
    let mut leaving = tickets(2, 20);
    leaving["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let (objects, action, cx, _) = stage(&[(TICKETS, leaving)]).await;
    let prior = action.observe(&cx, &inputs(json!({ "min": 8 }))).await.unwrap();
    let failure = action.plan(&cx, &inputs(json!({ "min": 8 })), &prior, &Rollback::Auto).unwrap_err();
    assert!(failure.transient && failure.message.contains("is being deleted"), "{failure}");

    let mut sleeps = tickets(2, 20);
    sleeps["spec"]["idleReplicaCount"] = json!(0);
    objects.put(TICKETS, sleeps);
    objects.put(HPA, hpa(2, 20, 2, "0"));
    let intent = trial::planned(&action, &cx, &inputs(json!({ "min": 8 }))).await;
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    objects.held.lock().unwrap().objects.retain(|path, _| !path.contains("/pods/"));
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes, "KEDA has put it to sleep again");
}

#[tokio::test]
async fn variables_are_looked_for_where_keda_reads_them() {
    let mut object = tickets(2, 20);
    object["spec"]["scaleTargetRef"]["envSourceContainerName"] = json!("worker");
    let (objects, action, cx, _) = stage(&[(TICKETS, object)]).await;
    let mut deployment = deployment(2);
    let worker = json!({ "name": "worker", "env": [{ "name": "MQ", "value": "amqp://y" }], "resources": { "requests": { "cpu": "1" } } });
    deployment["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().push(worker);
    objects.put(DEPLOYMENT, deployment);
    let of = |variable: &str| {
        inputs(
            json!({ "triggers": [{ "type": "rabbitmq", "metadata": { "hostFromEnv": variable, "queueName": "q", "mode": "QueueLength", "value": 5 } }] }),
        )
    };
    assert_eq!(trial::planned(&action, &cx, &of("MQ")).await.changes.len(), 1);
    let message = refused(&action, &cx, &of("RABBITMQ_URL")).await;
    assert!(message.contains("the variable RABBITMQ_URL, and the container worker of deployment/ticket-service has none"), "{message}");
}

#[tokio::test]
async fn a_cluster_without_keda_says_so() {
    let (objects, action, cx, _) = stage(&[]).await;
    objects.held.lock().unwrap().objects.remove(KEDA);
    assert!(refused(&action, &cx, &inputs(json!({ "min": 4 }))).await.contains("there is no ScaledObject tickets"));
}

#[test]
fn the_lines_for_hands_change_or_create() {
    let target = trial::target("u");
    let lines = super::by_hand::lines(&inputs(json!({ "max": 9, "paused": false })).0, Some(&target));
    assert!(
        lines.act[0].starts_with(
            r#"if [ -n "${SCALED_OBJECT_BEFORE_TICKETS}" ]; then kubectl patch scaledobject tickets -n production --type=merge -p '{"metadata":{"annotations":{"autoscaling.keda.sh/paused":null,"autoscaling.keda.sh/paused-replicas":null}},"spec":{"maxReplicaCount":9}}'"#
        ),
        "{}",
        lines.act[0]
    );
    let undo = r#"else kubectl delete scaledobject tickets -n production && kubectl scale deployment/ticket-service --replicas="${REPLICAS_BEFORE_TICKETS}" -n production; fi"#;
    assert!(lines.undo[0].ends_with(undo), "{}", lines.undo[0]);
}
