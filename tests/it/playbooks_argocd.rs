//! `pre-event` where Argo CD heals what it changes: found before the change; or paused, and given back last.

use serde_json::Value;

use super::playbooks::{Case, there_and_back, told};
use super::support::real::{RealStage, Way};
use super::support::{Ran, step_of};

/// What was to be put back, as the run tells it.
#[track_caller]
fn assert_stopped(ran: &Ran, status: &Value, fields: &[&str]) {
    let shown = format!("{ran}");
    assert_eq!(ran.code, Some(1), "{shown}");
    let owner = step_of(status, "owner");
    assert_eq!(owner["status"], "failed", "{status:#}");
    for word in fields.iter().chain(&["nothing was changed", "heals itself", "pause_sync=true"]) {
        assert!(owner.to_string().contains(word) || shown.contains(word), "{word}: {shown}\n{owner:#}");
    }
    for step in ["pause_sync", "pool_size", "scale"] {
        assert_ne!(step_of(status, step)["status"], "succeeded", "{step}: {status:#}");
    }
}

#[test]
fn promise_7_what_argo_cd_heals_stops_pre_event_before_anything_is_changed() {
    for (autoscaler, field) in [
        ("none", "spec.replicas of deployment/ticket-service"),
        ("cpu", "spec.minReplicas of hpa/ticket-service-hpa"),
        ("keda", "spec.minReplicaCount of scaledobject/ticket-service-scaler"),
    ] {
        let case = Case { autoscaler, argocd: "self-heal", ..Case::of("pre-event", &[]) };
        let stage = case.stage(50);
        let before = stage.objects();
        let ran = stage.run(&case.arguments());
        assert_stopped(&ran, &stage.status_json(), &[field, "env[DB_POOL_MAX] of deployment/ticket-service"]);
        assert_eq!(told(&stage), Vec::<String>::new(), "no request has changed anything");
        stage.assert_as_before(&before, autoscaler);
    }
}

#[test]
fn promise_3_pre_event_pauses_argo_cd_before_the_first_change_and_gives_it_back_last() {
    let case = Case { autoscaler: "cpu", argocd: "self-heal", ..Case::of("pre-event", &["pause_sync=true"]) };
    let stage = case.stage(400);
    let before = stage.objects();
    stage.run(&case.arguments()).code(0);
    let forth = told(&stage);
    assert!(forth[0].starts_with("argocd/application/ticket-service spec.syncPolicy.automated"), "{forth:?}");
    assert!(forth.iter().any(|effect| effect.ends_with("spec.minReplicas: 2→8")), "{forth:?}");
    stage.run(&["rollback", "--yes"]).code(0);
    let back = told(&stage).split_off(forth.len());
    assert!(back.last().is_some_and(|last| last.starts_with("argocd/application/ticket-service spec.syncPolicy")), "{back:?}");
    stage.assert_as_before(&before, "pre-event that paused Argo CD");
}

#[test]
fn promise_3_pre_event_pauses_argo_cd_before_it_raises_kedas_floor() {
    let case = Case { autoscaler: "keda", argocd: "self-heal", ..Case::of("pre-event", &["pause_sync=true"]) };
    let stage = case.stage(400);
    let before = stage.objects();
    stage.run(&case.arguments()).code(0);
    let forth = told(&stage);
    assert!(forth.iter().any(|effect| effect.ends_with("spec.minReplicaCount: 2→8")), "{forth:?}");
    stage.run(&["rollback", "--yes"]).code(0);
    let back = told(&stage).split_off(forth.len());
    assert!(back.last().is_some_and(|last| last.starts_with("argocd/application/ticket-service spec.syncPolicy")), "{back:?}");
    stage.assert_as_before(&before, "pre-event that paused Argo CD beside KEDA");
}

#[test]
fn promise_3_an_argo_cd_that_does_not_heal_is_left_alone() {
    let effects = there_and_back(&Case { argocd: "on", ..Case::of("pre-event", &["pause_sync=true"]) }, 50);
    assert!(effects.iter().all(|effect| !effect.contains("/application/")), "{effects:?}");
}

mod real_cluster {
    use super::*;

    fn run(stage: &RealStage, more: &[&str]) -> Ran {
        let event = format!("event_id={}", stage.event());
        let mut words = vec!["run", "pre-event", "--env", "staging", "--yes", "-p", &event];
        words.extend(more);
        stage.run(&words)
    }

    #[test]
    fn promise_7_what_argo_cd_heals_stops_pre_event_before_anything_is_changed() {
        let stage = RealStage::new(Way::Direct).quick("pre-event");
        stage.install_argocd(true);
        let before = stage.objects();
        let ran = run(&stage, &[]);
        let fields = ["spec.minReplicas of hpa/ticket-service-hpa", "env[DB_POOL_MAX] of deployment/ticket-service"];
        assert_stopped(&ran, &stage.status_json(), &fields);
        stage.assert_as_before(&before, "a run that was stopped");
    }

    #[test]
    fn promise_3_pre_event_pauses_argo_cd_and_gives_it_back() {
        let stage = RealStage::new(Way::Direct).quick("pre-event");
        stage.install_argocd(false);
        let before = stage.objects();
        run(&stage, &["-p", "pause_sync=true", "-p", "level=medium"]).code(0);
        assert_eq!(stage.deployment()["spec"]["replicas"], 4, "nothing has put it back");
        stage.run(&["rollback", "--yes"]).code(0);
        stage.assert_as_before(&before, "pre-event that paused Argo CD");
    }
}
