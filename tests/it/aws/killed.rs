//! `kill -9` in the middle of what takes its time in AWS: the run goes on where it was, sends nothing twice, does not give up, and does not take
//! `available` for done.

use std::time::Duration;

use serde_json::Value;

use crate::playbooks::told;
use crate::support::{Stage, at_every_commit_and_effect, until};

/// What a rollback of `scale-database` keeps, and where the source tells of it.
const KEPT: [&str; 2] = ["aws/rds/ticket-db-replica-2 is new", "aws/rds/ticket-db.ReadReplicaDBInstanceIdentifiers"];
/// How many runs go at once: they mostly wait.
const WIDTH: usize = 4;

fn stage(playbook: &str, speed: u32) -> Stage {
    Stage::new().repository_playbook(playbook).sandbox(speed)
}

/// Kills it at every commit and around every effect, forth and back; the effects are those of one that nobody killed.
#[track_caller]
fn killed_forth_and_back(playbook: &str, forth: &[&str], back: &[&str], kept: &[&str]) {
    let killed = at_every_commit_and_effect(WIDTH, |point| {
        let when = format!("{playbook} at {point}");
        let stage = stage(playbook, 100);
        let before = stage.objects();
        let (killed, ran) = stage.run_killed_at(point, &["run", playbook, "--yes"]);
        if !killed {
            ran.code(0);
        } else if !stage.has_ended() {
            stage.run(&["resume"]).code(0);
        }
        assert_eq!((stage.status_json()["status"].as_str(), told(&stage)), (Some("succeeded"), words(forth)), "{when}");
        let (killed_back, ran) = stage.run_killed_at(point, &["rollback", &stage.latest_run(), "--yes"]);
        if killed_back {
            // One that had come to its end has nothing to be resumed.
            stage.run(&["resume"]);
        } else {
            ran.code(0);
        }
        assert_eq!(stage.status_json()["status"], "rolled_back", "{when}: {}", stage.run(&["status"]));
        assert_eq!(told(&stage), [words(forth), words(back)].concat(), "{when}");
        stage.assert_as_before_but(&before, kept, &when);
        killed || killed_back
    });
    assert!(killed["commit"] >= 4 && killed["effect"] >= 1 && killed["before-effect"] == killed["effect"], "{killed:?}");
}

fn words(effects: &[&str]) -> Vec<String> {
    effects.iter().map(|effect| (*effect).to_owned()).collect()
}

#[test]
fn promise_2_scale_redis_killed_forth_and_back_puts_back_what_was_there() {
    killed_forth_and_back(
        "scale-redis",
        &["aws/elasticache/ticket-redis CacheNodeType: \"cache.t4g.medium\"→\"cache.r6g.large\""],
        &["aws/elasticache/ticket-redis CacheNodeType: \"cache.r6g.large\"→\"cache.t4g.medium\""],
        &[],
    );
}

#[test]
fn promise_2_scale_database_killed_anywhere_creates_one_replica_and_keeps_it() {
    killed_forth_and_back(
        "scale-database",
        &["aws/rds/ticket-db-replica-2 ReadReplicaSourceDBInstanceIdentifier: null→\"ticket-db\""],
        &[],
        &KEPT,
    );
}

#[test]
fn promise_2_a_removal_killed_anywhere_after_its_gate_deletes_once_and_leaves_nothing() {
    let killed = at_every_commit_and_effect(WIDTH, |point| {
        let stage = stage("scale-database", 100);
        let before = stage.objects();
        stage.run(&["run", "scale-database", "--yes"]).code(0);
        stage.run(&["run", "scale-database", "-p", "remove=true", "--yes"]).code(4);
        let (killed, ran) = stage.run_killed_at(point, &["approve", "--reason", "nobody reads from it"]);
        if !killed {
            ran.code(0);
        } else if !stage.has_ended() {
            let waits = stage.status_json()["status"] == "waiting";
            // Killed before the answer was kept, the gate is still there.
            stage.run(if waits { &["approve", "--reason", "nobody reads from it"] } else { &["resume"] }).code(0);
        }
        let deleted = "aws/rds/ticket-db-replica-2 ReadReplicaSourceDBInstanceIdentifier: \"ticket-db\"→null";
        assert_eq!(told(&stage)[1..], [deleted], "{point}");
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}: {}", stage.run(&["status"]));
        stage.assert_as_before(&before, point);
        killed
    });
    assert!(killed["commit"] >= 2 && killed["effect"] >= 1, "{killed:?}");
}

