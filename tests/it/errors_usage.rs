//! What is typed wrongly: commands, options, roots, runs and steps that are not there, and what is refused as somebody else is at it.

use std::process::Stdio;

use super::errors::{GATE, OK, Told, keeps_the_rules, tells, tells_of};
use super::support::{Live, Ran, Stage, until};

/// The command in a folder of its own.
fn within(stage: &Stage, folder: &std::path::Path, args: &[&str]) -> Ran {
    let output = stage.command(args).current_dir(folder).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran::new(&args.join(" "), output.status, text(output.stdout), text(output.stderr))
}

#[test]
fn a_wrong_command_line() {
    let stage = Stage::new().playbook("ok", OK);
    tells_of(
        &stage,
        &["rnu", "ok"],
        2,
        &["error: unrecognized subcommand 'rnu'\n hint: a similar subcommand exists: ", "`runsheet --help` tells more"],
    );
    tells_of(
        &stage,
        &["run"],
        2,
        &[
            "error: the following required arguments were not provided: <PLAYBOOK>\n hint: `runsheet list` lists them\n       usage: runsheet run <PLAYBOOK>\n       \
             `runsheet run --help` tells more",
        ],
    );
    tells_of(
        &stage,
        &["run", "ok", "-p", "level"],
        2,
        &["error: invalid value 'level' for '--param <NAME=VALUE>': write it as NAME=VALUE", " hint: "],
    );
    tells_of(
        &stage,
        &["run", "ok", "-o", "xml"],
        2,
        &["error: invalid value 'xml' for '--output <FORMAT>'", "text, json, jsonl", " hint: "],
    );
    tells_of(&stage, &["run", "ok", "--max-parallel", "0"], 2, &["invalid value '0' for '--max-parallel <N>'", " hint: "]);
    tells_of(&stage, &["run", "ok", "--detach", "--watch"], 2, &["cannot be used with", " hint: "]);
    tells(&stage, &["run", "ok", "-p", "a=1", "-p", "a=2"], 2, "error: parameter `a` is given twice\n hint: leave one of them out");
    // Programs read it in the form they asked for.
    let ran = stage.run(&["run", "ok", "-o", "json", "--no-such"]).code(2);
    assert_eq!(ran.json()["error"]["code"], 2, "{ran}");
    assert!(!stage.root().join("state").exists());
}

#[test]
fn no_root() {
    let stage = Stage::new().playbook("ok", OK);
    let elsewhere = stage.path("home");
    let told = Told::of(&stage, within(&stage, &elsewhere, &["runs"]), 2);
    assert_eq!(
        told.err,
        "\
error: neither STAGE/home nor any folder above it holds a folder `playbooks`
 hint: go to the folder that holds your playbooks, or name it with `--root`"
    );
    let nowhere = stage.path("nowhere").to_string_lossy().into_owned();
    tells(
        &stage,
        &["--root", &nowhere, "run", "ok"],
        2,
        "\
error: there is no folder STAGE/nowhere
 hint: name the folder that holds `playbooks` with `--root` (or RUNSHEET_ROOT)",
    );
    let home = elsewhere.to_string_lossy().into_owned();
    tells(
        &stage,
        &["--root", &home, "run", "ok"],
        2,
        "\
error: STAGE/home holds no folder `playbooks`
 hint: name the folder that holds `playbooks` with `--root` (or RUNSHEET_ROOT)",
    );
    let file = stage.root().join("playbooks/ok.yaml").to_string_lossy().into_owned();
    tells_of(&stage, &["--root", &file, "run", "ok"], 2, &["error: ROOT/playbooks/ok.yaml is a file, not a folder\n hint: "]);
}

#[test]
fn no_runs_yet() {
    let stage = Stage::new().playbook("ok", OK);
    let none = "\
error: there are no runs yet in ROOT/state/runsheet.db
 hint: start one: `runsheet list` shows the playbooks";
    for args in [&["status"][..], &["approve"], &["rollback", "--yes"], &["cancel", "abcd"], &["logs"]] {
        tells_of(&stage, args, 2, &[" hint: "]);
    }
    tells(&stage, &["status"], 2, none);
    tells(&stage, &["status", "abcd"], 2, none);
    tells(&stage, &["resume"], 2, "error: no run is open\n hint: `runsheet runs` lists all; `runsheet run PLAYBOOK` starts one");
    assert!(!stage.root().join("state").exists(), "a question makes no database");
}

