//! What pre-event raises under an autoscaler: it stays without load, and it is given back, or what holds the pods is named.

use serde_json::{Value, json};

use super::support::{EVENT, Ran, Stage, step_of, until};

const READY: &str = "production/ticket-service 8/8 ready";
/// An autoscaler looks once in 15 s of the cluster's time: twenty minutes of it.
const TWENTY_MINUTES: u64 = 20 * 60 / 15;

/// A cluster whose time goes 600 times faster, with the procedure's autoscaler on these metrics.
fn stage(metrics: &str) -> Stage {
    Stage::pre_event().env("RUNSHEET_SANDBOX_AUTOSCALER", metrics).sandbox(600)
}

fn grow(stage: &Stage, settle: &str) -> Ran {
    let (event, settle) = (format!("event_id={EVENT}"), format!("settle={settle}"));
    stage.run(&["run", "pre-event", "-p", &event, "-p", &settle, "--yes"]).code(0)
}

fn looks(stage: &Stage) -> u64 {
    let status = stage.run(&["sandbox", "status", "-o", "json"]).code(0).json();
    status["live"]["autoscaler_looks"].as_u64().unwrap_or_else(|| panic!("no looks: {status:#}"))
}

/// Waits until the autoscaler has looked for twenty minutes of the cluster's time.
fn twenty_minutes(stage: &Stage) {
    let first = looks(stage);
    until("twenty minutes have passed in the cluster", || looks(stage) >= first + TWENTY_MINUTES);
}

#[track_caller]
fn assert_within(stage: &Stage) {
    let usage = stage.connections();
    assert_eq!(usage.exceeded, 0, "{usage:?}");
}

/// The rollback's end: kept, with what holds the pods; the pools stay small.
#[track_caller]
fn assert_held(stage: &Stage, metric: &str) -> Value {
    stage.run(&["rollback", "--yes"]).code(5);
    let status = stage.status_json();
    assert_eq!(status["status"], "stuck", "{status:#}");
    let scale = step_of(&status, "scale");
    assert_eq!(scale["status"], "kept", "{status:#}");
    let reason = scale["kept"]["reason"].as_str().unwrap();
    assert!(reason.contains("where 2 are wanted") && reason.contains(metric), "{reason}");
    assert_eq!(step_of(&status, "pool_size")["status"], "succeeded", "what relies on it stays: {status:#}");
    assert_eq!(status["owed"][0]["words"], "deployment/ticket-service: DB_POOL_MAX 9 → 20", "{status:#}");
    let shown = stage.run(&["status"]).code(0).stdout_has(metric).stdout_has("DB_POOL_MAX 9 → 20");
    shown.stdout_has("runsheet retry").stdout_has("kubectl set env deployment/ticket-service DB_POOL_MAX=20");
    assert_within(stage);
    status
}

#[test]
fn on_the_cpu_alone_the_floor_holds_without_load_and_given_back_the_pods_go() {
    let stage = stage("cpu");
    let ran = grow(&stage, "15s");
    let ran = ran.stdout_has("floor of the autoscaler ticket-service-hpa 8 → 2");
    ran.stderr_has(
        "the autoscaler ticket-service-hpa owns the replicas of deployment/ticket-service: its spec.minReplicas goes from 2 to 8",
    );
    twenty_minutes(&stage);
    assert_eq!(stage.deployments(), [READY, "production/ticket-service-hpa 8..16, now 8"]);
    assert_eq!(stage.effects_on("spec.replicas"), Vec::<String>::new(), "nobody set the replicas under it");
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(stage.status_json()["status"], "rolled_back");
    assert_eq!(stage.effects_on("spec.minReplicas"), ["2→8", "8→2"]);
    assert_eq!(stage.deployments()[0], "production/ticket-service 2/2 ready");
    assert_eq!(stage.connections().wanted, 40, "the pools are back as well");
    assert_within(&stage);
}

