//! `run.restore`, `after-event` and `event-day`: what several runs changed for an event goes back to the values before the first of them, once, in the right
//! order; what somebody else has changed is left alone and told; and what is owed is shown until then.

use serde_json::json;

use super::playbooks::told;
use super::support::{EVENT, Stage, at_every_commit_and_effect, step_of, until};

const OTHER_EVENT: &str = "event_id=0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a12";

fn event() -> String {
    format!("event_id={EVENT}")
}

/// A stage on which the event has grown to 8 and then, while it ran, to 16.
fn grown(speed: u32) -> Stage {
    let stage = Stage::new().quick_playbook("pre-event").repository_playbook("after-event").sandbox(speed);
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "up_to=critical"]).code(0);
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "level=critical"]).code(0);
    stage
}

fn after_event() -> [String; 5] {
    ["run".to_owned(), "after-event".to_owned(), "--yes".to_owned(), "-p".to_owned(), event()]
}

/// What each run owes, the latest first.
fn owed(stage: &Stage) -> Vec<u64> {
    let runs = stage.run(&["runs", "-o", "json"]).code(0).json();
    runs.as_array().unwrap().iter().map(|run| run["owed"].as_u64().unwrap()).collect()
}

#[test]
fn promise_3_after_an_escalation_the_event_ends_where_it_began() {
    let stage = Stage::new().quick_playbook("pre-event").repository_playbook("after-event").sandbox(50);
    let before = stage.objects();
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "up_to=critical"]).code(0);
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "level=critical"]).code(0);
    assert_eq!(owed(&stage), [1, 2]);
    let grown = told(&stage);
    stage.run(&after_event()).code(0).stdout_has("replicas 16 → 2");
    let back = told(&stage).split_off(grown.len());
    let wanted = ["spec.replicas: 16→2", "\"9\"→\"20\""];
    assert!(
        back.len() == wanted.len() && back.iter().zip(wanted).all(|(is, wanted)| is.ends_with(wanted)),
        "capacity before pools: {back:?}"
    );
    stage.assert_within_budget("after-event");
    stage.assert_as_before(&before, "after-event");
    assert_eq!(owed(&stage), [0, 0, 0], "nobody owes anything any more");
    // Once more, there is nothing to give back; nor is there for a rollback.
    stage.run(&after_event()).code(0).stdout_has("given_back: none");
    assert_eq!(told(&stage).len(), grown.len() + back.len());
}

#[test]
fn promise_3_replicas_that_were_handed_to_an_autoscaler_go_back_to_what_they_were_first() {
    let stage = Stage::new().quick_playbook("pre-event").quick_playbook("scale").quick_playbook("autoscale-hpa");
    let stage = stage.repository_playbook("after-event").env("RUNSHEET_SANDBOX_AUTOSCALER", "none").sandbox(200);
    let before = stage.objects();
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "level=low"]).code(0);
    stage.run(&["run", "scale", "--yes", "-p", "replicas=3"]).code(0);
    stage.run(&["run", "autoscale-hpa", "--yes", "-p", "min=5", "-p", "max=6"]).code(0);
    until("the autoscaler is at its floor", || stage.deployments().iter().any(|deployment| deployment.contains("5/5")));
    stage.run(&after_event()).code(0).stdout_has("replicas by the autoscaler ticket-service-hpa → 2");
    stage.assert_as_before(&before, "2 → 3 → an autoscaler");
    assert!(owed(&stage).iter().all(|owed| *owed == 0));
}

#[test]
fn promise_3_what_somebody_else_has_set_since_is_left_alone_and_told() {
    let stage = grown(50);
    stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "3"]);
    let ran = stage.run(&after_event()).code(1);
    ran.stdout_has("somebody else has set it to 3: it was 16 when these runs had done");
    let status = stage.status_json();
    assert_eq!(status["status"], "succeeded_with_failures");
    let outputs = &step_of(&status, "give_back")["outputs"];
    assert_eq!((&outputs["left"][0]["live"], &outputs["left"][0]["wanted"]), (&json!(3), &json!(2)), "{outputs}");
    assert!(told(&stage).last().unwrap().ends_with("\"9\"→\"20\""), "the pools are nobody else's: {:?}", told(&stage));
}

#[test]
fn the_runs_of_another_event_are_left_alone() {
    let stage = Stage::new().quick_playbook("pre-event").repository_playbook("after-event").sandbox(50);
    stage.run(&["run", "pre-event", "--yes", "-p", OTHER_EVENT, "-p", "level=medium"]).code(0);
    let already = told(&stage).len();
    stage.run(&after_event()).code(1).stdout_has("given_back: none").stdout_has(&format!("no run of event {EVENT} did anything here"));
    assert_eq!(told(&stage).len(), already);
    // 2 → 4 was the other event's, 4 → 8 this one's: this one gives back 4.
    stage.run(&["run", "pre-event", "--yes", "-p", &event()]).code(0);
    stage.run(&after_event()).code(0).stdout_has("replicas 8 → 4");
}

#[test]
fn an_autoscaler_that_does_not_come_down_is_named_and_the_pools_stay() {
    let stage = Stage::new()
        .quick_playbook("pre-event")
        .repository_playbook("after-event")
        .env("RUNSHEET_SANDBOX_AUTOSCALER", "memory")
        .sandbox(400);
    stage.run(&["run", "pre-event", "--yes", "-p", &event()]).code(0);
    let mut words = after_event().to_vec();
    words.extend(["-p".to_owned(), "settle=3s".to_owned()]);
    stage.run(&words).code(1).stdout_has("memory").stdout_has("what relies on it was not given back");
    let status = stage.status_json();
    let step = step_of(&status, "give_back");
    assert_eq!(step["status"], "failed");
    assert_eq!(step["attempt"], 1, "`settle` is waited for once, not once for each attempt: {step:#}");
    let floor = told(&stage);
    assert!(floor.last().unwrap().ends_with("spec.minReplicas: 8→2"), "{floor:?}");
    assert!(owed(&stage).iter().sum::<u64>() >= 1, "the pools are still owed");
}

