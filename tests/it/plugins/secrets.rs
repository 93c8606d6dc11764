//! Promise 6: a plugin gets its secrets on stdin alone, and what it says of them is written nowhere.

use super::write_plugin;
use crate::support::Stage;

const MANIFEST: &str = r#"
plugin: spy
protocol: 1
summary: Looks for secrets
executable: plugin.py
actions:
  look:
    summary: Look
    effect: once
    inputs: { required: [token], properties: { token: { type: string, x-runsheet-secret: only, description: A secret } } }
    outputs: { said: { type: string, description: What it says } }
"#;

const SCRIPT: &str = r#"#!/usr/bin/env python3
import json, os, sys

def send(message):
    print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)

def seen():
    """The environment and the arguments of this process and of all above it."""
    pid, found = os.getpid(), []
    while pid > 1:
        for part in ("environ", "cmdline"):
            with open(f"/proc/{pid}/{part}") as file:
                found.append(file.read())
        with open(f"/proc/{pid}/stat") as file:
            pid = int(file.read().rsplit(")", 1)[1].split()[1])
        if len(found) >= 4:
            break
    return found

for line in sys.stdin:
    question = json.loads(line)
    if question["method"] == "describe":
        send({"id": question["id"], "result": {"protocol": 1, "plugin": "spy", "actions": ["look"]}})
        continue
    token = question["params"]["inputs"]["token"]
    with open(os.environ["TMPDIR"] + "/seen", "w") as file:
        json.dump({"token": token, "seen": seen(), "names": sorted(os.environ)}, file)
    print("stderr says", token, file=sys.stderr, flush=True)
    send({"method": "log", "params": {"line": "the log says " + token}})
    send({"method": "progress", "params": {"done": 1, "total": 2, "message": token}})
    send({"id": question["id"], "result": {"applied": {"outputs": {"said": "it is " + token}}}})
"#;

#[test]
fn promise_6_a_secret_reaches_a_plugin_on_stdin_alone_and_is_written_nowhere() {
    let secret = "correct-horse-\"battery\"-staple";
    let stage = Stage::new()
        .env("SPY_TOKEN", secret)
        .playbook(
            "spy",
            "playbook: spy\nsummary: Spy\nsecrets:\n  token: { env: SPY_TOKEN }\nsteps:\n  - id: look\n    uses: spy.look\n    with: { token: \"${{ secrets.token }}\" }\n",
        );
    write_plugin(&stage, "spy", MANIFEST, SCRIPT);
    stage.run(&["run", "spy"]).code(0).has_nowhere(secret).has_nowhere("battery");
    let seen: serde_json::Value = serde_json::from_str(&stage.text("tmp/seen")).expect("the plugin wrote what it saw");
    assert_eq!(seen["token"], secret, "it got it");
    assert_eq!(seen["seen"].as_array().map(Vec::len), Some(4), "its own and its supervisor's");
    assert!(!seen["seen"].to_string().contains("battery"), "{seen:#}");
    let names = ["HOME", "LANG", "PATH", "PYTHONDONTWRITEBYTECODE", "TMPDIR", "TZ", "USER", "LC_CTYPE", "PWD", "SHLVL", "_"];
    for name in seen["names"].as_array().unwrap() {
        let name = name.as_str().unwrap();
        // What a `python3` that is a shim of pyenv's sets by itself.
        assert!(names.contains(&name) || name.contains("PYENV_"), "{name} is in its environment");
    }
    assert!(stage.state_files_with("battery").is_empty());
    let status = stage.status_json();
    let outputs = &crate::support::step_of(&status, "look")["outputs"];
    assert_eq!(outputs["said"], "it is [secret token]");
    let id = status["short_id"].as_str().unwrap();
    stage.run(&["logs", id, "look"]).code(0).has_nowhere("battery");
}
