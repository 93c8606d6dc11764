//! Several events on one service, one after the other or within one another, and `run.restore` among them: each gives back its own, in the order in which it was
//! changed, and takes nothing from another. What is at work is waited for, and what was begun and never done stands in nobody's way.

use serde_json::json;

use super::playbooks::told;
use super::support::{EVENT, Live, Ran, Stage, step_of, until};

const OTHER: &str = "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a12";

fn stage() -> Stage {
    Stage::new().quick_playbook("pre-event").repository_playbook("after-event")
}

#[track_caller]
fn grown(stage: &Stage, event: &str, with: &[&str]) -> String {
    let event = format!("event_id={event}");
    let mut words = vec!["run", "pre-event", "--yes", "-p", &event];
    words.extend(with.iter().flat_map(|param| ["-p", *param]));
    stage.run(&words).code(0);
    latest(stage)
}

fn latest(stage: &Stage) -> String {
    stage.run(&["runs", "-o", "json"]).code(0).json()[0]["short_id"].as_str().unwrap().to_owned()
}

fn given_back(stage: &Stage, event: &str, with: &[&str]) -> Ran {
    let event = format!("event_id={event}");
    let mut words = vec!["run", "after-event", "--yes", "-p", &event];
    words.extend(with.iter().flat_map(|param| ["-p", *param]));
    stage.run(&words)
}

/// What this run owes.
fn owed(stage: &Stage, run: &str) -> u64 {
    let runs = stage.run(&["runs", "-o", "json"]).code(0).json();
    let listed = runs.as_array().unwrap().iter().find(|listed| listed["short_id"] == *run).unwrap();
    let status = stage.run(&["status", run, "-o", "json"]).code(0).json();
    assert_eq!(status["owed"].as_array().unwrap().len() as u64, listed["owed"].as_u64().unwrap(), "`status` and `runs` say the same");
    listed["owed"].as_u64().unwrap()
}

#[test]
fn promise_3_a_pool_that_shrank_between_two_levels_goes_back_between_them() {
    let stage = stage().sandbox(50);
    let before = stage.objects();
    for level in ["medium", "high"] {
        grown(&stage, EVENT, &[&format!("level={level}")]);
    }
    let already = told(&stage).len();
    given_back(&stage, EVENT, &[]).code(0).stdout_has("replicas 8 → 2");
    let back = told(&stage).split_off(already);
    let wanted = ["spec.replicas: 8→4", "\"18\"→\"20\"", "spec.replicas: 4→2"];
    assert!(back.len() == 3 && back.iter().zip(wanted).all(|(is, wanted)| is.ends_with(wanted)), "{back:?}");
    stage.assert_within_budget("after-event");
    stage.assert_as_before(&before, "after-event");
}

#[test]
fn promise_3_what_was_given_back_is_owed_by_nobody_when_the_next_event_grows() {
    let stage = stage().sandbox(50);
    let first = grown(&stage, EVENT, &["up_to=critical"]);
    given_back(&stage, EVENT, &[]).code(0);
    let second = grown(&stage, OTHER, &["up_to=critical"]);
    assert_eq!((owed(&stage, &first), owed(&stage, &second)), (0, 2));
    // Whoever rolls the first one back takes nothing from the second, whose values are the same.
    let already = told(&stage).len();
    let back = stage.run(&["rollback", &first, "--yes"]).code(0);
    back.stdout_has("replicas was given back by step give_back of run");
    assert_eq!((told(&stage).len(), stage.deployments()), (already, vec!["production/ticket-service 8/8 ready".to_owned()]));
    // The second grows on: it owes it as long as it is there.
    grown(&stage, OTHER, &["level=critical"]);
    assert_eq!(owed(&stage, &second), 2);
}

#[test]
fn promise_3_an_event_within_another_keeps_it_from_nothing() {
    let stage = stage().sandbox(50);
    let before = stage.objects();
    let outer = grown(&stage, EVENT, &["up_to=critical"]);
    grown(&stage, OTHER, &["level=critical"]);
    given_back(&stage, OTHER, &[]).code(0).stdout_has("replicas 16 → 8");
    assert_eq!(owed(&stage, &outer), 2);
    given_back(&stage, EVENT, &[]).code(0).stdout_has("replicas 8 → 2");
    assert_eq!(owed(&stage, &outer), 0);
    stage.assert_as_before(&before, "both");
}

#[test]
fn promise_2_a_run_that_was_killed_before_its_effect_and_left_so_is_nobody_else() {
    let stage = stage().sandbox(50);
    let before = stage.objects();
    grown(&stage, EVENT, &["up_to=critical"]);
    // Killed with its intent to go on to 16 on disk, before the request.
    let event = format!("event_id={EVENT}");
    let words = ["run", "pre-event", "--yes", "-p", &event, "-p", "level=critical"];
    let (killed, ran) = stage.run_killed_at("before-effect:4", &words);
    assert!(killed, "{ran}");
    let interrupted = latest(&stage);
    given_back(&stage, EVENT, &[]).code(0).stdout_has("replicas 8 → 2");
    stage.assert_as_before(&before, "after-event");
    // Taken up after all, it finds that its 8 is gone, and grows nothing by itself.
    stage.run(&["resume", &interrupted]).code(1);
    stage.assert_as_before(&before, "the interrupted run");
}