#[test]
fn runs_that_are_not_there_or_not_clear() {
    let stage = Stage::new().playbook("gate", GATE);
    let _ = stage.run(&["run", "gate"]).code(4);
    tells(&stage, &["status", "0000"], 2, "error: there is no run `0000` in ROOT/state/runsheet.db\n hint: `runsheet runs` lists them");
    tells(
        &stage,
        &["resume", "nonsense"],
        2,
        "error: `nonsense` is no run's id: write the 4 or more hex digits with which the id begins or ends\n hint: `runsheet runs` lists them",
    );
    let _ = stage.run(&["run", "gate"]).code(4);
    let listed = stage.run(&["runs", "-o", "json"]).code(0).json();
    let first = listed[0]["id"].as_str().unwrap();
    // Ids begin with the time: two of the same minute begin alike.
    let told = Told::of(&stage, stage.run(&["status", &first[..4]]), 2);
    let begins = format!("error: `{}` fits several runs: RUN-ID, RUN-ID\n hint: `runsheet runs` lists them", &first[..4]);
    assert_eq!(told.err, begins);
    for args in [&["resume"][..], &["cancel"]] {
        tells_of(&stage, args, 2, &["error: 2 runs are open, and none was named\n hint: name one of them:\n", "gate waiting"]);
    }
}

#[test]
fn steps_that_are_not_there_or_refuse() {
    let stage = Stage::new().playbook("gate", GATE);
    let _ = stage.run(&["run", "gate"]).code(4);
    let near = "error: the run has no step go_life; did you mean go_live?\n hint: `runsheet status RUN` shows where the run stands";
    for args in [&["retry", "go_life"][..], &["skip", "go_life", "--reason", "x"], &["mark-done", "go_life", "--reason", "x"]] {
        tells_of(&stage, args, 6, &[near]);
    }
    tells_of(
        &stage,
        &["skip", "nonsense", "--reason", "x"],
        6,
        &["error: the run has no step nonsense: `runsheet status` lists them\n hint: "],
    );
    tells_of(&stage, &["approve", "go_life"], 6, &["go_life", " hint: "]);
    tells(&stage, &["skip", "go_live"], 2, "error: `skip` needs a reason: it is kept with the run\n hint: give it with --reason '…'");
    tells(
        &stage,
        &["mark-done", "go_live"],
        2,
        "error: `mark-done` needs a reason: it is kept with the run\n hint: give it with --reason '…'",
    );
    tells_of(&stage, &["retry", "after"], 6, &["error: ", "after", " hint: `runsheet status RUN` shows where the run stands"]);
    assert_eq!(stage.step_status("go_live"), "waiting");
}

#[test]
fn a_program_confirms_with_yes() {
    let stage = Stage::pre_event().sandbox(20);
    let _ = stage.run(&["run", "pre-event", "-p", &format!("event_id={}", super::support::EVENT)]).code(0);
    tells_of(
        &stage,
        &["rollback"],
        2,
        &["error: this has to be confirmed, and there is no terminal to ask on\n hint: programs confirm with `--yes`"],
    );
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8"], "nothing was taken back");
    let _ = stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→2"]);
}

/// A run that holds its command until the file is there.
fn held(stage: &Stage, playbook: &str) -> Live {
    let live = stage.start(&["run", playbook]);
    until("the command runs", || stage.path("began").exists());
    live
}

fn holding(stage: &Stage, uses: &str) -> String {
    let (began, go) = (stage.path("began"), stage.path("go"));
    let script = format!("touch {}; while [ ! -e {} ]; do sleep 0.02; done", began.display(), go.display());
    format!("playbook: held\nsummary: h\nsteps:\n  - {{ id: hold, uses: command, with: {{ shell: true, script: \"{script}\" }} }}\n{uses}")
}

