//! `argocd.application` on objects that are marked in each way.

use serde_json::json;

use super::*;
use crate::actions::kubernetes::reading::Reader;
use crate::actions::kubernetes::stand_in::objects::Objects;
use crate::actions::trial;
use crate::ports::action::Action;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/tickets";
const APPLICATION: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
const PROJECT: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/default";
const SETTINGS: &str = "/api/v1/namespaces/argocd/configmaps/argocd-cm";
const ID: &str = "argocd.argoproj.io/tracking-id";

fn deployment(annotations: Value, labels: Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "ticket-service", "namespace": "production", "annotations": annotations, "labels": labels },
        "spec": { "replicas": 2, "template": { "spec": { "containers": [{ "name": "app", "env": [{ "name": "DB_POOL_MAX", "value": "20" }] }] } } },
    })
}

fn tracked() -> Value {
    deployment(json!({ ID: "shop:apps/Deployment:production/ticket-service" }), json!({}))
}

fn application(spec: Value) -> Value {
    let mut all = json!({ "project": "default", "destination": { "server": "https://kubernetes.default.svc", "namespace": "production" } });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({ "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": { "name": "shop", "namespace": "argocd" }, "spec": all })
}

fn healing() -> Value {
    application(json!({ "syncPolicy": { "automated": { "selfHeal": true } } }))
}

async fn asked(objects: &[(&str, Value)]) -> Value {
    let objects = Objects::start(objects).await;
    let action = Reader::<ApplicationReading>::new(&objects.connections);
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    let inputs = Inputs(json!({ "object": "deployment/ticket-service", "replicas": true, "env": ["DB_POOL_MAX"] }));
    let outputs = action.observe(&cx, &inputs).await.unwrap();
    assert_eq!(objects.writes(), 0);
    outputs
}

const POOL: &str = "spec.template.spec.containers[app].env[DB_POOL_MAX] of deployment/ticket-service, by argocd/shop";
const REPLICAS_BACK: &str = "spec.replicas of deployment/ticket-service, by argocd/shop";

#[tokio::test]
async fn what_a_self_healing_owner_puts_back_is_named() {
    let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, healing())]).await;
    assert_eq!(found["puts_back"], json!([REPLICAS_BACK, POOL]), "{found:#}");
    assert_eq!((&found["to_pause"], &found["applications"][0]["syncs"]), (&json!(["argocd/shop"]), &json!("heals")));
    assert_eq!(found["applications"][0]["objects"], json!(["deployment/ticket-service"]));
    let summary = found["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("the Application argocd/shop owns deployment/ticket-service and heals itself; it would put back"),
        "{summary}"
    );
}

