//! What the view makes of a run's records.

use serde_json::{Value, json};

use super::fixture::{Journal, definition, path, playbook, pre_event, run_id, scaling, step};
use super::needs::NeedKind;
use super::owed::OwedWhat;
use super::step_view::EffectState;
use super::view::RunView;
use crate::model::change::{Change, Standing, Swap};
use crate::model::event::{Event, GateKind, ResetTo, SkipReason, Waiting};
use crate::model::id::RunId;
use crate::model::instruction::Command;
use crate::model::intent::{Intent, Revert};
use crate::model::ledger::LedgerEntry;
use crate::model::outcome::{Applied, Failure};
use crate::model::status::{RunStatus, StepStatus};

fn owed(view: &RunView) -> Vec<String> {
    view.owed().iter().map(super::owed::Owed::in_words).collect()
}

#[test]
fn a_record_applied_twice_changes_nothing() {
    let mut journal = Journal::new();
    journal.scaled().started("warm_pool", Some(Intent::default()));
    let gate = Waiting::Approval { count: 2, by: vec![], message: None, until: None, gate: GateKind::Step };
    journal.waits("warm_caches", gate).add(Event::GateApproved { step: path("warm_caches"), by: "ana".into(), open: false });
    let command = Command::Pause;
    journal.add(Event::Instructed { id: uuid::Uuid::nil(), by: "ana".into(), command, reason: None });
    let mut view = journal.view(&pre_event());
    let before = format!("{view:?}");
    journal.records.iter().for_each(|record| view.apply(record));
    assert_eq!(format!("{view:?}"), before);
}

#[test]
fn steps_stand_in_the_playbooks_order_from_the_start() {
    let view = RunView::new(run_id()).with_definition(&pre_event());
    let names: Vec<_> = view.steps().map(|step| (step.path.as_str(), step.status)).collect();
    let pending = StepStatus::Pending;
    assert_eq!(names, [("budget", pending), ("scale", pending), ("warm_pool", pending), ("warm_caches", pending)]);
    assert_eq!((view.totals().all(), view.totals().ended()), (4, 0));
}

#[test]
fn instances_and_called_steps_appear_beneath_their_caller() {
    let definition = definition(vec![
        playbook("pre-event", vec![step("first", "noop", &[]), step("each", "playbook:warm", &[]), step("last", "noop", &[])]),
        playbook("warm", vec![step("read", "noop", &[]), step("ready", "command", &[])]),
    ]);
    let mut journal = Journal::new();
    journal.add(Event::StepExpanded { step: path("each"), items: vec![("a/b".into(), Value::Null), ("c".into(), Value::Null)] });
    for key in ["c", "a/b"] {
        let call = path("each").instance(key);
        journal.add(Event::PlaybookCalled { step: call.clone(), params: Default::default(), vars: Default::default() });
    }
    journal.started("each[a/b]/ready", Some(Intent::default()));
    let expected = ["first", "each", "each[a/b]", "each[a/b]/read", "each[a/b]/ready", "each[c]", "each[c]/read", "each[c]/ready", "last"];
    let view = journal.view(&definition);
    assert_eq!(view.steps().map(|step| step.path.as_str()).collect::<Vec<_>>(), expected);
    assert_eq!(view.step("each[a/b]/ready").map(|step| (step.name(), step.depth, step.uses())), Some(("ready", 2, Some("command"))));
    assert_eq!(view.step("each[a/b]").map(super::StepView::name), Some("[a/b]"));
    // Only steps without others beneath them are counted.
    assert_eq!(view.totals().all(), 6);
    assert_eq!(view.commands_run(), 1);

    // Without the definition the same order comes from the events alone, as far as they name steps.
    let mut bare = RunView::new(run_id());
    journal.records.iter().for_each(|record| bare.apply(record));
    assert_eq!(bare.steps().map(|step| step.path.as_str()).collect::<Vec<_>>(), ["each", "each[a/b]", "each[a/b]/ready", "each[c]"]);
}

#[test]
fn a_debt_goes_from_the_last_value_back_to_the_first() {
    let mut journal = Journal::new();
    journal.scaled();
    let view = journal.view(&pre_event());
    assert_eq!(owed(&view), ["deployment/ticket-service: replicas 8 → 2"]);
    assert!(view.owed()[0].certain);
    assert_eq!(view.owed()[0].undo_by_hand.len(), 1);

    // A second step goes on from there: still one debt, from 16 back to 2.
    journal.started("warm_pool", Some(scaling(8, 16))).succeeded("warm_pool", Value::Null);
    let view = journal.view(&pre_event());
    assert_eq!(owed(&view), ["deployment/ticket-service: replicas 16 → 2"]);
    assert_eq!(view.owed()[0].steps, [path("scale"), path("warm_pool")]);

    // Where somebody else came between, the chain is broken.
    journal.started("warm_caches", Some(scaling(20, 24))).succeeded("warm_caches", Value::Null);
    assert_eq!(
        owed(&journal.view(&pre_event())),
        ["deployment/ticket-service: replicas 16 → 2", "deployment/ticket-service: replicas 24 → 20"]
    );
}

