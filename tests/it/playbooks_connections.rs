//! The playbooks that learn PgBouncer, in a sandbox with and without it: the diagnosis, `pre-event` through the pooler, and settings that a killed run
//! and its rollback put where they belong.

use serde_json::{Value, json};

use super::playbooks::told;
use super::support::{EVENT, Stage, at_every_commit_and_effect};

/// How many runs go at once: they mostly wait.
const WIDTH: usize = 6;

const LARGER: &str = "\
playbook: larger-pools
summary: Give PgBouncer larger pools, once it is proved that they fit
steps:
  - id: set
    uses: pgbouncer.set
    with:
      pooler: ${{ target.pgbouncer }}
      settings: { default_pool_size: 30, reserve_pool_size: 0 }
    retry: { attempts: 3, backoff: exponential, initial: 1s, max: 2s }
  - id: fits
    needs: [set]
    uses: postgres.connection_budget
    with:
      workload: deployment/ticket-service
      replicas: 16
      pool_env: DB_POOL_MAX
      database: ${{ target.postgres }}
      through: pgbouncer
      require: fits
    on_failure: rollback
";

fn stage(pooler: &str) -> Stage {
    Stage::new().env("RUNSHEET_SANDBOX_POOLER", pooler)
}

#[track_caller]
fn diagnosed(stage: &Stage) -> Value {
    let (before, effects) = (stage.objects(), told(stage));
    let ran = stage.run(&["run", "diagnose-connections"]);
    assert!(matches!(ran.code, Some(0 | 1)), "{ran}");
    assert_eq!(told(stage), effects, "it changed something");
    stage.assert_as_before(&before, "diagnose-connections");
    stage.status_json()["outputs"].clone()
}

#[track_caller]
fn says(outputs: &Value, output: &str, words: &str) {
    assert!(outputs[output].to_string().contains(words), "`{words}` is not in the output `{output}`: {outputs:#}");
}

#[test]
fn who_holds_what_is_said_with_and_without_a_pooler() {
    let direct = diagnosed(&stage("none").repository_playbook("diagnose-connections").sandbox(50));
    says(&direct, "database", "48 of 197 connections in use");
    says(&direct, "holders", "ticket_service");
    says(&direct, "pooler", "there is no PgBouncer");
    says(&direct, "sum", "= 60 connections; 200 − 3 reserved − 8 others = 189 free");
    assert_eq!((&direct["pool_size"], &direct["largest_pool_size"]), (&json!(20), &json!(63)), "{direct:#}");

    let pooled = diagnosed(&stage("transaction").repository_playbook("diagnose-connections").sandbox(50));
    says(&pooled, "database", "48 of 197 connections in use");
    says(&pooled, "pooler", "PgBouncer (transaction, 2 instances): 40 of 2000 clients, 0 waiting");
    says(&pooled, "sum", "PostgreSQL sees at most 25 (1 pool: 20 + 5 reserve) + 30 (1 pool: 25 + 5 reserve) = 55 connections");
    assert_eq!((&pooled["waiting"], &pooled["largest_pool_size"]), (&json!(0), &json!(333)), "{pooled:#}");
}

#[test]
fn a_server_without_a_connection_left_is_a_finding() {
    let stage = stage("session").repository_playbook("diagnose-connections").sandbox(50);
    stage.fault(&["refuse", "CONNECT /postgres", "--status", "503", "--times", "forever"]);
    let found = diagnosed(&stage);
    assert_eq!(found["database"], Value::Null, "{found:#}");
    says(&found, "pooler", "PgBouncer (session, 2 instances)");
}

#[test]
fn promise_3_through_the_pooler_sixteen_pods_keep_their_pools_and_are_given_back() {
    let stage = stage("transaction").quick_playbook("pre-event").sandbox(50);
    let before = stage.objects();
    stage.run(&["run", "pre-event", "-p", &format!("event_id={EVENT}"), "-p", "level=critical", "--yes"]).code(0);
    let effects = told(&stage);
    assert!(
        effects.len() == 2 && effects[0].ends_with("spec.replicas: 2→16") && effects[1].contains("/cache/"),
        "no pool has to shrink: {effects:?}"
    );
    let usage = stage.connections();
    assert_eq!((usage.wanted, usage.exceeded), (320, 0), "{usage:?}");
    assert_eq!(usage.pooled.as_ref().map(|pooled| (pooled.clients, pooled.servers)), Some((320, 45)), "{usage:?}");
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    stage.assert_as_before(&before, "pre-event through PgBouncer");
}

