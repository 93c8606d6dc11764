//! `k8s.set_resources` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;
use crate::model::by_hand::variable;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const PODS: &str = "/api/v1/namespaces/production/pods";
const HPA: &str = "/apis/autoscaling/v2/namespaces/production/horizontalpodautoscalers/floor";

fn deployment(resources: &Value) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "ticket-service" } },
            "template": { "spec": { "containers": [{ "name": "side" }, { "name": "app", "resources": resources }] } },
        },
        "status": { "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2 },
    })
}

fn pod(name: &str, spec: &Value, runs_with: &Value) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "side" }, { "name": "app", "resources": spec }] },
        "status": { "phase": "Running", "containerStatuses": [{ "name": "app", "resources": runs_with }] },
    })
}

fn half() -> Value {
    json!({ "requests": { "cpu": "250m", "memory": "256Mi" }, "limits": { "memory": "1024Mi" } })
}

fn inputs(more: &Value) -> Inputs {
    let mut all = json!({ "workload": "deployment/ticket-service", "container": "app" });
    all.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    Inputs(all)
}

async fn trial_of(resources: &Value) -> (Objects, SetResources, Context) {
    let hpa = json!({
        "metadata": { "name": "floor" },
        "spec": { "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" }, "maxReplicas": 9 },
    });
    let stand_in = Objects::start(&[(PATH, deployment(resources)), (HPA, hpa)]).await;
    let action = SetResources::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    (stand_in, action, cx)
}

/// The same with two pods, on a cluster that resizes.
async fn in_place() -> (Objects, SetResources, Context, Inputs) {
    let (stand_in, action, cx) = trial_of(&half()).await;
    for name in ["a", "b"] {
        stand_in.put(&format!("{PODS}/{name}"), pod(name, &half(), &half()));
    }
    stand_in.put("/api/v1", json!({ "resources": [{ "name": "pods" }, { "name": "pods/resize" }] }));
    (stand_in, action, cx, inputs(&json!({ "mode": "in_place", "requests": { "cpu": "0.5" } })))
}

fn failure(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn twice_is_once_forth_and_back() {
    for (before, wanted) in [
        (half(), json!({ "requests": { "cpu": 0.5, "memory": "512Mi" }, "limits": { "cpu": "2", "memory": "2Gi" } })),
        (half(), json!({ "limits": { "cpu": "1" } })),
        (json!({}), json!({ "requests": { "cpu": "100m", "memory": "64Mi" } })),
        (json!({ "requests": { "cpu": "0.25" } }), json!({ "requests": { "cpu": "0.50" } })),
    ] {
        let (stand_in, action, cx) = trial_of(&before).await;
        trial::repeats(&action, &cx, &inputs(&wanted)).await;
        assert_eq!(stand_in.writes(), 2, "each swap had one effect");
        assert_eq!(stand_in.get(PATH).unwrap()["spec"], deployment(&before)["spec"], "the very text is back");
    }
}

#[tokio::test]
async fn pods_are_resized_in_place_and_back() {
    let (stand_in, action, cx, given) = in_place().await;
    let intent = trial::planned(&action, &cx, &given).await;
    let objects: Vec<&str> = intent.changes.iter().map(|change| change.object.0.as_str()).collect();
    assert_eq!(objects, ["k8s:uid-1/production/pod/a", "k8s:uid-1/production/pod/b"]);
    assert_eq!(intent.changes[0].field, "spec.containers[app].resources.requests.cpu");
    assert!(intent.note["says"].as_str().unwrap().contains("the template of deployment/ticket-service stays as it is"));
    assert_eq!(
        intent.undo_by_hand[0],
        "kubectl patch pod/a -n production --subresource resize -p \
         '{\"spec\":{\"containers\":[{\"name\":\"app\",\"resources\":{\"requests\":{\"cpu\":\"250m\"}}}]}}'"
    );
    trial::repeats(&action, &cx, &given).await;
    assert_eq!(stand_in.writes(), 4);
    assert_eq!(stand_in.get(PATH).unwrap()["spec"], deployment(&half())["spec"], "the template stays");
    for name in ["a", "b"] {
        assert_eq!(stand_in.get(&format!("{PODS}/{name}")).unwrap()["spec"], pod(name, &half(), &half())["spec"]);
    }
}

#[tokio::test]
async fn a_resize_is_there_when_the_pods_run_with_it() {
    let (stand_in, action, cx, given) = in_place().await;
    let intent = trial::planned(&action, &cx, &given).await;
    let Applied::Applied { outputs } = action.apply(&cx, &given, &intent).await else { panic!() };
    assert_eq!(outputs["resized"], false, "it is written and not followed yet");
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert_eq!(holds, "pod/a: it does not run with its new requests.cpu yet");
    let after = json!({ "requests": { "cpu": "500m", "memory": "256Mi" }, "limits": { "memory": "1Gi" } });
    let mut pending = pod("a", &after, &half());
    pending["status"]["conditions"] =
        json!([{ "type": "PodResizePending", "status": "True", "reason": "Infeasible", "message": "too much" }]);
    stand_in.put(&format!("{PODS}/a"), pending);
    stand_in.put(&format!("{PODS}/b"), pod("b", &after, &after));
    let seen = action.observe(&cx, &given).await.unwrap();
    assert_eq!((&seen["resized"], &seen["pods"][0]["waits"]), (&json!(false), &json!("the node does not resize it: Infeasible: too much")));
    stand_in.put(&format!("{PODS}/a"), pod("a", &after, &after));
    assert_eq!(action.observe(&cx, &given).await.unwrap()["resized"], true);
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
    let declared: Vec<&str> = ENTRY.outputs.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(outputs.as_object().unwrap().keys().collect::<Vec<_>>(), declared);
}

#[tokio::test]
async fn a_pod_that_is_gone_took_its_change_with_it() {
    let (stand_in, action, cx, given) = in_place().await;
    let intent = trial::planned(&action, &cx, &given).await;
    stand_in.held.lock().unwrap().objects.remove(&format!("{PODS}/a"));
    assert!(matches!(action.apply(&cx, &given, &intent).await, Applied::Applied { .. }));
    assert!(matches!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::Present { .. }));
    assert_eq!(action.live(&cx, &intent).await.unwrap(), [Some(json!("250m")), Some(json!("500m"))]);
}

