//! What programs read.

use serde_json::{Value, json};

use super::fixture::{Journal, path, pre_event, scaling};
use super::json::{event_json, status_json};
use crate::model::event::{Event, GateKind, Waiting};
use crate::model::outcome::Failure;
use crate::model::status::{RunStatus, StepStatus};

#[test]
fn a_run_is_one_document_whose_steps_are_objects() {
    let mut journal = Journal::new();
    journal.scaled();
    let failure = Failure::permanent("exit code 3").hint("read the log");
    journal.started("warm_pool", None).after(3).add(Event::StepFailed { step: path("warm_pool"), failure, applied: false });
    journal.status(RunStatus::Paused, Some("warm_pool failed"));
    let document = status_json(&journal.view(&pre_event()));
    assert_eq!(document["id"], "019ab000-0000-7000-8000-00003fa9c1d2");
    assert_eq!((&document["playbook"], &document["status"], &document["by"]), (&json!("pre-event"), &json!("paused"), &json!("ana@web-1")));
    assert_eq!(document["params"], json!({"level": "high"}));
    assert_eq!(document["target"]["environment"], "sandbox");
    assert_eq!(document["created_at"], "2026-11-23T19:00:00Z");
    let steps = document["steps"].as_array().unwrap();
    let statuses: Vec<_> = steps.iter().map(|step| (step["id"].as_str().unwrap(), step["status"].as_str().unwrap())).collect();
    assert_eq!(statuses, [("budget", "succeeded"), ("scale", "succeeded"), ("warm_pool", "failed"), ("warm_caches", "pending")]);
    assert_eq!(steps[1]["duration_ms"], 11_000);
    assert_eq!(steps[1]["outputs"], json!({"ready_replicas": 8}));
    assert_eq!(steps[2]["failure"], json!({"message": "exit code 3", "hint": "read the log", "transient": false}));
    assert_eq!((&steps[3]["started_at"], &steps[3]["duration_ms"]), (&Value::Null, &Value::Null));
    assert_eq!(document["owed"][0]["words"], "deployment/ticket-service: replicas 8 → 2");
    assert_eq!((&document["owed"][0]["prior"], &document["owed"][0]["after"]), (&json!(2), &json!(8)));
    assert_eq!(document["needs"]["steps"][0]["kind"], "failed");
    assert_eq!(document["needs"]["commands"][0]["command"], "runsheet resume 3fa9c1d2");
    assert_eq!(document["totals"]["succeeded"], 2);
}

#[test]
fn what_waits_is_named_with_what_for() {
    let gate = Waiting::Approval { count: 2, by: vec![], message: None, until: None, gate: GateKind::Step };
    let mut journal = Journal::new();
    journal.waits("scale", gate).add(Event::GateApproved { step: path("scale"), by: "ana".into(), open: false });
    let document = status_json(&journal.view(&pre_event()));
    assert_eq!(document["waiting"].as_array().map(Vec::len), Some(1));
    let wait = &document["waiting"][0];
    assert_eq!((&wait["step"], &wait["for"], &wait["approved_by"]), (&json!("scale"), &json!("approval"), &json!(["ana"])));
}

#[test]
fn ids_of_instances_are_those_of_their_step() {
    let mut journal = Journal::new();
    journal.add(Event::StepExpanded { step: path("warm"), items: vec![("a/b[c]".into(), Value::Null)] });
    journal.started("warm[a/b[c]]/ready", None);
    let mut bare = super::RunView::new(super::fixture::run_id());
    journal.records.iter().for_each(|record| bare.apply(record));
    let document = status_json(&bare);
    let ids: Vec<_> = document["steps"].as_array().unwrap().iter().map(|step| step["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["warm", "warm", "ready"]);
}

#[test]
fn an_event_is_one_line_with_its_fields() {
    let mut journal = Journal::new();
    journal.started("scale", Some(scaling(2, 8))).status(RunStatus::Paused, Some("why")).add(Event::RollbackEnded { complete: true });
    let lines: Vec<_> = journal.records.iter().map(event_json).collect();
    assert_eq!(
        (&lines[0]["kind"], &lines[0]["playbook"], &lines[0]["target"].get("values")),
        (&json!("run_created"), &json!("pre-event"), &None)
    );
    let started = &lines[2];
    assert_eq!((&started["seq"], &started["at"]), (&json!(3), &json!("2026-11-23T19:00:00Z")));
    assert_eq!((&started["kind"], &started["step"], &started["step_status"]), (&json!("step_started"), &json!("scale"), &json!("running")));
    assert_eq!(started["intent"]["changes"][0]["after"], 8);
    assert_eq!((&lines[3]["status"], &lines[3]["reason"]), (&json!("paused"), &json!("why")));
    assert_eq!(lines[4], json!({"seq": 5, "at": "2026-11-23T19:00:00Z", "kind": "rollback_ended", "complete": true}));
}

#[test]
fn every_status_is_a_key_of_the_totals() {
    let document = status_json(&Journal::new().view(&pre_event()));
    assert!(StepStatus::ALL.iter().all(|status| document["totals"][status.as_str()].is_u64()), "{document}");
}
