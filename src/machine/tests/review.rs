//! States that are easily forgotten: what is on its way while something else turns the run around, and what comes after.

use serde_json::{Value, json};

use super::driver::Driver;
use super::fixtures::{StepExt, call_again, call_once, definition, playbook, set, step, with_called};
use super::world::{Fault, World};
use crate::machine::decide::{Answer, Input};
use crate::model::change::{Change, ObjectRef};
use crate::model::definition::Definition;
use crate::model::duration::Span;
use crate::model::event::Event;
use crate::model::id::RunId;
use crate::model::instruction::Command;
use crate::model::outcome::{Applied, Failure};
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{At, Condition, ForEach, Gate, IfLate, OnFailure, Otherwise, Step, Uses, Wait};
use crate::model::template::{Source, Template};

fn fields(names: &[&str]) -> World {
    World::of(&names.iter().map(|name| (*name, 0)).collect::<Vec<_>>())
}

fn call(id: &str, name: &str) -> Step {
    Step { uses: Uses::Playbook { name: name.into(), params: Template::empty_map() }, ..step(id) }
}

fn gate() -> Gate {
    Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Fail }
}

fn condition(that: &str, within: Option<Span>) -> Condition {
    let that = Source { text: that.into(), line: 1, column: 1 };
    Condition { that, message: None, within, every: Span::seconds(1), hold: None, reading: None }
}

fn rollback() -> Command {
    Command::Rollback { only: Vec::new() }
}

#[test]
fn an_always_step_that_was_being_read_when_a_rollback_began_goes_on_after_it() {
    let steps = || definition(vec![Step { always: true, ..set("owed", "owed", 1) }, set("d", "d", 1).on_failure(OnFailure::Rollback)]);
    let mut driver = Driver::begin(steps(), fields(&["owed", "d"]).fault("d", Fault::Broken), 4);
    driver.answer("d");
    driver.answer("d");
    driver.run();
    assert_eq!((driver.status(), driver.step("owed")), (RunStatus::RolledBack, StepStatus::Succeeded));

    // The same where it waits for another attempt.
    let mut retried = Step { always: true, ..set("owed", "owed", 1) }.tries(3);
    retried.retry.jitter = false;
    let steps = definition(vec![retried, set("d", "d", 1).on_failure(OnFailure::Rollback)]);
    let mut driver = Driver::begin(steps, fields(&["owed", "d"]).fault("d", Fault::Broken).fault("owed", Fault::Refused(1)), 4);
    driver.answer("owed");
    driver.answer("owed");
    driver.answer("d");
    driver.answer("d");
    driver.run();
    assert_eq!((driver.status(), driver.step("owed")), (RunStatus::RolledBack, StepStatus::Succeeded));
}

fn two_branches(caller: OnFailure, beside: Step) -> Definition {
    let inner = playbook("inner", vec![set("x", "x", 1), set("y", "y", 1).needs(&["x"]).on_failure(OnFailure::Rollback)]);
    with_called(vec![Step { on_failure: Some(caller), ..call("sub", "inner") }, beside], vec![inner])
}

#[test]
fn a_step_beside_a_called_playbook_that_is_rolled_back_goes_on_after_it() {
    let steps = two_branches(OnFailure::Continue, set("z", "z", 1));
    let mut driver = Driver::begin(steps, fields(&["x", "y", "z"]).fault("sub/y", Fault::Broken), 4);
    for step in ["sub/x", "sub/x", "sub/y", "sub/y"] {
        driver.answer(step);
    }
    driver.run();
    assert_eq!((driver.status(), driver.step("z")), (RunStatus::SucceededWithFailures, StepStatus::Succeeded));
    assert_eq!((driver.world.fields["x"], driver.world.fields["z"]), (0, 1));
}

#[test]
fn a_failure_beside_a_called_playbook_that_is_rolled_back_keeps_its_rule() {
    for (rule, status) in [(OnFailure::Rollback, RunStatus::RolledBack), (OnFailure::Pause, RunStatus::Paused)] {
        let steps = two_branches(OnFailure::Continue, set("z", "z", 1).on_failure(rule));
        let mut driver = Driver::begin(steps, fields(&["x", "y", "z"]).fault("sub/y", Fault::Broken).fault("z", Fault::Broken), 4);
        for step in ["z", "sub/x", "sub/x", "sub/y", "sub/y"] {
            driver.answer(step);
        }
        driver.run();
        assert_eq!((driver.status(), driver.step("z"), driver.world.fields["x"]), (status, StepStatus::Failed, 0), "{rule:?}");
    }
}

