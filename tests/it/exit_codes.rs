//! Every exit code of the table, each reached by the binary itself.

use super::errors::{GATE, OK, keeps_the_rules};
use super::support::{EVENT, Ran, Stage, until};

/// A playbook with these steps.
fn of(name: &str, steps: &str) -> Stage {
    Stage::new().playbook(name, &format!("playbook: {name}\nsummary: s\nsteps:\n{steps}"))
}

/// It ends with this code, and what people read keeps the rules.
#[track_caller]
fn ends(stage: &Stage, args: &[&str], code: i32) -> Ran {
    let ran = stage.run(args).code(code);
    keeps_the_rules(&ran);
    ran
}

#[track_caller]
fn ends_as(stage: &Stage, args: &[&str], code: i32, status: &str) {
    let _ = ends(stage, args, code);
    assert_eq!(stage.status_json()["status"], status);
}

#[test]
fn the_table_is_in_the_help() {
    let stage = Stage::new();
    let help = stage.run(&["--help"]).code(0);
    for code in ["0  ", "1  ", "2  ", "3  ", "4  ", "5  ", "6  ", "7  ", "130  "] {
        assert!(help.stdout.lines().any(|line| line.trim_start().starts_with(code)), "{code}: {help}");
    }
}

#[test]
fn zero_succeeded_answered_taken_back() {
    let stage = Stage::pre_event().playbook("gate", GATE).sandbox(20);
    ends_as(&stage, &["run", "pre-event", "-p", &format!("event_id={EVENT}")], 0, "succeeded");
    for question in [&["status"][..], &["runs"], &["list"], &["--help"], &["--version"], &["runs", "verify"]] {
        let _ = ends(&stage, question, 0);
    }
    ends_as(&stage, &["rollback", "--yes"], 0, "rolled_back");
    let _ = ends(&stage, &["run", "gate"], 4);
    ends_as(&stage, &["cancel", "--yes"], 0, "cancelled");
    let _ = ends(&stage, &["run", "gate"], 4);
    ends_as(&stage, &["approve", "go_live"], 0, "succeeded");
}

#[test]
fn one_paused_by_a_failure() {
    let stage = of("fails", "  - { id: a, uses: command, with: { argv: [\"false\"] } }\n");
    ends_as(&stage, &["run", "fails"], 1, "paused");
    ends_as(&stage, &["resume"], 1, "paused");
}

#[test]
fn one_rolled_back_after_a_failure() {
    let stage = of(
        "back",
        "  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n  \
         - { id: a, needs: [grow], uses: command, with: { argv: [\"false\"] }, on_failure: rollback }\n",
    )
    .sandbox(20);
    ends_as(&stage, &["run", "back"], 1, "rolled_back");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
}

#[test]
fn one_failed_by_its_outputs() {
    let stage = Stage::new().playbook(
        "share",
        "playbook: share\nsummary: s\nparams:\n  pods: { type: integer }\nsteps:\n  - { id: a, uses: noop }\noutputs:\n  each: ${{ 100 / params.pods }}\n",
    );
    ends_as(&stage, &["run", "share", "-p", "pods=4"], 0, "succeeded");
    ends_as(&stage, &["run", "share", "-p", "pods=0"], 1, "failed");
    assert!(stage.status_json()["reason"].as_str().is_some_and(|reason| reason.contains("zero")), "{}", stage.status_json());
}

#[test]
fn one_succeeded_with_failures() {
    let stage = of("on", "  - { id: a, uses: command, with: { argv: [\"false\"] }, on_failure: continue }\n");
    ends_as(&stage, &["run", "on"], 1, "succeeded_with_failures");
}

#[test]
fn zero_for_the_refusal_of_a_gate_which_pauses_the_run() {
    let stage = Stage::new().playbook("gate", GATE);
    let _ = ends(&stage, &["run", "gate"], 4);
    ends_as(&stage, &["reject", "go_live", "--reason", "not tonight"], 0, "paused");
    assert_eq!(stage.step_status("go_live"), "failed");
    let _ = ends(&stage, &["resume"], 4);
}

