//! What may run once, and what the killed engine leaves behind: promise 2, cannot tell means that the operator is asked.

use super::support::{Stage, at_every_point, step_of, until};

/// A playbook whose step writes a line and, where nobody said that it may go on, stays for a minute.
fn charging() -> Stage {
    let stage = Stage::new();
    let (file, go_on) = (stage.path("charges"), stage.path("go-on"));
    stage.playbook(
        "charge",
        &format!(
            r#"playbook: charge
summary: Charge a card, once
steps:
  - id: charge
    uses: command
    with:
      shell: true
      script: |
        echo charged >>"$FILE"
        if [ ! -e "$GO_ON" ]; then sleep 60; fi
      env: {{ FILE: {}, GO_ON: {} }}
  - id: receipt
    needs: [{{ step: charge, accept: [succeeded, skipped] }}]
    uses: noop
"#,
            file.display(),
            go_on.display()
        ),
    )
}

fn go_on(stage: &Stage) {
    std::fs::write(stage.path("go-on"), "").unwrap();
}

fn charges(stage: &Stage) -> usize {
    stage.text("charges").lines().count()
}

/// Killed while the command runs, resumed, and nobody can tell.
fn unknown() -> Stage {
    let stage = charging();
    let run = stage.start(&["run", "charge"]);
    until("the command has begun", || charges(&stage) == 1);
    assert!(run.kill9().was_killed());
    stage.run(&["resume"]).code(5);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "charge")["status"]), (&"waiting".into(), &"unknown".into()), "{status:#}");
    assert_eq!(charges(&stage), 1);
    stage
        .run(&["status"])
        .code(0)
        .stdout_has("charge")
        .stdout_has("unknown")
        .stdout_has("runsheet mark-done")
        .stdout_has("runsheet retry")
        .stdout_has("runsheet skip");
    // Asking again changes nothing.
    stage.run(&["resume"]).code(5);
    assert_eq!(charges(&stage), 1);
    stage
}

#[test]
fn promise_2_an_unknown_once_waits_for_the_operator_who_marks_it_done() {
    let stage = unknown();
    go_on(&stage);
    stage.run(&["mark-done", "charge", "--reason", "the bank shows it"]).code(0);
    let status = stage.status_json();
    assert_eq!(status["status"], "succeeded");
    assert_eq!(step_of(&status, "charge")["how"]["kind"], "marked_done");
    assert_eq!(charges(&stage), 1);
}

#[test]
fn promise_2_an_unknown_once_waits_for_the_operator_who_does_it_again() {
    let stage = unknown();
    go_on(&stage);
    stage.run(&["retry", "charge", "--reason", "the bank does not show it"]).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded");
    assert_eq!(charges(&stage), 2);
}

#[test]
fn promise_2_an_unknown_once_waits_for_the_operator_who_skips_it() {
    let stage = unknown();
    stage.run(&["skip", "charge", "--reason", "nobody is charged today"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "charge")["status"]), (&"succeeded".into(), &"skipped".into()), "{status:#}");
    assert_eq!(charges(&stage), 1);
}

#[test]
fn promise_2_a_once_killed_at_every_commit_and_effect_never_runs_twice() {
    let killed = at_every_point(4, |point| {
        let stage = charging();
        go_on(&stage);
        let (killed, ran) = stage.run_killed_at(point, &["run", "charge"]);
        if !killed {
            ran.code(0);
            return false;
        }
        let status = stage.status_json();
        if status["status"] != "succeeded" {
            // Its files tell whether it ran to its end: nobody has to be asked.
            stage.run(&["resume"]).code(0);
        }
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}");
        assert_eq!(charges(&stage), 1, "{point}");
        true
    });
    assert!(killed["commit"] >= 2 && killed["effect"] == 1 && killed["before-effect"] == 1, "{killed:?}");
}

/// Whether the process is there and not merely waiting for its parent to notice its end.
fn is_alive(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

#[test]
fn no_child_of_a_killed_engine_is_left_running_not_even_one_in_a_session_of_its_own() {
    let stage = Stage::new();
    let (child, grandchild) = (stage.path("child"), stage.path("grandchild"));
    let stage = stage.playbook(
        "stays",
        &format!(
            r#"playbook: stays
summary: Stay until it is ended
steps:
  - id: stays
    uses: command
    with:
      shell: true
      script: |
        setsid sh -c 'echo $$ >"$GRANDCHILD"; exec sleep 60' &
        echo $$ >"$CHILD"
        wait
      env: {{ CHILD: {}, GRANDCHILD: {} }}
"#,
            child.display(),
            grandchild.display()
        ),
    );
    let run = stage.start(&["run", "stays"]);
    until("both processes run", || !stage.text("child").trim().is_empty() && !stage.text("grandchild").trim().is_empty());
    let pids = [stage.text("child").trim().to_owned(), stage.text("grandchild").trim().to_owned()];
    assert!(pids.iter().all(|pid| is_alive(pid)), "{pids:?}");
    assert!(run.kill9().was_killed());
    until("the child and the grandchild have ended", || !pids.iter().any(|pid| is_alive(pid)));
}