/// Killed once the change was taken and long before it is done; and once more while it is only asked about.
#[track_caller]
fn killed_in_the_middle(playbook: &str, effect: &str) {
    let stage = stage(playbook, 15);
    let run = stage.start(&["run", playbook, "--yes"]);
    until("the change was taken", || !told(&stage).is_empty());
    run.kill9();
    assert!(!stage.has_ended(), "it is far from done");
    let resumed = stage.start(&["resume"]);
    stage.until_status("it is asked about", |run| run["steps"].as_array().into_iter().flatten().any(|step| step["status"] == "verifying"));
    resumed.kill9();
    stage.run(&["resume"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], told(&stage)), (&"succeeded".into(), vec![effect.to_owned()]), "{status:#}");
}

#[test]
fn killed_in_the_middle_of_the_change_of_the_cache_it_is_waited_for_and_not_asked_for_again() {
    killed_in_the_middle("scale-redis", "aws/elasticache/ticket-redis CacheNodeType: \"cache.t4g.medium\"→\"cache.r6g.large\"");
}

#[test]
fn killed_in_the_middle_of_the_creation_of_a_replica_it_is_waited_for_and_not_created_twice() {
    killed_in_the_middle("scale-database", "aws/rds/ticket-db-replica-2 ReadReplicaSourceDBInstanceIdentifier: null→\"ticket-db\"");
}

#[test]
fn a_rollback_right_after_a_kill_waits_for_the_change_to_end_and_then_takes_it_back() {
    let stage = stage("scale-redis", 40);
    let run = stage.start(&["run", "scale-redis", "--yes"]);
    until("the change was taken", || !told(&stage).is_empty());
    run.kill9();
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    let status = stage.status_json();
    assert_eq!((&status["status"], told(&stage).len()), (&"rolled_back".into(), 2), "{status:#}");
}

#[test]
fn what_somebody_else_set_meanwhile_is_left_alone() {
    let stage = stage("scale-redis", 200);
    stage.run(&["run", "scale-redis", "--yes"]).code(0);
    stage.fault(&["change", "aws/elasticache/ticket-redis", "CacheNodeType", "cache.r6g.xlarge"]);
    let ran = stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(5);
    assert!(ran.stdout.contains("cache.r6g.xlarge"), "{ran}");
    assert_eq!(told(&stage).len(), 2, "nothing was sent");
}

mod real_moto {
    use super::*;
    use crate::support::{AwsBench, Runs};

    struct Killed {
        stage: Stage,
        bench: AwsBench,
        _runtime: tokio::runtime::Runtime,
    }

    impl Killed {
        /// An environment that leads to moto, behind a proxy that lets everything take its time.
        fn start(step: &str) -> Self {
            let runtime = tokio::runtime::Runtime::new().expect("a runtime");
            let bench = runtime.block_on(AwsBench::start(Runs::Moto));
            let proxy = bench.proxy.as_ref().expect("a proxy");
            proxy.slow(1);
            let account = runtime.block_on(bench.aws.caller_account()).expect("its number");
            let text = step.replace("GROUP", &bench.group).replace("DATABASE", &bench.database);
            let stage = Stage::new().playbook("it", &text).env("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE").env("AWS_SECRET_ACCESS_KEY", "a-secret");
            let folder = stage.root().join("playbooks/environments");
            std::fs::create_dir_all(&folder).expect("a folder");
            let environment =
                format!("environment: staging\naws:\n  region: eu-central-1\n  account: \"{account}\"\n  endpoint: {}\n", proxy.url());
            std::fs::write(folder.join("staging.yaml"), environment).expect("an environment");
            Self { stage, bench, _runtime: runtime }
        }

        fn count(&self, action: &str) -> usize {
            self.bench.proxy.as_ref().expect("a proxy").count(action, None)
        }