#[test]
fn one_cancelled_while_it_was_watched() {
    let stage = Stage::new();
    let (began, go) = (stage.path("began"), stage.path("go"));
    let script = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", began.display(), go.display());
    stage.write_playbook(
        "held",
        &format!(
            "playbook: held\nsummary: h\nsteps:\n  - {{ id: hold, uses: command, with: {{ shell: true, script: \"{script}\" }} }}\n  - {{ id: next, needs: [hold], uses: noop }}\n"
        ),
    );
    let live = stage.start(&["run", "held"]);
    until("the command runs", || began.exists());
    let _ = ends(&stage, &["cancel", "--yes"], 0);
    std::fs::write(&go, "").unwrap();
    let ran = live.wait().code(1);
    keeps_the_rules(&ran);
    assert_eq!(stage.status_json()["status"], "cancelled");
}

#[test]
fn two_usage() {
    let stage = Stage::new().playbook("ok", OK);
    let _ = ends(&stage, &["status"], 2);
    let _ = ends(&stage, &["run"], 2);
    let _ = ends(&stage, &["run", "ok", "--no-such"], 2);
}

#[test]
fn three_invalid_or_unknown() {
    let stage = Stage::pre_event().playbook("bad", "playbook: bad\n");
    let _ = ends(&stage, &["run", "none"], 3);
    let _ = ends(&stage, &["run", "bad"], 3);
    let _ = ends(&stage, &["validate"], 3);
    let _ = ends(&stage, &["run", "pre-event"], 3);
    let _ = ends(&stage, &["run", "pre-event", "-p", "event_id=x"], 3);
}

#[test]
fn four_waits() {
    let stage = Stage::new().playbook("gate", GATE);
    ends_as(&stage, &["run", "gate"], 4, "waiting");
    ends_as(&stage, &["resume"], 4, "waiting");
    let stage = of("later", "  - { id: a, uses: noop, at: \"2999-01-01T00:00:00Z\" }\n");
    ends_as(&stage, &["run", "later"], 4, "waiting");
}

#[test]
fn five_unknown_and_stuck() {
    let stage = of(
        "cut",
        "  - { id: a, uses: http.request, with: { method: POST, url: \"${{ target.ticket_service.url + '/internal/cache/warm' }}\", json: { eventId: \"x\" } } }\n",
    )
    .sandbox(20);
    stage.fault(&["cut-after", "POST /internal/cache/warm"]);
    ends_as(&stage, &["run", "cut"], 5, "waiting");
    assert_eq!(stage.step_status("a"), "unknown");

    let stage = of("grow", "  - { id: a, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n").sandbox(20);
    let _ = ends(&stage, &["run", "grow"], 0);
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "9"]);
    ends_as(&stage, &["rollback", "--yes"], 5, "stuck");
    let _ = ends(&stage, &["resume"], 5);
    assert_eq!(stage.step_status("a"), "rollback_failed");
}

#[test]
fn six_refused() {
    let stage = of("grow", "  - { id: a, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n");
    std::fs::create_dir(stage.root().join("playbooks/environments")).unwrap();
    std::fs::write(stage.root().join("playbooks/environments/staging.yaml"), "environment: staging\n").unwrap();
    let _ = ends(&stage, &["run", "grow"], 6);
    let stage = stage.playbook("ok", OK);
    let _ = ends(&stage, &["run", "ok"], 0);
    let run = stage.status_json()["id"].as_str().unwrap().to_owned();
    let _ = ends(&stage, &["resume", &run], 6).stderr_has("there is nothing left to do");
}

#[test]
fn seven_the_store() {
    let stage = Stage::new().playbook("ok", OK);
    std::fs::create_dir_all(stage.root().join("state/runsheet.db")).unwrap();
    let _ = ends(&stage, &["run", "ok"], 7);
}

#[test]
fn a_hundred_and_thirty_interrupted() {
    let stage = Stage::new();
    let (began, go) = (stage.path("began"), stage.path("go"));
    let script = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", began.display(), go.display());
    stage.write_playbook(
        "held",
        &format!(
            "playbook: held\nsummary: h\nsteps:\n  - {{ id: hold, uses: command, with: {{ shell: true, script: \"{script}\" }} }}\n  - {{ id: next, needs: [hold], uses: noop }}\n"
        ),
    );
    let live = stage.start(&["run", "held"]);
    until("the command runs", || began.exists());
    live.interrupt();
    std::fs::write(&go, "").unwrap();
    let ran = live.wait().code(130);
    keeps_the_rules(&ran);
    let status = stage.status_json();
    assert_eq!(status["status"], "paused", "{status}");
    ends_as(&stage, &["resume"], 0, "succeeded");
}