#[test]
fn promise_3_a_larger_pool_is_proved_against_what_the_pooler_takes_and_given_back() {
    let stage = stage("transaction").quick_playbook("pool-size").sandbox(50);
    let before = stage.objects();
    let ran = stage.run(&["run", "pool-size", "-p", "pool_size=400", "--yes"]).code(1);
    let _ = ran.stdout_has("3 pods × 400 = 1200 clients of PgBouncer").stdout_has("at most 333 a pod");
    assert_eq!(told(&stage), Vec::<String>::new());
    stage.run(&["run", "pool-size", "-p", "pool_size=300", "--yes"]).code(0);
    assert!(told(&stage).len() == 1 && told(&stage)[0].ends_with("\"20\"→\"300\""), "{:?}", told(&stage));
    assert_eq!(stage.connections().exceeded, 0, "directly not even 64 would fit: {:?}", stage.connections());
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    stage.assert_as_before(&before, "pool-size through PgBouncer");
}

#[test]
fn in_session_mode_pre_event_and_scale_are_refused_and_nothing_changes() {
    let stage = stage("session").quick_playbook("pre-event").repository_playbook("scale").sandbox(50);
    let ran = stage.run(&["run", "pre-event", "-p", &format!("event_id={EVENT}"), "-p", "level=critical", "--yes"]).code(1);
    let _ = ran.stdout_has("pools in session mode").stdout_has("pool_mode = transaction");
    let _ = stage.run(&["run", "scale", "-p", "replicas=4", "--yes"]).code(1).stdout_has("pools in session mode");
    assert_eq!(told(&stage), Vec::<String>::new());
}

#[test]
fn promise_2_settings_are_put_where_they_belong_at_every_point_that_a_run_is_killed_at() {
    let sizes = |stage: &Stage| (stage.effects_on("default_pool_size"), stage.effects_on("reserve_pool_size"));
    let owned = |all: &[&str]| all.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let forth = (owned(&["\"20\"→\"30\"", "\"25\"→\"30\""]), owned(&["\"5\"→\"0\"", "\"5\"→\"0\""]));
    let killed = at_every_commit_and_effect(WIDTH, |point| {
        let stage = stage("transaction").playbook("larger-pools", LARGER).sandbox(50);
        let (killed, ran) = stage.run_killed_at(point, &["run", "larger-pools", "--yes"]);
        if !killed {
            ran.code(0);
        } else if !stage.has_ended() {
            stage.run(&["resume"]).code(0);
        }
        let mut found = sizes(&stage);
        found.0.sort();
        found.1.sort();
        assert_eq!(found, forth, "{point}: each once");
        let (killed_back, ran) = stage.run_killed_at(point, &["rollback", &stage.latest_run(), "--yes"]);
        if killed_back {
            stage.run(&["resume"]);
        } else {
            ran.code(0);
        }
        assert_eq!(stage.status_json()["status"], "rolled_back", "{point}: {}", stage.run(&["status"]));
        let back = sizes(&stage);
        assert_eq!((back.0.len(), back.1.len()), (4, 4), "{point}: {back:?}");
        assert!(back.0.contains(&"\"30\"→\"20\"".to_owned()) && back.0.contains(&"\"30\"→\"25\"".to_owned()), "{point}: {back:?}");
        killed || killed_back
    });
    assert!(killed["commit"] >= 4 && killed["effect"] >= 1, "{killed:?}");
}

#[test]
fn a_sandbox_keeps_its_pooler_and_is_made_anew_with_another() {
    let stage = stage("transaction").playbook("larger-pools", LARGER).sandbox(50);
    stage.run(&["run", "larger-pools", "--yes"]).code(0);
    stage.run(&["sandbox", "up", "--pooler", "session"]).code(6).stderr_has("was made with the pooler `transaction`");
    stage
        .run(&["sandbox", "status"])
        .code(0)
        .stdout_has("pooler   PgBouncer, transaction mode; 40 clients, 40 connections to the database");
    stage.run(&["sandbox", "reset"]).code(0);
    assert_eq!(stage.effects_on("default_pool_size"), Vec::<String>::new());
    stage.run(&["run", "larger-pools", "--yes"]).code(0);
    assert_eq!(stage.effects_on("default_pool_size").len(), 2, "a reset put its settings back");
    stage.run(&["sandbox", "reset", "--pooler", "none"]).code(0);
    let ran = stage.run(&["run", "larger-pools", "--yes"]);
    assert_ne!(ran.code, Some(0), "{ran}");
}
