//! A database that is locked, full, damaged, newer, or no database: each ends with 7, loses nothing that was committed, and says what to do.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use rusqlite::Connection;
use serde_json::Value;

use super::errors::{GATE, OK, Told, keeps_the_rules, tells, tells_of};
use super::support::{Ran, Stage};

fn file(stage: &Stage) -> PathBuf {
    stage.root().join("state/runsheet.db")
}

fn raw(stage: &Stage) -> Connection {
    Connection::open(file(stage)).unwrap()
}

/// The ids of all runs, the latest first.
fn runs(stage: &Stage) -> Vec<String> {
    let listed = stage.run(&["runs", "-o", "json"]).code(0).json();
    listed.as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn locked_by_another_process() {
    let stage = Stage::new().playbook("ok", OK).playbook("gate", GATE).env("RUNSHEET_BUSY_TIMEOUT_MS", "200");
    let _ = stage.run(&["run", "gate"]).code(4);
    let other = raw(&stage);
    other.execute_batch("BEGIN EXCLUSIVE").unwrap();
    let wanted = "\
error: the database ROOT/state/runsheet.db is locked by another process, and was for N ms
 hint: close what holds it (a `sqlite3` shell with an open transaction, a backup), then `runsheet resume`";
    tells(&stage, &["run", "ok"], 7, wanted);
    tells(&stage, &["approve", "go_live"], 7, wanted);
    // Questions are answered all the same: a reader of a WAL waits for no writer.
    assert_eq!(runs(&stage).len(), 1);
    assert_eq!(stage.step_status("go_live"), "waiting");
    other.execute_batch("ROLLBACK").unwrap();
    let _ = stage.run(&["approve", "go_live"]).code(0);
    assert_eq!(runs(&stage).len(), 1, "what was refused left no run behind");
}

/// A chain of steps that fill some pages.
fn long() -> String {
    let steps = (0..40).map(|at| {
        let needs = if at == 0 { String::new() } else { format!(", needs: [s{}]", at - 1) };
        format!("  - {{ id: s{at}, uses: noop{needs}, with: {{ message: '{}' }} }}\n", "x".repeat(2000))
    });
    format!("playbook: long\nsummary: Long\nsteps:\n{}", steps.collect::<String>())
}

#[test]
fn full_in_the_middle_of_a_run() {
    let stage = Stage::new().playbook("long", &long());
    let ran = stage.run_with(&["run", "long"], &[("RUNSHEET_MAX_PAGES", "70")]);
    let told = Told::of(&stage, ran, 7);
    let wanted = "\
error: the disk (or the database's page limit) is full: nothing more can be written to ROOT/state/runsheet.db
 hint: make room, then `runsheet resume`: what was committed is kept, and what was not is asked of the target
       the run is recorded: `runsheet resume RUN` goes on with it, `runsheet cancel RUN` ends it";
    assert!(told.err.ends_with(wanted), "{}", told.err);
    let shown = told.err.lines().filter(|line| line.contains(" succeeded ")).count();
    let stands = stage.status_json();
    let done = stands["steps"].as_array().unwrap().iter().filter(|step| step["status"] == "succeeded").count();
    assert!((1..40).contains(&done), "in the middle: {done} of 40");
    assert_eq!(shown, done, "what was shown as done was committed, and what was committed is kept");
    let sound = stage.run(&["runs", "verify"]).code(0);
    assert!(sound.stdout.starts_with("1 run is sound"), "{sound}");
    // Still full: the same error, and no more.
    let again = Told::of(&stage, stage.run_with(&["resume"], &[("RUNSHEET_MAX_PAGES", "70")]), 7);
    assert!(again.err.contains("is full: nothing more can be written to ROOT/state/runsheet.db"), "{}", again.err);
    let _ = stage.run(&["resume"]).code(0);
    let stands = stage.status_json();
    assert!(stands["steps"].as_array().unwrap().iter().all(|step| step["status"] == "succeeded"), "{stands}");
}

#[test]
fn one_changed_event_puts_its_run_aside_and_no_other() {
    let stage = Stage::new().playbook("ok", OK).playbook("gate", GATE);
    let _ = stage.run(&["run", "ok"]).code(0);
    let _ = stage.run(&["run", "gate"]).code(4);
    let [sound, hurt] = runs(&stage).try_into().expect("two runs");
    let id = hurt.replace('-', "");
    let changed = raw(&stage).execute(
        &format!("UPDATE events SET body = replace(body, 'first', 'fjrst') WHERE run_id = x'{id}' AND seq = (SELECT min(seq) FROM events WHERE run_id = x'{id}' AND body LIKE '%first%')"),
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    let ran = stage.run(&["runs", "verify"]);
    keeps_the_rules(&ran);
    let ran =
        ran.code(7).stdout_has("1 run is sound").stdout_has(&format!("run {hurt} is damaged: ")).stdout_has("is not as it was written");
    assert!(ran.stderr.contains("keep a copy of the database; restore these runs from a backup; the others go on"), "{ran}");
    let verified: Value = stage.run(&["runs", "verify", "-o", "json"]).code(7).json();
    assert_eq!((&verified["sound"], &verified["damaged"][0]["run"]), (&1.into(), &hurt.as_str().into()));
    tells_of(
        &stage,
        &["status", &hurt],
        7,
        &[
            "error: ROOT/state/runsheet.db is damaged: run RUN-ID: event ",
            " is not as it was written",
            " hint: keep a copy of the file; `runsheet runs verify` names the runs that are sound; restore the rest from a backup",
        ],
    );
    // The other goes on, and so do new ones.
    let _ = stage.run(&["status", &sound]).code(0);
    let _ = stage.run(&["approve", "go_live"]).code(0);
    let _ = stage.run(&["run", "ok"]).code(0);
}

#[test]
fn an_overwritten_header() {
    let stage = Stage::new().playbook("ok", OK);
    let _ = stage.run(&["run", "ok"]).code(0);
    let mut bytes = std::fs::read(file(&stage)).unwrap();
    bytes[..100].fill(0xA5);
    std::fs::write(file(&stage), &bytes).unwrap();
    let wanted = "\
error: ROOT/state/runsheet.db is damaged: it is not a SQLite database, or its header is overwritten
 hint: keep a copy of the file; `runsheet runs verify` names the runs that are sound; restore the rest from a backup";
    for args in [&["run", "ok"][..], &["runs"], &["status"], &["resume"], &["runs", "verify"]] {
        tells(&stage, args, 7, wanted);
    }
    assert!(std::fs::read(file(&stage)).unwrap() == bytes, "nobody touched it");
}

#[test]
fn overwritten_pages() {
    let stage = Stage::new().playbook("ok", OK);
    let _ = stage.run(&["run", "ok"]).code(0);
    raw(&stage).execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    let mut bytes = std::fs::read(file(&stage)).unwrap();
    bytes[4096..].fill(0xA5);
    std::fs::write(file(&stage), &bytes).unwrap();
    for args in [&["run", "ok"][..], &["runs"], &["status"], &["runs", "verify"]] {
        tells_of(
            &stage,
            args,
            7,
            &["error: ROOT/state/runsheet.db is damaged: SQLite finds its pages inconsistent", " hint: keep a copy of the file; "],
        );
    }
}

#[test]
fn of_a_newer_runsheet() {
    let stage = Stage::new().playbook("ok", OK);
    let _ = stage.run(&["run", "ok"]).code(0);
    raw(&stage).pragma_update(None, "user_version", 999).unwrap();
    let wanted = "\
error: ROOT/state/runsheet.db was written by a newer runsheet (schema 999; this one knows up to 1)
 hint: use the runsheet that wrote it, or name another database with `--state`";
    for args in [&["run", "ok"][..], &["runs"], &["resume"]] {
        tells(&stage, args, 7, wanted);
    }
    let version: i64 = raw(&stage).pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
    assert_eq!(version, 999, "it is left as it is");
}

#[test]
fn what_is_no_database_is_left_as_it_is() {
    let stage = Stage::new().playbook("ok", OK);
    std::fs::create_dir(stage.root().join("state")).unwrap();
    let text = "name,date\n".repeat(100);
    std::fs::write(file(&stage), &text).unwrap();
    for args in [&["run", "ok"][..], &["runs"]] {
        tells_of(
            &stage,
            args,
            7,
            &["error: ROOT/state/runsheet.db is damaged: it is not a SQLite database, or its header is overwritten\n hint: "],
        );
    }
    assert_eq!(std::fs::read_to_string(file(&stage)).unwrap(), text);

    std::fs::remove_file(file(&stage)).unwrap();
    raw(&stage).execute_batch("CREATE TABLE theirs (a)").unwrap();
    for args in [&["run", "ok"][..], &["runs"]] {
        tells(
            &stage,
            args,
            7,
            "\
error: ROOT/state/runsheet.db cannot be used: it is a SQLite database of another program
 hint: check the path and its permissions, or name another database with `--state`",
        );
    }

    std::fs::remove_file(file(&stage)).unwrap();
    std::fs::create_dir(file(&stage)).unwrap();
    for args in [&["run", "ok"][..], &["runs"]] {
        tells(
            &stage,
            args,
            7,
            "\
error: ROOT/state/runsheet.db cannot be used: it is a folder; the database must be a file
 hint: check the path and its permissions, or name another database with `--state`",
        );
    }
}

#[test]
fn where_nothing_can_be_made() {
    let stage = Stage::new().playbook("ok", OK);
    std::fs::write(stage.root().join("state"), "a file").unwrap();
    tells_of(
        &stage,
        &["run", "ok"],
        7,
        &["error: ROOT/state/runsheet.db cannot be used: its folder ROOT/state cannot be made: a part of the path is a file\n hint: "],
    );
}

/// As somebody who may not write there: who is root may write anywhere.
fn as_nobody(stage: &Stage, args: &[&str]) -> Ran {
    let mut command = stage.command(args);
    if rustix::process::getuid().is_root() {
        // Its own folder may be closed to others.
        let program = stage.path("runsheet");
        if !program.exists() {
            std::fs::copy(env!("CARGO_BIN_EXE_runsheet"), &program).unwrap();
        }
        std::fs::set_permissions(stage.path(""), std::fs::Permissions::from_mode(0o755)).unwrap();
        let envs: Vec<_> = command.get_envs().filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned()))).collect();
        command = std::process::Command::new(program);
        command.args(args).current_dir(stage.root()).env_clear().envs(envs).uid(65534).gid(65534);
    }
    let output = command.stdin(std::process::Stdio::null()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran::new(&args.join(" "), output.status, text(output.stdout), text(output.stderr))
}

