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

/// A step whose own rollback fails or stays until the test lets it pass; each try writes a line.
fn withdrawing(more: &str) -> Stage {
    let stage = Stage::new();
    let (lines, pass) = (stage.path("lines").display().to_string(), stage.path("pass").display().to_string());
    let yaml = format!(
        r#"playbook: announce
summary: Announce, and take it back
steps:
  - id: before
    uses: noop
  - id: announce
    needs: [before]
    uses: command
    with: {{ shell: true, script: 'echo announced >>"$LINES"', env: {{ LINES: {lines} }} }}
    rollback:
      uses: command
      with:
        shell: true
        script: |
          echo withdrawn >>"$LINES"
          {more}
          if [ ! -e "$PASS" ]; then echo "nobody listens" >&2; exit 1; fi
        env: {{ LINES: {lines}, PASS: {pass} }}
"#
    );
    stage.playbook("announce", &yaml)
}

fn let_pass(stage: &Stage) {
    std::fs::write(stage.path("pass"), "").unwrap();
}

#[test]
fn promise_3_a_rollback_action_that_failed_is_run_again_on_retry_alone() {
    let stage = withdrawing("");
    stage.run(&["run", "announce"]).code(0);
    stage.run(&["rollback", "--yes"]).code(5).stdout_has("nobody listens");
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "announce", "rollback_failed")), (&"stuck".into(), true), "{status:#}");
    assert!(is_step(&status, "before", "succeeded"), "what it relies on stays: {status:#}");
    let ran = |stage: &Stage| stage.text("lines").lines().filter(|line| *line == "withdrawn").count();
    assert_eq!(ran(&stage), 1);
    stage.run(&["retry", "announce"]).code(5);
    assert_eq!(ran(&stage), 2);
    let_pass(&stage);
    stage.run(&["retry", "announce"]);
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "announce", "rolled_back")), (&"rolled_back".into(), true), "{status:#}");
    assert_eq!(ran(&stage), 3);
}

#[test]
fn promise_2_a_rollback_action_of_unknown_outcome_waits_for_the_operator() {
    let stage = withdrawing("sleep 60");
    stage.run(&["run", "announce"]).code(0);
    let rollback = stage.start(&["rollback", "--yes"]);
    until("it is being taken back", || stage.text("lines").contains("withdrawn"));
    assert!(rollback.kill9().was_killed());
    stage.run(&["resume"]).code(5);
    let status = stage.status_json();
    assert_eq!((&status["status"], is_step(&status, "announce", "rollback_failed")), (&"stuck".into(), true), "{status:#}");
    assert_eq!(stage.text("lines"), "announced\nwithdrawn\n");
    stage.run(&["mark-done", "announce", "--reason", "they were told"]);
    assert_eq!(stage.status_json()["status"], "rolled_back");
    assert_eq!(stage.text("lines"), "announced\nwithdrawn\n");
}

#[test]
fn the_cluster_is_as_it_was_left_for_a_rollback_after_the_sandbox_was_killed() {
    let mut stage = Stage::new().playbook(
        "grow",
        "playbook: grow\nsummary: Grow\nsteps:\n  - id: scale\n    uses: k8s.scale\n    with: { workload: deployment/ticket-service, replicas: 4 }\n",
    );
    stage = stage.sandbox(20);
    stage.run(&["run", "grow"]).code(0);
    stage.kill_sandbox();
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"]);
}

#[test]
fn a_rollback_that_names_no_run_means_the_latest_that_owes_something() {
    let stage = Stage::quick_pre_event();
    let start = |event: &str| stage.run(&["run", "pre-event", "-p", &format!("event_id={event}")]).code(0);
    start("6f2c1a52-9d1b-4f6e-8f0e-3b1d2a7c9e10");
    // Everything is there already: this one changes no replicas, and owes nothing.
    start("0d1f7a55-40c1-4d39-9a2b-6a1e0f5f3c77").has_nowhere("give it back");
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→2"]);
}

#[test]
fn a_run_is_found_by_the_beginning_of_its_short_form() {
    let stage = Stage::new().playbook("ok", "playbook: ok\nsummary: Nothing\nsteps:\n  - id: a\n    uses: noop\n");
    stage.run(&["run", "ok"]).code(0);
    let short = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    stage.run(&["status", &short[..5]]).code(0).stdout_has(&short);
}
