//! Two terminals: what the second sees of a live run and tells it, signals, and locks. Promise 5: two operators cannot work against each other.

use super::support::{Live, Stage, at_every_point, step_of, until};

/// A gate, and a step after it that writes a line.
fn gated() -> Stage {
    let stage = Stage::new();
    let file = stage.path("opened");
    stage
        .playbook(
            "gated",
            &format!(
                r#"playbook: gated
summary: Ask before the doors open
steps:
  - id: scale
    uses: k8s.scale
    with: {{ workload: deployment/ticket-service, replicas: 3 }}
  - id: go_live
    needs: [scale]
    uses: approve
    with: {{ message: "Open the doors?" }}
  - id: open
    needs: [{{ step: go_live, accept: [succeeded, skipped] }}]
    uses: command
    with: {{ shell: true, script: 'echo opened >>"$FILE"', env: {{ FILE: {} }} }}
"#,
                file.display()
            ),
        )
        .sandbox(20)
}

/// A live run that waits at its gate.
fn waiting(stage: &Stage) -> Live {
    let run = stage.start(&["run", "gated", "--watch"]);
    stage.until_step("go_live", "waiting");
    run
}

#[test]
fn the_second_terminal_sees_the_gate_and_opens_it() {
    let stage = gated();
    let run = waiting(&stage);
    let seen = stage.run(&["status"]).code(0).stdout_has("Open the doors?").stdout_has("runsheet approve").stdout_has("ana@desk");
    assert!(seen.stdout.contains(&run.pid().to_string()), "who drives it: {seen}");
    let follower = stage.start(&["status", "--follow", "-o", "jsonl"]);
    follower.until_printed("step_waiting");
    stage.run(&["approve"]).code(0).stdout_has("took it");
    run.wait().code(0);
    let told = follower.wait().code(0);
    let kinds: Vec<String> = told.json_lines().iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect();
    assert!(kinds.contains(&"gate_approved".to_owned()) && kinds.contains(&"run_status_changed".to_owned()), "{kinds:?}");
    assert_eq!(stage.text("opened"), "opened\n");
}

#[test]
fn the_second_terminal_cancels_a_live_run_and_what_was_done_is_kept() {
    let stage = gated();
    let run = waiting(&stage);
    stage.run(&["cancel", "--reason", "the event is off"]).code(0);
    run.wait().code(1);
    let status = stage.status_json();
    assert_eq!(status["status"], "cancelled");
    assert_eq!(status["owed"].as_array().unwrap().len(), 1);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3"]);
    assert_eq!(stage.text("opened"), "");
}

#[test]
fn the_second_terminal_cancels_a_live_run_and_has_it_taken_back() {
    let stage = gated();
    let run = waiting(&stage);
    stage.run(&["cancel", "--rollback", "--yes"]).code(0);
    run.wait().code(1);
    assert_eq!(stage.status_json()["status"], "rolled_back");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3", "3→2"]);
}

#[test]
fn the_second_terminal_skips_a_gate_of_a_live_run() {
    let stage = gated();
    let run = waiting(&stage);
    stage.run(&["skip", "go_live", "--reason", "they are open"]).code(0);
    run.wait().code(0);
    assert_eq!(step_of(&stage.status_json(), "go_live")["skip"]["kind"], "operator");
    assert_eq!(stage.text("opened"), "opened\n");
}

#[test]
fn the_second_terminal_is_told_what_a_live_run_refuses() {
    let stage = gated();
    let run = waiting(&stage);
    stage.run(&["retry", "scale"]).code(6).stderr_has("scale is succeeded");
    stage.run(&["approve", "open"]).code(6).stderr_has("open waits for no approval");
    stage.run(&["skip", "opne", "--reason", "a slip"]).code(6).stderr_has("did you mean open?");
    stage.run(&["reject", "--reason", "not yet"]).code(0);
    run.wait().code(1);
    assert_eq!(stage.status_json()["status"], "paused");
}

#[test]
fn promise_5_a_second_resume_is_told_who_owns_the_run() {
    let stage = gated();
    let run = waiting(&stage);
    let pid = format!("process {} on", run.pid());
    stage.run(&["resume"]).code(6).stderr_has(&pid).stderr_has("ana@desk");
    assert!(run.kill9().was_killed());
    // The kernel has let go of it.
    stage.run(&["resume"]).code(4);
}

#[test]
fn with_no_live_owner_an_approval_takes_the_run_over() {
    let stage = gated();
    stage.run(&["run", "gated"]).code(4);
    stage.run(&["approve", "go_live"]).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded");
    assert_eq!(stage.text("opened"), "opened\n");
}

#[test]
fn a_killed_run_that_waited_at_its_gate_waits_there_again() {
    let stage = gated();
    assert!(waiting(&stage).kill9().was_killed());
    stage.run(&["resume"]).code(4);
    stage.run(&["approve"]).code(0);
    assert_eq!((stage.text("opened").as_str(), stage.effects_on("spec.replicas").len()), ("opened\n", 1));
}

#[test]
fn an_approval_that_is_killed_at_every_commit_opens_the_gate_once_or_not_at_all() {
    let killed = at_every_point(4, |point| {
        let stage = gated();
        stage.run(&["run", "gated"]).code(4);
        let (killed, ran) = stage.run_killed_at(point, &["approve"]);
        if !killed {
            ran.code(0);
        } else if point == "before-commit:1" {
            stage.run(&["resume"]).code(4);
            stage.run(&["approve"]).code(0);
        } else {
            stage.resume_if_open(0);
        }
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}");
        assert_eq!(stage.text("opened"), "opened\n", "{point}");
        killed
    });
    assert!(killed["commit"] >= 2, "{killed:?}");
}

