//! What is said of a run that waits, that was told to stop, or that was taken back; and that what is printed is printed whole.
//!
//! Invariant: no command is offered that would be refused.

use super::environments::{Cluster, stage_of};
use super::support::Stage;

const LATER: &str = "playbook: later\nsummary: Waits for long\nsteps:\n  - { id: hold, uses: wait, with: { duration: 48h } }\n";

const SLOW: &str = "\
playbook: slow
summary: A check that does not hold
steps:
  - id: look
    uses: noop
    check: { after: [{ that: \"${{ 1 > 2 }}\", message: not yet, within: 10m }] }
";

const GROWN: &str = "\
playbook: grown
summary: A change before a gate
steps:
  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }
  - { id: gate, needs: [grow], uses: approve }
outputs: { replicas: \"${{ steps.grow.outputs.replicas }}\" }
";

const FAILS: &str = "\
playbook: fails
summary: A step that fails
steps:
  - { id: bad, uses: command, with: { argv: [\"false\"] } }
";

#[test]
fn a_run_that_waits_for_a_time_says_whether_anybody_will_start_it() {
    let stage = Stage::new().playbook("later", LATER);
    let left = stage.run(&["run", "later"]).code(4).stdout_has("Nobody will go on with it at ").stdout_has("no process stays with it");
    left.stdout_has("runsheet resume --watch").stdout_has("runsheet resume --detach");
    stage.run(&["status"]).code(0).stdout_has("Nobody will go on with it at ").stdout_has("runsheet resume --detach");
    let pid = stage.run(&["resume", "--detach", "-o", "json"]).code(0).json()["pid"].clone();
    stage.until_status("it is the process's", |run| run["owner"]["pid"] == pid);
    let status = stage.run(&["status"]).code(0).stdout_has("It goes on by itself at ");
    status.stdout_has(&format!("process {pid} stays with it")).stdout_has("runsheet status --follow").has_nowhere("runsheet resume");
    stage.run(&["cancel"]).code(0);
    stage.until_status("it ends", |run| run["status"] == "cancelled");
    // One that was left to the background from the start was told nothing by anybody.
    stage.run(&["run", "later", "--detach"]).code(0);
    stage.until_step("hold", "waiting");
    stage.run(&["status"]).code(0).stdout_has("It goes on by itself at ").has_nowhere("Operators");
    stage.run(&["cancel"]).code(0);
    stage.until_status("it ends", |run| run["status"] == "cancelled");
}

#[test]
fn after_a_signal_it_is_said_what_is_waited_for_and_until_when() {
    let stage = Stage::new().playbook("slow", SLOW);
    let run = stage.start(&["run", "slow"]);
    run.until_printed("not yet");
    run.interrupt();
    run.until_printed("It still waits for look until ");
    run.until_printed(&format!("at most; Ctrl-C again (or SIGTERM to process {}) ends it now.", run.pid()));
    let status = stage.run(&["status"]).code(0).stdout_has("It still waits for look until ");
    status.stdout_has("runsheet status --follow").has_nowhere("runsheet resume");
    run.interrupt();
    run.wait().code(130).stdout_has("runsheet resume");
}

#[test]
fn outputs_actions_and_environments_are_printed_whole() {
    let long = "what was found out, in many words; ".repeat(9);
    let cluster = Cluster::new();
    let stage = stage_of(&cluster).playbook(
        "finds",
        &format!("playbook: finds\nsummary: Finds out\nsteps:\n  - {{ id: a, uses: noop }}\noutputs: {{ found: \"{}\" }}\n", long.trim()),
    );
    stage.run(&["run", "finds"]).code(0).stdout_has(&format!("found: {}", long.trim()));
    stage.run(&["status"]).code(0).stdout_has(long.trim());
    stage.run(&["actions"]).code(0).stdout_has("wait, approve, playbook and monitor").has_nowhere("…");
    let shown = stage.run(&["environment", "show", "staging"]).code(0).has_nowhere("…");
    shown.stdout_has("{low: {replicas: 2}, medium: {replicas: 4}, high: {replicas: 8}, critical: {replicas: 16}}");
}

#[test]
fn a_run_that_was_taken_back_does_not_tell_its_outputs_as_if_they_held() {
    let stage = Stage::new().playbook("grown", GROWN).sandbox(50);
    stage.run(&["run", "grown"]).code(4);
    stage.run(&["approve"]).code(0);
    let back = stage.run(&["rollback", "--yes"]).code(0).stdout_has("Outputs (as they were before the rollback)");
    let back = back.stdout_has("is rolled_back in ").stderr_has("  told             ana@desk: rollback");
    back.stderr_has("  rolling_back     takes back what the run did").has_nowhere("is rolled_back after");
}

#[test]
fn a_run_that_is_going_on_is_not_called_half_done() {
    let stage = Stage::new().playbook("grown", GROWN).sandbox(50);
    let run = stage.start(&["run", "grown", "--watch"]);
    stage.until_step("gate", "waiting");
    stage.run(&["run", "grown"]).code(4).stderr_has("is going on, and has changed").stderr_has("--follow").has_nowhere("half done");
    drop(run);
}

#[test]
fn a_playbook_names_its_latest_run_and_the_only_step_that_waits_needs_no_name() {
    let stage = Stage::new().playbook("fails", FAILS).playbook("later", LATER);
    stage.run(&["run", "fails"]).code(1);
    stage.run(&["run", "later"]).code(4);
    stage.run(&["logs", "fails"]).code(0).stdout_has("bad");
    stage.run(&["status", "fails"]).code(0).stdout_has("bad");
    stage.run(&["logs", "nothing"]).code(2);
    stage.run(&["retry"]).code(1).stderr_has("retry bad");
    stage.run(&["skip"]).code(2).stderr_has("`skip` needs a reason");
    stage.run(&["skip", "--reason", "not tonight"]).code(0);
}
