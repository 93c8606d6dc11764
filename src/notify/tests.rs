//! Which events are news.

use jiff::Timestamp;
use serde_json::Map;

use super::occasions::Occasions;
use crate::model::event::{Event, GateKind, Record, ResetTo, RollbackScope, Waiting};
use crate::model::id::ContentHash;
use crate::model::instruction::Command;
use crate::model::notification::Occasion;
use crate::model::outcome::Failure;
use crate::model::run::RunSpec;
use crate::model::status::RunStatus;

/// Events as they are committed, one after another, and what of them is news: `failed scale`.
#[derive(Default)]
struct Told {
    occasions: Occasions,
    seq: u64,
}

impl Told {
    fn of(&mut self, events: impl IntoIterator<Item = Event>) -> Vec<String> {
        let mut told = Vec::new();
        for event in events {
            self.seq += 1;
            let record = Record { seq: self.seq, epoch: 1, at: Timestamp::UNIX_EPOCH, event };
            if let Some(news) = self.occasions.take(&record) {
                let names: Vec<&str> = news.occasions.iter().map(|occasion| occasion.as_str()).collect();
                let step = news.step.map(|step| format!(" {step}")).unwrap_or_default();
                told.push(format!("{}{step}", names.join("+")));
            }
        }
        told
    }
}

fn owned() -> Event {
    Event::RunOwned { pid: 1, host: "web-1".to_owned(), by: "ana@web-1".to_owned() }
}

fn created() -> Event {
    Event::RunCreated(Box::new(RunSpec {
        playbook: "pre-event".to_owned(),
        definition: ContentHash::of(b"x"),
        params: Map::new(),
        vars: Map::new(),
        target: None,
        max_parallel: 1,
        by: "ana@web-1".to_owned(),
    }))
}

fn gate(step: &str, gate: GateKind) -> Event {
    Event::StepWaiting { step: step.into(), wait: Waiting::Approval { count: 1, by: Vec::new(), message: None, until: None, gate } }
}

fn until(step: &str, seconds: i64) -> Event {
    Event::StepWaiting { step: step.into(), wait: Waiting::Time { until: Timestamp::from_second(seconds).unwrap() } }
}

fn status(status: RunStatus, reason: &str) -> Event {
    Event::RunStatusChanged { status, reason: (!reason.is_empty()).then(|| reason.to_owned()) }
}

fn failed(step: &str) -> Event {
    Event::StepFailed { step: step.into(), failure: Failure::permanent("no quota"), applied: false }
}

fn told_to(command: Command) -> Event {
    Event::Instructed { id: uuid::Uuid::nil(), by: "ana@web-1".to_owned(), command, reason: None }
}

fn reset(step: &str) -> Event {
    Event::StepReset { step: step.into(), to: ResetTo::Pending }
}

#[test]
fn a_run_starts_once_however_often_it_is_taken_over() {
    let mut told = Told::default();
    assert_eq!(told.of([created(), owned()]), ["started"]);
    assert!(told.of([owned(), owned()]).is_empty());
}

#[test]
fn a_gate_is_told_when_it_closes_and_again_only_after_it_was_opened() {
    let mut told = Told::default();
    assert_eq!(told.of([gate("go", GateKind::Step), status(RunStatus::Waiting, "")]), ["waiting go"]);
    assert!(
        told.of([owned(), status(RunStatus::Running, ""), gate("go", GateKind::Step), status(RunStatus::Waiting, "")])[..] == ["started"]
    );
    let open = Event::GateApproved { step: "go".into(), by: "ana".to_owned(), open: true };
    assert!(told.of([open]).is_empty());
    assert_eq!(told.of([gate("go", GateKind::Step)]), ["waiting go"]);
    assert_eq!(told.of([gate("go", GateKind::Rollback)]), ["waiting go"], "before its rollback is another gate");
}

