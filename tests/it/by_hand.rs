//! Playbooks as commands for a person's hands: a shell takes every line, and no line has a shape that the program in it refuses.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::plugins::repository_plugin;
use super::support::Stage;

/// Notes how it was called, and answers with one word.
const PROGRAM: &str = r#"#!/bin/bash
printf '%s' "$(basename "$0")" >> "$CALLS"; printf ' %q' "$@" >> "$CALLS"; printf '\n' >> "$CALLS"
[ "$(basename "$0")" = kubectl ] || exit 0
echo before
verb=$1; shift; words=()
while [ $# -gt 0 ]; do
  case "$1" in
    -n|-l|-o|-p|-c|-f|--raw|--type) shift ;;
    -*) ;;
    *) words+=("$1") ;;
  esac
  shift
done
case "$verb" in
  get|patch|scale|delete)
    for word in "${words[@]:1}"; do
      [[ "${words[0]}" != */* && "$word" == */* ]] && echo "REFUSED $verb ${words[*]}" >> "$CALLS"
    done ;;
esac
exit 0
"#;

/// Every playbook of the repository.
fn names() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks");
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut names: Vec<String> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
        .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn stage() -> Stage {
    let stage = names().iter().fold(Stage::new(), |stage, name| stage.repository_playbook(name));
    repository_plugin(&stage, "k6");
    let bin = stage.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    for program in ["kubectl", "psql", "curl", "runsheet", "aws", "redis-cli", "k6"] {
        std::fs::write(bin.join(program), PROGRAM).unwrap();
        std::fs::set_permissions(bin.join(program), Permissions::from_mode(0o755)).unwrap();
    }
    stage
}

/// What a person types: each variable that is asked for is set.
fn typed(sheet: &str) -> String {
    let set = |line: &str| match line.split_once("=  ") {
        Some((name, from)) if from.trim_start().starts_with('#') && !name.contains(' ') => {
            format!("{name}={}", if name == "ITEM" { "argocd/ticket-service" } else { "7" })
        }
        _ => line.to_owned(),
    };
    sheet.lines().map(set).collect::<Vec<_>>().join("\n")
}

/// The calls of the programs when a playbook's lines are typed.
fn calls(stage: &Stage, name: &str) -> (String, String) {
    let sheet = stage.run(&["show", name, "--commands"]).code(0).stdout;
    let file = stage.path(&format!("{name}.sh"));
    std::fs::write(&file, typed(&sheet)).unwrap();
    let checked = Command::new("bash").arg("-n").arg(&file).output().unwrap();
    assert!(checked.status.success(), "{name}: {}\n{sheet}", String::from_utf8_lossy(&checked.stderr));
    let log = stage.path(&format!("{name}.calls"));
    let path = format!("{}:{}", stage.path("bin").display(), std::env::var("PATH").unwrap());
    let folder = stage.path("typed");
    std::fs::create_dir_all(&folder).unwrap();
    let ran = Command::new("bash").arg(&file).current_dir(folder).env("PATH", path).env("CALLS", &log).output().unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        !said.contains("command not found") && !said.contains("syntax error") && !said.contains("No such file"),
        "{name}: {said}\n{sheet}"
    );
    (sheet, std::fs::read_to_string(log).unwrap_or_default())
}

#[test]
fn a_shell_takes_the_commands_of_every_playbook() {
    let stage = stage();
    assert_eq!(names().len(), 16);
    for name in names() {
        let (sheet, calls) = calls(&stage, &name);
        assert!(!calls.contains("REFUSED"), "{name}:\n{calls}");
        for raw in ["result.", "size(", ">=", "&&", "${{"] {
            let comments = sheet.lines().filter(|line| line.starts_with("# ") && line.contains(raw) && !line.contains("pods x"));
            assert_eq!(comments.collect::<Vec<_>>(), Vec::<&str>::new(), "{name}: a condition is said in words");
        }
    }
}

#[test]
fn an_application_is_paused_and_given_back_by_its_name_in_its_namespace() {
    let (_, calls) = calls(&stage(), "pre-event");
    let patches: Vec<&str> = calls.lines().filter(|line| line.contains("patch applications.argoproj.io")).collect();
    assert_eq!(patches.len(), 2, "{calls}");
    assert!(patches.iter().all(|line| line.contains("patch applications.argoproj.io ticket-service -n argocd")), "{calls}");
    assert!(patches[0].contains("null") && patches[1].contains("before"), "what was there goes back: {calls}");
}

#[test]
fn only_what_can_be_known_is_asked_for_first() {
    let stage = stage();
    for (name, wanted) in [
        ("after-event", &["EVENT_ID"][..]),
        ("event-day", &["EVENT_ID", "STARTS_AT", "ENDS_AT", "SERVICE_TOKEN"]),
        ("pre-event", &["EVENT_ID", "SERVICE_TOKEN"]),
    ] {
        let sheet = stage.run(&["show", name, "--commands", "-o", "json"]).code(0).json();
        let mut asked: Vec<&str> = sheet["variables"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
        // A parameter that no command and no condition uses is not asked for.
        asked.retain(|name| *name != "EVENT_ID" || wanted.contains(name));
        assert!(asked.iter().all(|name| wanted.contains(name)), "{name}: {asked:?}");
    }
}

#[test]
fn a_run_tells_the_commands_for_what_it_owes() {
    let stage = Stage::new().repository_playbook("scale").sandbox(50);
    stage.run(&["run", "scale", "-p", "replicas=4"]).code(0);
    let shown = stage.run(&["status", "--commands"]).code(0);
    assert!(shown.stdout.lines().any(|line| line == "kubectl scale deployment/ticket-service --replicas=2 -n production"), "{shown}");
    assert!(shown.stdout.lines().all(|line| line.starts_with("# ") || line.starts_with("kubectl ")), "{shown}");
    stage.run(&["rollback", "--yes"]).code(0);
    let shown = stage.run(&["status", "--commands"]).code(0);
    assert!(shown.stdout.contains("owes nothing"), "{shown}");
}

#[test]
fn in_the_sandbox_a_shell_reaches_what_the_lines_name() {
    let stage = Stage::new().repository_playbook("pre-event").repository_playbook("scale-redis").sandbox(50);
    for name in ["pre-event", "scale-redis"] {
        stage.run(&["show", name, "--commands"]).code(0).stdout_has("eval \"$(runsheet sandbox shell)\"");
    }
    let sheet = stage.run(&["show", "pre-event", "--commands", "-p", "event_id=6f2c1a52-9d1b-4f6e-8f0e-3b1d2a7c9e10"]).code(0).stdout;
    let lines: Vec<&str> = sheet.lines().filter(|line| ["psql ", "curl "].iter().any(|program| line.starts_with(program))).collect();
    assert!(lines.len() >= 4, "{sheet}");
    let shell = stage.run(&["sandbox", "shell"]).code(0).stdout;
    let typed = format!("set -e\n{shell}\n{}\n", lines.join("\n"));
    let ran = Command::new("bash").args(["-c", &typed]).output().unwrap();
    let (said, told) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{said}\n{told}\n{}", lines.join("\n"));
    assert!(said.contains("max_connections") && said.contains("\"status\":\"success\"") && said.contains("\"warmed\""), "{said}\n{told}");
}

#[test]
fn what_is_put_back_by_hand_in_the_sandbox_goes_to_no_real_account() {
    let stage = Stage::new().repository_playbook("scale-redis").sandbox(1000);
    stage.run(&["run", "scale-redis"]).code(0);
    stage.run(&["status", "--commands"]).code(0).stdout_has("aws elasticache").stdout_has("leads aws to the sandbox");
}
