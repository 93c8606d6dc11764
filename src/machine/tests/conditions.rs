//! Expressions at their places: `when`, checks, outputs, and what later steps see of them.

use serde_json::json;

use super::driver::Driver;
use super::fixtures::{StepExt, call_again, call_once, call_sure, definition, set, step};
use super::world::{Fault, World};
use crate::machine::task::What;
use crate::model::duration::Span;
use crate::model::event::{Event, Phase};
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Accept, At, Condition, IfLate, OnFailure, Step, Uses, Wait};
use crate::model::template::{Source, Template};

fn source(text: &str) -> Source {
    Source { text: text.into(), line: 7, column: 3 }
}

fn holds(text: &str) -> Condition {
    Condition { that: source(text), message: None, within: None, every: Span::seconds(1), hold: None, reading: None }
}

fn at(time: &str, not_after: Option<&str>, if_late: IfLate) -> Option<Box<At>> {
    Some(Box::new(At { time: Template::Literal(json!(time)), not_after: not_after.map(|time| Template::Literal(json!(time))), if_late }))
}

#[test]
fn when_is_false_and_the_step_is_skipped_on_purpose() {
    let driver = Driver::start(
        definition(vec![
            Step { outputs: vec![("size".into(), Template::Literal(json!(9)))], ..call_again("a") },
            Step { when: Some(source("steps.a.outputs.size > 10")), ..set("b", "x", 1) }.needs(&["a"]),
            step("c").accepts("b", &[Accept::Succeeded, Accept::Skipped]),
            Step { when: Some(source("steps.b.status == 'skipped'")), ..call_again("d") }.accepts("b", &[Accept::Skipped]),
        ]),
        World::of(&[("x", 0)]),
    );
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!((driver.step("b"), driver.step("c"), driver.step("d")), (StepStatus::Skipped, StepStatus::Succeeded, StepStatus::Succeeded));
    assert_eq!(driver.world.fields["x"], 0);
}

#[test]
fn inputs_are_worked_out_once_and_recorded() {
    let with = Template::Map(vec![
        ("field".into(), Template::Literal(json!("x"))),
        ("value".into(), Template::Expression(source("steps.a.outputs.n + 1"))),
    ]);
    let second = Step { uses: Uses::Action { name: "set".into(), with, secrets: vec![] }, ..set("b", "x", 0) };
    let driver = Driver::start(
        definition(vec![Step { outputs: vec![("n".into(), Template::Literal(json!(4)))], ..call_again("a") }, second.needs(&["a"])]),
        World::of(&[("x", 0)]),
    );
    assert_eq!(driver.world.fields["x"], 5);
    let recorded = driver.events().find_map(|event| match event {
        Event::StepStarted { step, inputs, .. } if step.as_str() == "b" => Some(inputs.value.clone()),
        _ => None,
    });
    assert_eq!(recorded, Some(json!({ "field": "x", "value": 5 })));
}

#[test]
fn a_check_before_that_does_not_hold_means_that_nothing_was_done() {
    let driver = Driver::start(definition(vec![Step { before: vec![holds("1 > 2")], ..set("a", "x", 1) }]), World::of(&[("x", 0)]));
    assert_eq!(driver.status(), RunStatus::Paused);
    assert_eq!(driver.world.log.len(), 0);
    assert!(driver.state().reason.as_ref().is_some_and(|reason| reason.contains("nothing was done")));
}

#[test]
fn checks_after_see_what_was_there_before_and_one_that_fails_takes_the_step_back() {
    let checked = Step { after: vec![holds("prior == 0"), holds("prior == 1")], ..set("a", "x", 1) }.on_failure(OnFailure::Rollback);
    let driver = Driver::start(definition(vec![checked]), World::of(&[("x", 0)]));
    assert!(driver.events().any(|event| matches!(event, Event::CheckPassed { phase: Phase::After, index: 0, .. })));
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::RolledBack, StepStatus::RolledBack));
    assert_eq!(driver.world.fields["x"], 0);
}

#[test]
fn a_failed_check_after_is_looked_at_again_on_resume_and_the_action_is_not_done_again() {
    let checked = Step { after: vec![holds("prior == 1")], ..set("a", "x", 1) };
    let mut driver = Driver::start(definition(vec![checked]), World::of(&[("x", 0)]));
    driver.instruct(crate::model::instruction::Command::Resume);
    assert_eq!(driver.status(), RunStatus::Paused);
    assert_eq!(driver.world.log, ["a: x 0 -> 1"]);
    // Once the target says that it is gone, it is done again.
    driver.world.fields.insert("x".into(), 0);
    driver.instruct(crate::model::instruction::Command::Resume);
    assert_eq!(driver.world.log, ["a: x 0 -> 1", "a: x 0 -> 1"]);
}

#[test]
fn a_wait_for_a_condition_holds_or_fails() {
    let wait = |text: &str| Step { uses: Uses::Wait(Wait::That(Box::new(holds(text)))), ..step("wait") };
    assert_eq!(Driver::start(definition(vec![wait("2 > 1")]), World::default()).status(), RunStatus::Succeeded);
    let failed = Driver::start(definition(vec![wait("1 > 2")]), World::default());
    assert_eq!((failed.status(), failed.step("wait")), (RunStatus::Paused, StepStatus::Failed));
}

