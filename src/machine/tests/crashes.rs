//! A crash at every commit, before, between and after the effects that were on their way, ends as it would have without the crash.

use std::collections::BTreeMap;

use serde_json::json;

use super::driver::{Commit, Driver};
use super::fixtures::{StepExt, call_again, call_once, definition, playbook, set, step, with_called};
use super::world::{Fault, World};
use crate::model::definition::Definition;
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::{Accept, At, Effect, ForEach, Gate, IfLate, OnFailure, Otherwise, Rollback, Step, Uses, Wait};
use crate::model::template::Template;

/// The end of a run: what a crash must not change.
#[derive(Debug, PartialEq)]
pub struct End {
    pub run: RunStatus,
    pub steps: BTreeMap<String, StepStatus>,
    pub fields: BTreeMap<String, i64>,
}

pub fn end(driver: &Driver) -> End {
    let mut steps = driver.statuses();
    for (step, faults) in &driver.world.faults {
        // Of a step that can never work it is known without a crash that it did not run; after one it may have, and is taken back (or kept, and listed).
        if faults.contains(&Fault::Broken)
            && let Some(status @ (StepStatus::RolledBack | StepStatus::Kept)) = steps.get_mut(step)
        {
            *status = StepStatus::Failed;
        }
    }
    // A call that ran beside the failing step was made, and is kept; or the crash came first, and it was not.
    for (step, status) in &mut steps {
        if step.contains("once") && driver.status() == RunStatus::RolledBack && *status == StepStatus::Kept {
            *status = StepStatus::Skipped;
        }
    }
    End { run: driver.status(), steps, fields: driver.world.fields.clone() }
}

/// What the operators of these tests do, always the same: answer what is unknown, open gates, resume twice, roll back what is left.
pub fn finish(driver: &mut Driver, rollback: bool) {
    for _ in 0..3 {
        driver.answer_unknown();
        let gates: Vec<String> =
            driver.statuses().into_iter().filter(|(_, status)| *status == StepStatus::Waiting).map(|(path, _)| path).collect();
        for gate in gates {
            driver.instruct(Command::Approve { step: gate.as_str().into() });
        }
        // A rollback's gate: the step is being taken back, and the run waits.
        if driver.status() == RunStatus::Waiting {
            let gates: Vec<String> =
                driver.statuses().into_iter().filter(|(_, status)| *status == StepStatus::RollingBack).map(|(path, _)| path).collect();
            for gate in gates {
                driver.instruct(Command::Approve { step: gate.as_str().into() });
            }
        }
        if driver.status() == RunStatus::Paused && !rollback {
            driver.instruct(Command::Resume);
        }
    }
    driver.answer_unknown();
    if rollback && !matches!(driver.status(), RunStatus::RolledBack | RunStatus::Stuck) {
        driver.instruct(Command::Rollback { only: vec![] });
        finish(driver, false);
    }
}

/// Kills after every commit of the run, in each of these worlds: nothing sent yet; the first task on its way done; all of them done.
pub fn crash_everywhere(name: &str, definition: &Definition, world: &World, rollback: bool) {
    crash_and_compare(name, definition, world, rollback, |found, expected| found == expected);
}

pub fn crash_and_compare(name: &str, definition: &Definition, world: &World, rollback: bool, same: impl Fn(&End, &End) -> bool) {
    let mut whole = Driver::start(definition.clone(), world.clone());
    let spontaneous = whole.journal.len();
    finish(&mut whole, rollback);
    let expected = end(&whole);
    let folded: BTreeMap<String, StepStatus> = whole.folded().steps().map(|(path, status)| (path.to_string(), status)).collect();
    assert_eq!(folded, whole.statuses(), "{name}: the fold");
    for at in 1..=whole.journal.len().min(spontaneous) {
        let prefix: Vec<Commit> = whole.journal[..at].to_vec();
        let last = prefix[at - 1].clone();
        for done in [0, 1, usize::MAX] {
            let mut world = last.after.clone();
            let ledger: Vec<_> = whole.ledger.clone();
            for task in last.in_flight.iter().take(done) {
                let _ = world.carry_out(task, &ledger);
            }
            // What strikes a bounded number of times may have struck: that is the world's business, not the machine's.
            let mut driver = Driver::recover(prefix.clone(), world, &whole.definition, whole.now);
            finish(&mut driver, rollback);
            let found = end(&driver);
            assert!(
                same(&found, &expected),
                "{name}: killed after commit {at} of {spontaneous}, with {done} tasks done, it ended as\n{found:?}\nand not as\n{expected:?}\n{:#?}",
                last.events
            );
            for (step, calls) in &driver.world.calls {
                let once = step.contains("once");
                assert!(!once || *calls <= 1, "{name}: killed after commit {at}: {step} was called {calls} times");
            }
        }
    }
}