#[test]
fn two_called_playbooks_that_fail_at_once_are_both_rolled_back() {
    let inner = playbook("inner", vec![set("x", "x", 1), set("y", "y", 1).needs(&["x"]).on_failure(OnFailure::Rollback)]);
    let other = playbook("other", vec![set("x", "v", 1), set("y", "w", 1).needs(&["x"]).on_failure(OnFailure::Rollback)]);
    let passes = |id: &str, name: &str| Step { on_failure: Some(OnFailure::Continue), ..call(id, name) };
    let steps = with_called(vec![passes("sub", "inner"), passes("two", "other")], vec![inner, other]);
    let world = fields(&["x", "y", "v", "w"]).fault("sub/y", Fault::Broken).fault("two/y", Fault::Broken);
    let mut driver = Driver::begin(steps, world, 4);
    for step in ["sub/x", "two/x", "sub/x", "two/x", "sub/y", "two/y", "sub/y"] {
        driver.answer(step);
    }
    driver.run();
    assert_eq!(driver.status(), RunStatus::SucceededWithFailures);
    assert_eq!((driver.step("sub/x"), driver.step("two/x")), (StepStatus::RolledBack, StepStatus::RolledBack));
    assert_eq!((driver.world.fields["x"], driver.world.fields["v"]), (0, 0));
}

#[test]
fn what_may_have_run_and_was_to_begin_again_is_taken_back() {
    // `a` failed and may have had its effect; it is to begin again, but the only slot is taken when the rollback comes.
    let steps = definition(vec![set("a", "a", 1).on_failure(OnFailure::Continue), set("z", "z", 1)]);
    let mut driver = Driver::begin(steps, fields(&["a", "z"]).fault("a", Fault::FailsWithEffect(1)), 1);
    driver.answer("a");
    driver.answer("a");
    driver.answer("z");
    assert_eq!((driver.step("a"), driver.world.fields["a"]), (StepStatus::Failed, 1));
    driver.say(Command::Retry { step: "a".into() });
    assert_eq!(driver.step("a"), StepStatus::Pending);
    driver.say(rollback());
    driver.run();
    assert_eq!((driver.status(), driver.world.fields["a"]), (RunStatus::RolledBack, 0), "{:?}", driver.statuses());
}

#[test]
fn retrying_an_unknown_step_during_a_rollback_does_not_lose_what_it_did() {
    let steps = definition(vec![set("a", "a", 1), set("b", "b", 1).needs(&["a"]), call_once("once").needs(&["a"])]);
    let world = fields(&["a", "b"]).fault("once", Fault::AnswerLost(1));
    let mut driver = Driver::start(steps, world);
    driver.instruct(rollback());
    assert_eq!((driver.status(), driver.step("once")), (RunStatus::Waiting, StepStatus::Unknown));
    driver.instruct(Command::Retry { step: "once".into() });
    assert_eq!(driver.world.calls["once"], 1, "nothing is done again while the run is taken back");
    assert_eq!((driver.status(), driver.step("once")), (RunStatus::RolledBack, StepStatus::Kept), "kept, and listed");
}

#[test]
fn a_failed_check_after_a_call_that_nobody_can_ask_about_does_not_make_it_again() {
    for made in [call_again("a"), call_once("a")] {
        let steps = definition(vec![Step { after: vec![condition("1 > 2", None)], ..made }]);
        let mut driver = Driver::start(steps, World::default());
        assert_eq!((driver.status(), driver.world.calls["a"]), (RunStatus::Paused, 1));
        driver.instruct(Command::Resume);
        assert_eq!(
            (driver.step("a"), driver.world.calls["a"]),
            (StepStatus::Failed, 1),
            "the check is looked at again, the call is not made"
        );
    }
}

#[test]
fn retrying_a_step_of_a_call_brings_back_what_was_skipped_for_the_call() {
    let inner = playbook("inner", vec![set("x", "x", 1)]);
    let steps = with_called(
        vec![Step { on_failure: Some(OnFailure::Continue), ..call("sub", "inner") }, set("d", "d", 1).needs(&["sub"])],
        vec![inner],
    );
    let mut driver = Driver::start(steps, fields(&["x", "d"]).fault("sub/x", Fault::Refused(1)));
    assert_eq!((driver.status(), driver.step("d")), (RunStatus::SucceededWithFailures, StepStatus::Skipped));
    driver.instruct(Command::Retry { step: "sub/x".into() });
    assert_eq!((driver.status(), driver.step("d")), (RunStatus::Succeeded, StepStatus::Succeeded), "{:?}", driver.statuses());
}

