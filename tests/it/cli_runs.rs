//! Runs from the command line: started, failed, gated, answered, followed, interrupted, taken back.

use std::path::PathBuf;

use serde_json::json;

use super::support::{Stage, until};

/// Two steps that succeed.
const TWO: &str = "\
playbook: two
summary: Two steps that succeed
steps:
  - { id: one, uses: noop }
  - { id: two, uses: noop, needs: [one] }
";

/// A step that fails, and one that needs it.
const FAILS: &str = "\
playbook: fails
summary: A step that fails
steps:
  - { id: bad, uses: command, effect: read, with: { argv: ['false'] } }
  - { id: after, uses: noop, needs: [bad] }
";

/// A gate between two steps.
const GATED: &str = "\
playbook: gated
summary: A gate between two steps
steps:
  - { id: one, uses: noop }
  - { id: gate, uses: approve, needs: [one] }
  - { id: two, uses: noop, needs: [gate] }
";

/// With the playbook `holds`: a step that goes on until this file is there, and one after it.
fn holding() -> (Stage, PathBuf) {
    let stage = Stage::new();
    let go = stage.path("go");
    let script = format!("while ! [ -e {} ]; do sleep 0.02; done", go.display());
    let hold = format!("  - {{ id: hold, uses: command, effect: read, with: {{ argv: [sh, -c, '{script}'] }} }}\n");
    let after = "  - { id: after, uses: noop, needs: [hold] }\n";
    (stage.playbook("holds", &format!("playbook: holds\nsummary: A step that holds the run\nsteps:\n{hold}{after}")), go)
}

#[test]
fn a_run_that_succeeds() {
    let stage = Stage::new().playbook("two", TWO);
    stage.run(&["run", "two"]).code(0).stdout_has("succeeded").stdout_has("✔ two").stderr_has("run ");
    let status = stage.status_json();
    assert_eq!(status["status"], "succeeded");
    assert_eq!(status["by"], "ana@desk");
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().map(|step| (step["id"].clone(), step["status"].clone())).collect();
    assert_eq!(steps, [(json!("one"), json!("succeeded")), (json!("two"), json!("succeeded"))]);
    assert_eq!(stage.run(&["runs", "-o", "json"]).code(0).json().as_array().unwrap().len(), 1);
    stage.run(&["logs"]).code(0).stdout_has("two");
    stage.run(&["resume"]).code(2).stderr_has("no run is open");
    stage.run(&["resume", status["short_id"].as_str().unwrap()]).code(6).stderr_has("there is nothing left to do");
    stage.run(&["runs", "verify"]).code(0).stdout_has("1 run is sound");
}

#[test]
fn a_run_that_fails_is_paused_and_goes_on_once_the_step_is_skipped() {
    let stage = Stage::new().playbook("fails", FAILS);
    stage.run(&["run", "fails"]).code(1).stdout_has("`false` exited with 1").stdout_has("runsheet resume");
    stage.run(&["status"]).code(0).stdout_has("What happened");
    stage.run(&["resume"]).code(1);
    stage.run(&["skip", "bad"]).code(2).stderr_has("needs a reason");
    stage.run(&["skip", "nope", "--reason", "x"]).code(6).stderr_has("no step nope");
    stage.run(&["mark-done", "bad", "--reason", "done by hand"]).code(0);
    assert_eq!(stage.step_status("bad"), "succeeded");
    stage.run(&["resume"]).code(0);
}

#[test]
fn a_gate_is_waited_at_and_answered() {
    let stage = Stage::new().playbook("gated", GATED);
    stage.run(&["run", "gated"]).code(4).stdout_has("runsheet approve");
    stage.run(&["approve", "--reason", "all is well"]).code(0).stdout_has("succeeded");
    let first = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    stage.run(&["run", "gated"]).code(4);
    stage.run(&["approve", &first, "gate"]).code(6);
    stage.run(&["reject", "gate"]).code(0).stdout_has("refused by ana@desk");
    stage.run(&["retry", "gate"]).code(4);
    stage.run(&["cancel"]).code(0).stdout_has("cancelled");
}

