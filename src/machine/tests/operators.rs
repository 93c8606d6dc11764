//! Instructions: which are taken when, and what follows.

use serde_json::{Value, json};

use super::driver::Driver;
use super::fixtures::{StepExt, call_once, definition, set, step};
use super::world::{Fault, World};
use crate::machine::decide::{Answer, Input};
use crate::machine::task::What;
use crate::model::change::ObjectRef;
use crate::model::event::Event;
use crate::model::instruction::{Command, Instruction};
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Accept, At, Effect, Gate, IfLate, OnFailure, Otherwise, Rollback, Step};
use crate::model::template::Template;

fn refusals(driver: &Driver) -> Vec<String> {
    driver
        .events()
        .filter_map(|event| match event {
            Event::InstructionRefused { why, .. } => Some(why.clone()),
            _ => None,
        })
        .collect()
}

#[test]
fn an_instruction_sent_twice_is_done_once() {
    let mut driver = Driver::start(definition(vec![call_once("a")]), World::default().fault("a", Fault::AnswerLost(1)));
    let instruction =
        Instruction { id: uuid::Uuid::from_u128(5), by: "ana@desk".into(), command: Command::Retry { step: "a".into() }, reason: None };
    driver.tell(Input::Instruction(instruction.clone()));
    driver.tell(Input::Instruction(instruction));
    driver.run();
    assert_eq!(driver.world.calls["a"], 2, "the lost one and the one that the operator asked for");
}

#[test]
fn skip_and_mark_done_answer_an_unknown_step() {
    let start =
        || Driver::start(definition(vec![call_once("a"), step("b").needs(&["a"])]), World::default().fault("a", Fault::AnswerLost(1)));
    let mut skipped = start();
    skipped.instruct(Command::Skip { step: "a".into() });
    assert_eq!((skipped.status(), skipped.step("b")), (RunStatus::Succeeded, StepStatus::Skipped));
    let mut done = start();
    done.instruct(Command::MarkDone { step: "a".into(), outputs: json!({ "ticket": 7 }) });
    assert_eq!((done.status(), done.step("b")), (RunStatus::Succeeded, StepStatus::Succeeded));
    assert_eq!(done.state().step_outputs(&"a".into()).as_deref(), Some(&json!({ "ticket": 7 })));
}

#[test]
fn what_a_skipped_step_had_done_is_taken_back_with_the_run() {
    let mut driver = Driver::start(
        definition(vec![set("a", "x", 1).tries(1), step("b").accepts("a", &[Accept::Succeeded, Accept::Skipped])]),
        World::of(&[("x", 0)]).fault("a", Fault::FailsWithEffect(1)),
    );
    assert_eq!((driver.status(), driver.world.fields["x"]), (RunStatus::Paused, 1));
    driver.instruct(Command::Skip { step: "a".into() });
    driver.instruct(Command::Resume);
    assert_eq!((driver.status(), driver.step("a"), driver.step("b")), (RunStatus::Succeeded, StepStatus::Skipped, StepStatus::Succeeded));
    assert_eq!(driver.state().debts().len(), 1, "it is owed");
    driver.instruct(Command::Rollback { only: Vec::new() });
    assert_eq!((driver.status(), driver.step("a"), driver.world.fields["x"]), (RunStatus::RolledBack, StepStatus::RolledBack, 0));
    assert!(driver.state().debts().is_empty());
}

#[test]
fn a_step_that_is_skipped_or_done_by_hand_while_it_waits_for_a_lock_does_nothing_when_the_lock_is_free() {
    let commands = [Command::Skip { step: "a".into() }, Command::MarkDone { step: "a".into(), outputs: Value::Null }];
    for (command, status) in commands.into_iter().zip([StepStatus::Skipped, StepStatus::Succeeded]) {
        // Something else keeps the run open.
        let gate = Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Fail };
        let steps = vec![set("a", "x", 1), Step { approve: Some(Box::new(gate)), ..step("b") }];
        let mut driver = Driver::begin(definition(steps), World::of(&[("x", 0)]), 1);
        let task = driver.queue.front().cloned().unwrap();
        let object = ObjectRef("world/x".into());
        driver.tell(Input::LockHeld { node: task.node, token: task.token, object, holder: "run 2".into() });
        assert_eq!(driver.step("a"), StepStatus::Waiting);
        driver.say(command);
        assert_eq!((driver.step("a"), driver.status()), (status, RunStatus::Waiting));
        // The lock is free at last, and what was there is read.
        driver.tell(Input::Answer { node: task.node, token: task.token, answer: Answer::Observed(Ok(json!(0))) });
        driver.run();
        assert_eq!((driver.step("a"), driver.world.fields["x"]), (status, 0));
        assert!(!driver.events().any(|event| matches!(event, Event::AttemptStarted { .. })));
    }
}

