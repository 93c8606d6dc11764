//! The action `command` from end to end: planned, applied under a real supervisor, verified as recovery does.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use runsheet::actions::command::{Command, CommandSettings, builtin};
use runsheet::model::id::{RunId, StepPath};
use runsheet::model::intent::{Intent, Revert};
use runsheet::model::outcome::{Applied, Failure, Verdict};
use runsheet::model::step::{Effect, Rollback};
use runsheet::ports::action::{Action, Context, Inputs, Log};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "hunter2-of-the-test";

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Log for Heard {
    fn line(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }
    fn part(&self, _: u64, _: u64, _: &str) {}
    fn redact(&self, text: &str) -> String {
        text.replace(SECRET, "***")
    }
}

struct Step {
    folder: TempDir,
    heard: Arc<Heard>,
    cx: Context,
    command: Command,
}

fn settings() -> CommandSettings {
    CommandSettings {
        supervisor: env!("CARGO_BIN_EXE_runsheet").into(),
        redactions: Arc::new(|| vec![("token".to_owned(), SECRET.to_owned())]),
    }
}

fn step(effect: Effect) -> Step {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let cx = Context {
        run: RunId(uuid::Uuid::nil()),
        step: StepPath::new("step"),
        idempotency_key: "0".repeat(32),
        attempt: 1,
        target: None,
        effect,
        timeout: None,
        log: Arc::clone(&heard) as Arc<dyn Log>,
        files: folder.path().join("files"),
    };
    Step { folder, heard, cx, command: Command::new(settings()) }
}

impl Step {
    fn intent(&self, inputs: &Value) -> Intent {
        self.command.plan(&self.cx, &Inputs(inputs.clone()), &Value::Null, &Rollback::Auto).unwrap().intent
    }

    async fn apply(&self, inputs: &Value, intent: &Intent) -> Applied {
        self.command.apply(&self.cx, &Inputs(inputs.clone()), intent).await
    }

    async fn verify(&self, inputs: &Value, intent: &Intent) -> Verdict {
        self.command.verify(&self.cx, &Inputs(inputs.clone()), intent).await.unwrap()
    }

    async fn applied(&self, inputs: Value) -> Applied {
        let intent = self.intent(&inputs);
        self.apply(&inputs, &intent).await
    }
}

