//! What a step creates: once, known by its mark, and taken back only as it was made.

use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, Cut, on_both, settled};

const HPAS: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers";
const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const MAPS: &str = "/api/v1/namespaces/production/configmaps";

fn map(data: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "shop" }, "data": data })
}

/// Creates, is cut, is taken back; `foreign` is what somebody else makes of it.
async fn trial(bench: &Bench, action: &str, inputs: Value, collection: &str, name: &str, foreign: Value) {
    let object = format!("{collection}/{name}");
    // The API server is asked by a dry run first, so the cut is set when it is planned.
    let route = format!("POST {collection}");
    let step = bench.step(action, inputs);
    let changes = bench.cluster.changes();
    let intent = step.plan().await.intent;
    assert_eq!((bench.cluster.changes(), bench.get(&object).await), (changes, None), "{action}: promise 7: a plan has no effect");

    bench.cluster.cut(&route, Cut::Before).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Unknown { .. }), "{action}: {applied:?}");
    assert_eq!(step.verify(&intent).await, Verdict::Absent, "{action}");
    bench.cluster.cut(&route, Cut::After).await;
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Unknown { .. }), "{action}: {applied:?}");
    let verdict = step.verify(&intent).await;
    assert!(matches!(verdict, Verdict::Present { .. }), "{action}: {verdict:?}");

    let (changes, there) = (bench.cluster.changes(), settled(bench.get(&object).await));
    for _ in 0..2 {
        let applied = step.apply(&intent).await;
        assert!(matches!(applied, Applied::Applied { .. }), "{action}: {applied:?}");
    }
    let again = step.anew().plan().await;
    assert!(again.unchanged.is_some(), "{action}: {:?}", again.intent.changes);
    assert_eq!((bench.cluster.changes(), settled(bench.get(&object).await)), (changes, there), "{action}");

    bench.cluster.cut(&format!("DELETE {object}"), Cut::After).await;
    let reverted = step.revert(&intent).await;
    assert!(matches!(reverted, Applied::Unknown { .. }), "{action}: {reverted:?}");
    for _ in 0..2 {
        let reverted = step.revert(&intent).await;
        assert!(matches!(reverted, Applied::Applied { .. }), "{action}: {reverted:?}");
    }
    assert_eq!(bench.get(&object).await, None, "{action}");
    step.until_followed(&intent).await;

    // What somebody else has changed since is left alone.
    let applied = step.apply(&intent).await;
    assert!(matches!(applied, Applied::Applied { .. }), "{action}: {applied:?}");
    bench.patch(&object, foreign).await;
    let theirs = settled(bench.get(&object).await);
    let reverted = step.revert(&intent).await;
    assert!(matches!(reverted, Applied::NotApplied { .. }), "{action}: {reverted:?}");
    assert_eq!(settled(bench.get(&object).await), theirs, "{action}");
}

async fn apply_creates_once_and_deletes_what_it_made(bench: Bench) {
    trial(&bench, "k8s.apply", json!({ "object": map(json!({ "a": "1" })) }), MAPS, "shop", json!({ "data": { "a": "2" } })).await;
}

async fn autoscaler_creates_once_and_deletes_what_it_made(bench: Bench) {
    let inputs = json!({ "name": "tickets", "workload": "deployment/ticket-service", "min": 2, "max": 10, "metrics": { "cpu": 70 } });
    trial(&bench, "k8s.autoscaler", inputs, HPAS, "tickets", json!({ "spec": { "maxReplicas": 11 } })).await;
}

async fn what_somebody_else_created_meanwhile_is_left_alone(bench: Bench) {
    let step = bench.step("k8s.apply", json!({ "object": map(json!({ "a": "1" })) }));
    let intent = step.plan().await.intent;
    bench.create(MAPS, map(json!({ "a": "2" }))).await;
    let theirs = settled(bench.get(&format!("{MAPS}/shop")).await);
    let applied = step.apply(&intent).await;
    assert!(matches!(&applied, Applied::NotApplied { failure } if failure.message.contains("somebody else")), "{applied:?}");
    let reverted = step.revert(&intent).await;
    assert!(!matches!(reverted, Applied::Unknown { .. }), "{reverted:?}");
    assert_eq!(settled(bench.get(&format!("{MAPS}/shop")).await), theirs);
}

