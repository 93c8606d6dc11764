//! Argo CD: what a self-healing Application would put back is found before the change, and what pauses or freezes it is given back as it was.

use std::time::Duration;

use http::Method;
use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::{Bench, Cut, deployment, on_both, settled};

const TICKETS: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/ticket-service-hpa";
const MERGE: &str = "application/merge-patch+json";

/// A path of Argo CD's own objects.
fn path(bench: &Bench, rest: &str) -> String {
    let namespace = bench.cluster.target().values["argocd"]["namespace"].as_str().expect("where Argo CD is").to_owned();
    format!("/apis/argoproj.io/v1alpha1/namespaces/{namespace}/{rest}")
}

fn application(bench: &Bench) -> String {
    path(bench, "applications/ticket-service")
}

async fn change_application(bench: &Bench, spec: Value) {
    bench.write(Method::PATCH, &application(bench), MERGE, json!({ "spec": spec })).await;
}

/// Waits until Argo CD has compared and found nothing; its status is of no other moment then.
async fn until_synced(bench: &Bench) {
    let path = &application(bench);
    let synced = || async move { (bench.get(path).await?["status"]["sync"]["status"] == "Synced").then_some(()) };
    bench.until("the Application is synced", synced).await;
}

/// Every way to change what it owns: the action, its inputs, and the field.
fn changes(autoscaler: bool) -> Vec<(&'static str, Value, &'static str)> {
    let tickets = "deployment/ticket-service";
    let container =
        |env: Value| json!({ "spec": { "template": { "spec": { "containers": [{ "name": "ticket-service", "env": env }] } } } });
    let mut manifest = container(json!([{ "name": "DB_POOL_MAX", "value": "9" }]));
    manifest["apiVersion"] = json!("apps/v1");
    manifest["kind"] = json!("Deployment");
    manifest["metadata"] = json!({ "name": "ticket-service" });
    let pool = "spec.template.spec.containers[ticket-service].env[DB_POOL_MAX]";
    let mut all = vec![
        ("k8s.set_env", json!({ "workload": tickets, "env": { "DB_POOL_MAX": "9" } }), pool),
        (
            "k8s.set_resources",
            json!({ "workload": tickets, "requests": { "cpu": "300m" } }),
            "spec.template.spec.containers[ticket-service].resources.requests.cpu",
        ),
        (
            "k8s.patch",
            json!({ "object": tickets, "set": { "spec.template.spec.containers[ticket-service].image": "registry.example/ticket-service:2.0.0" } }),
            "spec.template.spec.containers[ticket-service].image",
        ),
        ("k8s.apply", json!({ "object": manifest, "force": true }), pool),
    ];
    let hpa = |name: &str| json!({ "name": name, "workload": tickets, "min": 4, "max": 12, "metrics": { "cpu": 70 } });
    if autoscaler {
        all.push(("k8s.scale", json!({ "workload": tickets, "replicas": 4 }), "spec.minReplicas"));
        all.push(("k8s.autoscaler", hpa("ticket-service-hpa"), "spec.minReplicas"));
        all.push(("k8s.patch", json!({ "object": "hpa/ticket-service-hpa", "set": { "spec.minReplicas": 4 } }), "spec.minReplicas"));
    } else {
        all.push(("k8s.scale", json!({ "workload": tickets, "replicas": 4 }), "spec.replicas"));
        // Whom it scales from then on would be scaled back.
        all.push(("k8s.autoscaler", hpa("another"), "spec.replicas"));
        all.push(("k8s.patch", json!({ "object": tickets, "set": { "spec.replicas": 4 } }), "spec.replicas"));
    }
    all
}

async fn what_heals_is_refused(bench: &Bench, autoscaler: bool) {
    bench.cluster.argocd(autoscaler).await;
    until_synced(bench).await;
    let (before, floor) = (settled(bench.get(TICKETS).await), settled(bench.get(HPA).await));
    let so_far = bench.cluster.changes();
    for (action, inputs, field) in changes(autoscaler) {
        let refused = bench.step(action, inputs.clone()).try_plan().await.expect_err(action);
        let told = &refused.message;
        assert!(told.starts_with(&format!("{field} of ")) && !refused.transient, "{action} {inputs}: {told}");
        assert!(told.contains("/ticket-service, which heals itself"), "{action}: {told}");
        let hint = refused.hint.expect("what to do");
        for way in ["argocd.pause_sync", "argocd.sync_window", "ignoreDifferences"] {
            assert!(hint.contains(way), "{action}: {hint}");
        }
    }
    assert_eq!(bench.cluster.changes(), so_far, "nothing was changed");
    assert_eq!((settled(bench.get(TICKETS).await), settled(bench.get(HPA).await)), (before, floor));
    // What is there already is no change, and what is nobody's is nobody's business.
    let same = bench.step("k8s.set_env", json!({ "workload": "deployment/ticket-service", "env": { "DB_POOL_MAX": "20" } })).plan().await;
    assert!(same.unchanged.is_some());
    bench.create("/apis/apps/v1/namespaces/production/deployments", deployment("other", 1, "registry.example/app:1", "10m")).await;
    bench.step("k8s.scale", json!({ "workload": "deployment/other", "replicas": 2 })).plan().await;
}

