//! `argocd.pause_sync` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const SHOP: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/shop";
const PARENT: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applications/all";
const SET: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/applicationsets/shops-set";

fn application(name: &str, policy: Value) -> Value {
    json!({ "metadata": { "name": name, "namespace": "argocd" }, "spec": { "project": "default", "syncPolicy": policy } })
}

fn healing() -> Value {
    application("shop", json!({ "automated": { "prune": true, "selfHeal": true }, "syncOptions": ["CreateNamespace=true"] }))
}

async fn stage(objects: &[(&str, Value)]) -> (Objects, PauseSync, Context) {
    let objects = Objects::start(objects).await;
    let action = PauseSync::new(Arc::clone(&objects.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx)
}

fn shop() -> Inputs {
    Inputs(json!({ "application": "shop" }))
}

async fn refused(objects: &[(&str, Value)]) -> Failure {
    let (_objects, action, cx) = stage(objects).await;
    let prior = action.observe(&cx, &shop()).await.unwrap();
    action.plan(&cx, &shop(), &prior, &Rollback::Auto).unwrap_err()
}

#[tokio::test]
async fn it_is_paused_twice_as_once_and_given_back_exactly() {
    for policy in [json!({ "automated": { "prune": true, "selfHeal": true }, "syncOptions": ["A=true"] }), json!({ "automated": {} })] {
        let (objects, action, cx) = stage(&[(SHOP, application("shop", policy.clone()))]).await;
        trial::repeats(&action, &cx, &shop()).await;
        assert_eq!((objects.writes(), &objects.get(SHOP).unwrap()["spec"]["syncPolicy"]), (2, &policy));
    }
}

#[tokio::test]
async fn the_plan_names_the_application_the_field_and_the_way_back() {
    let (objects, action, cx) = stage(&[(SHOP, healing())]).await;
    let intent = trial::planned(&action, &cx, &shop()).await;
    let change = &intent.changes[0];
    assert_eq!(
        (change.object.0.as_str(), change.field.as_str()),
        ("k8s:uid-1/argocd/application.argoproj.io/shop", "spec.syncPolicy.automated")
    );
    assert_eq!(touches(&shop().0, cx.target.as_ref()), std::slice::from_ref(&change.object));
    assert_eq!((&change.prior, &change.after), (&json!({ "prune": true, "selfHeal": true }), &Value::Null));
    let line = r#"kubectl patch applications.argoproj.io shop -n argocd --type=merge -p '{"spec":{"syncPolicy":{"automated":{"prune":true,"selfHeal":true}}}}'"#;
    assert_eq!(intent.undo_by_hand, [line]);
    let Applied::Applied { outputs } = action.apply(&cx, &shop(), &intent).await else { panic!() };
    assert_eq!(
        outputs,
        json!({ "application": "argocd/shop", "previous_automated": { "prune": true, "selfHeal": true }, "syncing": false })
    );
    assert_eq!(objects.get(SHOP).unwrap()["spec"]["syncPolicy"], json!({ "syncOptions": ["CreateNamespace=true"] }));
    // Whoever turns it on again meanwhile has the last word.
    objects.put(SHOP, application("shop", json!({ "automated": { "prune": false } })));
    let swap = Swap {
        object: change.object.clone(),
        field: change.field.clone(),
        label: String::new(),
        from: Value::Null,
        to: change.prior.clone(),
    };
    let reverted = action.revert(&cx, &intent, &[swap]).await;
    assert!(matches!(&reverted, Applied::NotApplied { failure } if failure.message.contains("somebody else changed it")), "{reverted:?}");
    assert_eq!(objects.get(SHOP).unwrap()["spec"]["syncPolicy"], json!({ "automated": { "prune": false } }));
}

#[tokio::test]
async fn what_does_not_sync_by_itself_is_left_as_it_is() {
    for policy in [Value::Null, json!({}), json!({ "automated": { "enabled": false, "selfHeal": true } })] {
        let mut one = application("shop", policy.clone());
        one["status"] = json!({ "operationState": { "phase": "Running" } });
        let (objects, action, cx) = stage(&[(SHOP, one)]).await;
        let prior = action.observe(&cx, &shop()).await.unwrap();
        let unchanged = action.plan(&cx, &shop(), &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
        assert_eq!((&unchanged["previous_automated"], &unchanged["syncing"]), (&Value::Null, &json!(true)), "{policy}");
        assert_eq!(objects.writes(), 0);
    }
}

#[tokio::test]
async fn what_would_not_stay_paused_is_refused() {
    let mut made = healing();
    made["metadata"]["ownerReferences"] = json!([{ "kind": "ApplicationSet", "name": "shops-set", "controller": true }]);
    let set = |spec: Value| json!({ "metadata": { "name": "shops-set", "namespace": "argocd" }, "spec": spec });
    let failure = refused(&[(SHOP, made.clone()), (SET, set(json!({})))]).await;
    assert!(
        failure.message.contains("made by the ApplicationSet shops-set") && failure.hint.unwrap().contains("ignoreApplicationDifferences")
    );
    let leaves = set(json!({ "ignoreApplicationDifferences": [{ "jsonPointers": ["/spec/syncPolicy"] }] }));
    let (_objects, action, cx) = stage(&[(SHOP, made), (SET, leaves)]).await;
    assert_eq!(trial::planned(&action, &cx, &shop()).await.changes.len(), 1);

    let mut child = healing();
    child["metadata"]["annotations"] = json!({ "argocd.argoproj.io/tracking-id": "all:argoproj.io/Application:argocd/shop" });
    let parent = application("all", json!({ "automated": { "selfHeal": true } }));
    let failure = refused(&[(SHOP, child), (PARENT, parent)]).await;
    let told = "spec.syncPolicy.automated of argocd/application.argoproj.io/shop belongs to the Argo CD Application argocd/all, which heals itself";
    assert!(failure.message.starts_with(told), "{failure}");
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (objects, action, cx) = stage(&[(SHOP, healing())]).await;
        let intent = trial::planned(&action, &cx, &shop()).await;
        objects.fault(fault);
        assert!(matches!(action.apply(&cx, &shop(), &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &shop(), &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[test]
fn an_application_is_named_with_or_without_its_namespace() {
    let target = trial::target("uid-1");
    for (text, namespace) in [("shop", "argocd"), ("team-a/shop", "team-a")] {
        assert_eq!(named(text, Some(&target)).unwrap().namespace, namespace);
    }
    for text in ["", "a/b/c", "Shop", "a/", "../x"] {
        assert!(named(text, Some(&target)).is_err(), "{text}");
    }
}
