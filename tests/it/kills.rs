//! `kill -9` at every commit and around every effect of a run, then `resume`: promise 2, no effect is silently repeated, and none silently lost.

use super::support::{EVENT, Stage, at_every_point};

/// How many runs go at once: they mostly wait.
const WIDTH: usize = 8;

fn arguments() -> Vec<String> {
    ["run", "pre-event", "-p", &format!("event_id={EVENT}"), "--yes"].map(str::to_owned).to_vec()
}

/// That each change was made once.
#[track_caller]
fn assert_grown_once(stage: &Stage, when: &str) {
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8"], "{when}");
    assert_eq!(stage.effects_on("fills"), ["0→1"], "{when}");
    assert_eq!(stage.effects().len(), 2, "{when}: {:?}", stage.effects());
}

#[test]
fn pre_event_succeeds_where_nobody_kills_it() {
    let stage = Stage::pre_event().sandbox(20);
    stage.run(&arguments()).code(0).stdout_has("SANDBOX: no environment was changed").stdout_has("replicas 8 → 2");
    assert_grown_once(&stage, "not killed");
    let verified = stage.run(&["runs", "verify"]).code(0);
    assert!(!verified.stdout.is_empty());
}

#[test]
fn promise_2_pre_event_killed_at_every_commit_and_effect_ends_as_if_it_had_not_been() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        let (killed, ran) = stage.run_killed_at(point, &arguments());
        if !killed {
            ran.code(0);
            return false;
        }
        if stage.status_json()["status"] != "succeeded" {
            stage.run(&["resume"]).code(0);
        }
        assert_grown_once(&stage, point);
        let status = stage.status_json();
        assert_eq!(status["status"], "succeeded", "{point}");
        assert!(status["steps"].as_array().unwrap().iter().all(|step| step["status"] == "succeeded"), "{point}: {status:#}");
        assert_eq!(status["owed"][0]["words"], "deployment/ticket-service: replicas 8 → 2", "{point}");
        stage.run(&["runs", "verify"]).code(0);
        true
    });
    // Two effects and the reading of the pool; at least an intent and an outcome of each, and the run's beginning and end.
    assert!(killed["commit"] >= 6 && killed["commit"] == killed["before-commit"], "{killed:?}");
    assert!(killed["effect"] >= 2 && killed["effect"] == killed["before-effect"], "{killed:?}");
}

#[test]
fn promise_2_a_run_that_is_killed_at_each_resume_again_comes_to_its_end() {
    // At fewer commits than these nothing can come about: one says that it is taken up, one what came of what was intended, one intends it again.
    for point in ["commit:4", "before-commit:4", "effect:1"] {
        let stage = Stage::quick_pre_event();
        let (killed, _) = stage.run_killed_at(point, &arguments());
        assert!(killed, "{point}");
        stage.resume_killed_again_and_again(point).code(0);
        assert_grown_once(&stage, point);
    }
}

#[test]
fn promise_3_a_rollback_killed_at_every_commit_and_effect_puts_back_once_what_was_there() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        stage.run(&arguments()).code(0);
        let (killed, ran) = stage.run_killed_at(point, &["rollback", "--yes"]);
        if !killed {
            ran.code(0);
            return false;
        }
        if !["succeeded", "rolled_back"].contains(&stage.status_json()["status"].as_str().unwrap()) {
            stage.run(&["resume"]);
        }
        if stage.status_json()["status"] == "succeeded" {
            assert_eq!(point, "before-commit:1", "once it is on disk that it is taken back, it goes on by itself");
            stage.run(&["rollback", "--yes"]).code(0);
        }
        assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→2"], "{point}");
        assert_eq!(stage.effects().len(), 3, "{point}");
        let status = stage.status_json();
        assert_eq!(status["status"], "rolled_back", "{point}: {}", stage.run(&["status"]));
        assert_eq!(status["owed"].as_array().unwrap().len(), 0, "{point}");
        assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"], "{point}");
        true
    });
    assert!(killed["commit"] >= 4 && killed["effect"] == 1 && killed["before-effect"] == 1, "{killed:?}");
}