        /// Killed once the request was sent, and resumed; the run as it stands then.
        fn killed_after(&self, action: &str) -> Value {
            let run = self.stage.start(&["run", "it", "--env", "staging", "--yes"]);
            until("the request was sent", || self.count(action) == 1);
            run.kill9();
            self.stage.run(&["resume"]).code(0);
            self.stage.status_json()
        }
    }

    const REPLICA: &str = "
playbook: it
summary: What is killed
steps:
  - id: replica
    uses: aws.rds.create_read_replica
    with: { replica: DATABASE-replica-2, source: DATABASE, within: 5m }
  - id: serves
    needs: [replica]
    uses: aws.rds.describe
    with: { db_instance: DATABASE-replica-2 }
    outputs:
      ready: ${{ result.ready }}
";
    const CACHE: &str = "
playbook: it
summary: What is killed
steps:
  - id: node_type
    uses: aws.elasticache.modify_replication_group
    with: { replication_group: GROUP, node_type: cache.r6g.large, within: 5m }
    check:
      after:
        - that: ${{ result.settled && result.node_type == \"cache.r6g.large\" }}
";

    #[test]
    fn a_replica_is_created_by_one_request_whenever_it_is_killed() {
        let killed = Killed::start(REPLICA);
        let status = killed.killed_after("CreateDBInstanceReadReplica");
        let serves = crate::support::step_of(&status, "serves");
        assert_eq!((&status["status"], &serves["outputs"]["ready"]), (&"succeeded".into(), &true.into()), "{status:#}");
        assert_eq!(killed.count("CreateDBInstanceReadReplica"), 1);
        // `available` came before it replicated, and was not enough.
        assert!(killed.count("DescribeDBInstances") >= 6, "{}", killed.count("DescribeDBInstances"));
    }

    #[test]
    fn a_cache_is_changed_by_one_request_whenever_it_is_killed() {
        let killed = Killed::start(CACHE);
        let status = killed.killed_after("ModifyReplicationGroup");
        assert_eq!(status["status"], "succeeded", "{status:#}");
        assert_eq!(killed.count("ModifyReplicationGroup"), 1);
        assert!(killed.stage.state_files_with("a-secret").is_empty());
    }

    #[test]
    fn another_account_is_refused_before_anything_is_asked_of_it() {
        let killed = Killed::start(CACHE);
        let file = killed.stage.root().join("playbooks/environments/staging.yaml");
        let text = std::fs::read_to_string(&file).expect("the environment");
        let (before, _) = text.split_once("  account: ").expect("an account");
        let (_, after) = text.split_once("  endpoint: ").expect("an endpoint");
        std::fs::write(&file, format!("{before}  account: \"999999999999\"\n  endpoint: {after}")).expect("the environment");
        let ran = killed.stage.run(&["run", "it", "--env", "staging", "--yes"]).code(6);
        assert!(ran.stderr.contains("999999999999") && ran.stderr.contains("staging.yaml:4"), "{ran}");
        let check = killed.stage.run(&["environment", "check", "staging"]);
        assert!(check.stdout.contains("the credentials lead to the AWS account"), "{check}");
        std::fs::write(&file, &text).expect("the environment");
        let check = killed.stage.run(&["environment", "check", "staging"]);
        assert!(check.stdout.contains("the one that is meant, in eu-central-1"), "{check}");
        assert_eq!(killed.count("DescribeReplicationGroups"), 0);
    }

    #[test]
    fn without_credentials_nothing_is_asked_and_the_way_to_some_is_told() {
        let killed = Killed::start(CACHE);
        let nothing = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")];
        let asked = killed.count("GetCallerIdentity");
        let begun = std::time::Instant::now();
        let ran = killed.stage.run_with(&["run", "it", "--env", "staging", "--yes"], &nothing).code(6);
        assert!(
            ran.stderr.contains("there are no AWS credentials for account")
                && ran.stderr.contains("nor a role of this machine")
                && ran.stderr.contains("aws sso login"),
            "{ran}"
        );
        assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
        assert_eq!(killed.count("GetCallerIdentity"), asked);
    }
}