#[test]
fn with_the_memory_metric_the_floor_holds_and_given_back_the_metric_is_named() {
    let stage = stage("memory");
    grow(&stage, "2s");
    twenty_minutes(&stage);
    assert_eq!(stage.deployments(), [READY, "production/ticket-service-hpa 8..16, now 8"]);
    assert_held(&stage, "memory is at 78% of 80%: within the 10% tolerance, so it keeps 8 pods");
    assert_eq!(stage.deployments(), [READY, "production/ticket-service-hpa 2..16, now 8"]);
    assert_eq!(stage.connections().wanted, 8 * 9);
    // Within its tolerance, it leaves a count that a person sets.
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "2"]);
    stage.run(&["retry", "scale"]);
    assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
    assert_eq!((stage.deployments()[0].as_str(), stage.connections().wanted), ("production/ticket-service 2/2 ready", 40));
    assert_within(&stage);
}

#[test]
fn a_step_that_is_skipped_lets_no_pool_grow_that_does_not_fit() {
    let stage = stage("memory");
    grow(&stage, "1s");
    assert_held(&stage, "memory is at 78% of 80%");
    stage.run(&["skip", "scale", "--reason", "they may stay"]).code(5);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "pool_size")["status"]), (&json!("stuck"), &json!("rollback_failed")), "{status:#}");
    stage.run(&["status"]).stdout_has("8 replicas + 2 surge + 0 terminating = 10 pods × 20 = 200 connections");
    assert_eq!(stage.connections().wanted, 8 * 9);
    assert_within(&stage);
}

#[test]
fn under_load_the_cpu_is_named() {
    let stage = stage("cpu");
    grow(&stage, "2s");
    stage.run(&["sandbox", "load", "1500"]).code(0);
    assert_held(&stage, "cpu is at ");
    stage.run(&["sandbox", "load", "0"]).code(0);
    until("the pods have gone", || stage.deployments()[0] == "production/ticket-service 2/2 ready");
    stage.run(&["retry", "scale"]);
    assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
    assert_eq!(stage.connections().wanted, 40);
    assert_within(&stage);
}

const RAISING: &str = "\
playbook: raise
summary: More than the autoscaler may have
params:
  maximum:
    type: boolean
    default: false
steps:
  - id: scale
    uses: k8s.scale
    with:
      workload: deployment/ticket-service
      replicas: 20
      raise_maximum: ${{ params.maximum }}
      settle: 15s
    on_failure: rollback
outputs:
  floor: ${{ steps.scale.outputs.floor }}
  autoscaler: ${{ steps.scale.outputs.autoscaler }}
  before: ${{ steps.scale.outputs.previous_replicas }}
";

#[test]
fn a_floor_above_the_maximum_is_refused_and_where_it_may_both_are_raised_and_given_back() {
    let stage = stage("cpu").playbook("raise", RAISING);
    let ran = stage.run(&["run", "raise", "--yes"]).code(1);
    let ran = ran.stdout_has("20 replicas of deployment/ticket-service are wanted, and its autoscaler ticket-service-hpa goes up to 16");
    ran.stdout_has("want 16 or fewer, or say `raise_maximum: true`");
    assert!(stage.effects().is_empty());
    let ran = stage.run(&["run", "raise", "-p", "maximum=true", "--yes"]).code(0);
    ran.stdout_has("floor: true").stdout_has("autoscaler: ticket-service-hpa").stdout_has("before: 2");
    assert_eq!(stage.deployments()[1].split(',').next().unwrap(), "production/ticket-service-hpa 20..20");
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(
        (stage.effects_on("spec.minReplicas"), stage.effects_on("spec.maxReplicas")),
        (both("2→20", "20→2"), both("16→20", "20→16"))
    );
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready", "production/ticket-service-hpa 2..16, now 2"]);
}

fn both(forth: &str, back: &str) -> Vec<String> {
    vec![forth.to_owned(), back.to_owned()]
}
