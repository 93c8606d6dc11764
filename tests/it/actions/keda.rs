//! Under KEDA: its ScaledObject's floor is raised, its own HPA is left to it, what it pauses is no floor, and all of it comes back.

use http::Method;
use runsheet::model::outcome::{Applied, Followed};
use serde_json::{Value, json};

use super::writes::Trial;
use crate::support::{Bench, Cut, on_both};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const SCALED_OBJECTS: &str = "/apis/keda.sh/v1alpha1/namespaces/production/scaledobjects";
const SCALER: &str = "/apis/keda.sh/v1alpha1/namespaces/production/scaledobjects/tickets";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/keda-hpa-tickets";
const MERGE: &str = "application/merge-patch+json";

/// By CPU, since every cluster of the tests measures that.
fn cpu(percent: u32) -> Value {
    json!([{ "type": "cpu", "metricType": "Utilization", "metadata": { "value": percent.to_string() } }])
}

/// A ScaledObject that KEDA has taken up: from 2 pods to 10, which go as soon as they may.
async fn with_keda(bench: &Bench) {
    let quick = json!({ "horizontalPodAutoscalerConfig": { "behavior": { "scaleDown": { "stabilizationWindowSeconds": 0 } } } });
    let spec = json!({
        "scaleTargetRef": { "name": "ticket-service" }, "minReplicaCount": 2, "maxReplicaCount": 10, "triggers": cpu(70), "advanced": quick,
    });
    let object = json!({ "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": { "name": "tickets" }, "spec": spec });
    bench.create(SCALED_OBJECTS, object).await;
    until_ready(bench).await;
}

/// Waits until KEDA has taken it up, and its HPA has looked.
async fn until_ready(bench: &Bench) {
    let ready = || async {
        let conditions = bench.get(SCALER).await?["status"]["conditions"].clone();
        let ready = conditions.as_array()?.iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
        (ready && bench.get(HPA).await?["status"]["desiredReplicas"] != 0).then_some(())
    };
    bench.until("KEDA scales it", ready).await;
}

fn scale(replicas: u32) -> Value {
    json!({ "workload": "deployment/ticket-service", "replicas": replicas })
}

fn keda(more: Value) -> Value {
    let mut inputs = json!({ "name": "tickets", "workload": "deployment/ticket-service" });
    inputs.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    inputs
}