#[test]
fn where_several_runs_are_open_none_is_guessed() {
    let stage = Stage::new().playbook("gated", GATED).playbook("fails", FAILS);
    stage.run(&["run", "gated"]).code(4);
    stage.run(&["run", "gated"]).code(4);
    stage.run(&["run", "fails"]).code(1);
    for verb in [["resume"].as_slice(), &["cancel"], &["approve"], &["approve", "gate"]] {
        stage.run(verb).code(2).stderr_has("runs are open").stderr_has("gated waiting");
    }
    // Only one of them has such a step.
    stage.run(&["skip", "bad", "--reason", "x"]).code(0);
    stage.run(&["skip", "nothing", "--reason", "x"]).code(2).stderr_has("none of the 3 open runs");
}

#[test]
fn events_come_as_lines_for_programs() {
    let stage = Stage::new().playbook("two", TWO);
    let lines = stage.run(&["run", "two", "-o", "jsonl"]).code(0).stderr_is("").json_lines();
    let id = stage.status_json()["id"].clone();
    assert_eq!((&lines[0]["kind"], &lines[0]["run"]), (&json!("run_created"), &id));
    assert!(lines.iter().all(|line| line["run"] == id));
    assert_eq!(lines.last().unwrap(), &json!({ "run": id, "kind": "ended", "status": "succeeded", "exit_code": 0 }));
    let seqs: Vec<u64> = lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let document = stage.run(&["run", "two", "-o", "json"]).code(0).json();
    assert_eq!((&document["status"], &document["exit_code"]), (&json!("succeeded"), &json!(0)));
}

#[test]
fn a_second_terminal_sees_follows_and_steers_a_live_run() {
    let (stage, go) = holding();
    let run = stage.start(&["run", "holds"]);
    stage.until_step("hold", "running");
    stage.run(&["resume"]).code(6).stderr_has(&format!("is being run by process {}", run.pid())).stderr_has("ana@desk");
    stage.run(&["skip", "after", "--reason", "not tonight"]).code(0).stdout_has("took it: skip");
    stage.run(&["approve", "hold"]).code(6).stderr_has("hold waits for no approval");
    assert_eq!(stage.step_status("after"), "skipped");
    let follower = stage.start(&["status", "--follow"]);
    // It tells what happens from when it looks; until then there is nothing to be seen of it.
    until("the follower tells what happens", || {
        stage.run(&["approve", "hold"]).code(6);
        follower.stderr().contains("hold")
    });
    std::fs::write(&go, "").unwrap();
    run.wait().code(0);
    follower.wait().code(0).stdout_has("succeeded").stderr_has("succeeded");
}

#[test]
fn a_run_is_cancelled_from_a_second_terminal() {
    let (stage, go) = holding();
    let run = stage.start(&["run", "holds"]);
    stage.until_step("hold", "running");
    stage.run(&["cancel"]).code(0).stdout_has("took it: cancel");
    std::fs::write(&go, "").unwrap();
    run.wait().code(1).stdout_has("cancelled");
}

#[test]
fn ctrl_c_pauses_and_a_killed_run_is_resumed() {
    let (stage, go) = holding();
    let run = stage.start(&["run", "holds"]);
    stage.until_step("hold", "running");
    run.interrupt();
    stage.until_status("it is to pause", |run| run["status"] == "paused");
    std::fs::write(&go, "").unwrap();
    run.wait().code(130).stdout_has("runsheet resume");
    assert_eq!(stage.step_status("after"), "pending");
    std::fs::remove_file(&go).unwrap();
    stage.run(&["resume"]).code(0);

    let run = stage.start(&["run", "holds"]);
    stage.until_step("hold", "running");
    assert!(run.kill9().was_killed());
    stage.run(&["status"]).code(0).stdout_has("nobody works on it now");
    std::fs::write(&go, "").unwrap();
    stage.run(&["resume"]).code(0).stdout_has("succeeded");
}

