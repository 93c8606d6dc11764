//! The connections of all pods, over whole runs: a pool grows only where it is proved to fit, and at no moment do the pods want more than is free.

use serde_json::json;

use super::support::{EVENT, Ran, Stage, at_every_point, step_of};

/// How many stages go at once: they mostly wait.
const WIDTH: usize = 6;
const DEPLOYMENT: &str = "production/deployment/ticket-service";

const FITS: &str = "\
playbook: budget
summary: Prove that the connections fit
params:
  replicas:
    type: integer
steps:
  - id: budget
    uses: postgres.connection_budget
    with:
      workload: deployment/ticket-service
      replicas: ${{ params.replicas }}
      pool_env: DB_POOL_MAX
      database: ${{ target.postgres }}
      require: fits
";

fn arguments(level: &str) -> Vec<String> {
    ["run", "pre-event", "-p", &format!("event_id={EVENT}"), "-p", &format!("level={level}"), "--yes"].map(str::to_owned).to_vec()
}

/// Runs pre-event at a level; the short id of the run.
#[track_caller]
fn grown(stage: &Stage, level: &str) -> String {
    stage.run(&arguments(level)).code(0);
    stage.status_json()["short_id"].as_str().unwrap().to_owned()
}

/// That the pods never wanted more than was free.
#[track_caller]
fn assert_within(stage: &Stage, when: &str) {
    let usage = stage.connections();
    assert_eq!(usage.exceeded, 0, "{when}: {usage:?}");
}

fn pool(stage: &Stage) -> Vec<String> {
    let field = |field: &str| field.contains("DB_POOL_MAX") || field.contains("template");
    stage
        .effects()
        .iter()
        .filter(|effect| field(&effect.field))
        .map(|effect| format!("{}→{}", effect.from, effect.to).replace('"', ""))
        .collect()
}

#[track_caller]
fn assert_back(stage: &Stage, when: &str) {
    let status = stage.status_json();
    assert_eq!(status["status"], "rolled_back", "{when}: {}", stage.run(&["status"]));
    assert_eq!(status["owed"], json!([]), "{when}");
    assert_eq!(stage.deployments()[0], "production/ticket-service 2/2 ready", "{when}");
    assert_eq!(stage.connections().wanted, 40, "{when}: two pods of 20 again");
    assert_within(stage, when);
}

#[test]
fn sixteen_pods_of_twenty_are_refused_with_the_whole_sum_and_nine_proposed() {
    let stage = Stage::new().playbook("budget", FITS).sandbox(20);
    let ran = stage.run(&["run", "budget", "-p", "replicas=16"]).code(1);
    // The two pods hold 40 connections, which are known as theirs by their addresses: only eight are others'.
    let ran = ran.stdout_has(
        "the connections do not fit: 16 replicas + 4 surge + 0 terminating = 20 pods × 20 = 400 connections; 200 − 3 reserved − 8 others = 189 \
         free; at most 9 a pod",
    );
    let ran = ran.stdout_has("others (database/user): tickettoken/reporting 5, analytics/analytics 3");
    ran.stdout_has("a pool of 9 a pod fits: set it before the pods become more");
}

#[test]
fn where_an_autoscaler_may_go_to_twenty_seven_are_proposed() {
    let stage = Stage::new().playbook("budget", FITS).env("RUNSHEET_SANDBOX_AUTOSCALER", "cpu").sandbox(20);
    stage.fault(&["change", "production/hpa/ticket-service-hpa", "spec.maxReplicas", "20"]);
    let ran = stage.run(&["run", "budget", "-p", "replicas=16"]).code(1);
    let ran =
        ran.stdout_has("20 replicas at the autoscaler's maximum (wanted: 16) + 5 surge + 0 terminating = 25 pods × 20 = 500 connections");
    ran.stdout_has("at most 7 a pod").stdout_has("a pool of 7 a pod fits");
}

#[test]
fn eight_pods_of_twenty_are_refused_for_their_surge() {
    let stage = Stage::new().playbook("budget", FITS).sandbox(20);
    let ran = stage.run(&["run", "budget", "-p", "replicas=8"]).code(1);
    let ran =
        ran.stdout_has("8 replicas + 2 surge + 0 terminating = 10 pods × 20 = 200 connections; 200 − 3 reserved − 8 others = 189 free");
    ran.stdout_has("what it takes: the surge of a rollout (2 pods)");
}

#[test]
fn a_rollback_proves_it_again_before_the_pools_grow() {
    let stage = Stage::quick_pre_event();
    grown(&stage, "critical");
    assert_eq!(pool(&stage), ["20→9"]);
    stage.fault(&["connections", "150"]);
    stage.run(&["rollback", "--yes"]).code(5);
    let status = stage.status_json();
    assert_eq!(status["status"], "stuck", "{status:#}");
    assert_eq!(step_of(&status, "scale")["status"], "rolled_back", "the replicas are given back: {status:#}");
    assert_eq!(step_of(&status, "pool_size")["status"], "rollback_failed", "{status:#}");
    assert_eq!(stage.deployments(), ["production/ticket-service 2/2 ready"]);
    let refused = |ran: Ran| {
        let ran =
            ran.stdout_has("2 replicas + 1 surge + 0 terminating = 3 pods × 20 = 60 connections; 200 − 3 reserved − 158 others = 39 free");
        ran.stdout_has("analytics/batch 150");
    };
    refused(stage.run(&["status"]).stdout_has("runsheet retry"));
    // It is no better as long as they are there.
    stage.run(&["retry", "pool_size"]).code(5);
    refused(stage.run(&["status"]));
    assert_eq!(pool(&stage), ["20→9"]);
    stage.clear_faults();
    stage.run(&["retry", "pool_size"]);
    assert_eq!(pool(&stage), ["20→9", "9→20"]);
    assert_back(&stage, "after the others had gone");
}