async fn what_a_self_healing_application_owns_is_refused_before_the_change(bench: Bench) {
    what_heals_is_refused(&bench, false).await;
}

async fn the_floor_that_a_self_healing_application_owns_is_refused_before_the_change(bench: Bench) {
    what_heals_is_refused(&bench, true).await;
}

async fn the_owner_and_what_it_would_put_back_are_told(bench: Bench) {
    bench.cluster.argocd(true).await;
    until_synced(&bench).await;
    let inputs = json!({ "object": "deployment/ticket-service", "replicas": true, "env": ["DB_POOL_MAX", "NEW"] });
    let found = bench.step("argocd.application", inputs.clone()).outputs().await;
    let name = format!("{}/ticket-service", bench.cluster.target().values["argocd"]["namespace"].as_str().unwrap());
    assert_eq!(found["to_pause"], json!([name]), "{found:#}");
    let back: Vec<&str> = found["puts_back"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(back.contains(&format!("spec.minReplicas of hpa/ticket-service-hpa, by {name}").as_str()), "{back:?}");
    assert!(back.iter().any(|one| one.contains("env[DB_POOL_MAX] of deployment/ticket-service")), "{back:?}");
    assert!(!back.iter().any(|one| one.contains("NEW") || one.contains("spec.replicas")), "the repository says nothing of these: {back:?}");
    assert_eq!(found["applications"][0]["objects"], json!(["deployment/ticket-service", "hpa/ticket-service-hpa"]));
    // Covered: the floor alone.
    let rule = json!([{ "group": "autoscaling", "kind": "HorizontalPodAutoscaler", "jsonPointers": ["/spec/minReplicas"] }]);
    change_application(&bench, json!({ "ignoreDifferences": rule })).await;
    let found = bench.step("argocd.application", inputs).outputs().await;
    let back = found["puts_back"].as_array().unwrap();
    assert!(!back.iter().any(|one| one.as_str().unwrap().contains("minReplicas")) && !back.is_empty(), "{back:?}");
    let step = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    assert!(bench.log.text().contains("lack RespectIgnoreDifferences=true"), "{}", bench.log.text());
    // It has looked since, and has left it alone.
    until_synced(&bench).await;
    assert_eq!(bench.get(HPA).await.unwrap()["spec"]["minReplicas"], 4);
    assert!(matches!(step.revert(&intent).await, Applied::Applied { .. }));
}

async fn a_paused_application_puts_nothing_back_until_it_is_given_back(bench: Bench) {
    bench.cluster.argocd(false).await;
    until_synced(&bench).await;
    let bench = &bench;
    let path = application(bench);
    let policy = || async { bench.get(&path).await.unwrap()["spec"]["syncPolicy"].clone() };
    let was = policy().await;
    let route = format!("PATCH *{}", path.rsplit_once("/namespaces/").unwrap().1.split_once('/').unwrap().1);
    let pause = bench.step("argocd.pause_sync", json!({ "application": "ticket-service" }));
    let intent = pause.plan().await.intent;
    // Cut on either side of the effect, recovered by asking.
    for (moment, there) in [(Cut::Before, false), (Cut::After, true)] {
        bench.cluster.cut(&route, moment).await;
        assert!(matches!(pause.apply(&intent).await, Applied::Unknown { .. }), "{moment:?}");
        assert_eq!(matches!(pause.verify(&intent).await, Verdict::Present { .. }), there, "{moment:?}");
    }
    for _ in 0..2 {
        assert!(matches!(pause.apply(&intent).await, Applied::Applied { .. }));
    }
    assert!(pause.anew().plan().await.unchanged.is_some());

    let scale = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
    let scaled = scale.plan().await.intent;
    assert!(matches!(scale.apply(&scaled).await, Applied::Applied { .. }));
    assert!(bench.log.text().contains("whoever syncs it by hand puts it back"), "{}", bench.log.text());
    let out_of_sync = || async { (bench.get(&path).await?["status"]["sync"]["status"] == "OutOfSync").then_some(()) };
    bench.until("Argo CD has seen it", out_of_sync).await;
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 4, "it is left alone");

    bench.cluster.cut(&route, Cut::After).await;
    assert!(matches!(pause.revert(&intent).await, Applied::Unknown { .. }));
    for _ in 0..2 {
        assert!(matches!(pause.revert(&intent).await, Applied::Applied { .. }));
    }
    assert_eq!(policy().await, was, "exactly");
    let healed = || async { (bench.get(TICKETS).await?["spec"]["replicas"] == 2).then_some(()) };
    bench.until("it heals again", healed).await;
    // What it has put back is what a rollback finds: nothing is sent.
    assert_eq!(scale.live(&scaled).await, [Some(json!(2))]);
}

