//! Monitors: what samples, what an alert starts and how often, and what becomes of it all when the process ends, the run is paused or taken back.

use serde_json::json;

use super::crashes::{crash_everywhere, finish};
use super::driver::Driver;
use super::fixtures::{StepExt, playbook, set, step, with_called};
use super::world::{Fault, World};
use crate::machine::decide::Input;
use crate::machine::task::What;
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::event::{Event, SkipReason};
use crate::model::instruction::Command;
use crate::model::monitor::{Alert, Monitor};
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Gate, OnFailure, Otherwise, Step, Uses};
use crate::model::template::{Source, Template};

fn source(text: &str) -> Source {
    Source { text: text.into(), line: 7, column: 3 }
}

fn gate() -> Option<Gate> {
    Some(Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Skip })
}

fn alert(name: &str, approve: Option<Gate>) -> Alert {
    Alert {
        name: name.into(),
        when: source("result.x > 1"),
        hold: None,
        message: None,
        playbook: "grow".into(),
        params: Template::empty_map(),
        max_firings: 2,
        cooldown: Span::seconds(600),
        approve,
    }
}

fn monitor(id: &str, alerts: Vec<Alert>) -> Step {
    let monitor = Monitor {
        every: Span::seconds(15),
        duration: Some(Template::Literal(json!("2h"))),
        until: None,
        that: None,
        samples: Vec::new(),
        series: Vec::new(),
        alerts,
    };
    Step { uses: Uses::Monitor(Box::new(monitor)), ..step(id) }
}

fn watched(approve: Option<Gate>) -> Definition {
    let steps = vec![
        set("before", "pool", 7),
        monitor("during", vec![alert("crowded", approve)]).needs(&["before"]),
        step("after").needs(&["during"]),
    ];
    with_called(steps, vec![playbook("grow", vec![set("scale", "replicas", 16)])])
}

fn world(alarms: &[&str]) -> World {
    World { alarms: alarms.iter().map(|name| (*name).into()).collect(), ..World::of(&[("pool", 20), ("replicas", 8)]) }
}

#[test]
fn what_does_not_fire_is_skipped_on_purpose_and_the_run_goes_on() {
    let driver = Driver::start(watched(gate()), world(&[]));
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!((driver.step("during"), driver.step("during[samples]")), (StepStatus::Succeeded, StepStatus::Succeeded));
    assert_eq!((driver.step("during[crowded]"), driver.step("during[crowded-2]")), (StepStatus::Skipped, StepStatus::Skipped));
    assert!(driver.events().any(|event| matches!(event, Event::StepSkipped { reason: SkipReason::NotFired, .. })));
    let outputs = driver.state().step_outputs(&"during".into()).unwrap();
    assert_eq!(*outputs, json!({ "samples": 1, "fired": [], "failed": null, "series": null }));
    assert_eq!(driver.world.fields["replicas"], 8);
}

#[test]
fn an_alert_waits_for_a_person_while_the_samples_go_on_and_then_starts_its_playbook() {
    let mut driver = Driver::begin(watched(gate()), world(&["crowded"]), 4);
    driver.answer("before");
    driver.answer("before");
    let task = driver.queue.front().cloned().unwrap();
    assert!(matches!(task.what, What::Watch(_)), "{task:?}");
    // It holds no slot and counts as nothing that is on its way: locks go back meanwhile.
    assert_eq!((driver.status(), driver.machine.as_ref().unwrap().flight.tasks()), (RunStatus::Waiting, 0));
    driver.alarm(&task);
    assert_eq!(driver.step("during[crowded]"), StepStatus::Waiting);
    // The condition goes on holding: it is said with each sample, and fires once.
    driver.alarm(&task);
    assert_eq!(driver.step("during[crowded-2]"), StepStatus::Pending);
    let message = driver.events().find_map(|event| match event {
        Event::StepWaiting { wait: crate::model::event::Waiting::Approval { message, .. }, .. } => message.clone(),
        _ => None,
    });
    assert_eq!(message.as_deref(), Some("91 % busy: start grow?"));
    driver.say(Command::Approve { step: "during[crowded]".into() });
    driver.answer("during[crowded]/scale");
    driver.answer("during[crowded]/scale");
    assert_eq!((driver.step("during[crowded]"), driver.world.fields["replicas"]), (StepStatus::Succeeded, 16));
    // Not again within the cooldown; after it, its second and last time.
    driver.alarm(&task);
    assert_eq!(driver.step("during[crowded-2]"), StepStatus::Pending);
    driver.now += jiff::SignedDuration::from_secs(601);
    driver.alarm(&task);
    assert_eq!(driver.step("during[crowded-2]"), StepStatus::Waiting);
    driver.say(Command::Reject { step: "during[crowded-2]".into() });
    assert_eq!(driver.step("during[crowded-2]"), StepStatus::Skipped);
    driver.run();
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!(driver.state().step_outputs(&"during".into()).unwrap()["fired"], json!(["crowded", "crowded-2"]));
}

