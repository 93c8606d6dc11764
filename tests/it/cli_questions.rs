//! What the command line answers without a run, and what it says to wrong command lines.

use super::support::Stage;

/// Two steps that succeed.
const TWO: &str = "\
playbook: two
summary: Two steps that succeed
steps:
  - { id: one, uses: noop }
  - { id: two, uses: noop, needs: [one] }
";
/// Parameters of a playbook.
const LEVEL: &str = "params:\n  level: { type: string, enum: [low, high] }\n  note: { type: string, default: none }\n";

fn with_params() -> Stage {
    Stage::new().playbook("two", &format!("{TWO}{LEVEL}"))
}

#[test]
fn where_there_is_nothing_yet() {
    let stage = Stage::new();
    stage.run(&["list"]).code(0).stdout_has("No playbooks yet");
    stage.run(&["runs"]).code(0).stdout_has("No runs yet");
    stage.run(&["runs", "-o", "json"]).code(0).stdout_is("[]\n");
    stage.run(&["status"]).code(2).stderr_has("there are no runs yet").stderr_has("runsheet list");
    assert!(!stage.root().join("state").exists(), "a question made a database");
}

#[test]
fn wrong_command_lines_say_what_is_near() {
    let stage = with_params();
    stage.run(&["rum", "two"]).code(2).stderr_has("error: unrecognized subcommand 'rum'").stderr_has("'run'");
    stage.run(&["run"]).code(2).stderr_has("<PLAYBOOK>").stderr_has("`runsheet run --help`");
    stage.run(&["run", "two", "-p", "level"]).code(2).stderr_has("NAME=VALUE");
    stage.run(&["run", "two", "-p", "level=low", "-p", "level=high"]).code(2).stderr_has("given twice");
    stage.run(&["run", "tow"]).code(3).stderr_has("did you mean `two`?");
    stage.run(&["run", "two"]).code(3).stderr_has("parameter `level` is missing").stderr_has("-p level=");
    stage.run(&["run", "two", "-p", "level=hihg"]).code(3).stderr_has("level");
    stage.run(&["run", "two", "-p", "levle=high", "-p", "level=low"]).code(3).stderr_has("did you mean `level`?");
    stage.run(&["status", "zzz"]).code(2).stderr_has("no runs yet");
    stage.run(&["--root", "nowhere", "list"]).code(2).stderr_has("nowhere").stderr_has("--root");
    assert!(!stage.root().join("state").exists(), "a refused run made a database");
}

#[test]
fn errors_are_documents_for_programs() {
    let stage = with_params();
    let error = stage.run(&["run", "tow", "-o", "json"]).code(3).stderr_is("").json();
    assert_eq!(error["error"]["code"], 3);
    assert!(error["error"]["hint"].as_str().unwrap().contains("two"));
    let error = stage.run(&["rum", "-o", "json"]).code(2).stderr_is("").json();
    assert_eq!(error["error"]["code"], 2);
}

