//! What people read.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::*;
use crate::model::change::{Change, ObjectRef};
use crate::model::duration::Span;
use crate::model::event::{Event, GateKind, RollbackScope};
use crate::model::id::ContentHash;
use crate::model::intent::{Intent, Revert};
use crate::model::outcome::Failure;
use crate::model::run::{RunSpec, TargetSpec};

/// A run on staging, and each event a second after the one before.
struct Journal {
    words: Words,
    seq: u64,
}

impl Journal {
    fn new() -> Self {
        let run = "019ab000-0000-7000-8000-00003fa9c1d2".parse().unwrap();
        let mut journal = Self { words: Words { view: RunView::new(run), host: "web-1".to_owned() }, seq: 0 };
        let target = TargetSpec { environment: "staging".to_owned(), identity: Map::new(), values: Map::new() };
        journal.add(Event::RunCreated(Box::new(RunSpec {
            playbook: "pre-event".to_owned(),
            definition: ContentHash::of(b"x"),
            params: Map::new(),
            vars: Map::new(),
            target: Some(target),
            max_parallel: 1,
            by: "ana@web-1".to_owned(),
        })));
        journal
    }

    fn add(&mut self, event: Event) -> &mut Self {
        self.seq += 1;
        let at = Timestamp::UNIX_EPOCH + SignedDuration::from_secs(i64::try_from(self.seq).unwrap());
        self.words.apply(&Record { seq: self.seq, epoch: 1, at, event });
        self
    }

    /// `scale` from 2 to 8 is there.
    fn scaled(&mut self) -> &mut Self {
        let change = Change {
            object: ObjectRef("k8s:4f0c/production/deployment/ticket-service".to_owned()),
            field: "spec.replicas".to_owned(),
            label: "replicas".to_owned(),
            prior: json!(2),
            after: json!(8),
        };
        let undo_by_hand = vec!["kubectl -n production scale deployment/ticket-service --replicas=2".to_owned()];
        let revert = Revert::Fields { settle: Span::seconds(60) };
        let intent = Intent { changes: vec![change], revert, undo_by_hand, ..Intent::default() };
        self.add(Event::StepStarted { step: "scale".into(), occurrence: 1, inputs: Default::default(), intent: None });
        self.add(Event::AttemptStarted { step: "scale".into(), attempt: 1, intent: Box::new(intent) });
        self.add(Event::StepSucceeded { step: "scale".into(), outputs: Value::Null, how: None })
    }

    fn status(&mut self, status: RunStatus, reason: &str) -> &mut Self {
        self.add(Event::RunStatusChanged { status, reason: (!reason.is_empty()).then(|| reason.to_owned()) })
    }

    fn told(&self, occasion: Occasion, step: Option<&str>) -> Notice {
        let news = News { occasions: vec![occasion], step: step.map(Into::into), seq: self.seq, at: Timestamp::UNIX_EPOCH };
        self.words.describe(&news)
    }
}

fn commands(notice: &Notice) -> Vec<&str> {
    notice.next.iter().map(|next| next.command.as_str()).collect()
}

#[test]
fn a_start_says_who_and_where() {
    let told = Journal::new().told(Occasion::Started, None);
    assert_eq!(told.message, "pre-event 3fa9c1d2 on staging has started, by ana@web-1.");
    assert_eq!((told.environment.as_deref(), told.host.as_str(), told.operator.as_str()), (Some("staging"), "web-1", "ana@web-1"));
}

#[test]
fn a_gate_says_what_is_asked_and_what_to_type() {
    let mut journal = Journal::new();
    let message = Some("Open the doors?".to_owned());
    let wait = Waiting::Approval { count: 2, by: vec!["lead".to_owned()], message, until: None, gate: GateKind::Step };
    journal.add(Event::StepWaiting { step: "go_live".into(), wait }).status(RunStatus::Waiting, "");
    let told = journal.told(Occasion::Waiting, Some("go_live"));
    assert_eq!(
        told.message,
        "pre-event 3fa9c1d2 on staging: step go_live waits for an approval (0 of 2) by lead: Open the doors? Next: runsheet approve 3fa9c1d2 go_live"
    );
    assert_eq!(commands(&told)[..2], ["runsheet approve 3fa9c1d2 go_live", "runsheet reject 3fa9c1d2 go_live"]);
    assert_eq!(told.status, RunStatus::Waiting);
}

