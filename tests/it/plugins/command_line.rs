//! `plugin list`, `show`, `check`, `new`; a broken plugin keeps nothing else from working.

use super::{noting, write_plugin};
use crate::support::Stage;

#[test]
fn a_root_without_plugins_says_how_to_begin_one() {
    let stage = Stage::new();
    stage.run(&["plugin", "list"]).code(0).stdout_has("There are no plugins.").stdout_has("runsheet plugin new NAME");
    stage.run(&["plugin", "check"]).code(0).stdout_has("no plugins to check");
    assert_eq!(stage.run(&["plugin", "list", "-o", "json"]).code(0).json(), serde_json::json!([]));
    stage.run(&["plugin", "show", "k6"]).code(2).stderr_has("there is no plugin `k6`");
    stage.run(&["doctor"]).code(0).has_nowhere("plugin");
}

#[test]
fn a_new_plugin_passes_its_check_and_is_everywhere() {
    let stage = noting();
    stage
        .run(&["plugin", "check"])
        .code(0)
        .stdout_has("says who it is")
        .stdout_has("goes on after a line")
        .stdout_has("ends when its stdin does");
    stage.run(&["plugin", "list"]).code(0).stdout_has("Keeps texts in files (example.text)");
    stage.run(&["plugin", "show", "example"]).code(0).stdout_has("needs python3").stdout_has("found").stdout_has("example.text");
    stage.run(&["actions", "example.text"]).code(0).stdout_has("**Unguarded window.**").stdout_has("path (required)");
    stage.run(&["actions"]).code(0).stdout_has("example.text").stdout_has("k8s.scale");
    stage.run(&["schema"]).code(0).stdout_has("with.example.text");
    stage.run(&["validate"]).code(0);
    stage.run(&["doctor"]).code(0).stdout_has("1 plugin can be used");
    let shown = stage.run(&["plugin", "show", "example", "-o", "json"]).code(0).json();
    assert_eq!((shown["actions"][0]["name"].as_str(), shown["actions"][0]["effect"].as_str()), (Some("example.text"), Some("idempotent")));
    assert_eq!(shown["hash"].as_str().map(str::len), Some(64));
}

#[test]
fn a_new_plugin_overwrites_nothing_and_takes_no_builtin_name() {
    let stage = noting();
    stage.run(&["plugin", "new", "example"]).code(3).stderr_has("is there already");
    stage.run(&["plugin", "new", "k8s"]).code(3).stderr_has("actions that are built in begin with `k8s.`");
    stage.run(&["plugin", "new", "../x"]).code(3).stderr_has("is no name for a plugin");
}

#[test]
fn a_broken_plugin_is_told_with_its_place_and_keeps_no_other_playbook_from_running() {
    let stage = noting().playbook("lights", "playbook: lights\nsummary: On\nsteps:\n  - id: on\n    uses: lights.on\n");
    let manifest =
        "plugin: lights\nprotocol: 1\nsummary: Lights\nexecutable: plugin.py\nactions:\n  on:\n    summary: On\n    effect: twice\n";
    write_plugin(&stage, "lights", manifest, "#!/bin/sh\n");
    let told = stage.run(&["plugin", "check", "lights"]).code(3).stdout_has("plugins/lights/plugin.yaml:8:13").stdout;
    assert!(told.contains("effect: twice") && told.contains("twice"), "{told}");
    stage.run(&["plugin", "list"]).code(0).stdout_has("cannot be used").stdout_has("example.text");
    stage.run(&["validate"]).code(3).stdout_has("valid   note").stdout_has("invalid lights").stdout_has("invalid plugin lights");
    stage
        .run(&["run", "lights"])
        .code(3)
        .stderr_has("there is no action `lights.on`")
        .stderr_has("`runsheet plugin check lights` says why");
    stage.run(&["doctor"]).code(3).stdout_has("1 of 2 plugins cannot be used: lights");
    stage.run(&["run", "note"]).code(0);
    for (from, to, wanted, place) in [
        ("plugin: lights", "plugin: lamps", "its folder is `lights`", ":1:9"),
        ("protocol: 1", "protocol: 2", "speaks version 2", ":2:11"),
        ("executable: plugin.py", "executable: ../plugin.py", "leads out of the plugin's folder", ":4:13"),
        ("executable: plugin.py", "executable: lights", "there is no executable `lights`: no such file or directory", ":4:13"),
        ("effect: once", "effect: once\n    reverts: true", "has to observe what was there before", ":9:14"),
        ("effect: once", "effect: once\n    touches: [\"lamp:{room}\"]", "there is no input `room`", ":9:15"),
        (
            "effect: once",
            "effect: once\n    inputs: { properties: { room: { type: string } } }",
            "the input `room` of `lights.on` has no description",
            ":9:13",
        ),
        ("effect: once", "effect: once\n    inputs: { properties: { room: { type: 7, description: x } } }", "are no JSON Schema", ":9:13"),
        ("effect: once", "effect: once\n    colour: red", "colour", ":9:5"),
    ] {
        write_plugin(&stage, "lights", &manifest.replace("twice", "once").replace(from, to), "#!/bin/sh\n");
        stage.run(&["plugin", "check", "lights"]).code(3).stdout_has(wanted).stdout_has(&format!("plugin.yaml{place}"));
    }
}

#[test]
fn a_plugin_that_does_not_speak_as_it_should_fails_its_check() {
    let manifest = "plugin: odd\nprotocol: 1\nsummary: Odd\nexecutable: plugin.py\nactions:\n  x: { summary: X, effect: once }\n";
    for (script, wanted) in [
        ("#!/bin/sh\n", "it did not answer `describe`"),
        ("#!/bin/sh\necho hello\n", "it wrote a line that is no JSON: hello"),
        ("#!/bin/sh\ncat >/dev/null; exec sleep 60\n", "it does not end when its stdin does"),
        ("#!/no/such/interpreter\n", "it was not started"),
        (
            "#!/bin/sh\nread line; echo '{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocol\":1,\"plugin\":\"even\",\"actions\":[]}}'\n",
            "`plugin` is not `odd`",
        ),
    ] {
        let stage = Stage::new();
        write_plugin(&stage, "odd", manifest, script);
        stage.run(&["plugin", "check"]).code(3).stdout_has(wanted);
    }
}
