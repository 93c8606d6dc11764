//! What the machine decides: order, failure, rollback, gates, groups.

use serde_json::{Value, json};

use super::driver::Driver;
use super::fixtures::{StepExt, call_again, call_once, definition, playbook, set, step, with_called};
use super::world::{Fault, World};
use crate::model::duration::Span;
use crate::model::event::Event;
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Accept, ForEach, Gate, OnFailure, Otherwise, Rollback, Step, Uses, Wait};
use crate::model::template::Template;

#[test]
fn a_chain_runs_in_order_and_succeeds() {
    let driver = Driver::start(
        definition(vec![set("a", "x", 1), set("b", "y", 2).needs(&["a"]), set("c", "z", 3).needs(&["b"])]),
        World::of(&[("x", 0), ("y", 0), ("z", 0)]),
    );
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!(driver.world.log, ["a: x 0 -> 1", "b: y 0 -> 2", "c: z 0 -> 3"]);
}

#[test]
fn a_noop_chain_takes_one_commit_a_step_and_an_observed_one_two() {
    let chain = |make: fn(usize) -> Step| -> Vec<Step> {
        (0..50).map(|n| if n == 0 { make(n) } else { make(n).needs(&[&format!("s{}", n - 1)]) }).collect()
    };
    let noops = Driver::start(definition(chain(|n| step(&format!("s{n}")))), World::default());
    // Created, owned with the first start; then one commit a step.
    assert_eq!(noops.journal.len(), 2 + 50);
    let observed = Driver::start(definition(chain(|n| set(&format!("s{n}"), &format!("f{n}"), 1))), World::default());
    assert_eq!(observed.journal.len(), 2 + 100);
}

#[test]
fn the_intent_is_committed_before_the_effect_and_the_outcome_before_the_next_effect() {
    let driver = Driver::start(definition(vec![set("a", "x", 1), set("b", "y", 2).needs(&["a"])]), World::of(&[("x", 0), ("y", 0)]));
    let at =
        |wanted: &dyn Fn(&Event) -> bool| driver.journal.iter().position(|commit| commit.events.iter().any(wanted)).expect("the event");
    let intent = at(&|event| matches!(event, Event::AttemptStarted { step, .. } if step.as_str() == "a"));
    assert!(driver.journal[intent].after.log.is_empty());
    let next = at(&|event| matches!(event, Event::AttemptStarted { step, .. } if step.as_str() == "b"));
    let outcome = at(&|event| matches!(event, Event::StepSucceeded { step, .. } if step.as_str() == "a"));
    assert!(outcome <= next && driver.journal[next].after.log.len() == 1);
}

#[test]
fn a_failure_pauses_and_resume_tries_again() {
    let mut driver = Driver::start(
        definition(vec![set("a", "x", 1), set("b", "y", 2).needs(&["a"]).tries(2)]),
        World::of(&[("x", 0), ("y", 0)]).fault("b", Fault::Refused(3)),
    );
    assert_eq!(driver.status(), RunStatus::Paused);
    assert_eq!(driver.step("b"), StepStatus::Failed);
    driver.instruct(Command::Resume);
    assert_eq!(driver.status(), RunStatus::Succeeded);
}

#[test]
fn rollback_puts_back_what_was_there_in_reverse_order() {
    let driver = Driver::start(
        definition(vec![
            set("a", "x", 1),
            set("b", "y", 2).needs(&["a"]),
            step("c").needs(&["b"]),
            Step { effect: crate::model::step::Effect::Once, ..call_once("d") }.needs(&["c"]),
            set("e", "z", 5).needs(&["d"]).on_failure(OnFailure::Rollback),
        ]),
        World::of(&[("x", 7), ("y", 8), ("z", 9)]).fault("e", Fault::Broken),
    );
    assert_eq!(driver.status(), RunStatus::RolledBack);
    assert_eq!(driver.world.fields, World::of(&[("x", 7), ("y", 8), ("z", 9)]).fields);
    assert_eq!(driver.world.log, ["a: x 7 -> 1", "b: y 8 -> 2", "d: call", "b: y back to 8", "a: x back to 7"]);
    assert_eq!(driver.step("d"), StepStatus::Kept);
    assert_eq!(driver.step("e"), StepStatus::Failed);
}

