//! `k8s.patch` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;
use crate::model::by_hand::variable;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/x";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/floor";

fn deployment(grace: Value) -> Value {
    json!({
        "metadata": { "name": "x", "labels": { "team": "a" } },
        "spec": {
            "replicas": 2,
            "template": { "spec": {
                "terminationGracePeriodSeconds": grace,
                "containers": [{ "name": "app", "image": "i:1", "resources": { "requests": { "cpu": "500m" } } }, { "name": "side", "image": "s" }],
            } },
        },
    })
}

fn inputs(set: Value) -> Inputs {
    Inputs(json!({ "object": "deployment/x", "set": set }))
}

const GRACE: &str = "spec.template.spec.terminationGracePeriodSeconds";

async fn trial_of(object: Value) -> (Objects, Patch, Context) {
    let stand_in = Objects::start(&[(PATH, object)]).await;
    let action = Patch::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("word", "hunter2")]);
    (stand_in, action, cx)
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn twice_is_once_forth_and_back() {
    let before = deployment(json!(30));
    for set in [
        json!({ GRACE: 60 }),
        json!({ GRACE: 60, "spec.template.spec.containers[app].image": "i:2", "metadata.annotations[a.b/c]": "x", "metadata.labels.team": null }),
        json!({ "metadata.annotations[a.b/c]": "x", "metadata.annotations.d": "y" }),
        json!({ "spec.template.spec.containers[side]": null }),
        json!({ "spec.strategy": { "type": "Recreate" }, "spec.replicas": 5 }),
    ] {
        let (stand_in, action, cx) = trial_of(before.clone()).await;
        trial::repeats(&action, &cx, &inputs(set.clone())).await;
        assert_eq!(stand_in.writes(), 2, "each swap had one effect");
        let mut back = stand_in.get(PATH).unwrap();
        for key in ["uid", "resourceVersion"] {
            back["metadata"].as_object_mut().unwrap().remove(key);
        }
        assert_eq!(back, before, "nothing stays behind of {set}");
    }
}

