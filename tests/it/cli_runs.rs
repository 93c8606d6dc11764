//! Runs from the command line: started, failed, gated, answered, followed, interrupted, taken back.

use serde_json::json;

use crate::cli_root::{FAILS, GATED, TWO, Test, until, until_file};

#[test]
fn a_run_that_succeeds() {
    let test = Test::new().playbook("two", TWO);
    test.run(["run", "two"]).code(0).stdout_has("succeeded").stdout_has("✔ two").stderr_has("run ");
    let status = test.json(["status"]);
    assert_eq!(status["status"], "succeeded");
    assert_eq!(status["by"], "tester@here");
    let steps: Vec<_> = status["steps"].as_array().unwrap().iter().map(|step| (step["id"].clone(), step["status"].clone())).collect();
    assert_eq!(steps, [(json!("one"), json!("succeeded")), (json!("two"), json!("succeeded"))]);
    assert_eq!(test.json(["runs"]).as_array().unwrap().len(), 1);
    test.run(["logs"]).code(0).stdout_has("two");
    test.run(["resume"]).code(2).stderr_has("no run is open");
    test.run(["resume", status["short_id"].as_str().unwrap()]).code(6).stderr_has("there is nothing left to do");
    test.run(["runs", "verify"]).code(0).stdout_has("1 run is sound");
}

#[test]
fn a_run_that_fails_is_paused_and_goes_on_once_the_step_is_skipped() {
    let test = Test::new().playbook("fails", FAILS);
    test.run(["run", "fails"]).code(1).stdout_has("`false` exited with 1").stdout_has("runsheet resume");
    test.run(["status"]).code(0).stdout_has("What happened");
    test.run(["resume"]).code(1);
    test.run(["skip", "bad"]).code(2).stderr_has("needs a reason");
    test.run(["skip", "nope", "--reason", "x"]).code(6).stderr_has("no step nope");
    test.run(["mark-done", "bad", "--reason", "done by hand"]).code(0);
    assert_eq!(test.step("bad"), "succeeded");
    test.run(["resume"]).code(0);
}

#[test]
fn a_gate_is_waited_at_and_answered() {
    let test = Test::new().playbook("gated", GATED);
    test.run(["run", "gated"]).code(4).stdout_has("runsheet approve");
    test.run(["approve", "--reason", "all is well"]).code(0).stdout_has("succeeded");
    let first = test.status()["short_id"].as_str().unwrap().to_owned();
    test.run(["run", "gated"]).code(4);
    test.run(["approve", &first, "gate"]).code(6);
    test.run(["reject", "gate"]).code(0).stdout_has("refused by tester@here");
    test.run(["retry", "gate"]).code(4);
    test.run(["cancel"]).code(0).stdout_has("cancelled");
}

#[test]
fn where_several_runs_are_open_none_is_guessed() {
    let test = Test::new().playbook("gated", GATED).playbook("fails", FAILS);
    test.run(["run", "gated"]).code(4);
    test.run(["run", "gated"]).code(4);
    test.run(["run", "fails"]).code(1);
    for verb in [["resume"].as_slice(), &["cancel"], &["rollback", "--yes"], &["approve"], &["approve", "gate"]] {
        test.run(verb).code(2).stderr_has("runs are open").stderr_has("gated waiting");
    }
    // Only one of them has such a step.
    test.run(["skip", "bad", "--reason", "x"]).code(0);
    test.run(["skip", "nothing", "--reason", "x"]).code(2).stderr_has("none of the 3 open runs");
}

#[test]
fn events_come_as_lines_for_programs() {
    let test = Test::new().playbook("two", TWO);
    let lines = test.run(["run", "two", "-o", "jsonl"]).code(0).stderr_is("").lines();
    let id = test.status()["id"].clone();
    assert_eq!((&lines[0]["kind"], &lines[0]["run"]), (&json!("run_created"), &id));
    assert!(lines.iter().all(|line| line["run"] == id));
    assert_eq!(lines.last().unwrap(), &json!({ "run": id, "kind": "ended", "status": "succeeded", "exit_code": 0 }));
    let seqs: Vec<u64> = lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    let document = test.run(["run", "two", "-o", "json"]).code(0).json();
    assert_eq!((&document["status"], &document["exit_code"]), (&json!("succeeded"), &json!(0)));
}