#[test]
fn what_somebody_else_changed_is_left_alone_and_the_run_is_stuck() {
    let mut driver = Driver::start(
        definition(vec![
            set("base", "w", 1),
            set("a", "x", 1).needs(&["base"]),
            set("other", "y", 2),
            set("bad", "z", 1).needs(&["a", "other"]).on_failure(OnFailure::Rollback),
        ]),
        World::of(&[("w", 0), ("x", 0), ("y", 0), ("z", 0)]).fault("a", Fault::Foreign(99)).fault("bad", Fault::Broken),
    );
    assert_eq!(driver.status(), RunStatus::Stuck);
    assert_eq!(driver.step("a"), StepStatus::RollbackFailed);
    assert_eq!(driver.world.fields["x"], 99, "left alone");
    assert_eq!(driver.step("base"), StepStatus::Succeeded, "an ancestor stays");
    assert_eq!(driver.step("other"), StepStatus::RolledBack, "an independent step is still rolled back");
    driver.instruct(Command::Skip { step: "a".into() });
    assert_eq!(driver.status(), RunStatus::RolledBack);
    assert_eq!(driver.step("a"), StepStatus::Kept);
    assert_eq!(driver.step("base"), StepStatus::RolledBack);
    assert_eq!(driver.world.fields["w"], 0);
}

#[test]
fn what_the_platform_does_not_follow_is_kept_and_what_relies_on_it_stops() {
    let driver = Driver::start(
        definition(vec![set("pool", "x", 1), set("scale", "y", 1).needs(&["pool"]), step("bad").needs(&["scale"])]),
        World::of(&[("x", 0), ("y", 0)]).fault("scale", Fault::NeverFollows),
    );
    let mut driver = driver;
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!(driver.status(), RunStatus::Stuck);
    assert_eq!((driver.step("scale"), driver.step("pool")), (StepStatus::Kept, StepStatus::Succeeded));
}

#[test]
fn a_lost_answer_is_asked_about_and_nothing_is_done_twice() {
    for (fault, recovered) in [(Fault::AnswerLost(1), true), (Fault::RequestLost(1), false)] {
        let driver = Driver::start(definition(vec![set("a", "x", 1).tries(2)]), World::of(&[("x", 0)]).fault("a", fault));
        assert_eq!(driver.status(), RunStatus::Succeeded);
        assert_eq!(driver.world.log.len(), 1);
        let how =
            driver.events().any(|event| matches!(event, Event::StepSucceeded { how: Some(crate::model::event::Success::Recovered), .. }));
        assert_eq!(how, recovered);
    }
}

#[test]
fn an_unknown_once_step_waits_for_the_operator_and_an_idempotent_one_runs_again() {
    let mut driver = Driver::start(
        definition(vec![call_once("a"), call_again("b").tries(2), step("c").needs(&["a"])]),
        World::default().fault("a", Fault::AnswerLost(1)).fault("b", Fault::AnswerLost(1)),
    );
    assert_eq!(driver.status(), RunStatus::Waiting);
    assert_eq!(driver.step("a"), StepStatus::Unknown);
    assert_eq!(driver.step("b"), StepStatus::Succeeded);
    assert_eq!(driver.world.calls["b"], 2);
    driver.instruct(Command::MarkDone { step: "a".into(), outputs: Value::Null });
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!(driver.world.calls["a"], 1);
}

#[test]
fn continue_skips_what_needs_it_and_the_run_says_so() {
    let driver = Driver::start(
        definition(vec![
            set("a", "x", 1).on_failure(OnFailure::Continue),
            step("b").needs(&["a"]),
            step("c").accepts("a", &[Accept::Succeeded, Accept::Failed]),
            step("d"),
        ]),
        World::of(&[("x", 0)]).fault("a", Fault::Broken),
    );
    assert_eq!(driver.status(), RunStatus::SucceededWithFailures);
    assert_eq!((driver.step("b"), driver.step("c"), driver.step("d")), (StepStatus::Skipped, StepStatus::Succeeded, StepStatus::Succeeded));
}

#[test]
fn skipped_for_want_of_a_need_propagates_even_to_what_accepts_skipped() {
    let driver = Driver::start(
        definition(vec![
            step("a").on_failure(OnFailure::Continue),
            step("b").needs(&["a"]),
            step("c").accepts("b", &[Accept::Succeeded, Accept::Skipped]),
        ]),
        World::default().fault("a", Fault::Broken),
    );
    assert_eq!((driver.step("b"), driver.step("c")), (StepStatus::Skipped, StepStatus::Skipped));
}

