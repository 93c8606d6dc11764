//! `kill -9` at every commit and around every effect of the repository's playbooks, forth and back: promise 2, no effect is silently repeated, and none
//! silently lost; promise 3, what was there is put back.
//!
//! In one stage the run is killed at a point and resumed, and then its rollback is killed at the same point and resumed; the points end where neither
//! is killed any more. `pre-event` without an autoscaler is killed in `kills.rs`, there before each commit too.

use super::playbooks::{Case, told};
use super::support::{Stage, at_every_commit_and_effect};

/// How many runs go at once: they mostly wait.
const WIDTH: usize = 6;

/// What a run changes where nobody kills it, forth and back.
struct Whole {
    forth: Vec<String>,
    back: Vec<String>,
}

impl Whole {
    fn of(case: &Case, speed: u32) -> Self {
        let stage = case.stage(speed);
        let already = told(&stage).len();
        stage.run(&case.arguments()).code(0);
        let forth = told(&stage).split_off(already);
        stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
        let back = told(&stage).split_off(already + forth.len());
        assert!(!forth.is_empty() && !back.is_empty(), "{}: {forth:?} {back:?}", case.name());
        Self { forth, back }
    }
}

/// Kills it at every commit and around every effect, forth and back.
#[track_caller]
fn killed_forth_and_back(case: &Case, speed: u32) {
    let whole = Whole::of(case, speed);
    let killed = at_every_commit_and_effect(WIDTH, |point| {
        let when = format!("{} at {point}", case.name());
        let stage = case.stage(speed);
        let (before, already) = (stage.objects(), told(&stage).len());
        let (killed, ran) = stage.run_killed_at(point, &case.arguments());
        if !killed {
            ran.code(0);
        } else if stage.has_ended() {
            assert_eq!(stage.status_json()["status"], "succeeded", "{when}");
        } else {
            stage.run(&["resume"]).code(0);
        }
        assert_eq!(told(&stage).split_off(already), whole.forth, "{when}");
        let killed_back = taken_back(&stage, point);
        assert_eq!(stage.status_json()["status"], "rolled_back", "{when}: {}", stage.run(&["status"]));
        assert_eq!(told(&stage).split_off(already + whole.forth.len()), whole.back, "{when}");
        stage.assert_as_before(&before, &when);
        killed || killed_back
    });
    // At least an intent and an outcome, and the run's beginning and end.
    assert!(killed["commit"] >= 4 && killed["effect"] >= 1 && killed["before-effect"] == killed["effect"], "{killed:?}");
}

/// Takes it back, killed at a point and resumed. Whether it was killed.
#[track_caller]
fn taken_back(stage: &Stage, point: &str) -> bool {
    let (killed, ran) = stage.run_killed_at(point, &["rollback", &stage.latest_run(), "--yes"]);
    if !killed {
        ran.code(0);
        return false;
    }
    // One that had come to its end has nothing to be resumed; the caller looks at how it stands.
    stage.run(&["resume"]);
    true
}

#[test]
fn promise_2_pre_event_under_an_autoscaler_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case { autoscaler: "cpu", ..Case::of("pre-event", &[]) }, 400);
}

#[test]
fn promise_2_pre_event_that_pauses_argo_cd_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case { autoscaler: "cpu", argocd: "self-heal", ..Case::of("pre-event", &["pause_sync=true"]) }, 400);
}

#[test]
fn promise_2_scale_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case::of("scale", &["replicas=6"]), 100);
}

#[test]
fn promise_2_pool_size_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case::of("pool-size", &["pool_size=12"]), 100);
}

#[test]
fn promise_2_autoscale_hpa_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case::of("autoscale-hpa", &["max=7"]), 400);
}

#[test]
fn promise_2_a_changed_autoscaler_killed_forth_and_back_is_as_it_was() {
    killed_forth_and_back(&Case { autoscaler: "cpu", ..Case::of("autoscale-hpa", &["min=3", "max=7"]) }, 400);
}

#[test]
fn promise_2_scale_under_keda_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case { autoscaler: "keda", pool: Some(7), ..Case::of("scale", &["replicas=5"]) }, 400);
}

#[test]
fn promise_2_autoscale_keda_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case { pool: Some(9), ..Case::of("autoscale-keda", &["max=12"]) }, 400);
}

#[test]
fn promise_2_a_changed_scaled_object_killed_forth_and_back_is_as_it_was() {
    killed_forth_and_back(&Case { autoscaler: "keda", ..Case::of("autoscale-keda", &["min=3", "max=7"]) }, 400);
}

#[test]
fn promise_2_resize_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case::of("resize", &[]), 100);
}

#[test]
fn promise_2_resize_in_place_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(&Case::of("resize", &["mode=in_place"]), 100);
}