#[test]
fn a_time_is_told_when_the_whole_run_waits_for_it_and_once_over_resumes() {
    let mut told = Told::default();
    assert!(told.of([until("pause", 100)]).is_empty(), "others may still be at work");
    assert_eq!(told.of([status(RunStatus::Waiting, "")]), ["waiting pause"]);
    assert!(told.of([status(RunStatus::Running, ""), status(RunStatus::Waiting, "")]).is_empty());
    assert!(told.of([Event::WaitOver { step: "pause".into() }, status(RunStatus::Running, "")]).is_empty());
    assert_eq!(told.of([until("next", 200), status(RunStatus::Waiting, "")]), ["waiting next"]);
}

#[test]
fn an_unknown_outcome_waits_for_a_person() {
    let mut told = Told::default();
    let unknown = || Event::StepUnknown { step: "warm".into(), reason: "no answer".to_owned() };
    assert_eq!(told.of([unknown(), status(RunStatus::Waiting, "")]), ["waiting warm"]);
    assert!(told.of([unknown()]).is_empty(), "it was asked again after a resume, and nothing has changed");
    assert_eq!(told.of([reset("warm"), unknown()]), ["waiting warm"]);
}

#[test]
fn a_failure_that_pauses_is_told_and_one_that_is_let_pass_is_not() {
    let mut told = Told::default();
    assert!(told.of([failed("warm")]).is_empty());
    assert_eq!(told.of([failed("scale"), status(RunStatus::Paused, "step scale failed: no quota")]), ["failed scale"]);
    assert!(told.of([owned(), status(RunStatus::Paused, "step scale failed: no quota")])[..] == ["started"]);
    let again = [reset("scale"), status(RunStatus::Running, ""), failed("scale"), status(RunStatus::Paused, "step scale failed: no quota")];
    assert_eq!(told.of(again), ["failed scale"], "it failed once more");
}

#[test]
fn what_was_asked_for_is_no_failure() {
    let mut told = Told::default();
    assert!(told.of([failed("warm"), told_to(Command::Pause), status(RunStatus::Paused, "paused by ana")]).is_empty());
    let back = || Event::RollbackBegan { scope: RollbackScope::Run, reason: "rolled back by ana".to_owned() };
    assert!(told.of([told_to(Command::Rollback { only: Vec::new() }), back(), status(RunStatus::RollingBack, "")]).is_empty());
    assert!(told.of([Event::RollbackEnded { complete: true }, status(RunStatus::Paused, "rolled back on request")]).is_empty());
}

#[test]
fn a_failure_that_is_taken_back_is_told_and_so_is_where_that_ends() {
    let mut told = Told::default();
    let back = Event::RollbackBegan { scope: RollbackScope::Run, reason: "step scale failed: no quota".to_owned() };
    assert_eq!(told.of([failed("scale"), back, status(RunStatus::RollingBack, "")]), ["failed scale"]);
    assert_eq!(told.of([Event::RollbackEnded { complete: false }, status(RunStatus::Stuck, "")]), ["stuck"]);
    assert!(told.of([owned(), status(RunStatus::Stuck, "")])[..] == ["started"]);
    assert_eq!(told.of([status(RunStatus::RollingBack, ""), status(RunStatus::Stuck, "")]), ["stuck"], "another try, stuck again");
    assert_eq!(told.of([status(RunStatus::RollingBack, ""), status(RunStatus::RolledBack, "")]), ["finished+owed"]);
}

#[test]
fn every_ending_is_told() {
    for ending in RunStatus::ALL.iter().filter(|status| status.is_finished()) {
        let expected = if *ending == RunStatus::Failed { "failed+finished+owed" } else { "finished+owed" };
        assert_eq!(Told::default().of([status(*ending, "")]), [expected], "{ending}");
        let mut told = Told::default();
        told.of([status(*ending, "")]);
        assert!(told.of([status(*ending, "")]).is_empty(), "{ending}");
    }
    assert_eq!(Occasion::ALL.map(Occasion::as_str), ["started", "waiting", "failed", "stuck", "finished", "owed"]);
}