#[test]
fn a_step_is_told_with_its_own_commands_though_another_presses_more() {
    let mut journal = Journal::new();
    let wait = Waiting::Approval { count: 1, by: Vec::new(), message: None, until: None, gate: GateKind::Step };
    journal.add(Event::StepUnknown { step: "warm".into(), reason: "no answer came".to_owned() });
    journal.add(Event::StepWaiting { step: "go_live".into(), wait });
    assert_eq!(commands(&journal.told(Occasion::Waiting, Some("go_live")))[0], "runsheet approve 3fa9c1d2 go_live");
    let told = journal.told(Occasion::Waiting, Some("warm"));
    assert!(told.message.contains("step warm nobody can tell what it did: no answer came. Next: runsheet mark-done"), "{}", told.message);
}

#[test]
fn a_time_and_a_lock_are_told_too() {
    let mut journal = Journal::new();
    let until = "2026-11-27T18:00:00Z".parse().unwrap();
    journal.add(Event::StepWaiting { step: "pause".into(), wait: Waiting::Time { until } });
    assert!(journal.told(Occasion::Waiting, Some("pause")).message.contains(": step pause waits until 2026-11-27T18:00:00Z."));
    let wait = Waiting::Lock { object: ObjectRef("k8s:4f0c/production/deployment/x".to_owned()), holder: "run 1234 of scale".to_owned() };
    journal.add(Event::StepWaiting { step: "scale".into(), wait });
    let told = journal.told(Occasion::Waiting, Some("scale"));
    assert!(
        told.message.contains("step scale waits for the lock on k8s:4f0c/production/deployment/x, which is held by run 1234"),
        "{}",
        told.message
    );
}

#[test]
fn a_failure_says_which_step_and_why() {
    let mut journal = Journal::new();
    let failure = Failure::permanent("503 from ticket-service");
    journal.scaled().add(Event::StepFailed { step: "warm".into(), failure, applied: false });
    journal.status(RunStatus::Paused, "step warm failed: 503 from ticket-service");
    let told = journal.told(Occasion::Failed, Some("warm"));
    assert_eq!(
        told.message,
        "pre-event 3fa9c1d2 on staging is paused: step warm failed: 503 from ticket-service. Next: runsheet resume 3fa9c1d2"
    );
    assert_eq!(told.owed[0].what, "deployment/ticket-service: replicas 8 → 2");
    assert_eq!(told.owed[0].undo_by_hand, ["kubectl -n production scale deployment/ticket-service --replicas=2"]);
    let back = Event::RollbackBegan { scope: RollbackScope::Run, reason: "step warm failed: 503".to_owned() };
    journal.add(back).status(RunStatus::RollingBack, "");
    let told = journal.told(Occasion::Failed, Some("warm"));
    assert_eq!(told.message, "pre-event 3fa9c1d2 on staging: step warm failed: 503; what ran is being taken back.");
}

#[test]
fn a_stuck_run_says_what_is_left_behind_and_an_ended_one_what_is_owed() {
    let mut journal = Journal::new();
    journal.scaled().status(RunStatus::Succeeded, "");
    let told = journal.told(Occasion::Finished, None);
    assert_eq!(told.message, "pre-event 3fa9c1d2 on staging succeeded. To be given back: deployment/ticket-service: replicas 8 → 2.");
    assert_eq!(commands(&told), ["runsheet rollback 3fa9c1d2"]);
    journal.add(Event::RevertStarted { step: "scale".into() });
    journal.add(Event::StepRollbackFailed { step: "scale".into(), failure: Failure::permanent("somebody else changed it") });
    journal.status(RunStatus::Stuck, "");
    let told = journal.told(Occasion::Stuck, None);
    assert_eq!(
        told.message,
        "pre-event 3fa9c1d2 on staging is stuck, an operator must decide. Left behind: deployment/ticket-service: replicas 8 → 2. \
         Next: runsheet retry 3fa9c1d2 scale"
    );
}

#[test]
fn warnings_are_kept_with_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let heard: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let of_warn = Arc::clone(&heard);
    let log = folder.path().join("files").join("notify.log");
    let warn = logged(log.clone(), Arc::new(move |what: &str| of_warn.lock().unwrap().push(what.to_owned())));
    warn("`failed` was not told by webhook https://hooks.example: no answer");
    assert_eq!(heard.lock().unwrap().len(), 1);
    assert!(std::fs::read_to_string(log).unwrap().ends_with("`failed` was not told by webhook https://hooks.example: no answer\n"));
}
