//! Read replicas.

use runsheet::model::intent::Revert;
use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use crate::support::real::AwsFault;
use crate::support::{AwsBench, Runs, Step, on_all};

const CREATE: &str = "aws.rds.create_read_replica";
const DELETE: &str = "aws.rds.delete_read_replica";
const CALL: &str = "CreateDBInstanceReadReplica";

on_all! {
    sandbox: a_replica_is_created_once_and_serves_in_the_end, a_creation_that_was_cut_is_found_by_asking, what_is_no_replica_of_the_source_is_an_error,
        only_what_this_tool_made_is_deleted;
    moto: a_replica_is_created_once_and_serves_in_the_end, a_creation_that_was_cut_is_found_by_asking, what_is_no_replica_of_the_source_is_an_error,
        without_backups_nothing_is_sent, only_what_this_tool_made_is_deleted;
    ministack: a_replica_is_created_once_and_serves_in_the_end, a_creation_that_was_cut_is_found_by_asking, what_is_no_replica_of_the_source_is_an_error,
        without_backups_nothing_is_sent, only_what_this_tool_made_is_deleted;
}

fn name(bench: &AwsBench) -> String {
    format!("{}-replica-2", bench.database)
}

fn create(bench: &AwsBench) -> Step {
    bench.step(CREATE, json!({ "replica": name(bench), "source": bench.database, "within": "15s" }))
}

fn delete(bench: &AwsBench, replica: &str) -> Step {
    bench.step(DELETE, json!({ "replica": replica, "within": "15s" }))
}

async fn a_replica_is_created_once_and_serves_in_the_end(bench: AwsBench) {
    bench.slow();
    let step = create(&bench);
    let plan = step.plan().await;
    assert!(matches!(&plan.intent.revert, Revert::Keep { reason } if reason.contains("never deleted by itself")));
    assert_eq!((&plan.intent.changes[0].prior, &plan.intent.changes[0].after), (&Value::Null, &json!(bench.database)));
    let outputs = step.applied(&plan.intent).await;
    assert_eq!((&outputs["replica"], &outputs["created"]), (&json!(name(&bench)), &json!(true)));
    assert!(outputs["endpoint"]["host"].as_str().is_some_and(|host| !host.is_empty()), "{outputs}");
    let log = bench.log.text();
    // The sandbox is too quick for each state to be seen.
    assert!(log.contains("is `creating`") && (bench.runs == Runs::Sandbox || log.contains("is `backing-up`")), "{log}");
    let replica = bench.aws.db_instance(&name(&bench)).await.unwrap().unwrap();
    assert_eq!(replica.tags["runsheet:created-by"], step.cx.idempotency_key);
    assert_eq!(replica.tags["runsheet:run"], step.cx.run.to_string());
    // Twice in a row: by the same step, and by another, for whom it was there.
    step.applied(&plan.intent).await;
    assert_eq!(create(&bench).plan().await.unchanged.expect("it is there")["created"], false);
    assert_eq!(bench.changes(CALL), 1);
    assert_eq!(step.verify(&plan.intent).await, Verdict::Present { outputs });
    let described = bench.step("aws.rds.describe", json!({ "db_instance": bench.database })).outputs().await;
    assert_eq!(
        (&described["ready"], &described["replicas"], &described["backup_retention_days"]),
        (&json!(true), &json!([name(&bench)]), &json!(7))
    );
}

async fn a_creation_that_was_cut_is_found_by_asking(bench: AwsBench) {
    bench.slow();
    let step = create(&bench);
    let intent = step.plan().await.intent;
    bench.fault(CALL, AwsFault::CutBefore).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    assert_eq!(step.verify(&intent).await, Verdict::Absent);
    bench.fault(CALL, AwsFault::CutAfter).await;
    assert!(matches!(step.apply(&intent).await, Applied::Unknown { .. }));
    let seen = step.observe().await.unwrap();
    assert_eq!((&seen["exists"], &seen["ready"]), (&json!(true), &json!(false)), "{seen:#}");
    let verdict = step.verified(&intent).await;
    let Verdict::Present { outputs } = &verdict else { panic!("{verdict:?}") };
    assert_eq!(outputs["created"], true, "it bears the step's mark");
    let sent = bench.changes(CALL);
    step.applied(&intent).await;
    assert_eq!(bench.changes(CALL), sent, "it is not created twice");
}

async fn what_is_no_replica_of_the_source_is_an_error(bench: AwsBench) {
    create(&bench).applied(&create(&bench).plan().await.intent).await;
    let sent = bench.changes(CALL);
    let failure = |inputs: Value| {
        let step = bench.step(CREATE, inputs);
        async move { step.try_plan().await.expect_err("it cannot be") }
    };
    let other = failure(json!({ "replica": name(&bench), "source": "another-db" })).await;
    assert!(other.message.contains(&format!("as a read replica of {}, not of another-db", bench.database)), "{other}");
    let itself = failure(json!({ "replica": bench.database, "source": name(&bench) })).await;
    assert!(itself.message.contains("a database of its own, no read replica"), "{itself}");
    let nobody = failure(json!({ "replica": "another-replica", "source": "nobody" })).await;
    assert!(nobody.message.contains("there is no DB instance nobody to be replicated"), "{nobody}");
    assert_eq!(bench.changes(CALL), sent);
}

async fn without_backups_nothing_is_sent(bench: AwsBench) {
    let source = format!("{}-bare", bench.database);
    bench.another_database(&source, "0").await;
    let step = bench.step(CREATE, json!({ "replica": name(&bench), "source": source }));
    let failure = step.try_plan().await.expect_err("it has no backups");
    assert!(failure.message.contains("no automatic backups (`BackupRetentionPeriod` 0)"), "{failure}");
    assert!(failure.hint.is_some_and(|hint| hint.contains("--backup-retention-period 1")));
    assert_eq!(bench.changes(CALL), 0);
}

async fn only_what_this_tool_made_is_deleted(bench: AwsBench) {
    let failure = delete(&bench, &bench.database).try_plan().await.expect_err("it is the database itself");
    assert!(failure.message.contains("is no read replica"), "{failure}");
    let theirs = format!("{}-theirs", bench.database);
    let wanted = runsheet::environment::NewReplica {
        id: theirs.clone(),
        source: bench.database.clone(),
        class: None,
        zone: None,
        tags: std::collections::BTreeMap::from([("team".to_owned(), "reports".to_owned())]),
    };
    bench.aws.create_read_replica(&wanted).await.unwrap();
    let failure = delete(&bench, &theirs).try_plan().await.expect_err("somebody else made it");
    assert!(failure.message.contains("was not made by this tool"), "{failure}");
    let step = create(&bench);
    step.applied(&step.plan().await.intent).await;
    let step = delete(&bench, &name(&bench));
    let plan = step.plan().await;
    bench.fault("DeleteDBInstance", AwsFault::CutBefore).await;
    assert!(matches!(step.apply(&plan.intent).await, Applied::Unknown { .. }));
    assert_eq!(step.verify(&plan.intent).await, Verdict::Absent);
    bench.fault("DeleteDBInstance", AwsFault::CutAfter).await;
    assert!(matches!(step.apply(&plan.intent).await, Applied::Unknown { .. }));
    assert!(matches!(step.verified(&plan.intent).await, Verdict::Present { .. }));
    assert_eq!(step.applied(&plan.intent).await["deleted"], true);
    let again = delete(&bench, &name(&bench)).plan().await.unchanged.expect("it is gone");
    assert_eq!(again["deleted"], false);
    assert!(bench.aws.db_instance(&theirs).await.unwrap().is_some(), "theirs is left alone");
}