fn for_each(step: Step, items: Value, max_parallel: Option<u32>) -> Step {
    Step { for_each: Some(Box::new(ForEach { items: Template::Literal(items), max_parallel })), ..step }
}

fn call(id: &str, name: &str) -> Step {
    Step { uses: Uses::Playbook { name: name.into(), params: Template::empty_map() }, ..step(id) }
}

#[test]
fn for_each_has_an_instance_for_each_item_and_what_needs_it_waits_for_all() {
    let driver = Driver::start(
        definition(vec![for_each(call_again("each"), json!(["p1", "p2", "p3"]), Some(1)), step("after").needs(&["each"])]),
        World::default(),
    );
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert_eq!(driver.world.log, ["each[p1]: call", "each[p2]: call", "each[p3]: call"]);
    let empty = Driver::start(definition(vec![for_each(call_again("each"), json!([]), None)]), World::default());
    assert_eq!(empty.status(), RunStatus::Succeeded);
    let twice = Driver::start(definition(vec![for_each(call_again("each"), json!([1, 1]), None)]), World::default());
    assert_eq!(twice.status(), RunStatus::Paused);
}

#[test]
fn a_called_playbook_is_part_of_the_run_and_its_own_rule_comes_first() {
    let inner = || playbook("inner", vec![set("x", "x", 1), set("y", "y", 1).needs(&["x"])]);
    let ok = Driver::start(
        with_called(vec![call("sub", "inner"), step("after").needs(&["sub"])], vec![inner()]),
        World::of(&[("x", 0), ("y", 0)]),
    );
    assert_eq!(ok.status(), RunStatus::Succeeded);
    assert_eq!(ok.step("sub/y"), StepStatus::Succeeded);

    // The inner rule takes back the call alone; then the caller's rule lets it pass.
    let mut rolls = inner();
    rolls.steps[1].on_failure = Some(OnFailure::Rollback);
    let driver = Driver::start(
        with_called(
            vec![
                set("first", "f", 1),
                call("sub", "inner").needs(&["first"]).on_failure(OnFailure::Continue),
                step("end").needs(&["first"]),
            ],
            vec![rolls],
        ),
        World::of(&[("x", 0), ("y", 0), ("f", 0)]).fault("sub/y", Fault::Broken),
    );
    assert_eq!(driver.status(), RunStatus::SucceededWithFailures);
    assert_eq!((driver.world.fields["x"], driver.world.fields["f"]), (0, 1));
    assert_eq!((driver.step("sub"), driver.step("sub/x")), (StepStatus::Failed, StepStatus::RolledBack));

    // Without a rule of its own, the caller's counts.
    let driver = Driver::start(
        with_called(vec![set("first", "f", 1), call("sub", "inner").needs(&["first"]).on_failure(OnFailure::Rollback)], vec![inner()]),
        World::of(&[("x", 0), ("y", 0), ("f", 0)]).fault("sub/y", Fault::Broken),
    );
    assert_eq!(driver.status(), RunStatus::RolledBack);
    assert_eq!((driver.world.fields["x"], driver.world.fields["f"]), (0, 0));
}

#[test]
fn always_runs_after_a_rollback_and_after_a_cancel() {
    let steps = || {
        vec![
            set("a", "x", 1),
            set("bad", "y", 1).needs(&["a"]).on_failure(OnFailure::Rollback),
            Step { always: true, ..call_again("owed") }.needs(&["bad"]),
        ]
    };
    let driver = Driver::start(definition(steps()), World::of(&[("x", 0), ("y", 0)]).fault("bad", Fault::Broken));
    assert_eq!((driver.status(), driver.step("owed")), (RunStatus::RolledBack, StepStatus::Succeeded));

    let mut paused = Driver::start(
        definition(vec![set("a", "x", 1), step("b").needs(&["a"]), Step { always: true, ..call_again("owed") }.needs(&["b"])]),
        World::of(&[("x", 0)]).fault("b", Fault::Broken),
    );
    assert_eq!((paused.status(), paused.step("owed")), (RunStatus::Paused, StepStatus::Pending));
    paused.instruct(Command::Cancel { rollback: false });
    assert_eq!((paused.status(), paused.step("owed")), (RunStatus::Cancelled, StepStatus::Succeeded));
    assert_eq!(paused.world.fields["x"], 1, "cancel keeps");
}