#[tokio::test]
async fn what_was_applied_is_what_verify_finds() {
    let step = step(Effect::Once);
    let inputs = json!({ "argv": ["sh", "-c", "echo '{\"pods\": 8}'; echo note >&2"], "parse": "json" });
    let intent = step.intent(&inputs);
    assert_eq!(intent.revert, Revert::Keep { reason: "a command has no revert of its own".into() });
    let Applied::Applied { outputs } = step.apply(&inputs, &intent).await else { panic!() };
    assert_eq!((&outputs["exit_code"], &outputs["json"], &outputs["stderr"]), (&json!(0), &json!({ "pods": 8 }), &json!("note")));
    let file = outputs["stdout_file"].as_str().unwrap();
    assert_eq!(std::fs::read_to_string(file).unwrap(), "{\"pods\": 8}\n");
    assert_eq!(step.verify(&inputs, &intent).await, Verdict::Present { outputs });
    assert_eq!(step.heard.0.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn a_failure_names_the_last_line_and_the_file() {
    let step = step(Effect::Once);
    let inputs = json!({ "shell": true, "script": "echo fine; echo 'no route' >&2; exit 3" });
    let intent = step.intent(&inputs);
    let Applied::FailedWithEffect { failure, outputs } = step.apply(&inputs, &intent).await else { panic!() };
    assert_eq!((failure.message.as_str(), &outputs["exit_code"]), ("the script exited with 3: no route", &json!(3)));
    assert!(failure.hint.unwrap().contains("attempt-1.stderr"));
    let Verdict::CannotTell { reason } = step.verify(&inputs, &intent).await else { panic!() };
    assert_eq!(reason, "the script exited with 3: no route");
}

/// Writes a line into a file each time it runs.
fn counting(step: &Step) -> (Value, impl Fn() -> usize + use<>) {
    let file = step.folder.path().join("count");
    let inputs = json!({ "shell": true, "script": "echo once >>\"$FILE\"", "env": { "FILE": file } });
    (inputs, move || std::fs::read_to_string(&file).map_or(0, |text| text.lines().count()))
}

#[tokio::test]
async fn what_never_ran_is_absent_and_may_be_applied_under_the_same_intent() {
    let step = step(Effect::Once);
    let (inputs, count) = counting(&step);
    let intent = step.intent(&inputs);
    assert_eq!(step.verify(&inputs, &intent).await, Verdict::Absent);
    assert!(matches!(step.apply(&inputs, &intent).await, Applied::Applied { .. }));
    assert!(matches!(step.verify(&inputs, &intent).await, Verdict::Present { .. }));
    assert_eq!(count(), 1);
}

#[tokio::test]
async fn what_may_run_once_is_not_run_twice_under_the_same_attempt() {
    let mut step = step(Effect::Once);
    let (inputs, count) = counting(&step);
    let intent = step.intent(&inputs);
    assert!(matches!(step.apply(&inputs, &intent).await, Applied::Applied { .. }));
    assert!(matches!(step.apply(&inputs, &intent).await, Applied::Unknown { .. }));
    assert!(matches!(step.verify(&inputs, &intent).await, Verdict::Present { .. }));
    assert_eq!(count(), 1);
    step.cx.attempt = 2;
    assert!(matches!(step.apply(&inputs, &intent).await, Applied::Applied { .. }));
    assert_eq!(count(), 2);
}

#[tokio::test]
async fn what_may_be_repeated_runs_again_under_the_same_attempt() {
    for effect in [Effect::Idempotent, Effect::Read] {
        let step = step(effect);
        let (inputs, count) = counting(&step);
        let intent = step.intent(&inputs);
        for times in 1..=3 {
            let Applied::Applied { outputs } = step.apply(&inputs, &intent).await else { panic!() };
            assert_eq!(count(), times);
            assert_eq!(step.verify(&inputs, &intent).await, Verdict::Present { outputs });
        }
    }
}

#[tokio::test]
async fn a_missing_program_was_not_applied() {
    let step = step(Effect::Once);
    let Applied::NotApplied { failure } = step.applied(json!({ "argv": ["no-such-program", "x y"] })).await else { panic!() };
    assert!(failure.message.starts_with("`no-such-program 'x y'` was not started: the program `no-such-program` was not found in PATH"));
    assert!(!failure.transient && failure.hint.is_some());
}

#[tokio::test]
async fn the_time_is_over_and_nobody_knows() {
    let mut step = step(Effect::Once);
    step.cx.timeout = Some(Duration::from_millis(100));
    let inputs = json!({ "argv": ["sleep", 1000] });
    let intent = step.intent(&inputs);
    let Applied::Unknown { failure } = step.apply(&inputs, &intent).await else { panic!() };
    assert_eq!(failure.message, "`sleep 1000` was ended because its time was over");
    assert!(matches!(step.verify(&inputs, &intent).await, Verdict::CannotTell { .. }));
}

#[tokio::test]
async fn while_it_is_being_ended_it_is_in_progress() {
    let step = Arc::new(step(Effect::Once));
    let ready = step.folder.path().join("ready");
    let may_end = step.folder.path().join("may-end");
    // Answers SIGTERM, but ends only when the test has seen it ending.
    let script = format!(
        "trap ':' TERM; touch {}; while [ ! -e {} ]; do sleep 0.02 || true; done; echo late >&2",
        ready.display(),
        may_end.display()
    );
    let inputs = json!({ "shell": true, "script": script, "grace": "60s" });
    let intent = step.intent(&inputs);
    let going = {
        let (step, inputs, intent) = (Arc::clone(&step), inputs.clone(), intent.clone());
        tokio::spawn(async move { step.apply(&inputs, &intent).await })
    };
    until(&ready).await;
    going.abort();
    let mut verdict = step.verify(&inputs, &intent).await;
    assert!(matches!(verdict, Verdict::InProgress { .. }), "{verdict:?}");
    std::fs::write(&may_end, "").unwrap();
    while matches!(verdict, Verdict::InProgress { .. }) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        verdict = step.verify(&inputs, &intent).await;
    }
    let Verdict::CannotTell { reason } = verdict else { panic!("{verdict:?}") };
    assert!(reason.starts_with("the script was ended before it was done: ") && reason.ends_with("late"), "{reason}");
}

async fn until(file: &Path) {
    tokio::time::timeout(Duration::from_secs(20), async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_reading_runs_the_command_and_leaves_no_file() {
    let step = step(Effect::Read);
    let inputs = Inputs(json!({ "argv": ["printf", "a\nb"], "parse": "lines" }));
    for _ in 0..2 {
        let read = step.command.observe(&step.cx, &inputs).await.unwrap();
        assert_eq!((&read["lines"], &read["stdout_file"]), (&json!(["a", "b"]), &Value::Null));
    }
    assert_eq!(std::fs::read_dir(&step.cx.files).unwrap().count(), 0);
    let failing = Inputs(json!({ "argv": ["sh", "-c", "echo bad >&2; exit 1"] }));
    let failure: Failure = step.command.observe(&step.cx, &failing).await.unwrap_err();
    assert_eq!(failure.message, "`sh -c 'echo bad >&2; exit 1'` exited with 1: bad");
    let once = self::step(Effect::Once);
    assert_eq!(once.command.observe(&once.cx, &inputs).await.unwrap(), Value::Null);
}

#[tokio::test]
async fn a_secret_is_in_nothing_that_leaves_the_action() {
    let step = step(Effect::Once);
    let inputs = json!({
        "argv": ["sh", "-c", "cat; echo; echo $TOKEN; echo $TOKEN >&2; exit 1"],
        "env": { "TOKEN": SECRET },
        "stdin": SECRET,
    });
    let intent = step.intent(&inputs);
    assert_eq!(intent.by_hand, [r#"printf %s "$TOKEN" | TOKEN="$TOKEN" sh -c 'cat; echo; echo $TOKEN; echo $TOKEN >&2; exit 1'"#]);
    let applied = step.apply(&inputs, &intent).await;
    assert!(matches!(&applied, Applied::FailedWithEffect { failure, .. } if failure.message.ends_with("exited with 1: [secret token]")));
    let verdict = step.verify(&inputs, &intent).await;
    let mut wrong = inputs.clone();
    wrong["grace"] = json!(SECRET);
    let refused = step.apply(&wrong, &intent).await;
    assert!(matches!(refused, Applied::NotApplied { .. }));
    let lines = step.heard.0.lock().unwrap().join("\n");
    assert_eq!(lines.matches("[secret token]").count(), 3);
    let all = format!("{applied:?} {verdict:?} {refused:?} {intent:?} {lines} {:?}", Inputs(inputs));
    assert!(!all.contains(SECRET), "{all}");
}

#[test]
fn every_action_here_documents_itself() {
    let actions = builtin(settings());
    assert_eq!(actions.iter().map(|action| action.entry().name.clone()).collect::<Vec<_>>(), ["noop", "assert", "command"]);
    for action in actions {
        let entry = action.entry();
        assert!(entry.page.contains("Effect") && entry.page.contains("Errors") && !entry.summary.is_empty(), "{}", entry.name);
        assert_eq!(entry.inputs["additionalProperties"], json!(false), "{}", entry.name);
    }
}
