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