#[test]
fn a_second_terminal_sees_follows_and_steers_a_live_run() {
    let test = Test::new();
    let go = test.path("go");
    let test = test.playbook("holds", &until_file(&go));
    let run = test.start(["run", "holds"]);
    until("the step runs", || test.step("hold") == "running");
    test.run(["resume"]).code(6).stderr_has(&format!("is being run by process {}", run.pid())).stderr_has("tester@here");
    test.run(["skip", "after", "--reason", "not tonight"]).code(0).stdout_has("took it: skip");
    test.run(["approve", "hold"]).code(6).stderr_has("hold waits for no approval");
    assert_eq!(test.step("after"), "skipped");
    let follower = test.start(["status", "--follow"]);
    std::fs::write(&go, "").unwrap();
    run.end().code(0);
    follower.end().code(0).stdout_has("succeeded").stderr_has("hold");
}

#[test]
fn a_run_is_cancelled_from_a_second_terminal() {
    let test = Test::new();
    let go = test.path("go");
    let test = test.playbook("holds", &until_file(&go));
    let run = test.start(["run", "holds"]);
    until("the step runs", || test.step("hold") == "running");
    test.run(["cancel"]).code(0).stdout_has("took it: cancel");
    std::fs::write(&go, "").unwrap();
    run.end().code(1).stdout_has("cancelled");
}

#[test]
fn ctrl_c_pauses_and_a_killed_run_is_resumed() {
    let test = Test::new();
    let go = test.path("go");
    let test = test.playbook("holds", &until_file(&go));
    let run = test.start(["run", "holds"]);
    until("the step runs", || test.step("hold") == "running");
    run.interrupt();
    until("it is to pause", || test.status()["status"] == "paused");
    std::fs::write(&go, "").unwrap();
    run.end().code(130).stdout_has("runsheet resume");
    assert_eq!(test.step("after"), "pending");
    std::fs::remove_file(&go).unwrap();
    test.run(["resume"]).code(0);

    let mut run = test.start(["run", "holds"]);
    until("the step runs", || test.step("hold") == "running");
    run.kill();
    test.run(["status"]).code(0).stdout_has("nobody works on it now");
    std::fs::write(&go, "").unwrap();
    test.run(["resume"]).code(0).stdout_has("succeeded");
}

#[test]
fn a_run_is_left_to_the_background() {
    let test = Test::new();
    let go = test.path("go");
    let test = test.playbook("holds", &until_file(&go));
    let left = test.run(["run", "holds", "--detach", "-o", "json"]).code(0).json();
    test.run(["resume"]).code(6).stderr_has(&format!("process {}", left["pid"]));
    std::fs::write(&go, "").unwrap();
    until("it ends", || test.status()["status"] == "succeeded");
}

#[test]
fn a_run_goes_on_when_nobody_reads_its_output() {
    let test = Test::new();
    let go = test.path("go");
    let test = test.playbook("holds", &until_file(&go));
    let mut run = test.start(["run", "holds", "-o", "jsonl"]);
    run.close_stdout();
    std::fs::write(&go, "").unwrap();
    run.end().code(0).stderr_is("");
    assert_eq!(test.status()["status"], "succeeded");
}

#[test]
fn what_a_run_changed_in_the_sandbox_is_taken_back() {
    let scale = "steps:\n  - { id: scale, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 8 } }\n";
    let test = Test::new().playbook("scale", scale);
    test.run(["sandbox", "up", "--speed", "100"]).code(0).stdout_has("2/2 ready");
    test.run(["run", "scale"]).code(0).stdout_has("replicas 8 → 2").stdout_has("SANDBOX: no environment was changed");
    test.run(["rollback"]).code(2).stderr_has("replicas 8 → 2").stderr_has("`--yes`");
    test.run(["rollback", "--yes"]).code(0).stdout_has("rolled_back");
    test.run(["rollback", "--yes"]).code(6);
    let effects = test.json(["sandbox", "effects"]);
    let swaps: Vec<_> = effects.as_array().unwrap().iter().map(|effect| (effect["from"].clone(), effect["to"].clone())).collect();
    assert_eq!(swaps, [(json!(2), json!(8)), (json!(8), json!(2))]);
    test.run(["sandbox", "fault", "add", "refuse", "PATCH */scale", "--status", "403"]).code(0).stdout_has("Fault 1");
    test.run(["run", "scale"]).code(1).stdout_has("403");
    test.run(["sandbox", "fault", "list"]).code(0).stdout_has("No faults");
    test.run(["sandbox", "down"]).code(0).stdout_has("has ended");
    test.run(["sandbox", "status"]).code(0).stdout_has("No sandbox runs");
}
