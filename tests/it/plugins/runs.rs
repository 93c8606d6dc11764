//! Runs with plugins: forth and back, killed at every point, and always with the plugin that they were started with.

use super::{note, noting};
use crate::support::{Stage, at_every_commit_and_effect, step_of};

#[test]
fn promise_3_a_plugins_change_is_made_once_and_put_back() {
    let stage = noting();
    stage.run(&["run", "note"]).code(0);
    assert_eq!(note(&stage).as_deref(), Some("doors at seven"));
    stage.run(&["run", "note"]).code(0);
    let status = stage.status_json();
    assert_eq!(step_of(&status, "note")["how"]["kind"], "unchanged", "{status:#}");
    stage.run(&["run", "note", "-p", "text=doors at eight"]).code(0);
    stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(note(&stage).as_deref(), Some("doors at seven"), "what was there before is there again");
}

#[test]
fn promise_3_what_somebody_else_changed_since_is_left_alone() {
    let stage = noting();
    stage.run(&["run", "note"]).code(0);
    std::fs::write(stage.root().join("notes.txt"), "doors at nine").unwrap();
    stage.run(&["rollback", "--yes"]).code(5);
    assert_eq!(note(&stage).as_deref(), Some("doors at nine"));
}

#[test]
fn promise_2_a_plugins_step_killed_at_every_point_and_resumed_ends_the_same() {
    let killed = at_every_commit_and_effect(4, |point| {
        let stage = noting();
        let (killed, ran) = stage.run_killed_at(point, &["run", "note"]);
        if killed {
            stage.resume_if_open(0)
        } else {
            drop(ran.code(0))
        }
        assert_eq!(note(&stage).as_deref(), Some("doors at seven"), "{point}");
        let (killed_back, ran) = stage.run_killed_at(point, &["rollback", "--yes"]);
        if killed_back {
            drop(stage.run(&["resume"]))
        } else {
            drop(ran.code(0))
        }
        assert_eq!((stage.status_json()["status"].as_str(), note(&stage)), (Some("rolled_back"), None), "{point}");
        killed || killed_back
    });
    assert!(killed["effect"] >= 1 && killed["commit"] >= 4, "{killed:?}");
}

/// The plugin, which kills itself at this line of its own.
fn falling(stage: &Stage, before: &str) {
    let file = stage.root().join("plugins/example/plugin.py");
    let text = std::fs::read_to_string(&file).unwrap();
    let fall = "if not os.path.exists('fallen'):\n            open('fallen', 'w').close()\n            os.kill(os.getpid(), 9)\n        ";
    assert_eq!(text.matches(before).count(), 1, "{before}");
    std::fs::write(&file, text.replace(before, &format!("{fall}{before}"))).unwrap();
}

#[test]
fn promise_2_a_plugin_killed_around_its_effect_is_asked_whether_it_happened() {
    let line = "write(inputs[\"path\"], inputs[\"text\"])";
    // Before its effect it says "absent", and is asked again; after it "present", and is not.
    for (before, applied) in [(line, 2), ("pass", 1)] {
        let stage = noting();
        let file = stage.root().join("plugins/example/plugin.py");
        let text = std::fs::read_to_string(&file).unwrap();
        let counted = text.replace(line, &format!("open('applied', 'a').write('x')\n        {line}\n        pass"));
        std::fs::write(&file, counted).unwrap();
        falling(&stage, before);
        let text = stage.run(&["run", "note"]).code(if applied == 1 { 0 } else { 1 });
        if applied == 2 {
            stage.run(&["resume"]).code(0);
        }
        assert_eq!(note(&stage).as_deref(), Some("doors at seven"), "{text}");
        assert_eq!(std::fs::read_to_string(stage.root().join("applied")).unwrap().len(), applied, "{text}");
        assert!(stage.root().join("fallen").exists());
    }
}

#[test]
fn promise_4_a_run_goes_on_with_the_plugin_that_it_was_started_with() {
    let stage = noting().playbook(
        "asked",
        "playbook: asked\nsummary: Keep a note, when asked\nsteps:\n  - id: ask\n    uses: approve\n  - id: note\n    needs: [ask]\n    uses: example.text\n    with: { path: notes.txt, text: old }\n",
    );
    stage.run(&["run", "asked"]);
    let file = stage.root().join("plugins/example/plugin.py");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("file.write(text)", "file.write('new')")).unwrap();
    stage.run(&["approve", "ask"]);
    stage.resume_if_open(0);
    assert_eq!(note(&stage).as_deref(), Some("old"), "the edited plugin was run");
}

#[test]
fn promise_4_a_run_whose_plugin_is_gone_is_refused_and_can_be_ended() {
    let stage = noting().playbook(
        "asked",
        "playbook: asked\nsummary: Keep a note, when asked\nsteps:\n  - id: ask\n    uses: approve\n  - id: note\n    needs: [ask]\n    uses: example.text\n    with: { path: notes.txt, text: old }\n",
    );
    stage.run(&["run", "asked"]);
    std::fs::remove_dir_all(stage.root().join("state/plugins")).unwrap();
    let file = stage.root().join("plugins/example/plugin.py");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{text}\n# edited\n")).unwrap();
    stage.run(&["approve", "ask"]).code(6).stderr_has("the run was started with the plugin `example` in the version");
    stage.run(&["resume"]).code(6).stderr_has("`runsheet cancel` ends it as it is");
    // The version that it was started with, put back.
    std::fs::write(&file, text).unwrap();
    stage.run(&["approve", "ask"]).code(0);
    assert_eq!(note(&stage).as_deref(), Some("old"));
}