#[test]
fn a_step_that_is_skipped_while_another_attempt_is_being_prepared_is_not_tried_again() {
    let faulty = World::of(&[("x", 0)]).fault("a", Fault::Refused(1));
    let mut driver = Driver::begin(definition(vec![set("a", "x", 1).tries(3)]), faulty, 1);
    driver.answer("a");
    driver.answer("a");
    driver.now = driver.state().next_timer().unwrap();
    driver.tell(Input::Tick);
    let task = driver.queue.front().cloned().unwrap();
    assert!(matches!(task.what, What::Observe { .. }), "{task:?}");
    driver.say(Command::Skip { step: "a".into() });
    driver.tell(Input::Answer { node: task.node, token: task.token, answer: Answer::Observed(Ok(json!(0))) });
    driver.run();
    assert_eq!((driver.step("a"), driver.status(), driver.world.fields["x"]), (StepStatus::Skipped, RunStatus::Succeeded, 0));
}

#[test]
fn a_skipped_call_of_unknown_outcome_is_named_as_kept_by_a_rollback() {
    let steps = definition(vec![set("x", "x", 1), call_once("a").needs(&["x"])]);
    let lost = || Driver::start(steps.clone(), World::of(&[("x", 0)]).fault("a", Fault::AnswerLost(1)));
    let mut before = lost();
    before.instruct(Command::Skip { step: "a".into() });
    before.instruct(Command::Rollback { only: Vec::new() });
    assert_eq!((before.status(), before.step("a"), before.world.fields["x"]), (RunStatus::RolledBack, StepStatus::Kept, 0));
    // The rollback had begun, and waited for somebody to say what became of the call.
    let mut within = lost();
    within.instruct(Command::Rollback { only: Vec::new() });
    assert_eq!((within.status(), within.step("a")), (RunStatus::Waiting, StepStatus::Unknown));
    within.instruct(Command::Skip { step: "a".into() });
    assert_eq!((within.status(), within.step("a"), within.world.fields["x"]), (RunStatus::RolledBack, StepStatus::Kept, 0));
}

#[test]
fn what_was_skipped_and_taken_back_is_not_done_anew_by_a_resume() {
    let steps = definition(vec![set("a", "x", 1), set("b", "y", 1)]);
    let mut driver = Driver::start(steps, World::of(&[("x", 0), ("y", 0)]).fault("a", Fault::FailsWithEffect(1)));
    assert_eq!((driver.status(), driver.world.fields["x"]), (RunStatus::Paused, 1));
    driver.instruct(Command::Skip { step: "a".into() });
    driver.instruct(Command::Rollback { only: vec!["a".into(), "b".into()] });
    assert_eq!((driver.step("a"), driver.world.fields["x"], driver.world.fields["y"]), (StepStatus::RolledBack, 0, 0));
    driver.instruct(Command::Resume);
    assert_eq!((driver.step("a"), driver.step("b"), driver.status()), (StepStatus::Skipped, StepStatus::Succeeded, RunStatus::Succeeded));
    assert_eq!((driver.world.fields["x"], driver.world.fields["y"]), (0, 1), "whoever skipped it does not want it done");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let mut driver = Driver::start(definition(vec![step("scale"), step("b").needs(&["scale"])]), World::default());
    driver.instruct(Command::Retry { step: "scale".into() });
    driver.instruct(Command::Approve { step: "scael".into() });
    driver.instruct(Command::Resume);
    driver.instruct(Command::Cancel { rollback: false });
    let why = refusals(&driver);
    assert_eq!(why.len(), 4);
    assert_eq!(why[0], "scale is succeeded: only what failed, or whose outcome is unknown, can be tried again");
    assert_eq!(why[1], "the run has no step scael; did you mean scale?");
    assert_eq!(why[2], "the run is succeeded: there is nothing left to do");
    assert_eq!(why[3], "the run is succeeded already: `runsheet rollback` takes back what it did");
}

#[test]
fn rollback_of_one_step_names_what_relies_on_it() {
    let mut driver = Driver::start(
        definition(vec![set("a", "x", 1), set("b", "y", 1).needs(&["a"]), set("c", "z", 1)]),
        World::of(&[("x", 0), ("y", 0), ("z", 0)]),
    );
    driver.instruct(Command::Rollback { only: vec!["a".into()] });
    assert_eq!(refusals(&driver), ["b ran after, and need what would be taken back: name them too (--only b)"]);
    driver.instruct(Command::Rollback { only: vec!["a".into(), "b".into()] });
    assert_eq!((driver.world.fields["x"], driver.world.fields["y"], driver.world.fields["z"]), (0, 0, 1));
    assert_eq!(driver.status(), RunStatus::Paused);
    // And done again, as a second doing with a key of its own.
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!((driver.world.fields["x"], driver.world.fields["y"]), (1, 1));
    assert!(driver.events().any(|event| matches!(event, Event::StepStarted { occurrence: 2, .. })));
}

