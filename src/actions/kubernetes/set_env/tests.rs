//! `k8s.set_env` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;
use crate::model::by_hand::variable;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
const POD: &str = "/api/v1/namespaces/production/pods/a";

fn deployment(env: Value) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "generation": 1 },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": { "app": "ticket-service" } },
            "template": { "spec": { "containers": [{ "name": "app", "env": env }] } },
        },
        "status": { "observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2, "availableReplicas": 2 },
    })
}

fn pool(value: &str) -> Value {
    deployment(json!([{ "name": "LOG", "value": "info" }, { "name": "DB_POOL_MAX", "value": value }]))
}

fn inputs(env: Value) -> Inputs {
    Inputs(json!({ "workload": "deployment/ticket-service", "env": env }))
}

async fn trial_of(object: Value) -> (Objects, SetEnv, Context) {
    let stand_in = Objects::start(&[(PATH, object)]).await;
    let action = SetEnv::new(Arc::clone(&stand_in.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[("token", "hunter2-new")]);
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
    let reference = json!({ "name": "DB_POOL_MAX", "valueFrom": { "configMapKeyRef": { "name": "c", "key": "k" } } });
    for (before, env) in [
        (pool("20"), json!({ "DB_POOL_MAX": 9 })),
        (pool("20"), json!({ "DB_POOL_MAX": "9", "LOG": null, "NEW": "x" })),
        (deployment(json!([reference])), json!({ "DB_POOL_MAX": 9 })),
        (deployment(json!([{ "name": "A", "value": "1" }, { "name": "B", "value": "$(A)" }])), json!({ "A": null })),
    ] {
        let (stand_in, action, cx) = trial_of(before.clone()).await;
        trial::repeats(&action, &cx, &inputs(env)).await;
        assert_eq!(stand_in.writes(), 2, "each swap had one effect");
        let back = stand_in.get(PATH).unwrap();
        assert_eq!(back["spec"], before["spec"], "the template is what it was, in its old order");
    }
}

#[tokio::test]
async fn the_plan_names_each_variable_and_that_pods_restart() {
    let (_stand_in, action, cx) = trial_of(pool("20")).await;
    let given = inputs(json!({ "DB_POOL_MAX": 9, "LOG": "info", "GONE": null }));
    let intent = trial::planned(&action, &cx, &given).await;
    let [change] = intent.changes.as_slice() else { panic!("{:?}", intent.changes) };
    assert_eq!(change.object.0, "k8s:uid-1/production/deployment/ticket-service");
    assert_eq!(pod_template::touches(&given.0, cx.target.as_ref()), std::slice::from_ref(&change.object));
    assert_eq!(change.field, "spec.template.spec.containers[app].env[DB_POOL_MAX]");
    assert_eq!((change.label.as_str(), &change.prior, &change.after), ("DB_POOL_MAX", &json!("20"), &json!("9")));
    assert!(intent.note["says"].as_str().unwrap().contains("every pod of deployment/ticket-service is restarted"));
    assert_eq!(intent.by_hand, ["kubectl set env deployment/ticket-service DB_POOL_MAX=9 -c app -n production"]);
    assert_eq!(intent.undo_by_hand, ["kubectl set env deployment/ticket-service DB_POOL_MAX=20 -c app -n production"]);
    assert_eq!(intent.revert, Revert::Fields { settle: "10m".parse().unwrap() });
    let kept = action.plan(&cx, &given, &intent.prior, &Rollback::None).unwrap().intent.revert;
    assert!(matches!(kept, Revert::Keep { .. }));
    let unchanged = action.plan(&cx, &inputs(json!({ "LOG": "info" })), &intent.prior, &Rollback::Auto).unwrap().unchanged.unwrap();
    assert_eq!((&unchanged["env"], &unchanged["rolled_out"]), (&json!({ "LOG": "info" }), &json!(true)));
    let declared: Vec<&str> = ENTRY.outputs.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(unchanged.as_object().unwrap().keys().collect::<Vec<_>>(), declared);
}

#[tokio::test]
async fn what_somebody_else_put_there_is_left_alone() {
    let (stand_in, action, cx) = trial_of(pool("20")).await;
    let given = inputs(json!({ "DB_POOL_MAX": 9 }));
    let intent = trial::planned(&action, &cx, &given).await;
    stand_in.fault(Fault::Meanwhile(pool("15")));
    let refused = failure(action.apply(&cx, &given, &intent).await);
    assert!(!refused.transient);
    assert_eq!(
        refused.message,
        "DB_POOL_MAX of deployment/ticket-service in namespace production is \"15\": somebody else changed it from \"20\" to \"15\" \
         meanwhile, and it was left alone"
    );
    assert_eq!(stand_in.writes(), 0);
    assert!(matches!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::CannotTell { .. }));
    // What another variable is does not matter.
    stand_in.put(PATH, pool("20"));
    stand_in.fault(Fault::Meanwhile(deployment(json!([{ "name": "LOG", "value": "debug" }, { "name": "DB_POOL_MAX", "value": "20" }]))));
    assert!(matches!(action.apply(&cx, &given, &intent).await, Applied::Applied { .. }));
    assert_eq!(stand_in.get(PATH).unwrap().pointer("/spec/template/spec/containers/0/env/0/value"), Some(&json!("debug")));
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (stand_in, action, cx) = trial_of(pool("20")).await;
        let given = inputs(json!({ "DB_POOL_MAX": 9 }));
        let intent = trial::planned(&action, &cx, &given).await;
        stand_in.fault(fault);
        let applied = action.apply(&cx, &given, &intent).await;
        assert!(matches!(applied, Applied::Unknown { .. }), "{applied:?}");
        let verdict = action.verify(&cx, &given, &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[tokio::test]
async fn refusals_name_what_was_asked() {
    let (stand_in, action, cx) = trial_of(pool("20")).await;
    let given = inputs(json!({ "DB_POOL_MAX": 9 }));
    let intent = trial::planned(&action, &cx, &given).await;
    for (status, reason, transient) in
        [(403, "Forbidden", false), (404, "NotFound", false), (409, "Conflict", true), (422, "Invalid", false)]
    {
        stand_in.fault(Fault::Refuse(status, reason, "as it was told"));
        let failure = failure(action.apply(&cx, &given, &intent).await);
        let asked = "patch deployments `ticket-service` in namespace production: ";
        assert!(failure.message.starts_with(asked) && failure.message.contains(&format!("({status})")), "{failure}");
        assert_eq!(failure.transient, transient, "{status}");
    }
    assert_eq!(stand_in.writes(), 0);
}

#[tokio::test]
async fn a_sensitive_value_is_compared_without_being_kept() {
    let token = |value: &str| deployment(json!([{ "name": "TOKEN", "value": value }]));
    let (stand_in, action, cx) = trial_of(token("old-hunter")).await;
    let with = |value: Value| Inputs(json!({ "workload": "deployment/ticket-service", "env": { "TOKEN": value }, "sensitive": ["TOKEN"] }));
    let given = with(json!("hunter2-new"));
    let prior = action.observe(&cx, &given).await.unwrap();
    // A plan is made without the secret.
    let mut intent = action.plan(&cx, &with(Value::Null), &prior, &Rollback::Auto).unwrap().intent;
    intent.prior = prior;
    let kept = serde_json::to_string(&intent).unwrap();
    assert!(!kept.contains("hunter"), "{kept}");
    assert!(matches!(&intent.revert, Revert::Keep { reason } if reason.contains("TOKEN")), "{:?}", intent.revert);
    assert_eq!(intent.by_hand.len(), 1);
    assert!(intent.by_hand[0].starts_with("printf '%s=%s\\n' TOKEN \"${TOKEN_SECRET}\" | kubectl set env -e - "), "{:?}", intent.by_hand);
    assert_eq!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::Absent);
    stand_in.fault(Fault::Meanwhile(token("other-hunter")));
    let refused = failure(action.apply(&cx, &given, &intent).await);
    assert!(refused.message.contains("neither what it was before") && !refused.message.contains("hunter"), "{refused}");
    stand_in.put(PATH, token("old-hunter"));
    for _ in 0..2 {
        let Applied::Applied { outputs } = action.apply(&cx, &given, &intent).await else { panic!() };
        assert!(!outputs.to_string().contains("hunter"), "{outputs}");
    }
    assert_eq!(stand_in.writes(), 1);
    assert_eq!(stand_in.get(PATH).unwrap().pointer("/spec/template/spec/containers/0/env/0/value"), Some(&json!("hunter2-new")));
    assert!(matches!(action.verify(&cx, &given, &intent).await.unwrap(), Verdict::Present { .. }));
    let prior = action.observe(&cx, &given).await.unwrap();
    assert!(action.plan(&cx, &with(Value::Null), &prior, &Rollback::Auto).unwrap().unchanged.is_some());
}

#[tokio::test]
async fn a_secret_goes_only_where_it_is_marked() {
    let (_stand_in, action, cx) = trial_of(pool("hunter2-new")).await;
    let failure = action.observe(&cx, &inputs(json!({ "DB_POOL_MAX": 9 }))).await.unwrap_err();
    assert!(failure.message.contains("holds is a secret of this run"), "{failure}");
    let prior = action.observe(&cx, &inputs(json!({ "LOG": "a-secret" }))).await.unwrap();
    let failure = action.plan(&cx, &inputs(json!({ "LOG": null })), &prior, &Rollback::Auto).unwrap_err();
    assert!(failure.message.contains("the value of LOG is a secret, and the variable is not marked as sensitive"), "{failure}");
    let plain = Inputs(json!({ "workload": "deployment/ticket-service", "env": { "LOG": "x" }, "sensitive": ["LOG"] }));
    let prior = action.observe(&cx, &plain).await.unwrap();
    let failure = action.plan(&cx, &plain, &prior, &Rollback::Auto).unwrap_err();
    assert!(failure.message.contains("given as plain text"), "{failure}");
    let gone = Inputs(json!({ "workload": "deployment/ticket-service", "env": { "LOG": null }, "sensitive": ["LOG"] }));
    let failure = action.observe(&cx, &gone).await.unwrap_err();
    assert!(failure.message.contains("cannot be removed"), "{failure}");
}

#[tokio::test]
async fn a_revert_is_followed_when_the_old_pods_are_gone() {
    let (stand_in, action, cx) = trial_of(pool("20")).await;
    let intent = trial::planned(&action, &cx, &inputs(json!({ "DB_POOL_MAX": 9 }))).await;
    let mut rolling = pool("20");
    rolling["metadata"]["generation"] = json!(2);
    stand_in.put(PATH, rolling);
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert_eq!(holds, "deployment/ticket-service: its controller has not taken up the latest change yet");
    stand_in.put(PATH, pool("20"));
    stand_in
        .put(POD, json!({ "metadata": { "name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z" }, "status": { "phase": "Running" } }));
    let Followed::No { holds } = action.followed(&cx, &intent).await.unwrap() else { panic!() };
    assert_eq!(holds, "1 of 1 pods are still terminating: a");
    stand_in.put(POD, json!({ "metadata": { "name": "a" }, "status": { "phase": "Running" } }));
    assert_eq!(action.followed(&cx, &intent).await.unwrap(), Followed::Yes);
}

#[tokio::test]
async fn containers_and_inputs_are_checked_before_anything_is_sent() {
    let mut two = pool("20");
    two["spec"]["template"]["spec"]["containers"] = json!([{ "name": "app" }, { "name": "side" }]);
    let (stand_in, action, cx) = trial_of(two).await;
    let refused = async |value: Value| {
        let mut all = json!({ "workload": "deployment/ticket-service", "env": { "A": "1" } });
        all.as_object_mut().unwrap().extend(value.as_object().cloned().unwrap());
        action.observe(&cx, &Inputs(all)).await.unwrap_err()
    };
    let unnamed = refused(json!({})).await;
    assert!(unnamed.message.contains("has 2 containers, and the step names none"), "{unnamed}");
    assert_eq!(unnamed.hint.as_deref(), Some("give the step `container:`, one of app, side"));
    assert!(refused(json!({ "container": "x" })).await.message.contains("has no container `x`"));
    assert!(refused(json!({ "env": {} })).await.message.contains("names no variable"));
    assert!(refused(json!({ "env": { "A]": "1" } })).await.message.contains("`A]` is not a variable's name"));
    assert!(refused(json!({ "env": { "A": ["hunter2"] } })).await.message.contains("must be a text, a number"));
    assert!(refused(json!({ "sensitive": ["B"] })).await.message.contains("`sensitive` names B"));
    stand_in.put(PATH, deployment(json!([{ "name": "A", "value": "1" }, { "name": "A", "value": "2" }])));
    assert!(refused(json!({})).await.message.contains("has the variable A more than once"));
}

#[test]
fn a_person_types_the_same() {
    let lines = by_hand::by_hand(
        &json!({ "workload": "deployment/x", "env": { "DB_POOL_MAX": variable("pool"), "OLD": null, "TOKEN": null }, "sensitive": ["TOKEN"] }),
        Some(&trial::target("uid-1")),
    );
    assert_eq!(
        lines.look,
        [
            "kubectl set env deployment/x --list -n production",
            "DB_POOL_MAX_BEFORE=$(kubectl get deployment/x -n production -o jsonpath='{.spec.template.spec.containers[*].env[?(@.name==\"DB_POOL_MAX\")].value}')",
            "OLD_BEFORE=$(kubectl get deployment/x -n production -o jsonpath='{.spec.template.spec.containers[*].env[?(@.name==\"OLD\")].value}')",
        ]
    );
    assert_eq!(
        lines.act,
        [
            "printf '%s=%s\\n' TOKEN \"${TOKEN_SECRET}\" | kubectl set env -e - deployment/x -n production",
            "kubectl set env deployment/x DB_POOL_MAX=\"${POOL}\" OLD- -n production",
            "kubectl rollout status deployment/x -n production",
        ]
    );
    assert_eq!(
        lines.undo,
        [
            "kubectl set env deployment/x \"${DB_POOL_MAX_BEFORE:+DB_POOL_MAX=}${DB_POOL_MAX_BEFORE:-DB_POOL_MAX-}\" \"${OLD_BEFORE:+OLD=}${OLD_BEFORE:-OLD-}\" -n production",
            "kubectl rollout status deployment/x -n production",
        ]
    );
}