#[tokio::test]
async fn some_pods_resized_is_an_effect() {
    let (stand_in, action, cx, given) = in_place().await;
    let intent = trial::planned(&action, &cx, &given).await;
    let mut theirs = half();
    theirs["requests"]["cpu"] = json!("700m");
    stand_in.put(&format!("{PODS}/b"), pod("b", &theirs, &theirs));
    let applied = action.apply(&cx, &given, &intent).await;
    let Applied::FailedWithEffect { failure, .. } = applied else { panic!("{applied:?}") };
    assert!(failure.message.contains("somebody else changed it from \"250m\" to \"700m\""), "{failure}");
    assert!(failure.message.ends_with("(1 of 2 pods were resized before)"), "{failure}");
    stand_in.put(&format!("{PODS}/b"), pod("b", &half(), &half()));
    let verdict = action.verify(&cx, &given, &intent).await.unwrap();
    assert!(matches!(verdict, Verdict::CannotTell { .. }), "{verdict:?}");
    assert!(matches!(action.apply(&cx, &given, &intent).await, Applied::Applied { .. }), "it is idempotent");
}

#[tokio::test]
async fn a_cluster_that_does_not_resize_is_refused() {
    let (stand_in, action, cx, given) = in_place().await;
    stand_in.put("/api/v1", json!({ "resources": [{ "name": "pods" }] }));
    let failure = action.observe(&cx, &given).await.unwrap_err();
    assert_eq!(failure.message, "this cluster does not resize pods in place: it has no `pods/resize`");
    stand_in.put("/api/v1", json!({ "resources": [{ "name": "pods/resize" }] }));
    let intent = trial::planned(&action, &cx, &given).await;
    stand_in.fault(Fault::Refuse(403, "Forbidden", "no"));
    let failure = self::failure(action.apply(&cx, &given, &intent).await);
    assert!(failure.message.starts_with("patch pods/resize `a` in namespace production: forbidden (403)"), "{failure}");
}