#[test]
fn promise_5_of_many_who_resume_at_once_one_goes_on() {
    let stage = working();
    let run = at_work(&stage);
    let pid = stage.text("begun").trim().to_owned();
    assert!(run.kill9().was_killed());
    until("the command has been ended", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    let all: Vec<Live> = (0..4).map(|_| stage.start(&["resume"])).collect();
    // The one that had it cannot tell what the command did; the others were refused, or came after it and could not tell either.
    let codes: Vec<Option<i32>> = all.into_iter().map(|one| one.wait().code).collect();
    assert!(codes.iter().all(|code| matches!(code, Some(5 | 6))) && codes.contains(&Some(5)), "{codes:?}");
    assert_eq!((stage.text("begun").lines().count(), stage.effects_on("spec.replicas").len()), (1, 1));
    stage.run(&["runs", "verify"]).code(0);
}

#[test]
fn a_detached_run_goes_on_without_a_terminal_and_hears_the_second() {
    let stage = gated();
    let begun = stage.run(&["run", "gated", "--detach", "-o", "json"]).code(0).json();
    let status = stage.until_step("go_live", "waiting");
    assert_eq!((&status["owner"]["pid"], &status["owner"]["alive"]), (&begun["pid"], &true.into()), "{status:#}");
    stage.run(&["approve"]).code(0).stdout_has("took it");
    stage.until_status("it has ended, and its process with it", |run| run["status"] == "succeeded" && run["owner"]["alive"] == false);
    assert_eq!(stage.text("opened"), "opened\n");
}

/// A scale-up, then a command that stays until the test lets it go on.
fn working() -> Stage {
    let stage = Stage::new();
    let (begun, go_on) = (stage.path("begun"), stage.path("go-on"));
    stage
        .playbook(
            "work",
            &format!(
                r#"playbook: work
summary: Grow, and work
steps:
  - id: scale
    uses: k8s.scale
    with: {{ workload: deployment/ticket-service, replicas: 3 }}
  - id: work
    needs: [scale]
    uses: command
    with:
      shell: true
      script: |
        echo $$ >>"$BEGUN"
        while [ ! -e "$GO_ON" ]; do sleep 0.05; done
      env: {{ BEGUN: {}, GO_ON: {} }}
  - id: last
    needs: [work]
    uses: noop
"#,
                begun.display(),
                go_on.display()
            ),
        )
        .sandbox(20)
}

fn at_work(stage: &Stage) -> Live {
    let run = stage.start(&["run", "work"]);
    until("the command works", || !stage.text("begun").is_empty());
    run
}

fn go_on(stage: &Stage) {
    std::fs::write(stage.path("go-on"), "").unwrap();
}

/// One signal: what runs finishes, nothing new starts, and `resume` goes on.
fn paused_by(signal: impl FnOnce(&Live)) {
    let stage = working();
    let run = at_work(&stage);
    signal(&run);
    stage.until_status("the pause is known", |status| status["status"] == "paused");
    go_on(&stage);
    run.wait().code(130);
    let status = stage.status_json();
    assert_eq!(status["status"], "paused");
    assert_eq!((&step_of(&status, "work")["status"], &step_of(&status, "last")["status"]), (&"succeeded".into(), &"pending".into()));
    stage.run(&["resume"]).code(0);
    assert_eq!(stage.text("begun").lines().count(), 1, "what had finished is not done again");
}

#[test]
fn ctrl_c_once_pauses_and_resume_goes_on() {
    paused_by(Live::interrupt);
}

#[test]
fn sigterm_pauses_and_resume_goes_on() {
    paused_by(Live::terminate);
}

#[test]
fn ctrl_c_twice_ends_it_at_once_and_what_ran_is_unknown() {
    let stage = working();
    let run = at_work(&stage);
    run.interrupt();
    stage.until_status("the pause is known", |status| status["status"] == "paused");
    run.interrupt();
    run.wait().code(130);
    let pid = stage.text("begun").trim().to_owned();
    until("the command has been ended", || !std::path::Path::new(&format!("/proc/{pid}")).exists());
    stage.run(&["resume"]).code(5);
    assert_eq!(stage.step_status("work"), "unknown");
    assert_eq!(stage.text("begun").lines().count(), 1);
    stage.run(&["mark-done", "work", "--reason", "it was done"]).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded");
}

#[test]
fn promise_5_two_runs_that_touch_the_same_deployment_do_not_run_at_once() {
    let stage = working();
    let first = at_work(&stage);
    let id = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    let holder = format!("run {id} of work, process {}", first.pid());
    stage.run(&["run", "work"]).code(6).stderr_has("deployment/ticket-service").stderr_has(&holder).stderr_has("--wait");
    let second = stage.start(&["run", "work", "--wait"]);
    second.until_printed("of work");
    assert_eq!(stage.text("begun").lines().count(), 1);
    go_on(&stage);
    first.wait().code(0);
    second.wait().code(0);
    assert_eq!(stage.text("begun").lines().count(), 2);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3"], "the second found it as it wants it");
}

#[test]
fn ctrl_c_twice_in_the_middle_of_an_effect_leaves_it_unknown_and_the_target_tells() {
    let stage = working();
    go_on(&stage);
    // Longer than a busy machine takes for all that follows.
    stage.fault(&["delay", "PATCH */scale", "--ms", "60000"]);
    let run = stage.start(&["run", "work"]);
    stage.until_status("its intent is on disk", |status| !step_of(status, "scale")["changes"].is_null());
    run.interrupt();
    stage.until_status("the pause is known", |status| status["status"] == "paused");
    let begun = std::time::Instant::now();
    run.interrupt();
    run.wait().code(130);
    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it did not wait for the answer: {:?}", begun.elapsed());
    stage.clear_faults();
    stage.run(&["resume"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3"]);
}
