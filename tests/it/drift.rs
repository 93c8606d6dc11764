//! What a run tells when it goes on after its locks were away, and finds changed what it had set. Promise 5: on return it looks for drift.

use super::support::{Stage, step_of};

/// Grows to six, then waits for a person, holding no lock; what comes after is over at once.
const GATED: &str = "playbook: gated
summary: Grow, and wait
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 6 }
  - id: gate
    needs: [scale]
    uses: approve
  - id: last
    needs: [gate]
    uses: noop
";
const OTHER: &str = "playbook: other
summary: Another operator's
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
";

/// A run that waits at its gate, and its id.
fn waiting() -> (Stage, String) {
    let stage = Stage::new().playbook("gated", GATED).playbook("other", OTHER).sandbox(50);
    stage.run(&["run", "gated"]).code(4);
    let run = stage.latest_run();
    (stage, run)
}

#[test]
fn promise_5_a_run_that_goes_on_says_what_another_run_has_changed_meanwhile() {
    let (stage, run) = waiting();
    stage.run(&["run", "other"]).code(0);
    let other = stage.run(&["status", "other", "-o", "json"]).code(0).json()["short_id"].as_str().unwrap().to_owned();
    let told = format!("replicas of deployment/ticket-service in production (changed by run {other}) is 4, and the run had set 6");
    stage.run(&["approve", &run, "gate"]).code(0).stderr_has(&told);
    // It is kept with the run, though the run was over before anybody had looked.
    let status = stage.run(&["status", &run, "-o", "json"]).code(0).json();
    let drift = &step_of(&status, "scale")["drift"];
    assert_eq!((&drift[0]["expected"], &drift[0]["found"]), (&6.into(), &4.into()), "{status:#}");
    stage.run(&["logs", &run]).code(0).stdout_has(&told);
}

#[test]
fn promise_5_a_run_that_goes_on_says_what_somebody_else_has_changed_meanwhile() {
    let (stage, run) = waiting();
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "5"]);
    let told = "replicas of deployment/ticket-service in production is 5, and the run had set 6";
    stage.run(&["approve", &run, "gate"]).code(0).stderr_has(told);
}

#[test]
fn what_is_as_the_run_left_it_is_no_drift() {
    let (stage, run) = waiting();
    stage.run(&["approve", &run, "gate"]).code(0).has_nowhere("and the run had set");
    let status = stage.run(&["status", &run, "-o", "json"]).code(0).json();
    assert!(step_of(&status, "scale").get("drift").is_none(), "{status:#}");
}
