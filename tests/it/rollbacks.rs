//! What a failure takes back, and what it leaves alone: promise 3, rollback puts back what was there.

use serde_json::Value;

use super::support::{Live, Stage, step_of, until};

const DEPLOYMENT: &str = "production/deployment/ticket-service";

/// A playbook that scales to six, then fails when the test says so.
fn growing(settle: &str) -> Stage {
    let stage = Stage::new();
    let fail = stage.path("fail");
    let yaml = format!(
        r#"playbook: grow
summary: Grow, and prove that it was right
steps:
  - id: announce
    uses: noop
  - id: scale
    needs: [announce]
    uses: k8s.scale
    with: {{ workload: deployment/ticket-service, replicas: 6, settle: {settle} }}
    check:
      after:
        - that: ${{{{ result.ready_replicas >= 6 }}}}
          within: 10s
          every: 100ms
    on_failure: rollback
  - id: prove
    needs: [scale]
    uses: command
    effect: read
    with:
      shell: true
      script: |
        while [ ! -e "$FAIL" ]; do sleep 0.05; done
        echo "the proof failed" >&2
        exit 1
      env: {{ FAIL: {} }}
    on_failure: rollback
"#,
        fail.display()
    );
    stage.playbook("grow", &yaml).sandbox(20)
}

fn fail_now(stage: &Stage) {
    std::fs::write(stage.path("fail"), "").unwrap();
}

/// The run, at the point where the pods are there and the proof has not failed yet.
fn grown(stage: &Stage) -> Live {
    let run = stage.start(&["run", "grow"]);
    stage.until_step("prove", "running");
    run
}

fn is_step(status: &Value, step: &str, wanted: &str) -> bool {
    step_of(status, step)["status"] == wanted
}

#[test]
fn promise_3_a_failed_step_takes_back_what_ran_to_the_values_found_before() {
    let stage = growing("10s");
    fail_now(&stage);
    stage.run(&["run", "grow"]).code(1);
    let status = stage.status_json();
    assert_eq!(status["status"], "rolled_back", "{status:#}");
    assert!(is_step(&status, "scale", "rolled_back"), "{status:#}");
    assert_eq!(status["owed"], Value::Array(Vec::new()));
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"]);
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"]);
}

#[test]
fn promise_3_the_revert_of_a_scale_up_ends_only_when_the_pods_are_gone() {
    let stage = growing("30s");
    let run = grown(&stage);
    stage.fault(&["stall-terminating"]);
    fail_now(&stage);
    until("the value is put back", || stage.effects_on("spec.replicas").len() == 2);
    run.until_printed("4 of 6 pods are still terminating");
    let status = stage.status_json();
    assert!(is_step(&status, "scale", "rolling_back"), "{status:#}");
    assert_eq!(status["status"], "rolling_back");
    stage.clear_faults();
    run.wait().code(1);
    assert_eq!(stage.status_json()["status"], "rolled_back");
}

#[test]
fn promise_3_where_the_platform_does_not_follow_the_step_is_kept_and_what_it_relies_on_stays() {
    let stage = growing("500ms");
    let run = grown(&stage);
    stage.fault(&["stall-terminating"]);
    fail_now(&stage);
    run.wait().code(5);
    let status = stage.status_json();
    assert_eq!(status["status"], "stuck", "{status:#}");
    let scale = step_of(&status, "scale");
    assert_eq!((&scale["status"], &scale["kept"]["blocks"]), (&"kept".into(), &true.into()), "{status:#}");
    assert!(scale["kept"]["reason"].as_str().unwrap().contains("terminating"), "{status:#}");
    assert!(is_step(&status, "announce", "succeeded"), "{status:#}");
    stage.clear_faults();
    stage.run(&["retry", "scale"]);
    assert_eq!(stage.status_json()["status"], "rolled_back", "{}", stage.run(&["status"]));
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"]);
}

/// Somebody else changed the replicas before the run failed: it is stuck.
fn stuck() -> Stage {
    let stage = growing("10s");
    let run = grown(&stage);
    stage.fault(&["change", DEPLOYMENT, "spec.replicas", "5"]);
    fail_now(&stage);
    run.wait().code(5);
    assert_eq!(stage.status_json()["status"], "stuck", "{}", stage.run(&["status"]));
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→5"], "what somebody else changed is left alone");
    stage
}

#[test]
fn promise_3_a_foreign_change_is_left_alone_and_status_says_which_why_and_what_to_type() {
    let stage = stuck();
    let status = stage.run(&["status"]).code(0);
    let status = status.stdout_has("stuck").stdout_has("deployment/ticket-service").stdout_has("somebody else");
    let status = status.stdout_has("runsheet retry").stdout_has("runsheet skip").stdout_has("runsheet mark-done");
    assert!(status.stdout.contains("kubectl"), "the undo for a person's hands: {status}");
    for value in ["2", "6", "5"] {
        assert!(status.stdout.contains(value), "what was, was wanted and is: {status}");
    }
    stage.run(&["resume"]).code(5).stderr_has("stuck");
    assert_eq!(stage.effects_on("spec.replicas").len(), 2);
}

#[test]
fn promise_3_skip_leads_out_of_stuck_and_leaves_the_foreign_value() {
    let stage = stuck();
    stage.run(&["skip", "scale", "--reason", "five is what we want now"]);
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "scale", "kept")), (&"rolled_back".into(), true), "{status:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→5"]);
}

#[test]
fn promise_3_mark_done_leads_out_of_stuck_once_it_is_put_back_by_hand() {
    let stage = stuck();
    stage.fault(&["change", DEPLOYMENT, "spec.replicas", "2"]);
    stage.run(&["mark-done", "scale", "--reason", "put back with kubectl"]);
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "scale", "rolled_back")), (&"rolled_back".into(), true), "{status:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→5", "5→2"]);
}

#[test]
fn promise_3_retry_leads_out_of_stuck_once_the_value_is_ours_again() {
    let stage = stuck();
    stage.run(&["retry", "scale"]).code(5);
    assert_eq!(stage.effects_on("spec.replicas").len(), 2, "it is still somebody else's");
    stage.fault(&["change", DEPLOYMENT, "spec.replicas", "6"]);
    stage.run(&["retry", "scale"]);
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "scale", "rolled_back")), (&"rolled_back".into(), true), "{status:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→5", "5→6", "6→2"]);
}
