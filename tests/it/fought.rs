//! A controller that puts back what it owns within seconds: the run tells who, does not fight it, and its rollback sends nothing.

use super::support::{Stage, step_of, until};

const DEPLOYMENT: &str = "production/deployment/ticket-service";

#[test]
fn promise_3_what_somebody_else_puts_back_at_once_fails_the_check_and_is_not_fought() {
    let yaml = r#"playbook: grow
summary: Grow, and prove that it stays
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 6 }
    check:
      after:
        - that: ${{ result.replicas == 6 && result.ready_replicas >= 6 }}
          message: the six pods did not stay
          within: 4s
          for: 3s
          every: 100ms
    retry: { attempts: 3, initial: 100ms }
    on_failure: rollback
"#;
    let stage = Stage::new().playbook("grow", yaml).sandbox(20);
    let run = stage.start(&["run", "grow"]);
    until("it is scaled", || stage.effects_on("spec.replicas").len() == 1);
    stage.fault(&["change", DEPLOYMENT, "spec.replicas", "2"]);
    let ran = run.wait().code(1);
    let status = stage.status_json();
    assert_eq!(status["status"], "rolled_back", "{status:#}");
    assert_eq!(step_of(&status, "scale")["status"], "rolled_back", "{status:#}");
    assert_eq!(stage.effects_on("spec.replicas"), ["2→6", "6→2"], "one change by the run, one by somebody else, and no more");
    let told = format!("{ran}");
    assert!(told.contains("the six pods did not stay") && told.contains("is to have 2 replicas was set by"), "{told}");
}