async fn scale_sets_the_floor_of_a_scaled_object(bench: Bench) {
    with_keda(&bench).await;
    let trial = Trial {
        action: "k8s.scale",
        inputs: json!({ "workload": "deployment/ticket-service", "replicas": 12, "raise_maximum": true }),
        object: SCALER,
        route: "PATCH */scaledobjects/tickets",
        foreign: json!({ "spec": { "minReplicaCount": 3 } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn keda_changes_one_that_is_there(bench: Bench) {
    with_keda(&bench).await;
    let trial = Trial {
        action: "k8s.keda",
        inputs: keda(
            json!({ "min": 3, "max": 12, "triggers": [{ "type": "cpu", "metricType": "Utilization", "metadata": { "value": 60 } }], "paused_scale_in": true }),
        ),
        object: SCALER,
        route: "PATCH */scaledobjects/tickets",
        foreign: json!({ "spec": { "maxReplicaCount": 11 } }),
        foreign_path: None,
    };
    trial.run(&bench).await;
}

async fn keda_follows_the_floor_up_and_down_by_an_hpa_that_is_its_own(bench: Bench) {
    with_keda(&bench).await;
    let step = bench.step("k8s.scale", scale(5));
    let intent = step.plan().await.intent;
    let Applied::Applied { outputs } = step.apply(&intent).await else { panic!("{}", bench.log.text()) };
    assert_eq!((&outputs["floor"], &outputs["autoscaler"]), (&json!(true), &json!("tickets")), "{outputs}");
    let there = || async { (step.observe().await.ok()?["ready_replicas"] == 5).then_some(()) };
    bench.until("KEDA has brought five pods", there).await;
    assert_eq!(bench.get(HPA).await.unwrap()["spec"]["minReplicas"], 5);
    // What somebody changes in KEDA's own HPA is put back.
    bench.patch(HPA, json!({ "spec": { "minReplicas": 7 } })).await;
    let back = || async { (bench.get(HPA).await?["spec"]["minReplicas"] == 5).then_some(()) };
    bench.until("KEDA has put its HPA back", back).await;
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    step.until_followed(&intent).await;
    let object = bench.get(TICKETS).await.unwrap();
    assert_eq!((&object["spec"]["replicas"], &object["status"]["readyReplicas"]), (&json!(2), &json!(2)), "{object:#}");
}

async fn what_is_paused_is_frozen_and_no_floor(bench: Bench) {
    with_keda(&bench).await;
    let pause = bench.step("k8s.keda", keda(json!({ "paused_replicas": 4 })));
    let intent = pause.plan().await.intent;
    assert!(matches!(pause.apply(&intent).await, Applied::Applied { .. }));
    let frozen = || async {
        let pods = bench.get(TICKETS).await?["status"]["readyReplicas"].clone();
        (pods == 4 && bench.get(HPA).await.is_none()).then_some(())
    };
    bench.until("it is frozen at four pods", frozen).await;
    let refused = bench.step("k8s.scale", scale(8)).try_plan().await.expect_err("a floor of what is paused");
    assert!(refused.message.contains("autoscaling.keda.sh/paused-replicas: \"4\""), "{refused}");
    assert!(matches!(pause.revert(&intent).await, Applied::Applied { .. }));
    pause.until_followed(&intent).await;
    assert!(bench.get(HPA).await.is_some(), "KEDA goes on");
    let object = bench.get(SCALER).await.unwrap();
    assert!(object["metadata"]["annotations"].is_null() || object["metadata"]["annotations"] == json!({}), "{object:#}");
}

async fn what_only_grows_keeps_its_pods_and_says_so(bench: Bench) {
    with_keda(&bench).await;
    let growth = bench.step("k8s.keda", keda(json!({ "paused_scale_in": true })));
    let halted = growth.plan().await.intent;
    assert!(matches!(growth.apply(&halted).await, Applied::Applied { .. }));
    let disabled = || async { (bench.get(HPA).await?["spec"]["behavior"]["scaleDown"]["selectPolicy"] == "Disabled").then_some(()) };
    bench.until("its HPA only grows", disabled).await;
    let step = bench.step("k8s.scale", scale(4));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    let there = || async { (step.observe().await.ok()?["ready_replicas"] == 4).then_some(()) };
    bench.until("the floor has brought four pods", there).await;
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    let held = || async {
        match step.action.followed(&step.cx, &intent).await.ok()? {
            Followed::No { holds } => holds.contains("paused-scale-in").then_some(holds),
            Followed::Yes => None,
        }
    };
    let holds = bench.until("what holds them is told", held).await;
    assert!(holds.contains("4 pods are there where 2 are wanted"), "{holds}");
    assert!(matches!(growth.revert(&halted).await, Applied::Applied { .. }));
    step.until_followed(&intent).await;
}

async fn two_on_one_workload_are_the_conflict_they_are(bench: Bench) {
    with_keda(&bench).await;
    let own = bench.step("k8s.autoscaler", json!({ "name": "keda-hpa-tickets", "workload": "deployment/ticket-service", "min": 4 }));
    let refused = own.try_plan().await.expect_err("KEDA's own HPA");
    assert!(refused.message.contains("belongs to KEDA's ScaledObject tickets"), "{refused}");
    let beside = json!({ "name": "beside", "workload": "deployment/ticket-service", "min": 2, "max": 8, "metrics": { "cpu": 70 } });
    let refused = bench.step("k8s.autoscaler", beside).try_plan().await.expect_err("an HPA beside it");
    assert!(refused.message.contains("KEDA's ScaledObject tickets scales deployment/ticket-service"), "{refused}");
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
    let metric =
        json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
    let spec = json!({ "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 8, "metrics": [metric] });
    let stray = json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "stray" }, "spec": spec });
    bench.create(HPAS, stray).await;
    let changes = bench.cluster.changes();
    for (action, inputs) in [("k8s.scale", scale(4)), ("k8s.keda", keda(json!({ "min": 4 })))] {
        let refused = bench.step(action, inputs).try_plan().await.expect_err("two of them");
        assert!(refused.message.contains("tickets") && refused.message.contains("stray, which is not KEDA's"), "{action}: {refused}");
    }
    assert_eq!(bench.cluster.changes(), changes);
}

async fn one_that_is_created_gives_the_replicas_back_when_it_goes(bench: Bench) {
    let inputs =
        keda(json!({ "min": 4, "max": 6, "triggers": [{ "type": "cpu", "metricType": "Utilization", "metadata": { "value": 70 } }] }));
    let step = bench.step("k8s.keda", inputs);
    let changes = bench.cluster.changes();
    let intent = step.plan().await.intent;
    assert_eq!((bench.cluster.changes(), bench.get(SCALER).await), (changes, None), "promise 7: a plan has no effect");
    bench.cluster.cut(&format!("POST {SCALED_OBJECTS}"), Cut::After).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }), "it is known by its mark");
    until_ready(&bench).await;
    assert!(step.anew().plan().await.unchanged.is_some(), "what KEDA adds is no difference");
    let there = || async { (bench.get(TICKETS).await?["status"]["readyReplicas"] == 4).then_some(()) };
    bench.until("KEDA has brought four pods", there).await;
    for _ in 0..2 {
        let reverted = step.revert(&intent).await;
        assert!(matches!(reverted, Applied::Applied { .. }), "{reverted:?}");
    }
    step.until_followed(&intent).await;
    assert_eq!((bench.get(SCALER).await, bench.get(TICKETS).await.unwrap()["spec"]["replicas"].clone()), (None, json!(2)));
}

