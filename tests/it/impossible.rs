//! A run that is known to fail is refused before it is recorded, with what to add to which file.

use super::environments::{Cluster, environment, kubeconfig};
use super::support::Stage;

const COUNT: &str = "\
playbook: count
summary: A count of connections
steps:
  - id: budget
    uses: postgres.connection_budget
    with: { workload: deployment/ticket-service, replicas: 8, pool_env: DB_POOL_MAX, database: \"${{ target.postgres }}\" }
";

#[test]
fn a_run_that_cannot_work_is_refused_with_the_key_and_the_file() {
    let cluster = Cluster::new();
    let stage = Stage::new().playbook("count", COUNT);
    stage.write_playbook(
        "tolerant",
        &COUNT.replace("count\n", "tolerant\n").replace("    uses: postgres", "    on_failure: continue\n    uses: postgres"),
    );
    stage.write_playbook(
        "levels",
        "playbook: levels\nsummary: Levels\nvars:\n  n: ${{ target.capacty.low.replicas }}\nsteps:\n  - { id: a, uses: noop }\n",
    );
    kubeconfig(&stage, &cluster.url, &serde_json::json!({ "token": cluster.token }));
    environment(&stage, &cluster.uid, "");
    let refused = stage.run(&["run", "count", "--env", "staging", "--confirm", "staging"]).code(3);
    let refused = refused.stderr_has("count cannot work as things are, and was not started");
    let refused = refused.stderr_has("budget: no such key `postgres` in target");
    let _ = refused.stderr_has("add `postgres:` to playbooks/environments/staging.yaml");
    stage
        .run(&["run", "levels", "--env", "staging", "--confirm", "staging"])
        .code(3)
        .stderr_has("add `capacty:` under `values:` to playbooks/environments/staging.yaml");
    assert_eq!(stage.run(&["runs", "-o", "json"]).code(0).json(), serde_json::json!([]), "nothing is recorded");
    // Where the run goes on when it fails, it is run.
    stage.run(&["run", "tolerant", "--env", "staging", "--confirm", "staging"]).code(1);
}

#[test]
fn parameters_that_cannot_be_meant_are_refused_before_a_run_is_recorded() {
    let names = ["event-day", "pre-event", "during-event", "after-event", "diagnose-pods", "diagnose-load", "scale", "resize"];
    let stage = names.iter().fold(Stage::new(), |stage, name| stage.repository_playbook(name)).sandbox(50);
    let event = "event_id=6f2c1a52-9d1b-4f6e-8f0e-3b1d2a7c9e10";
    let (starts, ends) = ("starts_at=2099-06-01T19:00:00Z", "ends_at=2099-06-01T18:00:00Z");
    for (args, wanted) in [
        (&["run", "scale", "-p", "replicas=100000000000000"][..], "parameter `replicas` is at most 2147483647, not `100000000000000`"),
        (&["run", "scale", "-p", "replicas=99999999999999999999"], "parameter `replicas` is too large: `99999999999999999999`"),
        (&["run", "resize", "-p", "cpu_request=lots"], "parameter `cpu_request` is an amount, not `lots`"),
        (
            &["run", "event-day", "-p", event, "-p", starts, "-p", ends],
            "times: the event ends at 2099-06-01T18:00:00Z, before it starts at 2099-06-01T19:00:00Z",
        ),
    ] {
        stage.run(args).code(3).stderr_has(wanted);
    }
    assert_eq!(stage.run(&["runs", "-o", "json"]).code(0).json(), serde_json::json!([]), "nothing is recorded");
}