async fn a_field_of_another_manager_is_taken_only_by_force_and_given_back(bench: Bench) {
    bench.create(MAPS, map(json!({ "a": "2" }))).await;
    let object = format!("{MAPS}/shop");
    let before = settled(bench.get(&object).await);
    let inputs = |force: bool| json!({ "object": map(json!({ "a": "1" })), "force": force });
    let refused = match bench.step("k8s.apply", inputs(false)).try_plan().await {
        Err(failure) => failure,
        Ok(plan) => panic!("it was planned: {:?}", plan.intent.changes),
    };
    assert!(refused.message.contains("somebody-else") && refused.message.contains("data.a"), "{refused}");
    let step = bench.step("k8s.apply", inputs(true));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    assert_eq!(bench.get(&object).await.unwrap()["data"]["a"], "1");
    for _ in 0..2 {
        assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
    }
    assert_eq!(settled(bench.get(&object).await), before);
}

async fn an_autoscaler_that_raised_the_replicas_gives_them_back_when_it_goes(bench: Bench) {
    let inputs = json!({ "name": "tickets", "workload": "deployment/ticket-service", "min": 4, "max": 10, "metrics": { "cpu": 70 } });
    let step = bench.step("k8s.autoscaler", inputs);
    let intent = step.plan().await.intent;
    let change = intent.changes.iter().find(|change| change.label == "replicas").expect("the replicas change hands");
    assert_eq!((&change.prior, &change.after), (&json!(2), &json!("by the autoscaler tickets")));
    let raised = || async {
        assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
        let there = || async { (bench.get(TICKETS).await?["status"]["readyReplicas"] == 4).then_some(()) };
        bench.until("the autoscaler has brought four pods", there).await;
    };
    raised().await;
    assert_eq!(step.live(&intent).await, [Some(json!("tickets")), Some(json!("by the autoscaler tickets"))]);
    // Whoever deleted it and got no further has something left to do.
    bench.delete(&format!("{HPAS}/tickets")).await;
    assert_eq!(step.live(&intent).await, [Some(Value::Null), Some(json!("by the autoscaler tickets"))]);
    for _ in 0..2 {
        let reverted = step.revert(&intent).await;
        assert!(matches!(reverted, Applied::Applied { .. }), "{reverted:?}");
        assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 2);
    }
    step.until_followed(&intent).await;
    assert_eq!(step.live(&intent).await, [Some(Value::Null), Some(json!(2))]);

    // What somebody else has set since is left alone.
    raised().await;
    bench.delete(&format!("{HPAS}/tickets")).await;
    bench.patch(TICKETS, json!({ "spec": { "replicas": 3 } })).await;
    assert_eq!(step.live(&intent).await, [Some(Value::Null), Some(json!(3))]);
    let reverted = step.revert(&intent).await;
    assert!(matches!(&reverted, Applied::NotApplied { failure } if failure.message.contains("somebody else changed them")), "{reverted:?}");
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 3);
}

async fn two_autoscalers_on_one_workload_are_refused(bench: Bench) {
    let inputs =
        |name: &str| json!({ "name": name, "workload": "deployment/ticket-service", "min": 2, "max": 10, "metrics": { "cpu": 70 } });
    let first = bench.step("k8s.autoscaler", inputs("tickets"));
    let intent = first.plan().await.intent;
    assert!(matches!(first.apply(&intent).await, Applied::Applied { .. }));
    let failure = bench.step("k8s.autoscaler", inputs("another")).try_plan().await.expect_err("there is one");
    assert!(failure.message.contains("tickets"), "{failure}");
}

on_both!(
    apply_creates_once_and_deletes_what_it_made,
    autoscaler_creates_once_and_deletes_what_it_made,
    what_somebody_else_created_meanwhile_is_left_alone,
    a_field_of_another_manager_is_taken_only_by_force_and_given_back,
    an_autoscaler_that_raised_the_replicas_gives_them_back_when_it_goes,
    two_autoscalers_on_one_workload_are_refused
);