#[test]
fn a_called_playbook_that_was_rolled_back_runs_whole_when_it_is_resumed() {
    let inner = playbook(
        "inner",
        vec![
            set("x", "x", 1),
            call_again("kept").needs(&["x"]),
            set("y", "y", 1).needs(&["kept"]).on_failure(OnFailure::Rollback),
            set("z", "z", 1).needs(&["y"]),
        ],
    );
    let steps = with_called(vec![call("sub", "inner"), set("d", "d", 1).needs(&["sub"])], vec![inner]);
    let mut driver = Driver::start(steps, fields(&["x", "y", "z", "d"]).fault("sub/y", Fault::Refused(1)));
    assert_eq!((driver.status(), driver.world.fields["x"]), (RunStatus::Paused, 0), "{:?}", driver.statuses());
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Succeeded, "{:?}", driver.statuses());
    assert!(driver.world.fields.values().all(|value| *value == 1), "{:?}", driver.world.fields);
}

#[test]
fn a_kept_once_step_of_a_call_that_is_resumed_waits_for_the_operator() {
    let inner = playbook("inner", vec![call_once("once"), set("y", "y", 1).needs(&["once"]).on_failure(OnFailure::Rollback)]);
    let steps = with_called(vec![call("sub", "inner")], vec![inner]);
    let mut driver = Driver::start(steps, fields(&["y"]).fault("sub/y", Fault::Refused(1)));
    assert_eq!((driver.status(), driver.step("sub/once")), (RunStatus::Paused, StepStatus::Kept));
    driver.instruct(Command::Resume);
    assert_eq!((driver.step("sub/once"), driver.world.calls["sub/once"]), (StepStatus::Unknown, 1));
    driver.instruct(Command::MarkDone { step: "sub/once".into(), outputs: Value::Null });
    assert_eq!((driver.status(), driver.world.calls["sub/once"]), (RunStatus::Succeeded, 1), "{:?}", driver.statuses());
}

#[test]
fn steps_that_changed_the_same_field_are_taken_back_in_the_reverse_order_of_their_changes() {
    for newest_first in [false, true] {
        let steps = definition(vec![set("a", "f", 1), set("b", "f", 2).needs(&["c"]), step("c"), set("e", "e", 1).needs(&["b"])]);
        let mut driver = Driver::begin(steps, fields(&["f", "e"]), 4);
        driver.answer("a");
        driver.answer("a");
        driver.run();
        assert_eq!((driver.status(), driver.world.fields["f"]), (RunStatus::Succeeded, 2));
        driver.newest_first = newest_first;
        driver.instruct(rollback());
        assert_eq!((driver.status(), driver.world.fields["f"]), (RunStatus::RolledBack, 0), "{:?}", driver.statuses());
    }
}

#[test]
fn an_attempt_that_was_cut_off_by_a_second_interrupt_is_not_counted_against_the_step() {
    let mut driver = Driver::begin(definition(vec![set("a", "a", 1)]), fields(&["a"]), 4);
    driver.answer("a");
    let task = driver.queue.pop_front().expect("the attempt");
    driver.say(Command::Pause);
    let failure = Failure::transient("it was cut off by an interrupt");
    driver.tell(Input::Answer { node: task.node, token: task.token, answer: Answer::Applied(Applied::Unknown { failure }) });
    let (journal, world, definition, now) = (driver.journal.clone(), driver.world.clone(), driver.definition.clone(), driver.now);
    let mut driver = Driver::take_over(journal, world, &definition, now);
    // As `resume` says it: before anything is answered.
    driver.say(Command::Resume);
    driver.run();
    assert_eq!((driver.status(), driver.world.fields["a"]), (RunStatus::Succeeded, 1));
}

