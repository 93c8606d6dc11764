//! Runs that changed the same field one after the other, taken back in any order: promise 3, an unbroken chain of our own changes is ours.

use super::support::Stage;

const SCALE: &str = "\
playbook: scale
summary: One change
params:
  replicas: { type: integer }
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: \"${{ params.replicas }}\" }
";

/// Runs 2 → 8, then 8 → 3; their short ids.
fn two_runs() -> (Stage, String, String) {
    let stage = Stage::new().playbook("scale", SCALE).sandbox(20);
    let scaled = |replicas: &str| {
        stage.run(&["run", "scale", "-p", &format!("replicas={replicas}")]).code(0);
        stage.run(&["runs", "-n", "1", "-o", "json"]).code(0).json()[0]["short_id"].as_str().unwrap().to_owned()
    };
    let (first, second) = (scaled("8"), scaled("3"));
    (stage, first, second)
}

#[test]
fn promise_3_a_rollback_says_beforehand_which_later_run_it_takes_back_too() {
    let (stage, first, second) = two_runs();
    let wanted = format!("deployment/ticket-service: replicas 3 → 2, which takes back 8 → 3 of run {second} too");
    let _ = stage.run(&["status", &first]).code(0).stdout_has(&wanted);
    let back = stage.run(&["rollback", &first, "--yes"]).code(0).stderr_has(&wanted);
    let _ = back.stdout_has("replicas 3 → 2, with what a later change had made of it");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→3", "3→2"]);
}

#[test]
fn promise_3_a_run_whose_change_went_back_with_an_earlier_one_owes_nothing_and_is_not_stuck() {
    let (stage, first, second) = two_runs();
    stage.run(&["rollback", &first, "--yes"]).code(0);
    let runs = stage.run(&["runs", "-o", "json"]).code(0).json();
    assert!(runs.as_array().unwrap().iter().all(|run| run["owed"] == 0), "{runs:#}");
    let _ = stage.run(&["status", &second]).code(0).has_nowhere("give it back");
    let back = stage.run(&["rollback", &second, "--yes"]).code(0).stderr_has("owes nothing that can be put back");
    let _ = back.stdout_has(&format!("replicas was taken back with what step grow of run {first} had set"));
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→3", "3→2"], "nothing is sent for it");
}

#[test]
fn promise_3_what_somebody_set_after_an_earlier_run_was_taken_back_is_left_alone() {
    let (stage, first, second) = two_runs();
    stage.run(&["rollback", &first, "--yes"]).code(0);
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "5"]);
    stage.run(&["rollback", &second, "--yes"]).code(5).stdout_has("deployment/ticket-service in production is 5");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→3", "3→2", "2→5"]);
}
