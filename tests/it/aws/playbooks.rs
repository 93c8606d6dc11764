//! `scale-redis` and `scale-database` as people use them, and the gate that a deletion needs.

use serde_json::json;

use crate::playbooks::told;
use crate::support::{Stage, step_of};

#[test]
fn scale_redis_runs_is_owed_and_goes_back_when_a_person_says_so() {
    let stage = Stage::new().repository_playbook("scale-redis").sandbox(200);
    let before = stage.objects();
    stage.run(&["run", "scale-redis", "-p", "node_type=cache.r6g.xlarge", "--yes"]).code(0);
    assert_ne!(stage.objects(), before);
    let status = stage.status_json();
    let step = step_of(&status, "node_type");
    assert_eq!(
        (&status["status"], &step["outputs"]["previous_node_type"]),
        (&json!("succeeded"), &json!("cache.t4g.medium")),
        "{status:#}"
    );
    let again = stage.run(&["run", "scale-redis", "-p", "node_type=cache.r6g.xlarge", "--yes"]).code(0);
    assert_eq!(told(&stage).len(), 1, "it is there already: {again}");
    let first = stage.run(&["runs", "-o", "json"]).code(0).json();
    let first = first.as_array().and_then(|runs| runs.last()).expect("two runs")["id"].as_str().expect("an id").to_owned();
    stage.run(&["rollback", &first, "--yes"]).code(0);
    assert_eq!(
        told(&stage).last().map(String::as_str),
        Some("aws/elasticache/ticket-redis CacheNodeType: \"cache.r6g.xlarge\"→\"cache.t4g.medium\"")
    );
    stage.assert_as_before(&before, "a cache that was given back");
}

#[test]
fn a_change_for_the_maintenance_window_ends_with_the_group_as_it_was() {
    let stage = Stage::new().repository_playbook("scale-redis").sandbox(10);
    let ran = stage.run(&["run", "scale-redis", "-p", "apply_immediately=false", "--yes"]).code(0);
    let step = step_of(&stage.status_json(), "node_type").clone();
    assert_eq!((&step["outputs"]["pending"], &step["outputs"]["node_type"]), (&json!(true), &json!("cache.t4g.medium")), "{ran}");
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    assert_eq!(stage.status_json()["status"], "rolled_back");
}

#[test]
fn promise_3_scale_database_keeps_its_replica_says_how_to_remove_it_and_that_leads_back_to_what_was() {
    let stage = Stage::new().repository_playbook("scale-database").sandbox(200);
    let before = stage.objects();
    stage.run(&["run", "scale-database", "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!(step_of(&status, "replica")["outputs"]["created"], true, "{status:#}");
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], &step_of(&status, "replica")["status"]), (&json!("rolled_back"), &json!("kept")), "{status:#}");
    let kept = ["aws/rds/ticket-db-replica-2 is new", "aws/rds/ticket-db.ReadReplicaDBInstanceIdentifiers"];
    stage.assert_as_before_but(&before, &kept, "a replica that is kept");
    let shown = stage.run(&["status"]).stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let way = "runsheet run scale-database -p replica=ticket-db-replica-2 -p remove=true";
    assert!(shown.contains("never deleted by itself") && shown.contains(way), "{shown}");
    // That way, by the letter.
    let words: Vec<&str> = way.split(' ').skip(1).chain(["--yes"]).collect();
    let waiting = stage.run(&words).code(4);
    assert_eq!(told(&stage).len(), 1, "nothing is deleted before somebody agrees: {waiting}");
    let asked = stage.run(&["status"]).stdout;
    assert!(asked.contains("does no client read from it"), "{asked}");
    stage.run(&["approve", "--reason", "no client reads from it"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], &status["outputs"]["removed"]), (&json!("succeeded"), &json!(true)), "{status:#}");
    stage.assert_as_before(&before, "a replica that was removed");
    // It is gone already: nobody is asked for a deletion that deletes nothing, or nothing comes of it.
    let again = stage.run(&words);
    if again.code == Some(4) {
        stage.run(&["approve", "--reason", "it is gone"]).code(0);
    }
    assert_eq!((told(&stage).len(), &stage.status_json()["status"]), (2, &json!("succeeded")), "{again}");
}

#[test]
fn what_somebody_else_made_or_somebody_refuses_is_not_removed() {
    let stage = Stage::new().repository_playbook("scale-database").sandbox(200);
    let before = stage.objects();
    let ran = stage.run(&["run", "scale-database", "-p", "replica=ticket-db", "-p", "remove=true", "--yes"]);
    let ran = if ran.code == Some(4) { stage.run(&["approve", "--reason", "by mistake"]) } else { ran };
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(stage.run(&["status"]).stdout.contains("is no read replica"), "{}", stage.run(&["status"]));
    stage.assert_as_before(&before, "the database itself");
    stage.run(&["cancel", "--yes"]);
    stage.run(&["run", "scale-database", "--yes"]).code(0);
    let with_replica = stage.objects();
    stage.run(&["run", "scale-database", "-p", "remove=true", "--yes"]).code(4);
    stage.run(&["reject", "--reason", "somebody reads from it"]);
    stage.assert_as_before(&with_replica, "a removal that was refused");
    assert_eq!(told(&stage).len(), 1);
}

#[test]
fn a_person_finds_the_commands() {
    let stage = Stage::new().repository_playbook("scale-redis").repository_playbook("scale-database").sandbox(200);
    for (playbook, command) in [
        (
            "scale-redis",
            "aws elasticache modify-replication-group --replication-group-id ticket-redis --cache-node-type cache.r6g.large --apply-immediately --region eu-central-1",
        ),
        (
            "scale-database",
            "aws rds create-db-instance-read-replica --db-instance-identifier ticket-db-replica-2 --source-db-instance-identifier ticket-db --region eu-central-1",
        ),
    ] {
        let shown = stage.run(&["show", playbook, "--commands"]).code(0);
        assert!(shown.stdout.contains(command), "{shown}");
    }
}

const DELETES: &str = "
playbook: clean-up
summary: Delete the replica
steps:
  - id: delete
    uses: aws.rds.delete_read_replica
    with: { replica: ticket-db-replica-2 }
";

#[test]
fn a_deletion_has_a_gate_or_the_playbook_is_refused() {
    let stage = Stage::new().playbook("clean-up", DELETES).repository_playbook("scale-database").sandbox(200);
    let refused = stage.run(&["validate", "clean-up"]).code(3);
    let told_of = format!("{}{}", refused.stdout, refused.stderr);
    assert!(told_of.contains("`aws.rds.delete_read_replica` needs a gate") && told_of.contains("approve: { count: 1 }"), "{refused}");
    stage.write_playbook("clean-up", &format!("{DELETES}    approve: {{ count: 1 }}\n"));
    stage.run(&["run", "scale-database", "--yes"]).code(0);
    let waiting = stage.run(&["run", "clean-up", "--yes"]);
    assert_eq!(waiting.code, Some(4), "it waits for a person: {waiting}");
    assert_eq!(told(&stage).len(), 1, "nothing is deleted before somebody agrees");
    stage.run(&["approve", "--reason", "no client reads from it"]).code(0);
    assert_eq!(stage.status_json()["status"], "succeeded", "{}", stage.run(&["status"]));
    assert_eq!(told(&stage).len(), 2);
}