#[test]
fn a_step_that_was_about_to_act_is_not_done_hours_too_late() {
    let at = |if_late| {
        let time = Template::Literal(json!("2027-01-15T08:00:00Z"));
        Some(At { time, not_after: Some(Template::Literal(json!("2027-01-15T08:30:00Z"))), if_late })
    };
    for (if_late, status) in [(IfLate::Ask, StepStatus::Waiting), (IfLate::Skip, StepStatus::Skipped), (IfLate::Run, StepStatus::Succeeded)]
    {
        let steps = definition(vec![Step { at: at(if_late).map(Box::new), ..set("a", "a", 1) }]);
        // 2027-01-15T08:00:00Z, to the second.
        let driver = Driver::begin(steps, fields(&["a"]), 4);
        assert_eq!(driver.step("a"), StepStatus::Running, "its object is being read");
        let later = driver.now + jiff::SignedDuration::from_hours(6);
        let driver = Driver::recover(driver.journal.clone(), driver.world.clone(), &driver.definition, later);
        assert_eq!(driver.step("a"), status, "{if_late:?}");
    }
}

#[test]
fn a_pause_does_not_stay_for_a_lock_or_for_a_condition() {
    let until = Step { uses: Uses::Wait(Wait::That(Box::new(condition("1 > 2", Some(Span::seconds(7200)))))), ..step("until") };
    let mut driver = Driver::begin(definition(vec![set("a", "a", 1), until.clone()]), fields(&["a"]), 4);
    let task = driver.queue.iter().find(|task| task.step.as_str() == "a").cloned().expect("a reading");
    let object = ObjectRef("world/a".into());
    driver.tell(Input::LockHeld { node: task.node, token: task.token, object, holder: "run 2".into() });
    driver.say(Command::Pause);
    assert!(driver.queue.is_empty(), "nothing is left to wait for: {:?}", driver.queue);
    driver.world = driver.world.clone();
    driver.say(Command::Resume);
    assert_eq!(driver.queue.len(), 2, "both go on");

    // Nor does the way back, or a cancel.
    for command in [rollback(), Command::Cancel { rollback: false }] {
        let mut driver = Driver::begin(definition(vec![set("a", "a", 1), until.clone()]), fields(&["a"]), 4);
        driver.answer("a");
        driver.answer("a");
        driver.say(command.clone());
        assert!(driver.queue.iter().all(|task| task.step.as_str() != "until"), "{command:?}: {:?}", driver.queue);
        driver.run();
        assert!(driver.status().is_finished(), "{command:?}: {:?}", driver.status());
    }
}

#[test]
fn a_paused_rollback_cannot_be_cancelled_halfway_nor_may_a_step_be_done_again_in_it() {
    let steps = definition(vec![set("a", "a", 1), set("b", "b", 1).on_failure(OnFailure::Rollback)]);
    let mut driver = Driver::begin(steps, fields(&["a", "b"]).fault("a", Fault::RevertBroken).fault("b", Fault::FailsWithEffect(1)), 4);
    for step in ["a", "a", "b", "b"] {
        driver.answer(step);
    }
    driver.say(Command::Pause);
    while let Some(task) = driver.queue.front() {
        let step = task.step.to_string();
        driver.answer(&step);
    }
    driver.say(Command::Cancel { rollback: false });
    driver.say(Command::Retry { step: "b".into() });
    assert_eq!(driver.status(), RunStatus::Paused, "both are refused");
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Stuck);
}

#[test]
fn a_cancelled_run_does_nothing_any_more() {
    let mut driver = Driver::start(
        definition(vec![call_once("once"), set("d", "d", 1).needs(&["once"])]),
        fields(&["d"]).fault("once", Fault::AnswerLost(1)),
    );
    driver.instruct(Command::Cancel { rollback: false });
    assert_eq!((driver.status(), driver.step("once")), (RunStatus::Cancelled, StepStatus::Unknown));
    driver.instruct(Command::Retry { step: "once".into() });
    assert_eq!((driver.status(), driver.world.calls["once"]), (RunStatus::Cancelled, 1));
    driver.instruct(Command::MarkDone { step: "once".into(), outputs: Value::Null });
    assert_eq!((driver.status(), driver.step("once")), (RunStatus::Cancelled, StepStatus::Succeeded));
}

