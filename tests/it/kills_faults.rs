//! What the target does wrong: promise 2, a cut connection, a timeout and a 5xx are unknown, and the target is asked before anything else.

use serde_json::Value;

use super::support::{Ran, Stage, step_of};

/// A playbook that scales to six, with these lines more for its step.
fn scaling(more: &str) -> Stage {
    let yaml = format!(
        r#"playbook: grow
summary: Grow
steps:
  - id: scale
    uses: k8s.scale
    with: {{ workload: deployment/ticket-service, replicas: 6 }}
    retry: {{ attempts: 4, backoff: constant, initial: 100ms, jitter: false }}
{more}"#
    );
    Stage::new().playbook("grow", &yaml).sandbox(20)
}

fn run(stage: &Stage, code: i32) -> (Ran, Value) {
    let ran = stage.run(&["run", "grow"]).code(code);
    (ran, step_of(&stage.status_json(), "scale").clone())
}

const PATCH: &str = "PATCH */scale";

#[test]
fn promise_2_an_answer_that_was_cut_off_is_found_to_be_done_and_not_sent_again() {
    let stage = scaling("");
    stage.fault(&["cut-after", PATCH]);
    let (_, step) = run(&stage, 0);
    assert_eq!((&step["how"]["kind"], &step["attempt"]), (&"recovered".into(), &1.into()), "{step:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6"]);
}

#[test]
fn promise_2_a_request_that_was_cut_off_is_found_to_be_absent_and_sent_again() {
    let stage = scaling("");
    stage.fault(&["cut-before", PATCH]);
    let (_, step) = run(&stage, 0);
    assert_eq!(step["attempt"], 2, "{step:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6"]);
}

#[test]
fn a_refusal_is_failed_for_good_and_names_verb_resource_and_namespace() {
    let stage = scaling("");
    stage.fault(&["refuse", PATCH, "--status", "403", "--times", "forever"]);
    let (ran, step) = run(&stage, 1);
    ran.stdout_has("patch").stdout_has("deployments/scale").stdout_has("production");
    assert_eq!((&step["status"], &step["attempt"]), (&"failed".into(), &1.into()), "{step:#}");
    assert!(stage.effects().is_empty());
}

#[test]
fn promise_2_what_was_unavailable_is_tried_again_and_done_once() {
    let stage = scaling("");
    stage.fault(&["refuse", PATCH, "--status", "503", "--times", "3"]);
    let (_, step) = run(&stage, 0);
    assert_eq!(step["attempt"], 4, "{step:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6"]);
}

#[test]
fn promise_2_what_took_too_long_is_asked_about_and_done_once() {
    let stage = scaling("    attempt_timeout: 200ms\n");
    stage.fault(&["delay", PATCH, "--ms", "1500"]);
    let (_, step) = run(&stage, 0);
    assert_eq!(step["status"], "succeeded", "{step:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6"]);
}

#[test]
fn pods_that_do_not_get_ready_fail_the_check_and_are_taken_back() {
    let check = "    check:\n      after:\n        - that: ${{ result.ready_replicas >= 6 }}\n          message: \"${{ result.ready_replicas }} of 6 are ready\"\n          within: 4s\n          every: 100ms\n    on_failure: rollback\n";
    let stage = scaling(check);
    stage.fault(&["unready", "ticket-service", "--pods", "1"]);
    let (ran, step) = run(&stage, 1);
    ran.stdout_has("5 of 6 are ready");
    assert_eq!(step["status"], "rolled_back", "{step:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"]);
}