async fn a_frozen_project_puts_nothing_back_and_the_window_alone_is_taken_away(bench: Bench) {
    bench.cluster.argocd(false).await;
    until_synced(&bench).await;
    let bench = &bench;
    let project = path(bench, "appprojects/default");
    let theirs = json!({ "kind": "allow", "schedule": "0 0 1 1 *", "duration": "1h", "applications": ["*"] });
    bench.write(Method::PATCH, &project, MERGE, json!({ "spec": { "syncWindows": [theirs] } })).await;
    let windows = || async { bench.get(&project).await.unwrap()["spec"]["syncWindows"].clone() };
    let freeze = bench.step("argocd.sync_window", json!({ "applications": ["ticket-service"], "duration": "2h" }));
    let intent = freeze.plan().await.intent;
    bench.cluster.cut("PATCH */appprojects/default", Cut::After).await;
    assert!(matches!(freeze.apply(&intent).await, Applied::Unknown { .. }));
    assert!(matches!(freeze.verify(&intent).await, Verdict::Present { .. }));
    assert!(matches!(freeze.apply(&intent).await, Applied::Applied { .. }));
    assert_eq!(windows().await, json!([theirs, intent.changes[0].after]));
    assert!(freeze.anew().plan().await.unchanged.is_some(), "it is frozen already");

    let scale = bench.step("k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
    let scaled = scale.plan().await.intent;
    assert!(scaled.note["argocd"].as_str().is_some_and(|told| told.contains("denies it to sync until")), "{}", scaled.note);
    assert!(matches!(scale.apply(&scaled).await, Applied::Applied { .. }));
    let path = application(bench);
    let out_of_sync = || async { (bench.get(&path).await?["status"]["sync"]["status"] == "OutOfSync").then_some(()) };
    bench.until("Argo CD has seen it", out_of_sync).await;
    assert_eq!(bench.get(TICKETS).await.unwrap()["spec"]["replicas"], 4, "it is left alone");

    for _ in 0..2 {
        assert!(matches!(freeze.revert(&intent).await, Applied::Applied { .. }));
    }
    assert_eq!(windows().await, json!([theirs]));
    let healed = || async { (bench.get(TICKETS).await?["spec"]["replicas"] == 2).then_some(()) };
    bench.until("it heals again", healed).await;
}

async fn who_may_not_read_applications_is_told_and_goes_on(bench: Bench) {
    bench.cluster.argocd(false).await;
    until_synced(&bench).await;
    let step = bench.step_as("scaler", "k8s.scale", json!({ "workload": "deployment/ticket-service", "replicas": 4 }));
    let intent = step.plan().await.intent;
    assert!(matches!(step.apply(&intent).await, Applied::Applied { .. }));
    let told = bench.log.text();
    assert!(told.contains("this account may not get applications.argoproj.io `ticket-service`"), "{told}");
    // It is put back, as nobody could foretell.
    let bench = &bench;
    let healed = || async move {
        tokio::time::sleep(Duration::from_millis(20)).await;
        (bench.get(TICKETS).await?["spec"]["replicas"] == 2).then_some(())
    };
    bench.until("it is put back", healed).await;
}

on_both!(
    what_a_self_healing_application_owns_is_refused_before_the_change,
    the_floor_that_a_self_healing_application_owns_is_refused_before_the_change,
    the_owner_and_what_it_would_put_back_are_told,
    a_paused_application_puts_nothing_back_until_it_is_given_back,
    a_frozen_project_puts_nothing_back_and_the_window_alone_is_taken_away,
    who_may_not_read_applications_is_told_and_goes_on,
);