#[test]
fn parameters_come_from_a_file_too() {
    let stage = with_params();
    let event = stage.root().join("event.json");
    std::fs::write(&event, r#"{ "level": "low", "note": "from the file" }"#).unwrap();
    stage.run(&["run", "two", "--params-file", "event.json", "-p", "level=high"]).code(0);
    let params = &stage.status_json()["params"];
    assert_eq!((params["level"].as_str(), params["note"].as_str()), (Some("high"), Some("from the file")));
    stage.run(&["run", "two", "--params-file", "none.json"]).code(3).stderr_has("none.json").stderr_has("JSON object");
    std::fs::write(&event, "[1]").unwrap();
    stage.run(&["run", "two", "--params-file", "event.json"]).code(3).stderr_has("holds no object");
}

#[test]
fn playbooks_are_listed_shown_and_checked() {
    let stage = with_params().playbook("broken", "playbook: broken\nsummary: A word that is none\nstpes: []\n");
    stage.run(&["list"]).code(0).stdout_has("level note?").stdout_has("cannot be run");
    stage.run(&["show", "two"]).code(0).stdout_has("low | high").stdout_has("runsheet run two -p level=");
    stage.run(&["show", "playbooks/two.yaml"]).code(0);
    stage.run(&["validate", "two"]).code(0).stdout_has("valid");
    stage.run(&["validate"]).code(3).stdout_has("broken.yaml:3:1").stdout_has("did you mean `steps`?");
    let checked = stage.run(&["validate", "-o", "json"]).code(3).json();
    assert_eq!(checked["playbooks"][0]["problems"][0]["path"].as_str().map(|path| path.ends_with("broken.yaml")), Some(true));
    stage.run(&["run", "broken"]).code(3).stderr_has("broken.yaml:3:1");
}

#[test]
fn the_language_is_documented_without_a_root() {
    let stage = Stage::new();
    std::fs::remove_dir(stage.root().join("playbooks")).unwrap();
    assert_eq!(stage.run(&["schema"]).code(0).json()["title"], "runsheet playbook");
    stage.run(&["actions"]).code(0).stdout_has("k8s.scale");
    stage.run(&["actions", "noop"]).code(0).stdout_has("message");
    stage.run(&["actions", "nop"]).code(2).stderr_has("did you mean `noop`?");
    for shell in ["bash", "zsh", "fish"] {
        stage.run(&["completions", shell]).code(0).stdout_has("COMPLETE");
    }
    stage.run(&["--help"]).code(0).stdout_has("Exit codes").stdout_has("130");
    stage.run(&["list"]).code(2).stderr_has("playbooks").stderr_has("--root");
}

#[test]
fn names_and_ids_complete() {
    let stage = with_params();
    stage.run(&["run", "two", "-p", "level=low"]).code(0);
    let run = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    let complete = |words: &[&str]| {
        let mut command = stage.command(&[&["--", "runsheet"], words].concat());
        let index = words.len().to_string();
        let output = command.env("COMPLETE", "bash").env("_CLAP_COMPLETE_INDEX", index).env("IFS", "\n").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete(&["run", "t"]).trim(), "two");
    assert!(complete(&["status", ""]).contains(&run));
    assert!(complete(&["skip", &run, "o"]).contains("one"));
    assert_eq!(complete(&["actions", "k8s.sc"]).trim(), "k8s.scale");
}

#[test]
fn places_colours_and_forms_can_be_named() {
    let stage = Stage::new().playbook("two", TWO);
    stage.run(&["run", "two", "--state", "elsewhere/runs.db"]).code(0);
    assert!(stage.root().join("elsewhere/runs.db").exists() && !stage.root().join("state").exists());
    let stage = stage.env("RUNSHEET_STATE", "elsewhere/runs.db");
    stage.run(&["status"]).code(0).stdout_has("two");
    stage.run(&["status", "--color", "always"]).code(0).stdout_has("\u{1b}[");
    let plain = stage.run(&["runs", "-o", "json"]).code(0).json();
    assert_eq!(plain[0]["playbook"], "two");
    stage.run(&["runs", "--playbook", "other"]).code(0).stdout_has("No such runs");
    stage.run(&["sandbox", "up", "--speed", "0"]).code(2).stderr_has("0.01");
}

#[test]
fn a_wrong_value_has_one_pointer_to_the_help() {
    let stage = with_params();
    let what = "invalid value 'level' for '--param <NAME=VALUE>': write it as NAME=VALUE";
    let hint = "`runsheet --help` tells more";
    let ran = stage.run(&["run", "two", "-p", "level"]).code(2).stdout_is("").has_nowhere("For more information");
    assert_eq!(ran.stderr, format!("error: {what}\n hint: {hint}\n"));
    let error = stage.run(&["run", "two", "-p", "level", "-o", "json"]).code(2).stderr_is("").json();
    assert_eq!((error["error"]["message"].as_str(), error["error"]["hint"].as_str()), (Some(what), Some(hint)));
    stage.run(&["run", "two", "-o", "xml"]).code(2).stderr_has("text, json, jsonl").has_nowhere("For more information");
}

#[test]
fn words_that_are_no_fault_are_answered_with_those_that_are() {
    let stage = Stage::new();
    for (words, wrong) in [
        (["nonsense"].as_slice(), "`nonsense` is no fault"),
        (&["refuse", "GET /"], "--status is missing"),
        (&["stall-terminating", "now"], "`now` is not understood here"),
    ] {
        let ran = stage.run(&[&["sandbox", "fault", "add"], words].concat()).code(2).stdout_is("");
        let (what, hint) = ran.stderr.split_once("\n hint: ").unwrap_or_else(|| panic!("no hint: {ran}"));
        assert_eq!(what, format!("error: {wrong}"));
        if words[0] == "nonsense" {
            assert!(hint.starts_with("a fault is one of these:\n") && hint.contains("refuse 'METHOD PATH' --status CODE"), "{ran}");
            assert!(hint.contains("change NAMESPACE/KIND/NAME FIELD VALUE"), "{ran}");
        } else {
            assert!(hint.starts_with(&format!("write it as `{}", words[0])) && hint.lines().count() == 1, "{ran}");
        }
    }
    assert!(!stage.sandbox_folder().exists(), "words that are no fault started a sandbox");
}

#[test]
fn a_file_of_parameters_that_cannot_be_read_is_told_without_the_systems_number() {
    let stage = with_params();
    let missing = stage.run(&["run", "two", "--params-file", "none.json"]).code(3).has_nowhere("os error");
    assert_eq!(
        missing.stderr,
        "\
error: the parameters' file cannot be used: No such file or directory
   at: none.json
 hint: it holds one JSON object: {\"level\": \"high\"}
"
    );
    stage.run(&["run", "two", "--params-file", "playbooks"]).code(3).stderr_has("cannot be used: Is a directory\n").has_nowhere("os error");
}

#[test]
fn a_fault_of_something_that_is_not_there_says_so_and_a_reset_may_have_another_speed() {
    let stage = Stage::new().sandbox(50);
    stage.run(&["sandbox", "up"]).code(0);
    stage.run(&["sandbox", "fault", "add", "crash", "nope"]).code(0).stderr_has("There is no Deployment nope in the sandbox now");
    let known = stage.run(&["sandbox", "fault", "add", "crash", "ticket-service"]).code(0);
    assert!(!known.stderr.contains("There is no"), "{known}");
    stage.run(&["sandbox", "reset", "--speed", "20"]).code(0);
    stage.run(&["sandbox", "fault", "list"]).code(0).stdout_has("No faults");
}