#[tokio::test]
async fn the_autoscalers_floor_stands_in_the_place_of_the_replicas() {
    let hpa = |annotations: Value| {
        json!({
            "metadata": { "name": "tickets", "namespace": "production", "annotations": annotations },
            "spec": { "minReplicas": 2, "maxReplicas": 8, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" } },
        })
    };
    let owned = hpa(json!({ ID: "shop:autoscaling/HorizontalPodAutoscaler:production/tickets" }));
    let found = asked(&[(DEPLOYMENT, tracked()), (HPA, owned), (APPLICATION, healing())]).await;
    let back = found["puts_back"].as_array().unwrap();
    assert!(back.contains(&json!("spec.minReplicas of hpa/tickets, by argocd/shop")) && !back.contains(&json!(REPLICAS_BACK)), "{found:#}");
    assert_eq!(found["applications"][0]["objects"], json!(["deployment/ticket-service", "hpa/tickets"]));
    let found = asked(&[(DEPLOYMENT, tracked()), (HPA, hpa(json!({}))), (APPLICATION, healing())]).await;
    assert_eq!(found["puts_back"], json!([POOL]), "the floor is nobody's");
}

#[tokio::test]
async fn what_does_not_heal_puts_nothing_back() {
    for (policy, syncs) in [
        (json!({}), "by_hand"),
        (json!({ "automated": { "prune": true } }), "by_commit"),
        (json!({ "automated": { "selfHeal": true, "enabled": false } }), "by_hand"),
    ] {
        let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, application(json!({ "syncPolicy": policy })))]).await;
        assert_eq!((&found["puts_back"], &found["applications"][0]["syncs"]), (&json!([]), &json!(syncs)), "{policy}");
    }
    let window = json!({ "kind": "deny", "schedule": "* * * * *", "duration": "1h", "applications": ["sh*"] });
    let project = |windows: Value| json!({ "metadata": { "name": "default", "namespace": "argocd" }, "spec": { "syncWindows": windows } });
    let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, healing()), (PROJECT, project(json!([window])))]).await;
    assert_eq!(found["puts_back"], json!([]), "{found:#}");
    assert!(
        found["applications"][0]["frozen_until"].is_string() && found["summary"].as_str().unwrap().contains("denied to sync until"),
        "{found:#}"
    );
    let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, healing()), (PROJECT, project(Value::Null))]).await;
    assert_eq!(found["puts_back"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn what_is_ignored_or_not_in_the_repository_is_left_alone() {
    let ignoring = |rule: Value| application(json!({ "syncPolicy": { "automated": { "selfHeal": true } }, "ignoreDifferences": [rule] }));
    let rule = json!({ "group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"] });
    let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, ignoring(rule))]).await;
    assert_eq!((&found["puts_back"], &found["ignored"]), (&json!([POOL]), &json!(["spec.replicas of deployment/ticket-service"])));
    let settings = json!({ "data": { "resource.customizations.ignoreDifferences.apps_Deployment": "jsonPointers: [/spec]" } });
    let found = asked(&[(DEPLOYMENT, tracked()), (APPLICATION, healing()), (SETTINGS, settings)]).await;
    assert_eq!(found["puts_back"], json!([]), "the whole installation ignores it");

    let mut lean = tracked();
    let applied = json!({ "spec": { "template": { "spec": { "containers": [{ "name": "app", "env": [{ "name": "DB_POOL_MAX", "value": "20" }] }] } } } });
    lean["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"] = json!(applied.to_string());
    let mut synced = healing();
    let found = asked(&[(DEPLOYMENT, lean.clone()), (APPLICATION, synced.clone())]).await;
    assert_eq!(found["puts_back"].as_array().unwrap().len(), 2, "what was applied last is not known to be what the repository says");
    synced["status"] = json!({ "sync": { "status": "Synced" } });
    let found = asked(&[(DEPLOYMENT, lean.clone()), (APPLICATION, synced.clone())]).await;
    assert_eq!(found["puts_back"], json!([POOL]), "its replicas are not in the repository");
    lean["metadata"]["managedFields"] =
        json!([{ "manager": "argocd-controller", "operation": "Apply", "fieldsV1": { "f:spec": { "f:replicas": {} } } }]);
    let found = asked(&[(DEPLOYMENT, lean), (APPLICATION, synced)]).await;
    assert_eq!(found["puts_back"], json!([REPLICAS_BACK]), "applied server-side, the managed fields say it");
}

#[tokio::test]
async fn a_label_counts_where_the_application_lists_the_object() {
    let labelled = |key: &str| deployment(json!({}), json!({ key: "shop" }));
    let mut listing = healing();
    listing["status"] = json!({ "resources": [{ "group": "apps", "kind": "Deployment", "namespace": "production", "name": "other" }] });
    for (label, application, owned) in [
        ("argocd.argoproj.io/instance", healing(), true),
        ("app.kubernetes.io/instance", healing(), true),
        ("app.kubernetes.io/instance", listing, false),
        ("example.com/instance", healing(), false),
    ] {
        let found = asked(&[(DEPLOYMENT, labelled(label)), (APPLICATION, application)]).await;
        assert_eq!(found["applications"].as_array().unwrap().len(), usize::from(owned), "{label}: {found:#}");
    }
    let by_annotation = json!({ "data": { "application.resourceTrackingMethod": "annotation" } });
    let found = asked(&[(DEPLOYMENT, labelled("argocd.argoproj.io/instance")), (APPLICATION, healing()), (SETTINGS, by_annotation)]).await;
    assert_eq!(found["applications"], json!([]), "this installation goes by the annotation");
    let found = asked(&[(DEPLOYMENT, labelled("app.kubernetes.io/instance"))]).await;
    assert_eq!(
        (&found["unknown"], found["summary"].as_str().unwrap()),
        (&json!([]), "no Argo CD Application owns deployment/ticket-service")
    );
    let found = asked(&[(DEPLOYMENT, tracked())]).await;
    assert!(found["unknown"][0].as_str().unwrap().contains("Application shop, which is not in namespace argocd"), "{found:#}");
}

#[test]
fn inputs_are_checked_before_anything_is_asked() {
    let refused = |inputs: Value| Input::of(&Inputs(inputs)).unwrap_err().message;
    assert!(refused(json!({ "object": "hpa/x", "replicas": true })).contains("hpa/x has no replicas"));
    assert!(refused(json!({ "object": "deployment/x", "fields": ["a..b"] })).contains("is not a field"));
    assert!(refused(json!({ "object": "deployment/x", "env": ["A[0]"] })).contains("not a variable's name"));
    assert!(refused(json!({ "object": "secret/x" })).contains("Secrets are never read"));
}