#[tokio::test]
async fn the_plan_names_each_field_by_its_one_name() {
    let (stand_in, action, cx) = trial_of(deployment(json!(30))).await;
    let given = Inputs(json!({ "object": "apps/v1/Deployment/x", "set": {
        "spec.template.spec.containers.app.image": "i:2", GRACE: 30, "spec.template.spec.containers[app].resources.requests.cpu": "0.5",
    } }));
    stand_in.put("/apis/apps/v1", json!({ "resources": [{ "name": "deployments", "kind": "Deployment", "namespaced": true }] }));
    let intent = trial::planned(&action, &cx, &given).await;
    let [change] = intent.changes.as_slice() else { panic!("{:?}", intent.changes) };
    assert_eq!(change.object.0, "k8s:uid-1/production/deployment/x");
    assert_eq!(touches(&given.0, cx.target.as_ref()), std::slice::from_ref(&change.object));
    assert_eq!(change.field, "spec.template.spec.containers[app].image");
    assert_eq!((&change.prior, &change.after), (&json!("i:1"), &json!("i:2")));
    let line = |image: &str| {
        format!(
            "kubectl patch deployment.v1.apps/x -n production --type strategic -p \
             '{{\"spec\":{{\"template\":{{\"spec\":{{\"containers\":[{{\"name\":\"app\",\"image\":\"{image}\"}}]}}}}}}}}'"
        )
    };
    assert_eq!((intent.by_hand.as_slice(), intent.undo_by_hand.as_slice()), ([line("i:2")].as_slice(), [line("i:1")].as_slice()));
    let unchanged = action.plan(&cx, &inputs(json!({})), &intent.prior, &Rollback::Auto).unwrap_err();
    assert!(unchanged.message.contains("`set` names no field"));
    let prior = action.observe(&cx, &inputs(json!({ GRACE: 30 }))).await.unwrap();
    let unchanged = action.plan(&cx, &inputs(json!({ GRACE: 30 })), &prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!(unchanged, json!({ "fields": { GRACE: 30 }, "previous_fields": { GRACE: 30 } }));
}

#[tokio::test]
async fn what_somebody_else_put_there_is_left_alone() {
    let (stand_in, action, cx) = trial_of(deployment(json!(30))).await;
    let given = inputs(json!({ GRACE: 60, "metadata.labels.team": "b" }));
    let intent = trial::planned(&action, &cx, &given).await;
    stand_in.fault(Fault::Meanwhile(deployment(json!(45))));
    let refused = failure(action.apply(&cx, &given, &intent).await);
    assert!(refused.message.contains("is 45: somebody else changed it from 30 to 45 meanwhile"), "{refused}");
    assert_eq!(stand_in.writes(), 0);
    assert!(matches!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::CannotTell { .. }));
    stand_in.put(PATH, deployment(json!(30)));
    for (status, reason, transient) in
        [(403, "Forbidden", false), (404, "NotFound", false), (409, "Conflict", true), (422, "Invalid", false)]
    {
        stand_in.fault(Fault::Refuse(status, reason, "as it was told"));
        let failure = failure(action.apply(&cx, &given, &intent).await);
        assert!(failure.message.starts_with("patch deployments `x` in namespace production: "), "{failure}");
        assert_eq!(failure.transient, transient, "{status}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (stand_in, action, cx) = trial_of(deployment(json!(30))).await;
        let given = inputs(json!({ GRACE: 60 }));
        let intent = trial::planned(&action, &cx, &given).await;
        stand_in.fault(fault);
        assert!(matches!(action.apply(&cx, &given, &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &given, &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[tokio::test]
async fn what_cannot_be_put_back_or_is_owned_is_refused() {
    let (stand_in, action, cx) = trial_of(deployment(json!("hunter2"))).await;
    let refused = async |value: Value| action.observe(&cx, &Inputs(value)).await.unwrap_err().message;
    let of = |set: Value| json!({ "object": "deployment/x", "set": set });
    assert!(refused(of(json!({ "status.replicas": 1 }))).await.contains("cannot be set"));
    assert!(refused(of(json!({ "metadata.finalizers": null }))).await.contains("cannot be set"));
    assert!(refused(of(json!({ "spec.a.b.c": 1 }))).await.contains("cannot be put back alone: `a`"));
    assert!(refused(of(json!({ "spec.template": 1, "spec.template.spec": 1 }))).await.contains("one lies in the other"));
    assert!(refused(of(json!({ GRACE: 1 }))).await.contains("is a secret of this run"));
    assert!(refused(json!({ "object": "secret/x", "set": { "data.a": "b" } })).await.contains("Secrets are never read"));
    assert!(refused(json!({ "object": "deployment/none", "set": { "spec.x": 1 } })).await.contains("there is no deployment/none"));
    let raw = refused(json!({ "object": "deployment/x", "set": { "spec.x": 1 }, "patch": {} })).await;
    assert!(raw.contains("unknown field `patch`"), "{raw}");
    let owner = json!({ "metadata": { "name": "floor" }, "spec": { "scaleTargetRef": { "kind": "Deployment", "name": "x" }, "minReplicas": 2, "maxReplicas": 9 } });
    stand_in.put(HPA, owner);
    assert!(refused(of(json!({ "spec.replicas": 4 }))).await.contains("belongs to the autoscaler hpa/floor"));
    let floor = Inputs(json!({ "object": "hpa/floor", "set": { "spec.minReplicas": 4 } }));
    let change = &trial::planned(&action, &cx, &floor).await.changes[0];
    assert_eq!((change.object.0.as_str(), change.field.as_str()), ("k8s:uid-1/production/hpa/floor", "spec.minReplicas"));
}

#[tokio::test]
async fn an_object_without_a_namespace_has_one_name() {
    let (stand_in, action, cx) = trial_of(deployment(json!(30))).await;
    stand_in.put("/api/v1/nodes/n", json!({ "spec": { "unschedulable": true } }));
    let given = Inputs(json!({ "object": "node/n", "namespace": "other", "set": { "spec.unschedulable": null } }));
    let intent = trial::planned(&action, &cx, &given).await;
    assert_eq!(intent.changes[0].object.0, "k8s:uid-1/-/node/n");
    assert_eq!(intent.by_hand, ["kubectl patch node/n --type merge -p '{\"spec\":{\"unschedulable\":null}}'"]);
    stand_in.put("/apis/x.io/v1", json!({ "resources": [{ "name": "zones", "kind": "Zone", "namespaced": false }] }));
    let given = Inputs(json!({ "object": "x.io/v1/Zone/z", "set": { "spec.a": 1 } }));
    let failure = action.observe(&cx, &given).await.unwrap_err();
    assert!(failure.message.contains("zone.x.io/z belongs to no namespace"), "{failure}");
}

#[test]
fn a_person_types_the_same() {
    let given = json!({ "object": "deployment/x", "set": { "spec.replicas": variable("count"), "metadata.labels[a.b/c]": "y" } });
    let lines = by_hand::by_hand(&given, Some(&trial::target("uid-1")));
    assert_eq!(
        lines.look,
        [
            "SPEC_REPLICAS_BEFORE=$(kubectl get deployment/x -n production -o jsonpath='{.spec.replicas}')",
            "METADATA_LABELS_A_B_C__BEFORE=$(kubectl get deployment/x -n production -o jsonpath='{.metadata.labels.a\\.b/c}')",
        ]
    );
    let patch = "kubectl patch deployment/x -n production --type merge -p ";
    assert_eq!(
        lines.act,
        [format!("{patch}'{{\"spec\":{{\"replicas\":'\"${{COUNT}}\"'}},\"metadata\":{{\"labels\":{{\"a.b/c\":\"y\"}}}}}}'")]
    );
    assert!(lines.undo[0].contains("{\"replicas\":'\"${SPEC_REPLICAS_BEFORE:-null}\"'}"), "{:?}", lines.undo);
    let text = "\"${METADATA_LABELS_A_B_C__BEFORE:+\\\"}${METADATA_LABELS_A_B_C__BEFORE:-null}${METADATA_LABELS_A_B_C__BEFORE:+\\\"}\"";
    assert!(lines.undo[0].contains(&format!("\"a.b/c\":'{text}'")), "{:?}", lines.undo);
}