#[test]
fn a_folder_that_may_not_be_written() {
    let stage = Stage::new().playbook("ok", OK);
    std::fs::set_permissions(stage.root(), std::fs::Permissions::from_mode(0o555)).unwrap();
    let told = Told::of(&stage, as_nobody(&stage, &["run", "ok"]), 7);
    let wanted = "\
error: ROOT/state/runsheet.db cannot be used: its folder ROOT/state cannot be made: permission denied
 hint: check the path and its permissions, or name another database with `--state`";
    assert_eq!(told.err, wanted);
    // The folder is there and closed.
    std::fs::set_permissions(stage.root(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let _ = stage.run(&["run", "ok"]).code(0);
    std::fs::set_permissions(file(&stage), std::fs::Permissions::from_mode(0o444)).unwrap();
    std::fs::set_permissions(stage.root().join("state"), std::fs::Permissions::from_mode(0o555)).unwrap();
    let told = Told::of(&stage, as_nobody(&stage, &["run", "ok"]), 7);
    assert!(told.err.starts_with("error: ROOT/state/runsheet.db cannot be used: "), "{}", told.err);
    assert!(told.err.contains("\n hint: check the path and its permissions"), "{}", told.err);
    std::fs::set_permissions(stage.root().join("state"), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_setting_that_is_no_number() {
    let stage = Stage::new().playbook("ok", OK).env("RUNSHEET_BUSY_TIMEOUT_MS", "soon");
    tells_of(&stage, &["run", "ok"], 7, &["RUNSHEET_BUSY_TIMEOUT_MS is `soon`, and must be a whole number: correct it, or leave it out"]);
}

#[test]
fn promise_1_a_run_whose_database_is_deleted_under_it_starts_nothing_more() {
    let stage = Stage::new();
    let (go, done) = (stage.path("go"), stage.path("done"));
    let yaml = format!(
        r#"playbook: held
summary: Wait, then do something
steps:
  - id: held
    uses: command
    effect: read
    with: {{ shell: true, script: 'while [ ! -e "$GO" ]; do sleep 0.05; done', env: {{ GO: {} }} }}
  - id: effect
    needs: [held]
    uses: command
    with: {{ argv: [touch, {}] }}
"#,
        go.display(),
        done.display()
    );
    let stage = stage.playbook("held", &yaml);
    let run = stage.start(&["run", "held"]);
    stage.until_step("held", "running");
    std::fs::remove_file(file(&stage)).unwrap();
    std::fs::write(go, "").unwrap();
    let ran = run.wait().code(7).stderr_has("cannot be used: it was deleted or replaced while it was in use");
    // There is nothing that could be resumed.
    assert!(!ran.stderr.contains("the run is recorded"), "{ran}");
    assert!(!done.exists(), "its intent was nowhere on disk");
}
