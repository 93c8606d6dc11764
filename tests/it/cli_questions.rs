//! What the command line answers without a run, and what it says to wrong command lines.

use crate::cli_root::{TWO, Test};

const LEVEL: &str = "params:\n  level: { type: string, enum: [low, high] }\n  note: { type: string, default: none }\n";

fn with_params() -> Test {
    Test::new().playbook("two", &format!("{LEVEL}{TWO}"))
}

#[test]
fn where_there_is_nothing_yet() {
    let test = Test::new();
    test.run(["list"]).code(0).stdout_has("No playbooks yet");
    test.run(["runs"]).code(0).stdout_has("No runs yet");
    test.run(["runs", "-o", "json"]).code(0).stdout_is("[]\n");
    test.run(["status"]).code(2).stderr_has("there are no runs yet").stderr_has("runsheet list");
    assert!(!test.path("state").exists(), "a question made a database");
}

#[test]
fn wrong_command_lines_say_what_is_near() {
    let test = with_params();
    test.run(["rum", "two"]).code(2).stderr_has("error: unrecognized subcommand 'rum'").stderr_has("'run'");
    test.run(["run"]).code(2).stderr_has("<PLAYBOOK>").stderr_has("`runsheet run --help`");
    test.run(["run", "two", "-p", "level"]).code(2).stderr_has("NAME=VALUE");
    test.run(["run", "two", "-p", "level=low", "-p", "level=high"]).code(2).stderr_has("given twice");
    test.run(["run", "tow"]).code(3).stderr_has("did you mean `two`?");
    test.run(["run", "two"]).code(3).stderr_has("parameter `level` is missing").stderr_has("-p level=");
    test.run(["run", "two", "-p", "level=hihg"]).code(3).stderr_has("level");
    test.run(["run", "two", "-p", "levle=high", "-p", "level=low"]).code(3).stderr_has("did you mean `level`?");
    test.run(["status", "zzz"]).code(2).stderr_has("no runs yet");
    test.run(["--root", "nowhere", "list"]).code(2).stderr_has("nowhere").stderr_has("--root");
    assert!(!test.path("state").exists(), "a refused run made a database");
}

#[test]
fn errors_are_documents_for_programs() {
    let test = with_params();
    let error = test.run(["run", "tow", "-o", "json"]).code(3).stderr_is("").json();
    assert_eq!(error["error"]["code"], 3);
    assert!(error["error"]["hint"].as_str().unwrap().contains("two"));
    let error = test.run(["rum", "-o", "json"]).code(2).stderr_is("").json();
    assert_eq!(error["error"]["code"], 2);
}

#[test]
fn parameters_come_from_a_file_too() {
    let test = with_params().file("event.json", r#"{ "level": "low", "note": "from the file" }"#);
    test.run(["run", "two", "--params-file", "event.json", "-p", "level=high"]).code(0);
    let params = &test.status()["params"];
    assert_eq!((params["level"].as_str(), params["note"].as_str()), (Some("high"), Some("from the file")));
    test.run(["run", "two", "--params-file", "none.json"]).code(3).stderr_has("none.json").stderr_has("JSON object");
    let test = test.file("event.json", "[1]");
    test.run(["run", "two", "--params-file", "event.json"]).code(3).stderr_has("holds no object");
}

#[test]
fn playbooks_are_listed_shown_and_checked() {
    let test = with_params().playbook("broken", "stpes: []\n");
    test.run(["list"]).code(0).stdout_has("level note?").stdout_has("cannot be run");
    test.run(["show", "two"]).code(0).stdout_has("low | high").stdout_has("runsheet run two -p level=");
    test.run(["show", "playbooks/two.yaml"]).code(0);
    test.run(["validate", "two"]).code(0).stdout_has("valid");
    test.run(["validate"]).code(3).stdout_has("broken.yaml:3:1").stdout_has("did you mean `steps`?");
    let checked = test.run(["validate", "-o", "json"]).code(3).json();
    assert_eq!(checked["playbooks"][0]["problems"][0]["path"].as_str().map(|path| path.ends_with("broken.yaml")), Some(true));
    test.run(["run", "broken"]).code(3).stderr_has("broken.yaml:3:1");
}

#[test]
fn the_language_is_documented_without_a_root() {
    let test = Test::new();
    std::fs::remove_dir(test.path("playbooks")).unwrap();
    assert_eq!(test.run(["schema"]).code(0).json()["title"], "runsheet playbook");
    test.run(["actions"]).code(0).stdout_has("k8s.scale");
    test.run(["actions", "noop"]).code(0).stdout_has("message");
    test.run(["actions", "nop"]).code(2).stderr_has("did you mean `noop`?");
    for shell in ["bash", "zsh", "fish"] {
        test.run(["completions", shell]).code(0).stdout_has("COMPLETE");
    }
    test.run(["--help"]).code(0).stdout_has("Exit codes").stdout_has("130");
    test.run(["list"]).code(2).stderr_has("playbooks").stderr_has("--root");
}

#[test]
fn names_and_ids_complete() {
    let test = with_params();
    test.run(["run", "two", "-p", "level=low"]).code(0);
    let run = test.status()["short_id"].as_str().unwrap().to_owned();
    let complete = |words: &[&str]| {
        let mut command = test.command(["--", "runsheet"].iter().chain(words));
        let index = words.len().to_string();
        let output = command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("IFS", "\n").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["run", "t"]).trim(), "two");
    assert!(complete(&["status", ""]).contains(&run));
    assert!(complete(&["skip", &run, "o"]).contains("one"));
    assert_eq!(complete(&["actions", "k8s.s"]).trim(), "k8s.scale");
}

#[test]
fn places_colours_and_forms_can_be_named() {
    let test = Test::new().playbook("two", TWO);
    test.run(["run", "two", "--state", "elsewhere/runs.db"]).code(0);
    assert!(test.path("elsewhere/runs.db").exists() && !test.path("state").exists());
    let test = test.env("RUNSHEET_STATE", "elsewhere/runs.db");
    test.run(["status"]).code(0).stdout_has("two");
    test.run(["status", "--color", "always"]).code(0).stdout_has("\u{1b}[");
    let plain = test.json(["runs"]);
    assert_eq!(plain[0]["playbook"], "two");
    test.run(["runs", "--playbook", "other"]).code(0).stdout_has("No such runs");
    test.run(["sandbox", "up", "--speed", "0"]).code(2).stderr_has("0.01");
}