#[test]
fn a_run_that_somebody_else_has() {
    let stage = Stage::new();
    stage.write_playbook("held", &holding(&stage, ""));
    let live = held(&stage, "held");
    let told = Told::of(&stage, stage.run(&["resume"]), 6);
    let wanted = "error: run RUN is being run by process PID on ";
    assert!(told.err.starts_with(wanted), "{}", told.err);
    assert!(told.err.contains(", started by ana@desk at "), "{}", told.err);
    assert!(
        told.err.ends_with(" hint: follow it with `runsheet status RUN --follow`; approve, skip, cancel and the like reach it from here"),
        "{}",
        told.err
    );
    std::fs::write(stage.path("go"), "").unwrap();
    let ran = live.wait().code(0);
    keeps_the_rules(&ran);
}

#[test]
fn what_another_run_has_locked() {
    let stage = Stage::new().sandbox(20);
    let scale = "  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n";
    stage.write_playbook("held", &holding(&stage, scale));
    stage.write_playbook("scale", &format!("playbook: scale\nsummary: s\nsteps:\n{scale}"));
    let live = held(&stage, "held");
    let told = Told::of(&stage, stage.run(&["run", "scale"]), 6);
    assert!(told.err.contains("deployment/ticket-service in production is locked by "), "{}", told.err);
    assert!(told.err.contains(" hint: wait for its end, or start with `--wait`; `runsheet runs` shows what is open"), "{}", told.err);
    // It is told apart from one that somebody cancelled.
    let listed = stage.run(&["runs", "--playbook", "scale"]).code(0).stdout_has("  refused  ");
    assert!(!listed.stdout.contains("cancelled"), "{listed}");
    stage
        .run(&["status", "scale"])
        .code(0)
        .stdout_has(" was refused at its start, and began nothing: deployment/ticket-service in production is locked");
    std::fs::write(stage.path("go"), "").unwrap();
    let _ = live.wait().code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn locks_that_cannot_be_taken() {
    let scale = "playbook: scale\nsummary: s\nsteps:\n  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n";
    let stage = Stage::new().playbook("scale", scale).playbook("ok", OK).sandbox(20);
    let file = stage.path("a-file");
    std::fs::write(&file, "").unwrap();
    let ran = stage.run_with(&["run", "scale"], &[("RUNSHEET_LOCK_DIR", &file.to_string_lossy())]);
    let told = Told::of(&stage, ran, 7);
    let wanted = "deployment/ticket-service cannot be taken: the folder STAGE/a-file cannot be made or used: a part of its path is a file; set RUNSHEET_LOCK_DIR to another folder\n hint: ";
    assert!(told.err.contains(wanted), "{}", told.err);
    assert!(stage.effects().is_empty());

    let locks = stage.root().join("state/locks");
    std::fs::remove_dir_all(&locks).unwrap();
    std::fs::write(&locks, "").unwrap();
    tells_of(
        &stage,
        &["run", "ok"],
        7,
        &["error: the lock of run RUN-ID, ROOT/state/locks/run-", "a part of its path is a file", " hint: "],
    );
}

#[test]
fn a_sandbox_for_which_there_is_no_room() {
    let scale = "playbook: scale\nsummary: s\nsteps:\n  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n";
    let stage = Stage::new().playbook("scale", scale);
    std::fs::create_dir_all(stage.sandbox_folder().parent().unwrap()).unwrap();
    std::fs::write(stage.sandbox_folder(), "a file").unwrap();
    tells_of(
        &stage,
        &["run", "scale"],
        1,
        &[
            "error: the sandbox could not make the folder ROOT/state/sandbox: ",
            " hint: check the path and its permissions, or name another database with `--state`: the sandbox lies beside it",
        ],
    );
}

#[test]
fn a_sandbox_that_is_damaged() {
    let scale = "playbook: scale\nsummary: s\nsteps:\n  - { id: grow, uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n";
    let stage = Stage::new().playbook("scale", scale);
    std::fs::create_dir_all(stage.sandbox_folder()).unwrap();
    std::fs::write(stage.sandbox_folder().join("identity.json"), "{").unwrap();
    tells_of(
        &stage,
        &["run", "scale"],
        1,
        &[
            "error: the sandbox in ROOT/state/sandbox did not start: it ended with exit code 1; the end of its log says:\n",
            "ROOT/state/sandbox/identity.json is damaged (",
            " hint: `runsheet sandbox status` tells how it is; `runsheet sandbox reset` makes a new one",
        ],
    );
    let _ = stage.run(&["sandbox", "reset"]).code(0);
    let _ = stage.run(&["run", "scale"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4"]);
}