#[test]
fn killed_at_every_commit_and_effect_of_a_run_the_pools_never_exceed_what_is_free() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        let (killed, ran) = stage.run_killed_at(point, &arguments("critical"));
        if !killed {
            ran.code(0);
            return false;
        }
        assert_within(&stage, point);
        stage.resume_if_open(0);
        assert_eq!((pool(&stage), stage.effects_on("spec.replicas")), (vec!["20→9".to_owned()], vec!["2→16".to_owned()]), "{point}");
        assert_within(&stage, point);
        stage.run(&["rollback", "--yes"]).code(0);
        assert_back(&stage, point);
        true
    });
    assert!(killed["commit"] >= 12 && killed["effect"] >= 3 && killed["before-effect"] >= 3, "{killed:?}");
}

#[test]
fn killed_at_every_commit_and_effect_of_a_rollback_the_pools_never_exceed_what_is_free() {
    let killed = at_every_point(WIDTH, |point| {
        let stage = Stage::quick_pre_event();
        stage.run(&arguments("critical")).code(0);
        let (killed, ran) = stage.run_killed_at(point, &["rollback", "--yes"]);
        if !killed {
            ran.code(0);
            return false;
        }
        assert_within(&stage, point);
        stage.resume_if_open(0);
        if stage.status_json()["status"] == "succeeded" {
            assert_eq!(point, "before-commit:1", "once it is on disk that it is taken back, it goes on by itself");
            stage.run(&["rollback", "--yes"]).code(0);
        }
        assert_eq!(pool(&stage), ["20→9", "9→20"], "{point}");
        assert_eq!(stage.effects_on("spec.replicas"), ["2→16", "16→2"], "{point}");
        assert_back(&stage, point);
        true
    });
    assert!(killed["commit"] >= 6 && killed["effect"] == 2 && killed["before-effect"] == 2, "{killed:?}");
}

#[test]
fn where_eight_pods_of_twenty_run_already_it_is_refused_and_nothing_changes() {
    let stage = Stage::quick_pre_event();
    stage.fault(&["change", DEPLOYMENT, "spec.replicas", "8"]);
    super::support::until("eight pods are there", || stage.deployments() == ["production/ticket-service 8/8 ready"]);
    for level in ["high", "critical"] {
        let ran = stage.run(&arguments(level)).code(1);
        let ran = ran.stdout_has("DB_POOL_MAX of deployment/ticket-service in namespace production was left at \"20\"");
        ran.stdout_has("the 8 old ones with 160 connections and 8 new ones").stdout_has("change the size where there are fewer pods");
        assert_eq!(stage.status_json()["owed"], json!([]));
    }
    assert_eq!((pool(&stage), stage.effects_on("spec.replicas")), (vec![], vec!["2→8".to_owned()]));
    assert_within(&stage, "it was refused");
}

#[test]
fn level_after_level_is_given_back_in_reverse_order() {
    let stage = Stage::quick_pre_event();
    let runs = ["low", "medium", "high"].map(|level| grown(&stage, level));
    assert_eq!((stage.effects_on("spec.replicas"), pool(&stage)), (vec!["2→4".to_owned(), "4→8".to_owned()], vec!["20→18".to_owned()]));
    // With eight pods of 18 their pools cannot become 9 without a moment at which both are there.
    let ran = stage.run(&arguments("critical")).code(1);
    ran.stdout_has("the 8 old ones with 144 connections and 8 new ones × 9 may be there at once = 216");
    assert_eq!(stage.deployments(), ["production/ticket-service 8/8 ready"], "what runs is left as it is");
    for (run, then) in runs.iter().rev().zip(["8→4", "4→2"]) {
        stage.run(&["rollback", run, "--yes"]).code(0);
        assert_eq!(stage.effects_on("spec.replicas").last().map(String::as_str), Some(then));
        assert_within(&stage, then);
    }
    assert_eq!(pool(&stage), ["20→18", "18→20"]);
    assert_eq!((stage.deployments(), stage.connections().wanted), (vec!["production/ticket-service 2/2 ready".to_owned()], 40));
}

#[test]
fn in_the_wrong_order_nothing_is_exceeded_and_what_is_left_is_given_back() {
    let stage = Stage::quick_pre_event();
    let (medium, high) = (grown(&stage, "medium"), grown(&stage, "high"));
    // What the second run made of the first one's change is the end of a chain of our own changes: it goes back to what was there at first.
    stage.run(&["rollback", &medium, "--yes"]).code(0);
    assert_eq!(stage.effects_on("spec.replicas"), ["2→4", "4→8", "8→2"]);
    assert_within(&stage, "the first was rolled back first");
    // The second run's replicas went back with the first's, and nothing is left of them: only its pools are given back.
    let back = stage.run(&["rollback", &high, "--yes"]).code(0).stderr_has("DB_POOL_MAX 18 → 20");
    let _ = back.stdout_has(&format!("replicas was taken back with what step scale of run {medium} had set"));
    assert_eq!((stage.deployments(), stage.connections().wanted), (vec!["production/ticket-service 2/2 ready".to_owned()], 40));
    assert_within(&stage, "the second was rolled back after the first");
    assert_eq!((stage.effects_on("spec.replicas").len(), pool(&stage)), (3, vec!["20→18".to_owned(), "18→20".to_owned()]));
}