#[test]
fn what_came_back_to_its_first_value_owes_nothing() {
    let mut journal = Journal::new();
    journal.scaled().started("warm_pool", Some(scaling(8, 2))).succeeded("warm_pool", Value::Null);
    assert_eq!(owed(&journal.view(&pre_event())), Vec::<String>::new());
}

#[test]
fn only_what_may_have_reached_the_target_is_owed() {
    let failure = || Failure::transient("connection refused");
    let ended = |outcome| Event::AttemptEnded { step: path("scale"), attempt: 1, outcome };
    let of = |outcome: Applied, applied: bool| {
        let mut journal = Journal::new();
        journal.started("scale", Some(scaling(2, 8))).add(ended(outcome));
        journal.add(Event::StepFailed { step: path("scale"), failure: failure(), applied });
        owed(&journal.view(&pre_event()))
    };
    assert_eq!(of(Applied::NotApplied { failure: failure() }, false), Vec::<String>::new());
    let maybe = ["deployment/ticket-service: replicas 8 → 2 (if it was applied)"];
    assert_eq!(of(Applied::FailedWithEffect { failure: failure(), outputs: Value::Null }, true), maybe);
    // An attempt that is on its way may have arrived.
    let mut journal = Journal::new();
    journal.started("scale", Some(scaling(2, 8)));
    assert_eq!(owed(&journal.view(&pre_event())), maybe);
}

fn reverting(journal: &mut Journal, standing: Standing, swaps: Vec<Swap>) {
    journal.add(Event::RevertStarted { step: path("scale") });
    journal.add(Event::RevertIntended { step: path("scale"), swaps, standings: vec![standing] });
}

fn swap() -> Swap {
    let change = scaling(2, 8).changes.remove(0);
    Swap { object: change.object, field: change.field, label: change.label, from: json!(8), to: json!(2) }
}

#[test]
fn what_is_put_back_is_not_owed_and_a_new_doing_is_again() {
    let mut journal = Journal::new();
    journal.scaled();
    reverting(&mut journal, Standing::Ours { live: json!(8) }, vec![swap()]);
    assert_eq!(owed(&journal.view(&pre_event())).len(), 1);
    journal.add(Event::RevertEnded { step: path("scale"), outcome: Applied::Applied { outputs: Value::Null } });
    assert_eq!(owed(&journal.view(&pre_event())), Vec::<String>::new());
    journal.after(4).add(Event::StepRolledBack { step: path("scale"), note: None });
    let view = journal.view(&pre_event());
    assert_eq!(view.step("scale").map(|step| (step.status, step.effect)), Some((StepStatus::RolledBack, EffectState::None)));
    journal.add(Event::StepReset { step: path("scale"), to: ResetTo::NextOccurrence });
    journal.started("scale", Some(scaling(2, 4)));
    assert_eq!(owed(&journal.view(&pre_event())), ["deployment/ticket-service: replicas 4 → 2 (if it was applied)"]);
}

#[test]
fn a_new_doing_stands_behind_what_was_changed_meanwhile() {
    let mut journal = Journal::new();
    journal.scaled().add(Event::RevertStarted { step: path("scale") }).add(Event::StepRolledBack { step: path("scale"), note: None });
    journal.started("warm_pool", Some(scaling(2, 3))).succeeded("warm_pool", Value::Null);
    journal.add(Event::StepReset { step: path("scale"), to: ResetTo::NextOccurrence });
    assert!(journal.view(&pre_event()).step("scale").is_some_and(|step| step.intent.is_none() && step.attempt == 0));
    journal.started("scale", Some(scaling(3, 9))).succeeded("scale", Value::Null);
    assert_eq!(owed(&journal.view(&pre_event())), ["deployment/ticket-service: replicas 9 → 2"]);
}

#[test]
fn of_a_step_that_is_half_put_back_the_rest_is_owed() {
    let mut intent = scaling(2, 8);
    for label in ["limit", "surge"] {
        intent.changes.push(Change { field: format!("spec.{label}"), label: label.into(), ..intent.changes[0].clone() });
    }
    let mut journal = Journal::new();
    journal.started("scale", Some(intent)).succeeded("scale", Value::Null).add(Event::RevertStarted { step: path("scale") });
    let standings = vec![Standing::Ours { live: json!(8) }, Standing::AlreadyPrior, Standing::Foreign { live: json!(5) }];
    journal.add(Event::RevertIntended { step: path("scale"), swaps: vec![swap()], standings });
    assert_eq!(owed(&journal.view(&pre_event())).len(), 2);
    journal.add(Event::RevertEnded { step: path("scale"), outcome: Applied::Applied { outputs: Value::Null } });
    assert_eq!(owed(&journal.view(&pre_event())), ["deployment/ticket-service: surge 8 → 2"]);
}