fn fields(names: &[&str]) -> World {
    World::of(&names.iter().map(|name| (*name, 0)).collect::<Vec<_>>())
}

pub fn fixtures() -> Vec<(&'static str, Definition)> {
    let gate = Gate { count: 1, by: Vec::new(), message: None, until: None, otherwise: Otherwise::Fail };
    let wait = Step { uses: Uses::Wait(Wait::Duration(Template::Literal(json!("5m")))), ..step("wait") };
    let each = |step: Step| Step {
        for_each: Some(Box::new(ForEach { items: Template::Literal(json!(["p", "q", "r"])), max_parallel: Some(2) })),
        ..step
    };
    let call = |id: &str| Step { uses: Uses::Playbook { name: "inner".into(), params: Template::empty_map() }, ..step(id) };
    // So that it does not depend on the order of answers which instances had begun when one failed.
    let one_by_one = |step: Step| Step {
        for_each: Some(Box::new(ForEach { items: Template::Literal(json!(["p", "q", "r"])), max_parallel: Some(1) })),
        ..step
    };
    let calls = |id: &str, name: &str| Step { uses: Uses::Playbook { name: name.into(), params: Template::empty_map() }, ..step(id) };
    let undone = Rollback::Action {
        uses: "again".into(),
        with: Template::empty_map(),
        secrets: Vec::new(),
        approve: true,
        effect: Effect::Idempotent,
    };
    // Ten minutes after the world begins.
    let at = At { time: Template::Literal(json!("2027-01-15T08:10:00Z")), not_after: None, if_late: IfLate::Ask };
    let inner = playbook("inner", vec![set("x", "ix", 1), set("y", "iy", 1).needs(&["x"]), call_once("once").needs(&["x"])]);
    vec![
        (
            "chain",
            definition(vec![
                set("a", "a", 1),
                set("b", "b", 1).needs(&["a"]),
                call_again("c").needs(&["b"]),
                set("d", "d", 1).needs(&["c"]),
            ]),
        ),
        (
            "fan-out",
            definition(vec![
                set("a", "a", 1),
                set("b", "b", 1).needs(&["a"]),
                set("c", "c", 1).needs(&["a"]),
                set("d", "d", 1).needs(&["a"]),
            ]),
        ),
        ("fan-in", definition(vec![set("a", "a", 1), set("b", "b", 1), set("c", "c", 1), set("d", "d", 1).needs(&["a", "b", "c"])])),
        (
            "diamond",
            definition(vec![
                set("a", "a", 1),
                set("b", "b", 1).needs(&["a"]),
                set("c", "c", 1).needs(&["a"]),
                set("d", "d", 1).needs(&["b", "c"]),
            ]),
        ),
        ("same field", definition(vec![set("a", "a", 1), set("b", "a", 2).needs(&["a"]), set("d", "a", 3).needs(&["b"])])),
        ("once", definition(vec![set("a", "a", 1), call_once("once").needs(&["a"]), set("d", "d", 1).needs(&["once"])])),
        ("for_each", definition(vec![set("a", "a", 1), each(call_again("each")).needs(&["a"]), set("d", "d", 1).needs(&["each"])])),
        (
            "always",
            definition(vec![set("a", "a", 1), set("d", "d", 1).needs(&["a"]), Step { always: true, ..call_again("owed") }.needs(&["d"])]),
        ),
        ("gates", definition(vec![set("a", "a", 1), Step { approve: Some(Box::new(gate.clone())), ..set("d", "d", 1) }.needs(&["a"])])),
        ("wait", definition(vec![set("a", "a", 1), wait.needs(&["a"]), set("d", "d", 1).needs(&["wait"])])),
        ("calls", with_called(vec![set("a", "a", 1), call("sub").needs(&["a"]), set("d", "d", 1).needs(&["sub"])], vec![inner])),
        (
            "gated rollback",
            definition(vec![
                set("a", "a", 1),
                Step { rollback: undone.clone(), ..call_again("c") }.needs(&["a"]),
                set("d", "d", 1).needs(&["c"]),
            ]),
        ),
        ("at", definition(vec![set("a", "a", 1), Step { at: Some(Box::new(at)), ..set("d", "d", 1) }.needs(&["a"])])),
        (
            "for_each of calls",
            with_called(
                vec![set("a", "a", 1), one_by_one(calls("each", "made")).needs(&["a"]), set("d", "d", 1).needs(&["each"])],
                vec![playbook("made", vec![call_again("m"), call_again("n").needs(&["m"])])],
            ),
        ),
        (
            "calls in calls, with what is owed",
            with_called(
                vec![set("a", "a", 1), calls("outer", "middle").needs(&["a"]), set("d", "d", 1).needs(&["outer"])],
                vec![
                    playbook(
                        "middle",
                        vec![
                            set("b", "b", 1),
                            calls("deep", "deepest").needs(&["b"]),
                            Step { always: true, ..call_again("owed") }.needs(&["deep"]),
                        ],
                    ),
                    playbook("deepest", vec![set("x", "ix", 1), set("y", "iy", 1).needs(&["x"])]),
                ],
            ),
        ),
        (
            "accept",
            definition(vec![
                set("a", "a", 1).on_failure(OnFailure::Continue),
                set("b", "b", 1).needs(&["a"]),
                set("d", "d", 1).accepts("a", &[Accept::Succeeded, Accept::Failed]).accepts("b", &[Accept::Succeeded, Accept::Skipped]),
            ]),
        ),
    ]
}

