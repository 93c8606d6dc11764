//! `argocd.sync_window` against a stand-in API server.

use super::*;
use crate::actions::kubernetes::stand_in::objects::{Fault, Objects};
use crate::actions::trial;

const PROJECT: &str = "/apis/argoproj.io/v1alpha1/namespaces/argocd/appprojects/default";

fn project(windows: Value) -> Value {
    json!({ "metadata": { "name": "default", "namespace": "argocd" }, "spec": { "sourceRepos": ["*"], "syncWindows": windows } })
}

fn nightly() -> Value {
    json!({ "kind": "deny", "schedule": "0 1 1 1 *", "duration": "1m", "applications": ["other"] })
}

async fn stage(windows: Value) -> (Objects, SyncWindow, Context) {
    let objects = Objects::start(&[(PROJECT, project(windows))]).await;
    let action = SyncWindow::new(Arc::clone(&objects.connections));
    let (cx, _) = trial::context(Some(trial::target("uid-1")), &[]);
    (objects, action, cx)
}

fn freeze_for(duration: &str) -> Inputs {
    Inputs(json!({ "applications": ["shop"], "duration": duration }))
}

fn windows(objects: &Objects) -> Value {
    objects.get(PROJECT).unwrap()["spec"]["syncWindows"].clone()
}

#[tokio::test]
async fn a_window_is_added_twice_as_once_and_taken_away_as_if_it_had_never_been() {
    for before in [Value::Null, json!([]), json!([nightly()])] {
        let (objects, action, cx) = stage(before.clone()).await;
        trial::repeats(&action, &cx, &freeze_for("8h")).await;
        assert_eq!((objects.writes(), windows(&objects)), (2, before));
    }
}

#[tokio::test]
async fn only_that_very_window_is_taken_away() {
    let (objects, action, cx) = stage(Value::Null).await;
    let intent = trial::planned(&action, &cx, &freeze_for("8h")).await;
    assert!(matches!(action.apply(&cx, &freeze_for("8h"), &intent).await, Applied::Applied { .. }));
    let ours = intent.changes[0].after.clone();
    assert_eq!((&ours["kind"], &ours["applications"], ours.get("manualSync")), (&json!("deny"), &json!(["shop"]), None));
    objects.put(PROJECT, project(json!([nightly(), ours, nightly()])));
    let change = &intent.changes[0];
    let swap = Swap { object: change.object.clone(), field: change.field.clone(), label: String::new(), from: ours, to: Value::Null };
    assert!(matches!(action.revert(&cx, &intent, &[swap]).await, Applied::Applied { .. }));
    assert_eq!(windows(&objects), json!([nightly(), nightly()]));
    assert_eq!(change.object.0, "k8s:uid-1/argocd/appproject.argoproj.io/default");
    assert_eq!(touches(&freeze_for("8h").0, cx.target.as_ref()), std::slice::from_ref(&change.object));
}

#[tokio::test]
async fn what_is_denied_long_enough_already_is_not_denied_again() {
    let (objects, action, cx) = stage(Value::Null).await;
    let intent = trial::planned(&action, &cx, &freeze_for("8h")).await;
    action.apply(&cx, &freeze_for("8h"), &intent).await;
    for (duration, more) in [("8h", false), ("1h", false), ("9h", true)] {
        let prior = action.observe(&cx, &freeze_for(duration)).await.unwrap();
        let plan = action.plan(&cx, &freeze_for(duration), &prior, &Rollback::Auto).unwrap();
        assert_eq!(plan.unchanged.is_none(), more, "{duration}");
    }
    let prior = action.observe(&cx, &Inputs(json!({ "duration": "1h" }))).await.unwrap();
    assert_eq!(prior["denied_until"], Value::Null, "one Application is not all of the project");
    assert_eq!(objects.writes(), 1);
}

#[tokio::test]
async fn who_is_first_changes_the_list_and_nothing_is_lost() {
    let (objects, action, cx) = stage(json!([nightly()])).await;
    let intent = trial::planned(&action, &cx, &freeze_for("8h")).await;
    objects.fault(Fault::Meanwhile(project(json!([nightly(), nightly()]))));
    let applied = action.apply(&cx, &freeze_for("8h"), &intent).await;
    assert!(matches!(&applied, Applied::NotApplied { failure } if failure.transient), "{applied:?}");
    assert!(matches!(action.apply(&cx, &freeze_for("8h"), &intent).await, Applied::Applied { .. }));
    assert_eq!(windows(&objects).as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_cut_connection_is_unknown_and_verify_tells() {
    for (fault, there) in [(Fault::CutAfter, true), (Fault::CutBefore, false)] {
        let (objects, action, cx) = stage(Value::Null).await;
        let intent = trial::planned(&action, &cx, &freeze_for("8h")).await;
        objects.fault(fault);
        assert!(matches!(action.apply(&cx, &freeze_for("8h"), &intent).await, Applied::Unknown { .. }));
        let verdict = action.verify(&cx, &freeze_for("8h"), &intent).await.unwrap();
        assert_eq!(matches!(verdict, Verdict::Present { .. }), there, "{verdict:?}");
        assert_eq!(verdict == Verdict::Absent, !there);
    }
}

#[test]
fn inputs_are_checked_before_anything_is_sent() {
    let refused = |inputs: Value| Input::of(&Inputs(inputs)).unwrap_err().message;
    assert!(refused(json!({ "duration": "10s" })).contains("cannot be had"));
    assert!(refused(json!({ "duration": "32d" })).contains("cannot be had"));
    assert!(refused(json!({ "duration": "1h", "applications": [] })).contains("names none"));
    assert!(refused(json!({ "duration": "1h", "project": "A" })).contains("not an AppProject's name"));
}
