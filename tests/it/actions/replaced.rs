//! What a step changes is deleted under it, and made anew under the same name: that is another object, which the step neither changes nor takes
//! back, whatever its fields hold (promise 3).

use runsheet::model::outcome::{Applied, Failure, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, on_both, settled};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const MAPS: &str = "/api/v1/namespaces/production/configmaps";
const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";

fn refused(what: &str, applied: Applied) -> Failure {
    let Applied::NotApplied { failure } = applied else { panic!("{what}: {applied:?}") };
    assert!(!failure.transient && failure.hint.is_some(), "{what}: {failure:?}");
    failure
}

async fn trial(bench: &Bench, action: &str, inputs: Value, object: &str) {
    // Between the plan and the step.
    let step = bench.step(action, inputs);
    let intent = step.plan().await.intent;
    bench.make_anew(object).await;
    let theirs = settled(bench.get(object).await);
    let failure = refused(action, step.apply(&intent).await);
    assert!(failure.message.contains("somebody made another under its name"), "{action}: {failure}");
    let verdict = step.verify(&intent).await;
    assert!(matches!(verdict, Verdict::CannotTell { .. }), "{action}: {verdict:?}");
    assert_eq!(settled(bench.get(object).await), theirs, "{action}");

    // Between the step and its rollback; and what is there now holds the very values that the step had set.
    let step = step.anew();
    let intent = step.plan().await.intent;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Applied { .. }), "{action}: {applied:?}");
    bench.make_anew(object).await;
    let theirs = settled(bench.get(object).await);
    let verdict = step.verify(&intent).await;
    assert!(matches!(verdict, Verdict::CannotTell { .. }), "{action}: {verdict:?}");
    assert_eq!(step.live(&intent).await, vec![None; intent.changes.len()], "{action}: the rollback says that it is gone");
    if action != "k8s.rollout_restart" {
        refused(action, step.revert(&intent).await);
    }
    assert_eq!(settled(bench.get(object).await), theirs, "{action}: nothing of it is taken back");
}

async fn a_workload_made_anew_is_another(bench: Bench) {
    let tickets = "deployment/ticket-service";
    for (action, inputs) in [
        ("k8s.scale", json!({ "workload": tickets, "replicas": 3 })),
        ("k8s.set_env", json!({ "workload": tickets, "env": { "DB_POOL_MAX": 9 } })),
        ("k8s.set_resources", json!({ "workload": tickets, "requests": { "cpu": "300m" } })),
        ("k8s.patch", json!({ "object": tickets, "set": { "metadata.labels.tier": "front" } })),
        ("k8s.rollout_restart", json!({ "workload": tickets })),
    ] {
        trial(&bench, action, inputs, TICKETS).await;
    }
}

async fn an_autoscaler_or_a_manifests_object_made_anew_is_another(bench: Bench) {
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "theirs": "1" } });
    bench.create(MAPS, object).await;
    let ours = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": { "ours": "1" } });
    trial(&bench, "k8s.apply", json!({ "object": ours }), &format!("{MAPS}/shop")).await;
    let cpu = json!({ "type": "Resource", "resource": { "name": "cpu", "target": { "type": "Utilization", "averageUtilization": 70 } } });
    let target = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" });
    let spec = json!({ "scaleTargetRef": target, "minReplicas": 2, "maxReplicas": 10, "metrics": [cpu] });
    bench
        .create(
            HPAS,
            json!({ "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": { "name": "tickets" }, "spec": spec }),
        )
        .await;
    let floor = format!("{HPAS}/tickets");
    trial(&bench, "k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 3 }), &floor).await;
    let inputs = json!({ "name": "tickets", "workload": "deployment/ticket-service", "min": 3, "max": 12, "metrics": { "cpu": 70 } });
    trial(&bench, "k8s.autoscaler", inputs, &floor).await;
}

async fn a_workload_that_is_gone_is_told(bench: Bench) {
    let tickets = "deployment/ticket-service";
    let step = bench.step("k8s.scale", json!({ "workload": tickets, "replicas": 3 }));
    let env = bench.step("k8s.set_env", json!({ "workload": tickets, "env": { "DB_POOL_MAX": 9 } }));
    let (scaled, set) = (step.plan().await.intent, env.plan().await.intent);
    bench.delete(TICKETS).await;
    for (step, intent) in [(&step, &scaled), (&env, &set)] {
        let failure = refused("it is gone", step.apply(intent).await);
        assert!(failure.message.contains("ticket-service") && failure.message.contains(bench.cluster.namespace()), "{failure}");
        let verdict = step.verify(intent).await;
        assert!(matches!(verdict, Verdict::CannotTell { .. }), "{verdict:?}");
        assert_eq!(step.live(intent).await, [None]);
        refused("it is gone", step.revert(intent).await);
    }
    assert_eq!(bench.get(TICKETS).await, None);
}

on_both!(a_workload_made_anew_is_another, an_autoscaler_or_a_manifests_object_made_anew_is_another, a_workload_that_is_gone_is_told);