#[test]
fn without_a_gate_it_starts_by_itself_and_a_rollback_takes_it_back_in_order() {
    let mut driver = Driver::start(watched(None), world(&["crowded"]));
    assert_eq!((driver.status(), driver.world.fields["replicas"]), (RunStatus::Succeeded, 16));
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!(driver.status(), RunStatus::RolledBack);
    assert_eq!((driver.world.fields["replicas"], driver.world.fields["pool"]), (8, 20));
    let back: Vec<&str> = driver.world.log.iter().filter(|line| line.contains("back")).map(String::as_str).collect();
    assert_eq!(back, ["during[crowded]/scale: replicas back to 8", "before: pool back to 20"]);
}

#[test]
fn samples_end_with_a_pause_and_a_cancel_and_go_on_with_resume_until_the_same_time() {
    let mut driver = Driver::begin(watched(gate()), world(&[]), 4);
    driver.answer("before");
    driver.answer("before");
    let until = |driver: &Driver| match &driver.queue.front().map(|task| task.what.clone()) {
        Some(What::Watch(watch)) => watch.until,
        other => panic!("{other:?}"),
    };
    let end = until(&driver);
    driver.say(Command::Pause);
    assert_eq!((driver.status(), driver.queue.len()), (RunStatus::Paused, 0));
    driver.now += jiff::SignedDuration::from_secs(1800);
    driver.say(Command::Resume);
    assert_eq!((until(&driver), driver.status()), (end, RunStatus::Waiting));
    // A new process, too, samples to the end that was fixed when it began.
    let journal = driver.journal.clone();
    let mut driver = Driver::take_over(journal, driver.world.clone(), &driver.definition, driver.now);
    assert_eq!(until(&driver), end);
    driver.say(Command::Cancel { rollback: false });
    assert_eq!((driver.status(), driver.queue.len()), (RunStatus::Cancelled, 0));
    assert_eq!(driver.step("during[crowded]"), StepStatus::Skipped);
}

#[test]
fn an_operator_ends_the_samples_by_a_skip_and_the_monitor_itself_cannot_be_skipped() {
    let mut driver = Driver::begin(watched(gate()), world(&[]), 4);
    driver.answer("before");
    driver.answer("before");
    driver.say(Command::Skip { step: "during".into() });
    let refused = driver.events().find_map(|event| match event {
        Event::InstructionRefused { why, .. } => Some(why.clone()),
        _ => None,
    });
    assert!(refused.unwrap().contains("`runsheet skip during[samples]` ends that"));
    driver.say(Command::Skip { step: "during[samples]".into() });
    assert!(driver.queue.iter().all(|task| !matches!(task.what, What::Watch(_))));
    driver.run();
    assert_eq!((driver.status(), driver.step("during[crowded]")), (RunStatus::Succeeded, StepStatus::Skipped));
}

#[test]
fn what_nobody_has_approved_when_the_watch_ends_is_no_longer_asked_for() {
    // The gate itself would stay open for a day.
    let long = Gate { until: Some(Template::Literal(json!("24h"))), ..gate().unwrap() };
    let asking = || {
        let mut driver = Driver::begin(watched(Some(long.clone())), world(&["crowded"]), 4);
        driver.answer("before");
        driver.answer("before");
        let task = driver.queue.front().cloned().unwrap();
        driver.alarm(&task);
        assert_eq!(driver.step("during[crowded]"), StepStatus::Waiting);
        driver
    };
    let over = |driver: &Driver| {
        assert_eq!((driver.step("during[crowded]"), driver.step("during")), (StepStatus::Skipped, StepStatus::Succeeded));
        assert_eq!((driver.status(), driver.world.fields["replicas"]), (RunStatus::Succeeded, 8));
        let why = driver.events().find_map(|event| match event {
            Event::StepSkipped { reason: SkipReason::Gate { why }, .. } => Some(why.clone()),
            _ => None,
        });
        assert_eq!(why.as_deref(), Some("nobody approved it before the monitor had ended its watch"));
    };
    let mut by_itself = asking();
    by_itself.answer("during[samples]");
    by_itself.run();
    over(&by_itself);
    let mut by_hand = asking();
    by_hand.say(Command::Skip { step: "during[samples]".into() });
    by_hand.run();
    over(&by_hand);
}

