//! Whatever a plugin does wrong fails its step, or leaves it unknown where it had been asked to write, and nothing else.

use serde_json::Value;

use super::write_plugin;
use crate::support::{Stage, in_parallel, step_of};

const MANIFEST: &str = r#"
plugin: odd
protocol: 1
summary: Does what it should not
executable: plugin.py
actions:
  write:
    summary: Write
    effect: once
    inputs: { required: [how], properties: { how: { type: string, description: What it does wrong } } }
    outputs: { n: { type: integer, description: A number } }
  read:
    summary: Read
    effect: read
    inputs: { required: [how], properties: { how: { type: string, description: What it does wrong } } }
    outputs: { n: { type: integer, description: A number } }
"#;

const SCRIPT: &str = r#"#!/usr/bin/env python3
import json, os, signal, sys, time

def send(text):
    sys.stdout.write(text if isinstance(text, str) else json.dumps({"jsonrpc": "2.0", **text}) + "\n")
    sys.stdout.flush()

for line in sys.stdin:
    question = json.loads(line)
    number, method = question.get("id"), question["method"]
    if method == "describe":
        if os.path.exists("stranger"):
            send({"id": number, "result": {"protocol": 1, "plugin": "other", "actions": []}})
        elif os.path.exists("mute"):
            sys.exit("no module named x")
        else:
            send({"id": number, "result": {"protocol": 1, "plugin": "odd", "actions": ["write", "read"]}})
        continue
    if method == "cancel":
        continue
    how = question["params"]["inputs"]["how"]
    good = {"applied": {"outputs": {"n": 1}}} if method == "apply" else {"outputs": {"n": 1}}
    with open("asked", "a") as file:
        file.write(method + "\n")
    if how == "leaves":
        sys.exit(3)
    elif how == "crashes":
        print("about to fall", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "garbage":
        send("hello\n")
    elif how == "half":
        send('{"jsonrpc": "2.0", "id": 2, "resu')
        sys.exit(0)
    elif how == "asks":
        send({"id": 9, "method": "tell", "params": {}})
    elif how == "unknown id":
        send({"id": 77, "result": good})
    elif how == "twice":
        send({"id": number, "result": good})
        send({"id": number, "result": good})
    elif how == "refuses":
        send({"id": number, "error": {"code": -32603, "message": "KeyError"}})
    elif how == "misfit":
        send({"id": number, "result": {"applied": {"outputs": {"n": "one"}}, } if method == "apply" else {"outputs": {"n": "one"}}})
    elif how == "long":
        send(json.dumps({"jsonrpc": "2.0", "id": number, "result": "x" * (2 << 20)}) + "\n")
    elif how == "flood":
        while True:
            send({"method": "progress", "params": {"done": 1, "total": 2, "message": "x" * 100000}})
    elif how == "sleeps":
        time.sleep(600)
    elif how == "noise":
        for _ in range(100000):
            print("noise", file=sys.stderr)
        send({"id": number, "result": good})
    elif how == "stays":
        send({"id": number, "result": good})
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    elif how == "falls later":
        send({"id": number, "result": good})
        sys.exit(9)
"#;

fn playbook(action: &str, how: &str, more: &str) -> String {
    format!(
        "playbook: odd\nsummary: Odd\nsteps:\n  - id: odd\n    uses: odd.{action}\n    with: {{ how: {how} }}\n{more}  - id: beside\n    uses: noop\n"
    )
}

fn ran(action: &str, how: &str, more: &str) -> (i64, Value, String) {
    let stage = Stage::new().playbook("odd", &playbook(action, how, more));
    write_plugin(&stage, "odd", MANIFEST, SCRIPT);
    let ran = stage.run(&["run", "odd"]);
    let status = stage.status_json();
    assert_eq!(step_of(&status, "beside")["status"], "succeeded", "{how}: {status:#}");
    (ran.code.unwrap_or(-1).into(), step_of(&status, "odd").clone(), ran.to_string())
}

#[test]
fn promise_2_what_was_asked_to_write_is_unknown_whatever_its_plugin_does_then() {
    let cases = [
        ("leaves", "ended with exit code 3 without an answer to `apply`"),
        ("crashes", "was killed by signal 11 (about to fall) without an answer"),
        ("garbage", "wrote a line to stdout that is no JSON: hello"),
        ("half", "wrote a line to stdout that is no JSON"),
        ("asks", "asks for `tell`, and a plugin may not ask"),
        ("unknown id", "answered a question 77 that it was not asked"),
        ("twice", "answered `apply` twice"),
        ("refuses", "could not answer `apply`: KeyError (code -32603)"),
        ("misfit", "the outputs `n` are not as the manifest declares them"),
        ("long", "wrote a message of more than 1024 KiB"),
        ("flood", "wrote more than 16 MiB to stdout"),
        ("sleeps", "did not answer `apply` within"),
    ];
    in_parallel(4, &cases, |(how, wanted)| {
        let more = if *how == "sleeps" { "    attempt_timeout: 8s\n" } else { "" };
        let (code, step, told) = ran("write", how, more);
        assert_eq!((code, step["status"].as_str()), (5, Some("unknown")), "{how}: {step:#}\n{told}");
        assert!(step.to_string().contains(wanted) || told.contains(wanted), "{how}: {step:#}\n{told}");
    });
}

#[test]
fn a_reading_fails_whatever_its_plugin_does() {
    let cases = [
        ("leaves", "without an answer to `observe`"),
        ("garbage", "is no JSON: hello"),
        ("unknown id", "that it was not asked"),
        ("twice", "answered `observe` twice"),
        ("misfit", "are not as the manifest declares them"),
        ("flood", "more than 16 MiB"),
    ];
    in_parallel(4, &cases, |(how, wanted)| {
        let (code, step, told) = ran("read", how, "");
        assert_eq!((code, step["status"].as_str()), (1, Some("failed")), "{how}: {step:#}");
        assert!(told.contains(wanted), "{how}: {told}");
    });
}

#[test]
fn an_answer_counts_whatever_noise_and_end_follow() {
    in_parallel(3, &["noise", "stays", "falls later"], |how| {
        let (code, step, told) = ran("write", how, "");
        assert_eq!((code, step["status"].as_str(), &step["outputs"]["n"]), (0, Some("succeeded"), &1.into()), "{how}: {told}");
    });
}

#[test]
fn what_does_not_say_who_it_is_was_certainly_not_asked_to_write() {
    for (file, wanted) in
        [("stranger", "`plugin` is not `odd`"), ("mute", "ended with exit code 1 (no module named x) without an answer to `describe`")]
    {
        let stage = Stage::new().playbook("odd", &playbook("write", "leaves", ""));
        write_plugin(&stage, "odd", MANIFEST, SCRIPT);
        std::fs::write(stage.root().join(file), "").unwrap();
        stage.run(&["run", "odd"]).code(1).stderr_has(wanted);
        assert_eq!(stage.step_status("odd"), "failed");
        assert!(!stage.root().join("asked").exists(), "{file}: it was asked");
    }
}

#[test]
fn a_plugin_without_what_it_needs_says_how_to_get_it() {
    let stage = Stage::new().playbook("odd", &playbook("write", "leaves", ""));
    write_plugin(&stage, "odd", &format!("{MANIFEST}needs: [{{ program: k42, hint: install k42 from your distribution }}]\n"), SCRIPT);
    let refused = stage.run(&["run", "odd"]).code(3).stderr_has("odd cannot work as things are, and was not started");
    refused.stderr_has("the plugin odd needs `k42`, which is not in PATH").stderr_has("install k42");
    assert_eq!(
        stage.run(&["runs", "-o", "json"]).code(0).json(),
        serde_json::json!([]),
        "nothing is recorded, and nothing is said to have run"
    );
    assert!(!stage.root().join("asked").exists());
}