#[test]
fn a_step_waits_for_its_time_and_what_is_late_runs_asks_or_is_skipped() {
    // The world's clock starts at 2027-01-15T08:00:00Z.
    let timed = |at| Step { at, ..set("a", "x", 1) };
    let run = |at| Driver::start(definition(vec![timed(at)]), World::of(&[("x", 0)]));
    let on_time = run(at("2027-01-15T09:00:00Z", Some("2027-01-15T09:30:00Z"), IfLate::Ask));
    assert_eq!(on_time.status(), RunStatus::Succeeded);
    assert!(on_time.events().any(|event| matches!(event, Event::StepWaiting { .. })));
    let late = |if_late| run(at("2027-01-15T05:00:00+01:00", Some("2027-01-15T07:00:00Z"), if_late));
    assert_eq!(late(IfLate::Run).step("a"), StepStatus::Succeeded);
    assert_eq!(late(IfLate::Skip).step("a"), StepStatus::Skipped);
    let mut asks = late(IfLate::Ask);
    assert_eq!((asks.status(), asks.step("a")), (RunStatus::Waiting, StepStatus::Waiting));
    asks.instruct(crate::model::instruction::Command::Approve { step: "a".into() });
    assert_eq!(asks.status(), RunStatus::Succeeded);
}

#[test]
fn a_time_that_came_while_nobody_ran_it_is_late_all_the_same() {
    let timed = Step { at: at("2027-01-15T09:00:00Z", Some("2027-01-15T09:30:00Z"), IfLate::Ask), ..set("a", "x", 1) };
    let driver = Driver::start(definition(vec![timed]), World::of(&[("x", 0)]));
    let waiting =
        driver.journal.iter().position(|commit| commit.events.iter().any(|event| matches!(event, Event::StepWaiting { .. }))).unwrap();
    let hours_later = "2027-01-15T14:00:00Z".parse().unwrap();
    let recovered = Driver::recover(driver.journal[..=waiting].to_vec(), World::of(&[("x", 0)]), &driver.definition, hours_later);
    assert_eq!((recovered.status(), recovered.step("a")), (RunStatus::Waiting, StepStatus::Waiting));
    assert_eq!(recovered.world.fields["x"], 0);
}

#[test]
fn outputs_that_cannot_be_worked_out_fail_the_step_after_its_effect() {
    let step = Step { outputs: vec![("size".into(), Template::Expression(source("result.missing.size")))], ..set("a", "x", 1) };
    let driver = Driver::start(definition(vec![step]), World::of(&[("x", 0)]));
    assert_eq!(driver.step("a"), StepStatus::Failed);
    assert_eq!(driver.world.fields["x"], 1);
}

#[test]
fn an_idempotent_step_that_fails_with_effect_is_tried_again_and_a_once_step_is_not() {
    let again = Driver::start(definition(vec![call_again("a").tries(3)]), World::default().fault("a", Fault::FailsWithEffect(2)));
    assert_eq!((again.status(), again.world.calls["a"]), (RunStatus::Succeeded, 3));
    // What knows its own effect says whether another attempt can help: this one has waited as long as it was to wait.
    let sure = Driver::start(definition(vec![call_sure("a").tries(3)]), World::default().fault("a", Fault::FailsWithEffect(2)));
    assert_eq!((sure.status(), sure.world.calls["a"]), (RunStatus::Paused, 1));
    let once = call_once("a").tries(3);
    let once = Driver::start(definition(vec![once]), World::default().fault("a", Fault::FailsWithEffect(2)));
    assert_eq!((once.status(), once.world.calls["a"]), (RunStatus::Paused, 1));
}

#[test]
fn a_rollback_or_an_end_does_not_wait_for_a_check_after_a_step() {
    let begin = || {
        let step = Step { after: vec![Condition { within: Some(Span::seconds(600)), ..holds("false") }], ..set("a", "x", 1) };
        let mut driver = Driver::begin(definition(vec![step]), World::of(&[("x", 0)]), 4);
        for _task in ["reads", "acts"] {
            driver.answer("a");
        }
        assert_eq!((driver.world.fields["x"], driver.step("a")), (1, StepStatus::Running), "its check is waited for");
        driver
    };
    let mut back = begin();
    back.say(Command::Rollback { only: Vec::new() });
    assert!(back.queue.iter().all(|task| !matches!(task.what, What::Check { .. })), "{:?}", back.queue);
    back.run();
    assert_eq!((back.status(), back.step("a"), back.world.fields["x"]), (RunStatus::RolledBack, StepStatus::RolledBack, 0));
    // So does one that took over from a process that was killed.
    let mut killed = begin();
    killed.say(Command::Rollback { only: Vec::new() });
    let after = Driver::recover(killed.journal.clone(), killed.world.clone(), &killed.definition, killed.now);
    assert_eq!((after.status(), after.world.fields["x"]), (RunStatus::RolledBack, 0));
    let mut ended = begin();
    ended.say(Command::Cancel { rollback: false });
    ended.run();
    assert_eq!((ended.status(), ended.step("a"), ended.world.fields["x"]), (RunStatus::Cancelled, StepStatus::Failed, 1));
    let failure = ended.state().node(0).detail.as_ref().and_then(|detail| detail.failure.clone()).expect("why");
    assert!(failure.message.contains("the run ended before the check after it held"), "{failure}");
}
