//! Operators' commands between any two answers, in either order of answers and with one slot or several: no run is left that nothing can move.

use super::crashes::{End, end, finish, fixtures, world};
use super::driver::Driver;
use super::world::{Fault, World};
use crate::machine::decide::Input;
use crate::model::definition::Definition;
use crate::model::instruction::Command;
use crate::model::status::{RunStatus, StepStatus};
use crate::model::step::OnFailure;

/// Answers the next task, or lets the next timer come. False: nothing happens by itself any more.
fn advance(driver: &mut Driver) -> bool {
    let next = if driver.newest_first { driver.queue.back() } else { driver.queue.front() };
    if let Some(step) = next.map(|task| task.step.to_string()) {
        driver.answer(&step);
        return true;
    }
    match driver.state().next_timer() {
        Some(at) if !driver.state().status.is_finished() && driver.status() != RunStatus::Paused => {
            driver.now = driver.now.max(at);
            driver.tell(Input::Tick);
            true
        }
        _ => false,
    }
}

/// Says `command` after so many answers; `None`: the run does nothing any more by then.
fn said(definition: &Definition, world: &World, slots: u32, newest_first: bool, after: usize, command: &Command) -> Option<Driver> {
    let mut driver = Driver::begin(definition.clone(), world.clone(), slots);
    driver.newest_first = newest_first;
    for _ in 0..after {
        if !advance(&mut driver) {
            return None;
        }
    }
    driver.say(command.clone());
    Some(driver)
}

fn everywhere(definition: &Definition, world: &World, command: &Command, then: impl Fn(&mut Driver, &str)) {
    for (slots, newest_first) in [(1, false), (4, true), (4, false)] {
        for after in 0.. {
            let Some(mut driver) = said(definition, world, slots, newest_first, after, command) else { break };
            driver.run();
            then(&mut driver, &format!("{command:?} after {after} answers, {slots} slots, newest first: {newest_first}"));
        }
    }
}

fn with_rule(definition: &Definition, rule: OnFailure) -> Definition {
    let mut definition = definition.clone();
    definition.playbooks.values_mut().flat_map(|playbook| &mut playbook.steps).for_each(|step| step.on_failure = Some(rule));
    definition
}

fn settled(driver: &Driver) -> bool {
    driver.statuses().values().all(|status| status.is_ended() || *status == StepStatus::Unknown)
}

#[test]
fn a_pause_at_any_time_changes_nothing_about_the_end() {
    for (name, definition) in fixtures() {
        let mut whole = Driver::start(definition.clone(), world());
        finish(&mut whole, false);
        let expected: End = end(&whole);
        everywhere(&definition, &world(), &Command::Pause, |driver, when| {
            finish(driver, false);
            assert_eq!(end(driver), expected, "{name}: {when}");
        });
    }
}

#[test]
fn a_cancel_at_any_time_ends_the_run_and_every_step() {
    for (name, definition) in fixtures() {
        everywhere(&definition, &world(), &Command::Cancel { rollback: false }, |driver, when| {
            let owed: Vec<String> =
                driver.statuses().into_iter().filter(|(_, status)| *status == StepStatus::Waiting).map(|(path, _)| path).collect();
            assert!(driver.status().is_finished(), "{name}: {when}: {} {:?}", driver.status(), driver.statuses());
            assert!(owed.is_empty() && settled(driver), "{name}: {when}: {:?}", driver.statuses());
        });
    }
}

#[test]
fn a_rollback_at_any_time_puts_everything_back() {
    for (name, definition) in fixtures() {
        for fault in [None, Some(Fault::AnswerLost(1)), Some(Fault::FailsWithEffect(1)), Some(Fault::Broken)] {
            let mut world = world();
            if let Some(fault) = &fault {
                world = world.fault("d", fault.clone()).fault("a", Fault::RevertAnswerLost(1));
            }
            everywhere(&definition, &world, &Command::Cancel { rollback: true }, |driver, when| {
                finish(driver, true);
                let context = format!("{name}, {fault:?}: {when}: {:?} {:?}", driver.statuses(), driver.world.fields);
                assert_eq!(driver.status(), RunStatus::RolledBack, "{context}");
                assert!(settled(driver) && driver.world.fields.values().all(|value| *value == 0), "{context}");
            });
        }
    }
}

#[test]
fn a_paused_rollback_goes_on_and_a_failure_during_a_pause_is_not_forgotten() {
    for (name, definition) in fixtures() {
        let definition = with_rule(&definition, OnFailure::Rollback);
        let world = world().fault("d", Fault::Broken);
        let mut whole = Driver::start(definition.clone(), world.clone());
        finish(&mut whole, false);
        let expected = whole.status();
        everywhere(&definition, &world, &Command::Pause, |driver, when| {
            for _ in 0..3 {
                finish(driver, false);
            }
            let context = format!("{name}: {when}: {:?} {:?}", driver.statuses(), driver.world.fields);
            assert_eq!(driver.status(), expected, "{context}");
            assert!(expected != RunStatus::RolledBack || driver.world.fields.values().all(|value| *value == 0), "{context}");
        });
    }
}

#[test]
fn a_second_crash_while_the_first_is_recovered_from_changes_nothing() {
    for (name, definition) in fixtures() {
        for (rule, fault) in
            [(OnFailure::Pause, None), (OnFailure::Rollback, Some(Fault::Broken)), (OnFailure::Pause, Some(Fault::AnswerLost(1)))]
        {
            let definition = with_rule(&definition, rule);
            let mut world = world();
            if let Some(fault) = &fault {
                world = world.fault("d", fault.clone());
            }
            let definition = {
                let mut definition = definition;
                definition.playbooks.values_mut().flat_map(|playbook| &mut playbook.steps).for_each(|step| step.retry.attempts = 6);
                definition
            };
            let mut whole = Driver::start(definition.clone(), world.clone());
            let spontaneous = whole.journal.len();
            finish(&mut whole, false);
            let expected = end(&whole);
            for first in (1..=spontaneous.min(whole.journal.len())).step_by(3) {
                let prefix = whole.journal[..first].to_vec();
                let recovered = Driver::recover(prefix.clone(), prefix[first - 1].after.clone(), &whole.definition, whole.now);
                for second in first + 1..=recovered.journal.len() {
                    let prefix = recovered.journal[..second].to_vec();
                    let mut world = prefix[second - 1].after.clone();
                    for task in &prefix[second - 1].in_flight {
                        let _ = world.carry_out(task, &recovered.ledger);
                    }
                    let mut driver = Driver::recover(prefix, world, &whole.definition, recovered.now);
                    finish(&mut driver, false);
                    assert_eq!(
                        end(&driver),
                        expected,
                        "{name}, {fault:?}, {rule:?}: killed after commit {first}, then after commit {second}"
                    );
                }
            }
        }
    }
}