#[test]
fn a_run_is_left_to_the_background() {
    let (stage, go) = holding();
    let left = stage.run(&["run", "holds", "--detach", "-o", "json"]).code(0).json();
    stage.run(&["resume"]).code(6).stderr_has(&format!("process {}", left["pid"]));
    std::fs::write(&go, "").unwrap();
    stage.until_status("it ends", |run| run["status"] == "succeeded");
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_output() {
    let (stage, go) = holding();
    let run = stage.start_unread(&["run", "holds", "-o", "jsonl"]);
    std::fs::write(&go, "").unwrap();
    run.wait().code(0).stderr_is("");
    assert_eq!(stage.status_json()["status"], "succeeded");
}

#[test]
fn what_a_run_changed_in_the_sandbox_is_taken_back() {
    let scale = "playbook: scale\nsummary: More replicas\nsteps:\n  - { id: scale, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 8 } }\n";
    let stage = Stage::new().playbook("scale", scale);
    stage.run(&["sandbox", "up", "--speed", "100"]).code(0).stdout_has("2/2 ready");
    stage.run(&["run", "scale"]).code(0).stdout_has("replicas 8 → 2").stdout_has("SANDBOX: no environment was changed");
    stage.run(&["rollback"]).code(2).stderr_has("replicas 8 → 2").stderr_has("`--yes`");
    stage.run(&["rollback", "--yes"]).code(0).stdout_has("rolled_back");
    stage.run(&["rollback", "--yes"]).code(0).stdout_has("no run owes anything");
    let effects = stage.run(&["sandbox", "effects", "-o", "json"]).code(0).json();
    let swaps: Vec<_> = effects.as_array().unwrap().iter().map(|effect| (effect["from"].clone(), effect["to"].clone())).collect();
    assert_eq!(swaps, [(json!(2), json!(8)), (json!(8), json!(2))]);
    stage.run(&["sandbox", "fault", "add", "refuse", "PATCH */scale", "--status", "403"]).code(0).stdout_has("Fault 1");
    stage.run(&["run", "scale"]).code(1).stdout_has("403");
    stage.run(&["sandbox", "fault", "list"]).code(0).stdout_has("No faults");
    stage.run(&["sandbox", "down"]).code(0).stdout_has("has ended");
    stage.run(&["sandbox", "status"]).code(0).stdout_has("No sandbox runs");
}

#[test]
fn a_reset_sandbox_takes_its_debts_with_it_and_says_so() {
    let stage = Stage::new().repository_playbook("scale").sandbox(50);
    stage.run(&["run", "scale", "-p", "replicas=4"]).code(0);
    let run = stage.run(&["runs", "-o", "json"]).code(0).json()[0]["short_id"].as_str().unwrap().to_owned();
    let words = format!("run {run} of scale: the sandbox that it acted on is gone (it was reset). What it changed went with it");
    stage.run(&["sandbox", "reset"]).code(0).stderr_has(&words);
    stage.run(&["runs"]).code(0).stderr_has(&words);
    stage.run(&["status", &run]).code(0).stderr_has(&words);
    assert_eq!(stage.run(&["runs", "-o", "json"]).code(0).json()[0]["owed"], 0);
    let named = stage.run(&["rollback", &run, "--yes"]).code(6);
    assert!(!named.stderr.contains("somebody else has deleted it"), "{named}");
    // The next run is not warned of the former, and is the one that a bare rollback takes back.
    let next = stage.run(&["run", "scale", "-p", "replicas=3"]).code(0);
    assert!(!next.stderr.contains("half done"), "{next}");
    let back = stage.run(&["rollback", "--yes"]).code(0);
    assert!(!back.stderr.contains(&run), "{back}");
    assert_eq!(stage.run(&["sandbox", "reset", "-o", "json"]).code(0).json()["gone"], serde_json::json!([]));
}