#[test]
fn an_alarm_that_comes_too_late_starts_nothing() {
    let mut driver = Driver::begin(watched(None), world(&["crowded"]), 4);
    driver.answer("before");
    driver.answer("before");
    let task = driver.queue.front().cloned().unwrap();
    driver.say(Command::Pause);
    let events = driver.events().count();
    driver.alarm(&task);
    let unknown = Input::Alarm { node: task.node, token: task.token, alert: "other".into(), message: None, series: serde_json::Map::new() };
    driver.tell(unknown);
    assert_eq!(driver.events().count(), events);
}

#[test]
fn what_an_alert_started_and_failed_is_the_monitors_failure() {
    let faulty = |rule| {
        let mut definition = watched(None);
        definition.playbooks.get_mut("main").unwrap().steps[1].on_failure = rule;
        Driver::start(definition, world(&["crowded"]).fault("during[crowded]/scale", Fault::Broken))
    };
    let driver = faulty(None);
    assert_eq!((driver.status(), driver.step("during")), (RunStatus::Paused, StepStatus::Running));
    let driver = faulty(Some(OnFailure::Continue));
    assert_eq!((driver.status(), driver.step("during")), (RunStatus::SucceededWithFailures, StepStatus::Failed));
    let driver = faulty(Some(OnFailure::Rollback));
    assert_eq!((driver.status(), driver.world.fields["pool"]), (RunStatus::RolledBack, 20));
}

#[test]
fn it_survives_a_crash_anywhere_in_its_place() {
    for (name, approve) in [("by itself", None), ("gated", gate())] {
        crash_everywhere(name, &watched(approve.clone()), &world(&["crowded"]), false);
        crash_everywhere(name, &watched(approve), &world(&["crowded"]), true);
    }
    let mut driver = Driver::start(watched(gate()), world(&["crowded"]));
    finish(&mut driver, false);
    assert_eq!(driver.status(), RunStatus::Succeeded);
}

#[test]
fn what_has_fired_stays_so_when_its_playbook_is_begun_anew() {
    let mut definition = watched(None);
    definition.playbooks.get_mut("main").unwrap().steps[1].on_failure = Some(OnFailure::Continue);
    let faulty = world(&["crowded"]).fault("during[crowded]/scale", Fault::Broken);
    let mut driver = Driver::begin(definition, faulty, 4);
    driver.answer("before");
    driver.answer("before");
    let task = driver.queue.front().cloned().unwrap();
    driver.alarm(&task);
    while driver.step("during[crowded]/scale") != StepStatus::Failed {
        driver.answer("during[crowded]/scale");
    }
    assert_eq!(driver.step("during[crowded]"), StepStatus::Failed);
    driver.say(Command::Retry { step: "during[crowded]/scale".into() });
    // Within the cooldown nothing fires a second time, whatever became of the first.
    while driver.step("during[crowded]/scale") != StepStatus::Failed {
        driver.answer("during[crowded]/scale");
    }
    driver.alarm(&task);
    assert_eq!(driver.step("during[crowded-2]"), StepStatus::Pending);
    driver.run();
    assert_eq!(driver.state().step_outputs(&"during".into()), None);
    let fired = driver.events().filter(|event| matches!(event, Event::MonitorFired { .. })).count();
    assert_eq!(fired, 1);
}

#[test]
fn samples_of_an_always_step_hold_up_no_rollback() {
    let steps = vec![set("a", "pool", 7), Step { always: true, ..monitor("owed", Vec::new()) }.needs(&["a"])];
    let mut driver = Driver::begin(with_called(steps, Vec::new()), world(&[]), 4);
    driver.answer("a");
    driver.answer("a");
    driver.say(Command::Cancel { rollback: true });
    while driver.queue.iter().any(|task| task.step.as_str() == "a") {
        driver.answer("a");
    }
    assert_eq!((driver.step("a"), driver.world.fields["pool"]), (StepStatus::RolledBack, 20));
    assert_eq!((driver.status(), driver.step("owed[samples]")), (RunStatus::Waiting, StepStatus::Waiting));
    driver.run();
    assert_eq!(driver.status(), RunStatus::RolledBack);
}