#[test]
fn retry_of_one_step_leaves_the_others_failed() {
    let mut driver = Driver::start(
        definition(vec![set("a", "x", 1), set("b", "y", 1), step("end").needs(&["a", "b"])]),
        World::of(&[("x", 0), ("y", 0)]).fault("a", Fault::Refused(1)).fault("b", Fault::Refused(1)),
    );
    assert_eq!(driver.status(), RunStatus::Paused);
    driver.instruct(Command::Retry { step: "a".into() });
    assert_eq!((driver.step("a"), driver.step("b"), driver.status()), (StepStatus::Succeeded, StepStatus::Failed, RunStatus::Paused));
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Succeeded);
}

#[test]
fn retry_of_a_failure_that_was_let_pass_brings_back_what_was_skipped_for_it() {
    let mut driver = Driver::start(
        definition(vec![set("a", "x", 1).on_failure(OnFailure::Continue), step("b").needs(&["a"]), step("c").needs(&["b"])]),
        World::of(&[("x", 0)]).fault("a", Fault::Refused(1)),
    );
    assert_eq!((driver.status(), driver.step("c")), (RunStatus::SucceededWithFailures, StepStatus::Skipped));
    driver.instruct(Command::Retry { step: "a".into() });
    assert_eq!((driver.status(), driver.step("c")), (RunStatus::Succeeded, StepStatus::Succeeded));
}

#[test]
fn a_failed_check_never_applies_again_unless_the_target_says_it_is_gone() {
    // A `set` whose outputs cannot be worked out fails after its effect; retried, it is asked about, not done again.
    let mut driver =
        Driver::start(definition(vec![set("a", "x", 1).tries(1)]), World::of(&[("x", 0)]).fault("a", Fault::FailsWithEffect(1)));
    assert_eq!(driver.status(), RunStatus::Paused);
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!(driver.world.log, ["a: x 0 -> 1"]);
}

#[test]
fn a_stuck_run_is_left_by_an_operator_alone() {
    let mut driver = Driver::start(definition(vec![set("a", "x", 1)]), World::of(&[("x", 0)]).fault("a", Fault::RevertBroken));
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::Stuck, StepStatus::RollbackFailed));
    driver.instruct(Command::Resume);
    assert!(refusals(&driver)[0].starts_with("the run is stuck"));
    let mut by_hand = driver;
    by_hand.world.fields.insert("x".into(), 0);
    by_hand.instruct(Command::MarkDone { step: "a".into(), outputs: Value::Null });
    assert_eq!((by_hand.status(), by_hand.step("a")), (RunStatus::RolledBack, StepStatus::RolledBack));
}

#[test]
fn a_rollback_action_that_may_run_once_and_may_have_happened_is_sent_again_by_retry_alone() {
    let rollback = Rollback::Action {
        uses: "once".into(),
        with: Template::Literal(json!({ "note": "undo" })),
        secrets: Vec::new(),
        approve: false,
        effect: Effect::Once,
    };
    let step = Step { rollback, ..set("a", "x", 1) };
    let mut driver = Driver::start(definition(vec![step]), World::of(&[("x", 0)]));
    driver.world = driver.world.clone().fault("a", Fault::RevertAnswerLost(1));
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::Stuck, StepStatus::RollbackFailed));
    assert_eq!(driver.world.calls["a"], 1);
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!((driver.status(), driver.world.calls["a"]), (RunStatus::Stuck, 1));
    driver.instruct(Command::Retry { step: "a".into() });
    assert_eq!((driver.status(), driver.world.calls["a"]), (RunStatus::RolledBack, 2));
}

#[test]
fn a_run_that_is_being_cancelled_says_what_it_still_waits_for_and_ends_without_it_when_told_so() {
    let time = Template::Literal(json!("2027-01-16T08:00:00Z"));
    let at = Some(Box::new(At { time, not_after: None, if_late: IfLate::Ask }));
    let owed = Step { always: true, at, ..step("owed") }.needs(&["a"]);
    let mut driver = Driver::begin(definition(vec![set("a", "x", 1), owed]), World::of(&[("x", 0)]), 4);
    driver.answer("a");
    driver.answer("a");
    driver.say(Command::Cancel { rollback: false });
    assert_eq!((driver.status(), driver.step("owed")), (RunStatus::Waiting, StepStatus::Waiting));
    driver.say(Command::Cancel { rollback: false });
    driver.say(Command::Rollback { only: vec![] });
    let why = refusals(&driver);
    assert!(
        why.len() == 2 && why.iter().all(|why| why.contains("owed is still to come") && why.contains("`runsheet skip owed`")),
        "{why:?}"
    );
    driver.say(Command::Skip { step: "owed".into() });
    assert_eq!(driver.status(), RunStatus::Cancelled);
}