#[tokio::test]
async fn the_plan_compares_by_value_and_names_the_autoscaler() {
    let (stand_in, action, cx) = trial_of(&half()).await;
    let given = inputs(&json!({ "requests": { "cpu": "0.25", "memory": "0.5Gi" }, "limits": { "memory": "1Gi" } }));
    let intent = trial::planned(&action, &cx, &given).await;
    let [change] = intent.changes.as_slice() else { panic!("{:?}", intent.changes) };
    assert_eq!(change.object.0, "k8s:uid-1/production/deployment/ticket-service");
    assert_eq!(change.field, "spec.template.spec.containers[app].resources.requests.memory");
    assert_eq!((&change.prior, &change.after), (&json!("256Mi"), &json!("512Mi")));
    let says = intent.note["says"].as_str().unwrap();
    assert!(says.contains("every pod of deployment/ticket-service is restarted"), "{says}");
    assert!(says.contains("hpa/floor scales deployment/ticket-service, and utilisation is a percentage of the requests"), "{says}");
    let line = "kubectl set resources deployment/ticket-service --requests=memory=";
    assert_eq!(intent.by_hand, [format!("{line}512Mi -c app -n production")]);
    assert_eq!(intent.undo_by_hand, [format!("{line}256Mi -c app -n production")]);
    let same = inputs(&json!({ "requests": { "cpu": "0.25" } }));
    let unchanged = action.plan(&cx, &same, &intent.prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!(unchanged["resources"], json!({ "requests": { "cpu": "250m" } }));
    let limits_alone = inputs(&json!({ "limits": { "cpu": "2" } }));
    let says = action.plan(&cx, &limits_alone, &intent.prior, &Rollback::Auto).unwrap().intent.note["says"].clone();
    assert!(!says.as_str().unwrap().contains("utilisation"), "{says}");
    stand_in.held.lock().unwrap().objects.remove(HPA);
    let says = trial::planned(&action, &cx, &given).await.note["says"].clone();
    assert!(!says.as_str().unwrap().contains("utilisation"), "{says}");
}

#[tokio::test]
async fn what_cannot_be_had_is_refused_before_anything_is_sent() {
    let (_stand_in, action, cx) = trial_of(&half()).await;
    let refused = async |value: Value| {
        let given = inputs(&value);
        match action.observe(&cx, &given).await {
            Ok(prior) => action.plan(&cx, &given, &prior, &Rollback::Auto).unwrap_err().message,
            Err(failure) => failure.message,
        }
    };
    let above = refused(json!({ "requests": { "memory": "2Gi" } })).await;
    assert_eq!(above, "requests.memory would be \"2Gi\", above limits.memory, which would be \"1024Mi\"");
    assert!(refused(json!({})).await.contains("neither `requests` nor `limits` names an amount"));
    assert!(refused(json!({ "requests": { "cpu": "fast" } })).await.contains("`fast` is not a quantity"));
    assert!(refused(json!({ "requests": { "gpu": 1 } })).await.contains("unknown field `gpu`"));
}

#[tokio::test]
async fn what_somebody_else_set_is_left_alone() {
    let (stand_in, action, cx) = trial_of(&half()).await;
    let given = inputs(&json!({ "requests": { "cpu": "500m" } }));
    let intent = trial::planned(&action, &cx, &given).await;
    let mut theirs = half();
    theirs["requests"]["cpu"] = json!("700m");
    stand_in.fault(Fault::Meanwhile(deployment(&theirs)));
    let refused = failure(action.apply(&cx, &given, &intent).await);
    assert!(refused.message.contains("somebody else changed it from \"250m\" to \"700m\" meanwhile"), "{refused}");
    assert_eq!(stand_in.writes(), 0);
    assert!(matches!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::CannotTell { .. }));
    stand_in.put(PATH, deployment(&half()));
    for (status, reason, transient) in
        [(403, "Forbidden", false), (404, "NotFound", false), (409, "Conflict", true), (422, "Invalid", false)]
    {
        stand_in.fault(Fault::Refuse(status, reason, "as it was told"));
        let failure = failure(action.apply(&cx, &given, &intent).await);
        assert!(failure.message.starts_with("patch deployments `ticket-service` in namespace production: "), "{failure}");
        assert_eq!(failure.transient, transient, "{status}");
    }
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (stand_in, action, cx) = trial_of(&half()).await;
        let given = inputs(&json!({ "requests": { "cpu": "500m" } }));
        let intent = trial::planned(&action, &cx, &given).await;
        stand_in.fault(fault);
        assert!(matches!(action.apply(&cx, &given, &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &given, &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[test]
fn a_person_types_the_same() {
    let target = trial::target("uid-1");
    let given = json!({ "workload": "deployment/x", "requests": { "cpu": variable("cores") }, "limits": { "memory": "1Gi" } });
    let lines = by_hand::by_hand(&given, Some(&target));
    assert_eq!(
        lines.look[0],
        "REQUESTS_CPU_BEFORE=$(kubectl get deployment/x -n production -o jsonpath='{.spec.template.spec.containers[*].resources.requests.cpu}')"
    );
    assert_eq!(
        lines.act,
        [
            "kubectl set resources deployment/x --requests=cpu=\"${CORES}\" --limits=memory=1Gi -n production",
            "kubectl rollout status deployment/x -n production",
        ]
    );
    assert_eq!(
        lines.undo[0],
        "kubectl set resources deployment/x --requests=cpu=\"${REQUESTS_CPU_BEFORE:-0}\" --limits=memory=\"${LIMITS_MEMORY_BEFORE:-0}\" -n production"
    );
    let lines = by_hand::by_hand(&json!({ "workload": "deployment/x", "mode": "in_place", "requests": { "cpu": 2 } }), Some(&target));
    assert_eq!(
        lines.act,
        [
            "for pod in $(kubectl get pods -n production -l \"${SELECTOR%,}\" -o name); do kubectl patch \"$pod\" -n production --subresource resize \
          -p '{\"spec\":{\"containers\":[{\"name\":\"'\"${CONTAINER}\"'\",\"resources\":{\"requests\":{\"cpu\":\"2\"}}}]}}'; done"
        ]
    );
}