#[test]
fn promise_2_after_event_killed_at_every_point_gives_back_once() {
    let wanted = {
        let stage = grown(100);
        let already = told(&stage).len();
        stage.run(&after_event()).code(0);
        told(&stage).split_off(already)
    };
    let killed = at_every_commit_and_effect(4, |point| {
        let stage = grown(100);
        let already = told(&stage).len();
        let (killed, ran) = stage.run_killed_at(point, &after_event());
        if killed {
            stage.resume_if_open(0);
        } else {
            ran.code(0);
        }
        assert_eq!(told(&stage).split_off(already), wanted, "{point}");
        assert_eq!(owed(&stage), [0, 0, 0], "{point}");
        killed
    });
    assert!(killed["commit"] >= 4 && killed["effect"] >= 2, "{killed:?}");
}

/// An event that starts and ends at once, with a watch that fails.
fn day(stage: Stage) -> Stage {
    let failing = "playbook: during-event\nsummary: Fail\nparams:\n  event_id: { type: string, help: The event }\n  level: { type: string, help: The level }\n  \
                   until: { type: timestamp, help: Until }\nsteps:\n  - id: watch\n    uses: assert\n    with: { that: \"${{ params.level == 'none' }}\" }\n";
    stage.quick_playbook("pre-event").repository_playbook("after-event").repository_playbook("event-day").playbook("during-event", failing)
}

#[test]
fn promise_3_event_day_gives_back_in_the_morning_even_though_the_watch_failed_and_owes_it_until_then() {
    let stage = day(Stage::new()).sandbox(50);
    let before = stage.objects();
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| jiff::Timestamp::from_second(now.as_second() + seconds).unwrap().to_string();
    // Long enough for a slow machine to look at the run before the morning comes.
    let (starts, ends) = (format!("starts_at={}", at(1)), format!("ends_at={}", at(12)));
    let event = event();
    let words = ["run", "event-day", "--yes", "-p", &event, "-p", &starts, "-p", &ends, "-p", "rest=8s", "--watch"];
    let run = stage.start(&words);
    until("the run to be there", || stage.run(&["runs"]).stdout.contains("event-day"));
    until("the watch to have failed", || step_of(&stage.status_json(), "during")["status"] == "failed");
    // The night: nothing is locked, and what was changed is owed.
    until("the morning to be waited for", || step_of(&stage.status_json(), "after")["status"] == "waiting");
    assert_eq!(owed(&stage), [2]);
    stage.run(&["runs"]).code(0).stdout_has("2 fields");
    // The process is killed at night, and somebody takes it up in the morning.
    run.kill9();
    stage.run(&["resume", "--watch"]).code(1);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "after")["status"]), (&json!("succeeded_with_failures"), &json!("succeeded")));
    assert_eq!(owed(&stage), [0]);
    stage.assert_as_before(&before, "event-day");
}

#[test]
fn promise_3_what_during_event_proposed_and_a_person_approved_is_given_back_too() {
    let stage = Stage::new().quick_playbook("pre-event").repository_playbook("after-event").repository_playbook("during-event");
    let stage = stage.repository_playbook("diagnose-load");
    let file = stage.root().join("playbooks/during-event.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let quick = text.replace("every: 15s", "every: 200ms").replace("for: 1m", "for: 400ms");
    assert_ne!(quick, text);
    std::fs::write(file, quick).unwrap();
    let stage =
        stage.playbook("diagnose-pods", "playbook: diagnose-pods\nsummary: Look\nsteps:\n  - id: look\n    uses: noop\n").sandbox(50);
    let before = stage.objects();
    stage.run(&["run", "pre-event", "--yes", "-p", &event(), "-p", "up_to=critical"]).code(0);
    let until_time = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second() + 3600).unwrap();
    let (event, ends) = (event(), format!("until={until_time}"));
    let run = stage.start(&["run", "during-event", "--yes", "--watch", "-p", &event, "-p", &ends]);
    until("the run to be there", || stage.run(&["runs"]).stdout.contains("during-event"));
    let id = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    let step = |path: &str| step_of(&stage.run(&["status", &id, "-o", "json"]).code(0).json(), path)["status"].clone();
    until("samples", || step("watch[samples]") == "waiting");
    assert_eq!(step("watch[busy]"), "pending", "without a load nothing is proposed");
    stage.run(&["sandbox", "load", "4000"]).code(0);
    until("the proposal", || step("watch[busy]") == "waiting");
    stage.run(&["status", &id]).code(0).stdout_has("grow to level critical?").stdout_has("cpu_percent");
    stage.run(&["approve", &id, "watch[busy]"]).code(0);
    until("the next level", || step("watch[busy]") == "succeeded");
    stage.run(&["skip", &id, "watch[samples]", "--reason", "the sale is over"]).code(0);
    run.wait().code(0);
    stage.run(&["sandbox", "load", "0"]).code(0);
    stage.run(&after_event()).code(0).stdout_has("replicas 16 → 2");
    stage.assert_as_before(&before, "after-event");
    assert_eq!(owed(&stage), [0, 0, 0]);
}