async fn what_the_definition_does_not_take_is_refused_by_the_server(bench: Bench) {
    with_keda(&bench).await;
    for (patch, told) in [
        (json!({ "spec": { "minReplicaCount": 11 } }), "minReplicaCount must be less than or equal to maxReplicaCount"),
        (
            json!({ "spec": { "maxReplicaCount": 0, "minReplicaCount": 0 } }),
            "spec.maxReplicaCount in body should be greater than or equal to 1",
        ),
        (json!({ "spec": { "triggers": [] } }), "spec.triggers in body should have at least 1 items"),
    ] {
        let (status, body) = bench.ask(Method::PATCH, SCALER, MERGE, patch).await;
        assert_eq!(status, 422, "{told}: {body}");
        assert!(body["message"].as_str().unwrap().contains(told), "{told}: {body}");
    }
}

on_both!(
    scale_sets_the_floor_of_a_scaled_object,
    keda_changes_one_that_is_there,
    keda_follows_the_floor_up_and_down_by_an_hpa_that_is_its_own,
    what_is_paused_is_frozen_and_no_floor,
    what_only_grows_keeps_its_pods_and_says_so,
    two_on_one_workload_are_the_conflict_they_are,
    one_that_is_created_gives_the_replicas_back_when_it_goes,
    what_the_definition_does_not_take_is_refused_by_the_server,
);

/// What KEDA's admission webhook refuses; the tests' control plane has none.
mod webhook {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_workload_with_an_hpa_or_a_scaled_object_is_refused() {
        let bench = Bench::sandbox().await;
        let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
        let stray = |name: &str| {
            json!({
                "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": name },
                "spec": { "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 8 },
            })
        };
        let scaled = |name: &str, floor: u32, triggers: Value| {
            json!({
                "apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": { "name": name },
                "spec": { "scaleTargetRef": { "name": "ticket-service" }, "minReplicaCount": floor, "maxReplicaCount": 8, "triggers": triggers },
            })
        };
        let refused = async |object: Value, told: &str| {
            let (status, body) = bench.ask(Method::POST, SCALED_OBJECTS, "application/json", object).await;
            assert_eq!(status, 403, "{told}: {body}");
            let wanted = format!("admission webhook \"vscaledobject.kb.io\" denied the request: {told}");
            assert_eq!(body["message"], wanted);
        };
        bench.create(HPAS, stray("ticket-service-hpa")).await;
        let managed = "the workload 'ticket-service' of type 'apps/v1.Deployment' is already managed by the";
        refused(scaled("tickets", 2, cpu(70)), &format!("{managed} hpa 'ticket-service-hpa'")).await;
        bench.delete(&format!("{HPAS}/ticket-service-hpa")).await;
        let zero = "scaledobject has only cpu/memory triggers AND minReplica is 0 (scale to zero doesn't work in this case)";
        refused(scaled("tickets", 0, cpu(70)), zero).await;
        with_keda(&bench).await;
        refused(scaled("second", 2, cpu(70)), &format!("{managed} ScaledObject 'tickets'")).await;
        let media = "application/strategic-merge-patch+json";
        let (status, body) = bench.ask(Method::PATCH, SCALER, media, json!({ "spec": { "minReplicaCount": 3 } })).await;
        assert_eq!(status, 415, "{body}");
    }
}
