//! The budget of connections, end to end: the binary asks the sandbox's cluster and its PostgreSQL server, and refuses what does not fit.

use super::support::Stage;

const BUDGET: &str = "\
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

#[test]
fn what_does_not_fit_is_refused_with_the_whole_sum() {
    let stage = Stage::new().playbook("budget", BUDGET).sandbox(20);
    let ran = stage.run(&["run", "budget", "-p", "replicas=16"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    let text = format!("{ran}");
    for part in [
        "16 replicas + 4 surge + 0 terminating = 20 pods × 20 = 400 connections; 200 − 3 reserved",
        "fits: set it before the pods become more",
    ] {
        assert!(text.contains(part), "{part}: {ran}");
    }
    let ran = stage.run(&["run", "budget", "-p", "replicas=2"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    let usage = stage.connections();
    assert_eq!((usage.limit, usage.reserved, usage.wanted, usage.exceeded), (200, 3, 40, 0));

    let ready = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
    let password = ready["postgres_password"].as_str().unwrap();
    assert!(password.len() >= 32);
    assert_eq!(stage.state_files_with(password), Vec::<std::path::PathBuf>::new());
    assert!(!text.contains(password));
}

#[test]
fn a_server_that_takes_nobody_is_said_to() {
    let stage = Stage::new().playbook("budget", BUDGET).sandbox(20);
    stage.fault(&["refuse", "CONNECT /postgres", "--status", "503", "--times", "forever"]);
    let ran = stage.run(&["run", "budget", "-p", "replicas=2"]);
    assert_eq!(ran.code, Some(1), "{ran}");
    assert!(format!("{ran}").contains("takes nobody now: the database system is starting up"), "{ran}");
}
