//! `kill -9` at every commit and around every effect of a run, then `resume`: promise 2, no effect is silently repeated, and none silently lost.

use super::support::{EVENT, Stage, at_every_point};

/// How many runs go at once: they mostly wait.
const WIDTH: usize = 8;

/// The size of the pools, which shrinks before the service grows.
const POOL: &str = "spec.template.spec.containers[ticket-service].env[DB_POOL_MAX].value";

fn arguments() -> Vec<String> {
    ["run", "pre-event", "-p", &format!("event_id={EVENT}"), "--yes"].map(str::to_owned).to_vec()
}

/// That each change was made once.
#[track_caller]
fn assert_grown_once(stage: &Stage, when: &str) {
    assert_eq!(stage.effects_on(POOL), [r#""20"→"18""#], "{when}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→8"], "{when}");
    assert_eq!(stage.effects_on("fills"), ["0→1"], "{when}");
    assert_eq!(stage.effects().len(), 3, "{when}: {:?}", stage.effects());
}

#[test]
fn pre_event_succeeds_where_nobody_kills_it() {
    let stage = Stage::pre_event().sandbox(20);
    stage.run(&arguments()).code(0).stdout_has("SANDBOX: no environment was changed").stdout_has("replicas 8 → 2");
    assert_grown_once(&stage, "not killed");
    stage.run(&["runs", "verify"]).code(0);
}

#[test]
fn promise_2_pre_event_killed_at_every_commit_and_effect_ends_as_if_it_had_not_been() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        let before = stage.objects();
        let (killed, ran) = stage.run_killed_at(point, &arguments());
        if !killed {
            ran.code(0);
            return false;
        }
        stage.resume_if_open(0);
        assert_grown_once(&stage, point);
        let status = stage.status_json();
        assert_eq!(status["status"], "succeeded", "{point}");
        assert!(status["steps"].as_array().unwrap().iter().all(|step| step["status"] == "succeeded"), "{point}: {status:#}");
        let owed: Vec<&str> = status["owed"].as_array().unwrap().iter().filter_map(|owed| owed["words"].as_str()).collect();
        assert!(owed.contains(&"deployment/ticket-service: replicas 8 → 2") && owed.len() == 2, "{point}: {owed:?}");
        stage.run(&["runs", "verify"]).code(0);
        stage.run(&["rollback", "--yes"]).code(0);
        stage.assert_as_before(&before, point);
        true
    });
    // Three effects and the five readings before, between and after them; at least an intent and an outcome of each, and the run's beginning and end.
    assert!(killed["commit"] >= 12 && killed["commit"] == killed["before-commit"], "{killed:?}");
    assert!(killed["effect"] == 8 && killed["effect"] == killed["before-effect"], "{killed:?}");
}

#[test]
fn promise_2_a_run_that_is_killed_at_each_resume_again_comes_to_its_end() {
    // With fewer commits nothing can come about: one takes the run up, one tells what came of what was intended, one intends it again.
    for point in ["commit:4", "before-commit:4"] {
        let stage = Stage::quick_pre_event();
        let (killed, _) = stage.run_killed_at(point, &arguments());
        assert!(killed, "{point}");
        stage.resume_killed_again_and_again(point);
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}");
        assert_grown_once(&stage, point);
    }
}