#[test]
fn promise_3_after_event_taken_up_again_takes_nothing_from_the_event_that_began_meanwhile() {
    let stage = stage().env("RUNSHEET_SANDBOX_AUTOSCALER", "memory").sandbox(400);
    let first = grown(&stage, EVENT, &[]);
    given_back(&stage, EVENT, &["settle=1s"]).code(1).stdout_has("what relies on it was not given back");
    let after = latest(&stage);
    assert!(told(&stage).last().unwrap().ends_with("spec.minReplicas: 8→2"), "{:?}", told(&stage));
    // The next event raises the floor to the very same value.
    grown(&stage, OTHER, &[]);
    let already = told(&stage).len();
    let resumed = stage.run(&["resume", &after]).code(1).stdout_has("was left at \"9\"");
    assert!(!resumed.stdout.contains("/3 at") && !resumed.stdout.contains("attempt 4/3"), "{resumed}");
    assert_eq!(told(&stage).len(), already, "{:?}", told(&stage));
    assert_eq!(owed(&stage, &first), 1, "its floor is back, its pools are not");
}

/// A run that has grown the service and holds its lock until it is told to go on.
fn at_work(stage: &Stage) -> Live {
    let scale = r#"playbook: scale
summary: Grow, and wait
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 8 }
    check:
      after:
        - uses: k8s.get
          with: { object: deployment/ticket-service }
          that: ${{ has(result.object.spec.revisionHistoryLimit) && result.object.spec.revisionHistoryLimit == 7 }}
          within: 1m
          every: 100ms
"#;
    stage.write_playbook("scale", scale);
    let run = stage.start(&["run", "scale"]);
    until("it has grown", || stage.deployments() == ["production/ticket-service 8/8 ready"]);
    run
}

#[test]
fn promise_5_after_event_waits_for_what_is_at_work_says_for_whom_and_finds_what_it_left() {
    let stage = stage().sandbox(50);
    grown(&stage, EVENT, &["level=medium"]);
    let working = at_work(&stage);
    let event = format!("event_id={EVENT}");
    let after = stage.start(&["run", "after-event", "--yes", "-p", &event]);
    until("after-event to be there", || stage.run(&["runs"]).stdout.contains("after-event"));
    let id = latest(&stage);
    let is = || stage.run(&["status", &id, "-o", "json"]).code(0).json();
    until("it waits for the lock", || step_of(&is(), "give_back")["status"] == "waiting");
    stage.run(&["status", &id]).code(0).stdout_has("for the lock on deployment/ticket-service");
    assert_eq!(stage.deployments(), ["production/ticket-service 8/8 ready"]);
    stage.fault(&["change", "production/deployment/ticket-service", "spec.revisionHistoryLimit", "7"]);
    working.wait().code(0);
    after.wait().code(0).stdout_has("replicas 8 → 2");
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"]);
}

#[test]
fn what_a_rollback_action_undoes_is_told_and_not_given_back_by_the_way() {
    let scale = "playbook: scale\nsummary: Grow\nsteps:\n  - id: scale\n    uses: k8s.scale\n    with: { workload: deployment/ticket-service, replicas: 3 }\n    \
                 rollback: { uses: command, with: { argv: [\"true\"] } }\n";
    let stage = stage().playbook("scale", scale).sandbox(50);
    grown(&stage, EVENT, &["level=low"]);
    stage.run(&["run", "scale"]).code(0);
    given_back(&stage, EVENT, &[]).code(1).stdout_has("it is undone by command, which its own rollback runs");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→3"]);
    let status = stage.status_json();
    let left = &step_of(&status, "give_back")["outputs"]["left"];
    assert_eq!(left.as_array().map(Vec::len), Some(1), "{left}");
}

#[test]
fn a_damaged_run_is_told_and_hides_none_of_the_others() {
    let stage = stage()
        .playbook(
            "scale",
            "playbook: scale\nsummary: Look\nsteps:\n  - id: scale\n    uses: k8s.get\n    with: { object: deployment/ticket-service }\n",
        )
        .sandbox(50);
    grown(&stage, EVENT, &[]);
    stage.run(&["run", "scale"]).code(0);
    let hurt = latest(&stage);
    let database = rusqlite::Connection::open(stage.root().join("state/runsheet.db")).unwrap();
    let changed = database.execute("UPDATE events SET body = replace(body, 'ana@desk', 'eve@desk') WHERE kind = 'run_owned' AND id = (SELECT max(id) FROM events WHERE kind = 'run_owned')", []);
    assert_eq!(changed.unwrap(), 1);
    given_back(&stage, EVENT, &[]).code(1).stdout_has(&format!("run {hurt}: all that it changed")).stdout_has("its journal cannot be read");
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"]);
    let status = stage.status_json();
    let left = &step_of(&status, "give_back")["outputs"]["left"];
    assert_eq!(left[0]["wanted"], json!(null), "{left}");
}

#[test]
fn promise_3_what_was_deleted_is_told_and_ends_nothing() {
    let stage = stage().sandbox(50);
    grown(&stage, EVENT, &[]);
    let (status, answer) = stage.api("DELETE", "/apis/apps/v1/namespaces/production/deployments/ticket-service", None);
    assert_eq!(status, 200, "{answer}");
    let ran = given_back(&stage, EVENT, &[]).code(1);
    ran.stdout_has("replicas (the object is gone, or another is there under its name)").stdout_has("DB_POOL_MAX (the object is gone");
    assert_eq!(stage.status_json()["status"], "succeeded_with_failures");
}