#[test]
fn what_somebody_else_changed_stays_owed_and_needs_a_person() {
    let mut journal = Journal::new();
    journal.scaled();
    reverting(&mut journal, Standing::Foreign { live: json!(5) }, Vec::new());
    let failure = Failure::permanent("replicas is 5, and the run had set 8").hint("find out who set 5");
    journal.add(Event::StepRollbackFailed { step: path("scale"), failure }).status(RunStatus::Stuck, Some("scale was left alone"));
    let view = journal.view(&pre_event());
    let owed = view.owed();
    assert!(matches!(&owed[0].what, OwedWhat::Field { live: Some(live), .. } if *live == json!(5)), "{owed:?}");
    let needs = view.needs_person().unwrap();
    assert_eq!((needs.needs.len(), needs.needs[0].kind), (1, NeedKind::Stuck));
    assert_eq!(needs.needs[0].why, "could not be taken back: replicas is 5, and the run had set 8");
    assert_eq!(needs.needs[0].hint.as_deref(), Some("find out who set 5"));
    let commands: Vec<_> = needs.commands.iter().map(|next| next.command.as_str()).collect();
    assert_eq!(
        commands,
        ["runsheet retry 3fa9c1d2 scale", "runsheet mark-done 3fa9c1d2 scale --reason '…'", "runsheet skip 3fa9c1d2 scale --reason '…'"]
    );
}

#[test]
fn a_gate_names_who_approved_and_closes_when_it_opens() {
    let wait =
        Waiting::Approval { count: 2, by: vec!["lead".into()], message: Some("Scale now?".into()), until: None, gate: GateKind::Step };
    let mut journal = Journal::new();
    journal.waits("scale", wait).add(Event::GateApproved { step: path("scale"), by: "ana".into(), open: false });
    let needs = journal.view(&pre_event()).needs_person().unwrap();
    assert_eq!(needs.needs[0].kind, NeedKind::Gate);
    assert_eq!(needs.needs[0].why, "waits for an approval (1 of 2: ana) by lead: Scale now?");
    assert_eq!(needs.commands[0].command, "runsheet approve 3fa9c1d2 scale");
    journal.add(Event::GateApproved { step: path("scale"), by: "ben".into(), open: true });
    assert!(journal.view(&pre_event()).needs_person().is_none());
}

#[test]
fn a_paused_run_names_what_failed_and_a_finished_one_needs_nobody() {
    let mut journal = Journal::new();
    journal.scaled();
    let failure = Failure::permanent("exit code 3");
    journal.started("warm_pool", None).add(Event::StepFailed { step: path("warm_pool"), failure, applied: false });
    journal.add(Event::StepSkipped { step: path("warm_caches"), reason: SkipReason::RunEnded });
    journal.status(RunStatus::Paused, Some("warm_pool failed"));
    let needs = journal.view(&pre_event()).needs_person().unwrap();
    assert_eq!(
        needs.commands.iter().map(|next| next.command.as_str()).collect::<Vec<_>>(),
        ["runsheet resume 3fa9c1d2", "runsheet skip 3fa9c1d2 warm_pool --reason '…'", "runsheet rollback 3fa9c1d2"]
    );
    journal.status(RunStatus::Cancelled, None);
    let view = journal.view(&pre_event());
    assert!(view.needs_person().is_none());
    assert_eq!(view.next_commands()[0].command, "runsheet rollback 3fa9c1d2");
}

#[test]
fn what_the_playbook_keeps_is_not_owed_but_named() {
    let keep = Intent { revert: Revert::Keep { reason: "a request cannot be taken back".into() }, ..Intent::default() };
    let mut journal = Journal::new();
    journal.started("warm_caches", Some(keep)).succeeded("warm_caches", Value::Null);
    let view = journal.view(&pre_event());
    assert!(view.owed().is_empty());
    let lasting: Vec<_> = view.lasting().map(|(step, reason)| (step.path.as_str(), reason)).collect();
    assert_eq!(lasting, [("warm_caches", "a request cannot be taken back")]);
}