#[test]
fn a_group_that_waits_at_its_gate_waits_and_ends_with_the_run() {
    let each =
        |step: Step| Step { for_each: Some(Box::new(ForEach { items: Template::Literal(json!(["p", "q"])), max_parallel: None })), ..step };
    let inner = || playbook("inner", vec![set("x", "x", 1)]);
    for gated in [each(call_again("g")), call("g", "inner")] {
        let steps =
            || with_called(vec![set("a", "a", 1), Step { approve: Some(Box::new(gate())), ..gated.clone() }.needs(&["a"])], vec![inner()]);
        let driver = Driver::start(steps(), fields(&["a", "x"]));
        assert_eq!((driver.status(), driver.step("g")), (RunStatus::Waiting, StepStatus::Waiting));
        assert!(driver.state().waits_for_person());
        let mut approved = Driver::start(steps(), fields(&["a", "x"]));
        approved.instruct(Command::Approve { step: "g".into() });
        assert_eq!(approved.status(), RunStatus::Succeeded);
        for command in [rollback(), Command::Cancel { rollback: false }] {
            let mut driver = Driver::start(steps(), fields(&["a", "x"]));
            driver.instruct(command);
            assert_eq!(driver.step("g"), StepStatus::Skipped);
            assert!(driver.status().is_finished());
        }
    }
}

#[test]
fn what_this_run_itself_changes_meanwhile_is_no_drift() {
    let mut driver = Driver::begin(definition(vec![set("a", "f", 1), set("b", "f", 2).needs(&["a"])]), fields(&["f"]), 4);
    for step in ["a", "a", "b"] {
        driver.answer(step);
    }
    assert!(driver.state().standing_changes().is_empty(), "b is changing what a had set");
    let told = |driver: &mut Driver, found: i64| {
        let change = Change { object: ObjectRef("world/f".into()), field: "f".into(), label: "f".into(), prior: json!(0), after: json!(1) };
        driver.tell(Input::Drift { step: "a".into(), change, found: json!(found), by: None });
        driver.events().filter(|event| matches!(event, Event::DriftSeen { .. })).count()
    };
    assert_eq!(told(&mut driver, 2), 0);
    driver.run();
    assert_eq!(told(&mut driver, 2), 0);
}

#[test]
fn what_another_run_has_changed_is_told_with_that_run() {
    let mut driver = Driver::start(definition(vec![set("a", "f", 1)]), fields(&["f"]));
    let change = Change { object: ObjectRef("world/f".into()), field: "f".into(), label: "f".into(), prior: json!(0), after: json!(1) };
    driver.tell(Input::Drift { step: "a".into(), change, found: json!(7), by: Some(RunId(uuid::Uuid::from_u128(9))) });
    let told: Vec<&Event> = driver.events().filter(|event| matches!(event, Event::DriftSeen { .. })).collect();
    let [Event::DriftSeen { what, expected, found, .. }] = told[..] else { panic!("{told:?}") };
    assert!(what.starts_with("f of world/f (changed by run "), "{what}");
    assert_eq!((expected, found), (&json!(1), &json!(7)));
}

#[test]
fn resuming_after_one_step_was_taken_back_begins_that_step_alone_anew() {
    let inner = playbook("inner", vec![set("x", "x", 1), set("y", "y", 1).needs(&["x"]).on_failure(OnFailure::Rollback)]);
    let steps = with_called(vec![Step { on_failure: Some(OnFailure::Continue), ..call("sub", "inner") }, set("z", "z", 1)], vec![inner]);
    let mut driver = Driver::start(steps, fields(&["x", "y", "z"]).fault("sub/y", Fault::Broken));
    assert_eq!(driver.status(), RunStatus::SucceededWithFailures);
    driver.instruct(Command::Rollback { only: vec!["z".into()] });
    assert_eq!(driver.world.fields["z"], 0);
    driver.instruct(Command::Resume);
    assert_eq!((driver.status(), driver.world.fields["z"]), (RunStatus::SucceededWithFailures, 1));
    assert_eq!(driver.step("sub/x"), StepStatus::RolledBack, "what the playbook itself took back stays so");
}

#[test]
fn rollback_of_a_for_each_of_calls_by_name_finds_what_is_in_them() {
    let each =
        |step: Step| Step { for_each: Some(Box::new(ForEach { items: Template::Literal(json!(["p", "q"])), max_parallel: None })), ..step };
    let inner = playbook("inner", vec![set("x", "x", 1), step("end").needs(&["x"])]);
    let steps = with_called(vec![each(call("each", "inner"))], vec![inner]);
    let mut driver = Driver::start(steps, fields(&["x"]).fault("each[p]/end", Fault::Broken).fault("each[q]/end", Fault::Broken));
    assert_eq!(driver.status(), RunStatus::Paused);
    driver.instruct(Command::Rollback { only: vec!["each".into()] });
    assert_eq!(driver.world.fields["x"], 0, "{:?}", driver.statuses());
}