pub fn world() -> World {
    fields(&["a", "b", "c", "d", "ix", "iy", "last"])
}

fn leaves(definition: &Definition) -> Vec<String> {
    let mut names: Vec<String> = definition.root().steps.iter().map(|step| step.id.clone()).collect();
    if definition.playbooks.contains_key("inner") {
        names.extend(["sub/x".into(), "sub/y".into()]);
    }
    if names.contains(&"each".to_owned()) {
        names.push("each[q]".into());
        if definition.playbooks.contains_key("made") {
            names.push("each[q]/n".into());
        }
    }
    if names.contains(&"outer".to_owned()) {
        names.extend(["outer/b".into(), "outer/deep/y".into(), "outer/owed".into()]);
    }
    names
}

#[test]
fn every_prefix_without_a_failure() {
    for (name, definition) in fixtures() {
        crash_everywhere(name, &definition, &world(), false);
        crash_everywhere(&format!("{name}, then rolled back"), &definition, &world(), true);
    }
}

#[test]
fn every_prefix_of_every_failing_step_with_each_rule() {
    for (name, definition) in fixtures() {
        for failing in leaves(&definition) {
            for rule in [OnFailure::Rollback, OnFailure::Pause, OnFailure::Continue] {
                let mut definition = definition.clone();
                for playbook in definition.playbooks.values_mut() {
                    for step in &mut playbook.steps {
                        step.on_failure = Some(rule);
                    }
                }
                let world = world().fault(&failing, Fault::Broken);
                crash_everywhere(&format!("{name}, {failing} broken, {rule:?}"), &definition, &world, false);
            }
        }
    }
}

#[test]
fn every_prefix_with_lost_answers_and_retries() {
    for (name, definition) in fixtures() {
        for failing in leaves(&definition).into_iter().filter(|step| !step.contains("once")) {
            for fault in [Fault::AnswerLost(1), Fault::RequestLost(1), Fault::Refused(2), Fault::FailsWithEffect(1)] {
                let mut definition = definition.clone();
                for playbook in definition.playbooks.values_mut() {
                    playbook.steps.iter_mut().for_each(|step| step.retry.attempts = 6);
                }
                let world = world().fault(&failing, fault.clone());
                crash_everywhere(&format!("{name}, {failing} {fault:?}"), &definition, &world, false);
            }
        }
    }
}

#[test]
fn every_prefix_of_a_rollback_that_fails_or_whose_answers_are_lost() {
    for (name, definition) in fixtures() {
        for failing in leaves(&definition) {
            for fault in [Fault::RevertBroken, Fault::RevertAnswerLost(2), Fault::NeverFollows] {
                let mut definition = definition.clone();
                let root = definition.playbooks.get_mut("main").expect("the root");
                let last = set("last", "last", 1).needs(&[&root.steps.last().expect("a step").id.clone()]).on_failure(OnFailure::Rollback);
                root.steps.push(last);
                let world = world().fault(&failing, fault.clone()).fault("last", Fault::Broken);
                crash_everywhere(&format!("{name}, revert of {failing} {fault:?}"), &definition, &world, false);
            }
        }
    }
}