#[test]
fn a_hundred_thousand_steps_cost_as_much_each_as_a_thousand() {
    let fold = |steps: usize, times: usize| {
        let mut journal = Journal::new();
        let items = (0..steps).map(|n| (format!("pod-{n}"), Value::Null)).collect();
        journal.add(Event::StepExpanded { step: path("warm"), items });
        for n in 0..steps {
            let step = format!("warm[pod-{n}]");
            journal.started(&step, Some(Intent::default())).succeeded(&step, Value::Null);
        }
        let once = || {
            let begun = std::time::Instant::now();
            let mut view = RunView::new(run_id());
            for record in &journal.records {
                view.apply(record);
                // What a frame asks for, at each record.
                std::hint::black_box((view.totals().ended(), view.with_status(StepStatus::Running).next().is_some()));
            }
            assert_eq!(view.totals().of(StepStatus::Succeeded), steps);
            begun.elapsed().as_secs_f64() / steps as f64
        };
        // The quickest of several: another process may take the processor meanwhile.
        (0..times).map(|_| once()).fold(f64::MAX, f64::min)
    };
    let (small, large) = (fold(2_000, 5), fold(100_000, 2));
    // Quadratic would be 50 times as much.
    assert!(large < small * 12.0, "{large} against {small} seconds a step");
}

#[test]
fn a_call_that_fails_because_of_a_step_names_that_step_alone() {
    let mut journal = Journal::new();
    let fails = |step: &str| Event::StepFailed { step: path(step), failure: Failure::permanent("no"), applied: false };
    journal.add(Event::StepExpanded { step: path("warm_pool"), items: vec![("a".into(), Value::Null), ("b".into(), Value::Null)] });
    journal.add(fails("warm_pool[b]")).add(fails("warm_pool")).status(RunStatus::Paused, None);
    let named =
        |journal: &Journal| journal.view(&pre_event()).needs_person().map(|it| it.needs.iter().map(|it| it.step.to_string()).collect());
    assert_eq!(named(&journal), Some(vec!["warm_pool[b]".to_owned()]));
    // One that fails of itself (its time was over) is named.
    let mut journal = Journal::new();
    journal.add(Event::StepExpanded { step: path("warm_pool"), items: vec![("a".into(), Value::Null)] });
    journal.add(fails("warm_pool")).status(RunStatus::Paused, None);
    assert_eq!(named(&journal), Some(vec!["warm_pool".to_owned()]));
}

fn entered(run: u128, change: Change, position: i64, reverted_at: Option<i64>) -> LedgerEntry {
    let run = if run == 0 { run_id() } else { RunId(uuid::Uuid::from_u128(run)) };
    LedgerEntry {
        run,
        step: path("scale"),
        occurrence: 1,
        change,
        settled: true,
        gives_back: false,
        reverted: reverted_at.is_some(),
        reverted_at,
        position,
    }
}

#[test]
fn a_debt_is_told_from_where_a_later_run_has_brought_it() {
    let mut journal = Journal::new();
    journal.scaled();
    let mut view = journal.view(&pre_event());
    let own = scaling(2, 8).changes.remove(0);
    let history = vec![
        entered(0, own.clone(), 1, None),
        entered(7, scaling(8, 3).changes.remove(0), 2, None),
        // Somebody else came between.
        entered(7, scaling(4, 5).changes.remove(0), 3, None),
    ];
    view.set_history(own.object, own.field, history);
    assert_eq!(owed(&view), ["deployment/ticket-service: replicas 3 → 2, which takes back 8 → 3 of run 00000007 too"]);
}

#[test]
fn what_went_back_with_another_runs_change_is_not_owed() {
    let mut journal = Journal::new();
    journal.scaled();
    let mut view = journal.view(&pre_event());
    let own = scaling(2, 8).changes.remove(0);
    let of = |reverted_at| vec![entered(7, scaling(1, 2).changes.remove(0), 1, reverted_at), entered(0, own.clone(), 2, None)];
    view.set_history(own.object.clone(), own.field.clone(), of(None));
    assert_eq!(owed(&view), ["deployment/ticket-service: replicas 8 → 2"]);
    view.set_history(own.object.clone(), own.field.clone(), of(Some(9)));
    assert_eq!(owed(&view), Vec::<String>::new());
}

#[test]
fn a_run_that_is_being_cancelled_is_not_said_to_be_cancelled_again() {
    let mut journal = Journal::new();
    journal.scaled().waits("warm_pool", Waiting::Time { until: journal_end() }).status(RunStatus::Waiting, None);
    let commands =
        |journal: &Journal| -> Vec<String> { journal.view(&pre_event()).next_commands().into_iter().map(|next| next.command).collect() };
    assert!(commands(&journal)[2].starts_with("runsheet cancel "), "{:?}", commands(&journal));
    journal.add(Event::CancelBegan);
    assert!(commands(&journal)[2].starts_with("runsheet skip 3fa9c1d2 warm_pool --reason"), "{:?}", commands(&journal));
}

fn journal_end() -> jiff::Timestamp {
    jiff::Timestamp::from_second(2_000_000_000).unwrap()
}
