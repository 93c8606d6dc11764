//! `k8s.apply` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/x";
const CONFIG: &str = "/api/v1/namespaces/production/configmaps/x";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/x";

fn deployment(value: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "x", "namespace": "production", "generation": 1 },
        "spec": {
            "replicas": 2,
            "template": { "spec": { "containers": [{ "name": "app", "image": "app:1", "env": [{ "name": "POOL", "value": value }, { "name": "KEPT", "value": "1" }] }] } },
        },
        "status": { "observedGeneration": 1 },
    })
}

/// As the API server does: fills in what a manifest leaves out.
fn defaults(object: &mut Value) {
    if object["kind"] == "Deployment" && object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"].is_null() {
        object["spec"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("IfNotPresent");
    }
}

fn changing() -> Inputs {
    let container = json!({ "name": "app", "image": "app:2", "env": [{ "name": "POOL", "value": "9" }, { "name": "NEW", "value": "n" }] });
    Inputs(json!({ "object": {
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "x", "labels": { "a.b/c": "d" }, "creationTimestamp": null },
        "spec": { "template": { "spec": { "containers": [container] } } },
    } }))
}

fn creating() -> Inputs {
    Inputs(json!({ "object": { "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "x" }, "data": { "app.conf": "1" } } }))
}

fn forced(inputs: Inputs) -> Inputs {
    let mut value = inputs.0;
    value["force"] = json!(true);
    Inputs(value)
}

async fn stage() -> (Objects, Apply, Context, Arc<trial::Kept>) {
    let objects = Objects::start(&[]).await;
    objects.held.lock().unwrap().defaults = Some(defaults);
    let mut there = deployment("20");
    defaults(&mut there);
    objects.put(DEPLOYMENT, there);
    let action = Apply::new(Arc::clone(&objects.connections));
    let (cx, log) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx, log)
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

fn swaps(intent: &Intent) -> Vec<Swap> {
    let swap = |change: &Change| Swap {
        object: change.object.clone(),
        field: change.field.clone(),
        label: change.label.clone(),
        from: change.after.clone(),
        to: change.prior.clone(),
    };
    intent.changes.iter().map(swap).collect()
}

#[tokio::test]
async fn what_differs_is_changed_once_and_changed_back_once() {
    let (objects, action, cx, log) = stage().await;
    let before = objects.get(DEPLOYMENT).unwrap();
    let intent = trial::planned(&action, &cx, &changing()).await;
    assert_eq!(objects.writes(), 0, "a dry run changes nothing");
    let container = "spec.template.spec.containers[app]";
    let told: Vec<_> = intent.changes.iter().map(|change| (change.field.clone(), change.prior.clone(), change.after.clone())).collect();
    assert_eq!(
        told,
        [
            ("metadata.labels[a.b/c]".to_owned(), Value::Null, json!("d")),
            (format!("{container}.image"), json!("app:1"), json!("app:2")),
            (format!("{container}.env[POOL]"), json!("20"), json!("9")),
            (format!("{container}.env[NEW]"), Value::Null, json!("n")),
        ]
    );
    assert!(intent.changes.iter().all(|change| change.object.0 == "k8s:uid-1/production/deployment/x"));
    assert_eq!(touches(&changing().0, cx.target.as_ref()), [intent.changes[0].object.clone()]);
    trial::repeats(&action, &cx, &changing()).await;
    assert_eq!((objects.writes(), &objects.get(DEPLOYMENT).unwrap()["spec"]), (2, &before["spec"]));
    action.apply(&cx, &changing(), &intent).await;
    let prior = action.observe(&cx, &changing()).await.unwrap();
    let unchanged = action.plan(&cx, &changing(), &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!(unchanged, json!({ "name": "x", "kind": "Deployment", "created": false, "changed": [] }));
    assert!(log.lines.lock().unwrap().is_empty(), "the dry run told what would be there");
}

#[tokio::test]
async fn what_is_not_there_is_created_once_and_deleted_once() {
    let (objects, action, cx, _) = stage().await;
    trial::repeats(&action, &cx, &creating()).await;
    assert_eq!((objects.writes(), objects.get(CONFIG)), (2, None));
    let intent = trial::planned(&action, &cx, &creating()).await;
    let Applied::Applied { outputs } = action.apply(&cx, &creating(), &intent).await else { panic!() };
    assert_eq!(outputs, json!({ "name": "x", "kind": "ConfigMap", "created": true, "changed": [] }));
    let mut there = objects.get(CONFIG).unwrap();
    there["data"]["app.conf"] = json!("2");
    there["metadata"]["finalizers"] = json!(["example.com/keeps"]);
    objects.put(CONFIG, there);
    assert!(
        failure(action.revert(&cx, &intent, &swaps(&intent)).await)
            .message
            .contains("configmap/x in namespace production is left alone: x (changed since at data.app.conf)")
    );
    let held = "configmap/x in namespace production is not gone yet: held by example.com/keeps";
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::No { holds: held.to_owned() });
    let verdict = action.verify(&cx, &creating(), &intent).await.unwrap();
    assert!(matches!(verdict, Verdict::CannotTell { .. }), "{verdict:?}");
}

#[tokio::test]
async fn owners_are_named_and_nothing_is_taken_from_them_unless_told() {
    let (objects, action, cx, _) = stage().await;
    let image = "spec.template.spec.containers[app].image";
    objects.held.lock().unwrap().owned = vec![(image, "kubectl-client-side-apply"), ("spec.replicas", "somebody")];
    let prior = action.observe(&cx, &changing()).await.unwrap();
    let owned = action.plan(&cx, &changing(), &prior, &Rollback::Auto).unwrap_err();
    assert_eq!(
        owned.message,
        format!(
            "others own what the manifest would change of deployment/x in namespace production: .{image} is kubectl-client-side-apply's"
        )
    );
    assert!(owned.hint.unwrap().contains("`force: true`"));
    trial::repeats(&action, &cx, &forced(changing())).await;
    // Another came to own it between the plan and the step.
    objects.held.lock().unwrap().owned = vec![];
    let intent = trial::planned(&action, &cx, &changing()).await;
    objects.held.lock().unwrap().owned = vec![(image, "helm")];
    let late = failure(action.apply(&cx, &changing(), &intent).await);
    assert!(late.message.ends_with(&format!(".{image} is helm's")) && !late.transient, "{late}");
    // What only other steps of ours have set is no conflict.
    objects.held.lock().unwrap().owned = vec![(image, "runsheet")];
    trial::repeats(&action, &cx, &changing()).await;
}

#[tokio::test]
async fn a_cut_is_resolved_by_what_is_there() {
    for inputs in [changing, creating] {
        for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
            let (objects, action, cx, _) = stage().await;
            let intent = trial::planned(&action, &cx, &inputs()).await;
            objects.fault(fault);
            assert!(matches!(action.apply(&cx, &inputs(), &intent).await, Applied::Unknown { .. }));
            let verdict = action.verify(&cx, &inputs(), &intent).await.unwrap();
            assert_eq!((matches!(verdict, Verdict::Present { .. }), verdict == Verdict::Absent), (there, !there), "{verdict:?}");
        }
    }
}

#[tokio::test]
async fn what_somebody_else_did_meanwhile_is_left_alone() {
    let (objects, action, cx, _) = stage().await;
    let intent = trial::planned(&action, &cx, &changing()).await;
    let mut theirs = objects.get(DEPLOYMENT).unwrap();
    theirs["status"]["replicas"] = json!(7);
    // A status that comes in between is no reason to stop: it is sent again.
    objects.fault(Fault::Meanwhile(theirs.clone()));
    assert!(matches!(action.apply(&cx, &changing(), &intent).await, Applied::Applied { .. }));
    action.revert(&cx, &intent, &swaps(&intent)).await;
    theirs["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"] = json!("33");
    objects.fault(Fault::Meanwhile(theirs));
    let stranger = failure(action.apply(&cx, &changing(), &intent).await);
    assert!(
        stranger.message.contains(r#"env[POOL] of deployment/x in namespace production is "33": somebody else changed it from "20""#),
        "{stranger}"
    );
    assert!(matches!(action.verify(&cx, &changing(), &intent).await.unwrap(), Verdict::CannotTell { .. }));
    let created = trial::planned(&action, &cx, &creating()).await;
    objects.put(CONFIG, json!({ "metadata": { "name": "x" }, "data": { "app.conf": "1" } }));
    assert!(failure(action.apply(&cx, &creating(), &created).await).message.contains("somebody else created it meanwhile"));
    objects.held.lock().unwrap().objects.remove(DEPLOYMENT);
    assert!(failure(action.apply(&cx, &changing(), &intent).await).message.contains("there is no deployment/x in namespace production"));
    assert_eq!(action.live(&cx, &intent).await.unwrap(), [None, None, None, None]);
}

#[tokio::test]
async fn refusals_of_the_server_are_told() {
    for (status, reason, says) in [
        (403, "Forbidden", "patch deployments `x` in namespace production: forbidden (403)"),
        (422, "Invalid", "does not accept it (422): as told"),
    ] {
        let (objects, action, cx, _) = stage().await;
        let intent = trial::planned(&action, &cx, &changing()).await;
        objects.fault(Fault::Refuse(status, reason, "as told"));
        let failure = failure(action.apply(&cx, &changing(), &intent).await);
        assert!(failure.message.contains(says) && !failure.transient, "{failure}");
    }
}

#[tokio::test]
async fn what_may_not_be_applied_is_refused() {
    let (objects, action, cx, _) = stage().await;
    let with = |path: &str, value: Value| {
        let mut inputs = changing().0;
        *inputs["object"].pointer_mut(path).unwrap() = value;
        inputs
    };
    let metadata = |key: &str| with("/metadata", json!({ "name": "x", key: "1" }));
    let mut status = changing().0;
    status["object"]["status"] = json!({ "replicas": 1 });
    let mut elsewhere = with("/metadata", json!({ "name": "x", "namespace": "a" }));
    elsewhere["namespace"] = json!("b");
    for (inputs, says) in [
        (with("/kind", json!("Secret")), "does not apply Secrets"),
        (with("/kind", json!("")), "has no `kind`"),
        (with("/metadata", json!({})), "has no `metadata.name`"),
        (with("/metadata", json!({ "name": "../x" })), "name no object"),
        (metadata("uid"), "`metadata.uid`"),
        (metadata("resourceVersion"), "`metadata.resourceVersion`"),
        (status, "sets `status`"),
        (elsewhere, "is for namespace a, and the step says b"),
        (with("/spec", json!({ "text": "x".repeat(300_000) })), "larger than 256 KiB"),
    ] {
        let failure = action.observe(&cx, &Inputs(inputs)).await.unwrap_err();
        assert!(failure.message.contains(says) && failure.hint.is_some(), "{failure}");
    }
    objects.put(
        HPA,
        json!({ "metadata": { "name": "x" }, "spec": { "maxReplicas": 9, "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "x" } } }),
    );
    let inputs = Inputs(with("/spec", json!({ "replicas": 5 })));
    let prior = action.observe(&cx, &inputs).await.unwrap();
    let owned = action.plan(&cx, &inputs, &prior, &Rollback::Auto).unwrap_err();
    assert_eq!(owned.message, "the manifest sets `spec.replicas` of deployment/x in namespace production, which the autoscaler x owns");
    assert_eq!(objects.writes(), 0);
}

#[tokio::test]
async fn a_kind_without_a_short_name_is_looked_up() {
    let (objects, action, cx, _) = stage().await;
    let inputs = || {
        Inputs(
            json!({ "object": { "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": { "name": "b" }, "spec": { "minAvailable": 2 } } }),
        )
    };
    let unknown = action.observe(&cx, &inputs()).await.unwrap_err();
    assert!(unknown.message.contains("this cluster knows no PodDisruptionBudget at /apis/policy/v1"), "{unknown}");
    objects.put(
        "/apis/policy/v1",
        json!({ "resources": [{ "name": "poddisruptionbudgets", "kind": "PodDisruptionBudget", "namespaced": true }] }),
    );
    trial::repeats(&action, &cx, &inputs()).await;
    let written: Vec<String> = objects.held.lock().unwrap().writes.iter().map(|(method, path)| format!("{method} {path}")).collect();
    let path = "/apis/policy/v1/namespaces/production/poddisruptionbudgets/b";
    assert_eq!(written, [format!("POST {path}"), format!("DELETE {path}")]);
}

#[test]
fn the_lines_for_hands_apply_and_put_back() {
    let lines = super::by_hand::lines(&forced(creating()).0, Some(&trial::target("u")));
    assert_eq!(
        lines.act,
        [
            r#"printf '%s' '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x"},"data":{"app.conf":"1"}}' | kubectl apply --server-side --field-manager=runsheet --force-conflicts -n production -f -"#
        ]
    );
    assert!(
        lines.look[0].starts_with("OBJECT_BEFORE_X=$(kubectl get configmap/x -n production -o json --ignore-not-found"),
        "{}",
        lines.look[0]
    );
    assert!(lines.undo[0].ends_with("else kubectl delete configmap/x -n production; fi"), "{}", lines.undo[0]);
}