#[test]
fn a_gate_takes_as_many_different_people_as_it_asks_for_and_shuts_in_time() {
    let gate = |until: Option<&str>| Gate {
        count: 2,
        by: Vec::new(),
        message: None,
        until: until.map(|text| Template::Literal(json!(text))),
        otherwise: Otherwise::Skip,
    };
    let gated = |until| Step { approve: Some(Box::new(gate(until))), ..set("a", "x", 1) };
    let mut driver = Driver::start(definition(vec![gated(None)]), World::of(&[("x", 0)]));
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::Waiting, StepStatus::Waiting));
    driver.instruct(Command::Approve { step: "a".into() });
    assert_eq!(driver.step("a"), StepStatus::Waiting);
    driver.instruct(Command::Approve { step: "a".into() });
    assert!(driver.events().any(|event| matches!(event, Event::InstructionRefused { .. })), "the same person counts once");
    let late = Driver::start(definition(vec![gated(Some("10m"))]), World::of(&[("x", 0)]));
    assert_eq!((late.status(), late.step("a")), (RunStatus::Succeeded, StepStatus::Skipped));
}

#[test]
fn the_constructs_wait_and_approve_hold_no_task() {
    let wait = Step { uses: Uses::Wait(Wait::Duration(Template::Literal(json!("10m")))), ..step("wait") };
    let gate = Gate { count: 1, by: vec!["ana".into()], message: None, until: None, otherwise: Otherwise::Fail };
    let approve = Step { uses: Uses::Approve(gate), ..step("gate") }.needs(&["wait"]);
    let mut driver = Driver::start_with(definition(vec![wait, approve, call_again("c").needs(&["gate"])]), World::default(), 1);
    assert_eq!(
        (driver.status(), driver.step("wait"), driver.step("gate")),
        (RunStatus::Waiting, StepStatus::Succeeded, StepStatus::Waiting)
    );
    driver.instruct(Command::Approve { step: "gate".into() });
    assert_eq!(driver.status(), RunStatus::Succeeded);
}

#[test]
fn a_step_without_revert_and_one_that_says_none_are_kept_and_listed() {
    let mut driver =
        Driver::start(definition(vec![Step { rollback: Rollback::None, ..set("a", "x", 1) }, call_again("b")]), World::of(&[("x", 0)]));
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!(driver.status(), RunStatus::RolledBack);
    assert_eq!((driver.step("a"), driver.step("b")), (StepStatus::Kept, StepStatus::Kept));
    assert_eq!(driver.world.fields["x"], 1);
}

#[test]
fn a_rollback_action_of_the_steps_own_is_recorded_before_the_effect_and_may_ask_first() {
    let rollback = |approve| Rollback::Action {
        uses: "again".into(),
        with: Template::Literal(json!({ "note": "undo" })),
        secrets: Vec::new(),
        approve,
        effect: crate::model::step::Effect::Idempotent,
    };
    let mut driver = Driver::start(definition(vec![Step { rollback: rollback(true), ..set("a", "x", 1) }]), World::of(&[("x", 0)]));
    driver.instruct(Command::Rollback { only: vec![] });
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::Waiting, StepStatus::RollingBack));
    driver.instruct(Command::Approve { step: "a".into() });
    assert_eq!((driver.status(), driver.step("a")), (RunStatus::RolledBack, StepStatus::RolledBack));
    assert_eq!(driver.world.calls["a"], 1);
}

#[test]
fn parallel_steps_keep_to_the_limit() {
    let steps: Vec<Step> = (0..20).map(|n| call_again(&format!("s{n}"))).collect();
    let driver = Driver::start_with(definition(steps), World::default(), 3);
    assert_eq!(driver.status(), RunStatus::Succeeded);
    assert!(driver.journal.iter().all(|commit| commit.in_flight.len() <= 3));
    assert!(driver.journal.iter().any(|commit| commit.in_flight.len() == 3));
}

#[test]
fn a_timeout_covers_all_attempts() {
    let slow = Step { timeout: Some(Span::seconds(5)), ..set("a", "x", 1) }.tries(50);
    let driver = Driver::start(definition(vec![slow]), World::of(&[("x", 0)]).fault("a", Fault::Refused(1000)));
    assert_eq!(driver.status(), RunStatus::Paused);
    assert!(driver.state().reason.as_ref().is_some_and(|reason| reason.contains("timed out after 5s")), "{:?}", driver.state().reason);
}