#[test]
fn promise_3_a_rollback_killed_at_every_commit_and_effect_puts_back_once_what_was_there() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        let before = stage.objects();
        stage.run(&arguments()).code(0);
        let (killed, ran) = stage.run_killed_at(point, &["rollback", "--yes"]);
        if !killed {
            ran.code(0);
            return false;
        }
        // Whoever resumes it did not ask for it to be taken back: that it was is no success of the run's.
        stage.resume_if_open(0);
        if stage.status_json()["status"] == "succeeded" {
            assert_eq!(point, "before-commit:1", "once it is on disk that it is taken back, it goes on by itself");
            stage.run(&["rollback", "--yes"]).code(0);
        }
        assert_eq!(stage.effects_on("spec.replicas"), ["2→8", "8→2"], "{point}");
        assert_eq!(stage.effects_on(POOL), [r#""20"→"18""#, r#""18"→"20""#], "{point}");
        assert_eq!(stage.effects().len(), 5, "{point}");
        let status = stage.status_json();
        assert_eq!(status["status"], "rolled_back", "{point}: {}", stage.run(&["status"]));
        assert_eq!(status["owed"].as_array().unwrap().len(), 0, "{point}");
        stage.assert_as_before(&before, point);
        true
    });
    assert!(killed["commit"] >= 4 && killed["effect"] == 2 && killed["before-effect"] == 2, "{killed:?}");
}

#[test]
fn promise_6_the_token_that_fills_the_caches_is_written_nowhere() {
    let stage = Stage::quick_pre_event();
    let ran = stage.run(&arguments()).code(0);
    let token = stage.service_token();
    assert!(token.len() > 20 && !ran.stdout.contains(&token) && !ran.stderr.contains(&token));
    assert!(!stage.state_files_with(EVENT).is_empty(), "what is written there is found");
    assert_eq!(stage.state_files_with(&token), Vec::<std::path::PathBuf>::new());
    stage.run(&["status", "-o", "json"]).code(0).has_nowhere(&token);
}

/// Pods that wait for nothing; a step that fails; what ran is taken back.
const FAILING: &str = r#"playbook: failing
summary: Grow, and fail
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 6 }
    on_failure: rollback
  - id: prove
    needs: [scale]
    uses: assert
    with: { that: false, message: it does not hold }
    on_failure: rollback
"#;

#[test]
fn promise_3_a_failing_run_killed_at_every_commit_and_effect_takes_back_what_ran() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::new().playbook("failing", FAILING).sandbox(20);
        let (killed, ran) = stage.run_killed_at(point, &["run", "failing"]);
        if killed {
            stage.resume_if_open(1);
        } else {
            ran.code(1);
        }
        assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"], "{point}");
        let status = stage.status_json();
        assert_eq!(status["status"], "rolled_back", "{point}: {}", stage.run(&["status"]));
        assert_eq!(status["owed"].as_array().unwrap().len(), 0, "{point}");
        killed
    });
    assert!(killed["commit"] >= 5 && killed["effect"] == 2, "{killed:?}");
}

#[test]
fn promise_3_a_rollback_action_killed_at_every_commit_and_effect_is_not_repeated() {
    let killed = at_every_point(4, |point| {
        let stage = Stage::new();
        let file = stage.path("lines").display().to_string();
        let stage = stage.playbook(
            "announce",
            &format!(
                r#"playbook: announce
summary: Announce, and take it back
steps:
  - id: announce
    uses: command
    with: {{ shell: true, script: 'echo announced >>"$FILE"', env: {{ FILE: {file} }} }}
    rollback:
      uses: command
      with: {{ shell: true, script: 'echo withdrawn >>"$FILE"', env: {{ FILE: {file} }} }}
"#
            ),
        );
        stage.run(&["run", "announce"]).code(0);
        let (killed, ran) = stage.run_killed_at(point, &["rollback", "--yes"]);
        if !killed {
            ran.code(0);
        } else if !stage.has_ended() {
            stage.run(&["resume"]).code(0);
        } else if stage.status_json()["status"] == "succeeded" {
            assert_eq!(point, "before-commit:1");
            stage.run(&["rollback", "--yes"]).code(0);
        }
        assert_eq!(stage.status_json()["status"], "rolled_back", "{point}: {}", stage.run(&["status"]));
        assert_eq!(stage.text("lines"), "announced\nwithdrawn\n", "{point}");
        killed
    });
    assert!(killed["commit"] >= 2 && killed["effect"] == 1, "{killed:?}");
}
