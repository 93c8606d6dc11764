//! `monitor` through the binary: it samples without holding anything, an alert starts a playbook behind a gate, and it survives what befalls its process.

use serde_json::{Value, json};

use super::support::{Live, Stage, at_every_point, step_of, until};

/// Watches the service; when it has more than two replicas, a file is written by the playbook that the alert starts.
fn watched(ends: &str, approve: bool) -> Stage {
    let stage = Stage::new();
    let file = stage.path("told").display().to_string();
    let during = format!(
        r#"playbook: during
summary: Watch the service
steps:
  - id: before
    uses: k8s.set_env
    with: {{ workload: deployment/ticket-service, env: {{ MODE: event }} }}
  - id: watch
    needs: [before]
    uses: monitor
    with:
      every: 100ms
      {ends}
      samples:
        service: {{ uses: k8s.get, with: {{ object: deployment/ticket-service }} }}
      series:
        replicas: ${{{{ result.service.object.spec.replicas }}}}
      alerts:
        - name: grown
          when: ${{{{ result.service.object.spec.replicas > 2 }}}}
          for: 200ms
          message: "${{{{ result.service.object.spec.replicas }}}} replicas"
          playbook: tell
          params: {{ what: "${{{{ item.alert }}}} ${{{{ item.firing }}}} at ${{{{ item.series.replicas }}}}" }}
          approve: {approve}
  - id: last
    needs: [watch]
    uses: noop
"#
    );
    let tell = format!(
        r#"playbook: tell
summary: Write it down
params:
  what: {{ type: string, help: What }}
steps:
  - id: write
    uses: command
    with: {{ shell: true, script: 'echo "$WHAT" >>"$FILE"', env: {{ FILE: "{file}", WHAT: "${{{{ params.what }}}}" }} }}
"#
    );
    stage.playbook("during", &during).playbook("tell", &tell).sandbox(50)
}

/// A live run that samples, and its id.
fn watching(stage: &Stage) -> (Live, String) {
    let run = stage.start(&["run", "during", "--watch"]);
    stage.until_status("three samples", |status| status["samples"][0]["samples"].as_u64() >= Some(3));
    let id = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    (run, id)
}

fn of(stage: &Stage, id: &str) -> Value {
    stage.run(&["status", id, "-o", "json"]).code(0).json()
}

#[test]
fn an_alert_asks_and_what_it_starts_is_a_part_of_the_run() {
    let stage = watched("duration: 1h", true);
    let (run, id) = watching(&stage);
    // It holds no lock while it samples: another run changes what this one has changed before.
    let grow = "playbook: grow\nsummary: Grow\nsteps:\n  - id: scale\n    uses: k8s.scale\n    with: { workload: deployment/ticket-service, replicas: 3 }\n";
    stage.write_playbook("grow", grow);
    stage.run(&["run", "grow"]).code(0);
    until("the alert's gate", || step_of(&of(&stage, &id), "watch[grown]")["status"] == "waiting");
    let page = stage.run(&["status", &id]).code(0).stdout_has("3 replicas: start tell?").stdout_has("watch[grown]");
    assert!(page.stdout.contains("replicas  ") && page.stdout.contains("last 3, min 2, max 3"), "{page}");
    stage.run(&["approve", &id, "watch[grown]"]).code(0);
    until("what it started", || stage.text("told") == "grown 1 at 3\n");
    let before = samples_of(&stage, &id);
    until("the samples to go on", || samples_of(&stage, &id) > before);
    // Skipping the samples ends them, and the run goes on.
    stage.run(&["skip", &id, "watch[samples]", "--reason", "the event is over"]).code(0);
    run.wait().code(0);
    let status = of(&stage, &id);
    assert_eq!((&status["status"], &step_of(&status, "last")["status"]), (&json!("succeeded"), &json!("succeeded")));
    assert_eq!(step_of(&status, "watch[grown]/write")["status"], "succeeded");
    assert_eq!(step_of(&status, "watch")["outputs"]["fired"], json!(["grown"]));
    stage.run(&["rollback", &id, "--yes"]).code(0);
}

fn samples_of(stage: &Stage, id: &str) -> u64 {
    of(stage, id)["samples"][0]["samples"].as_u64().unwrap_or(0)
}

#[test]
fn nothing_fires_and_it_ends_by_its_condition() {
    let stage = watched("that: ${{ result.service.object.spec.replicas == 2 }}", true);
    let ran = stage.run(&["run", "during"]).code(0);
    assert!(ran.stdout.contains("its alert did not fire") || !ran.stdout.contains("fired"), "{ran}");
    let status = stage.status_json();
    assert_eq!(step_of(&status, "watch[grown]")["status"], "skipped");
    let outputs = &step_of(&status, "watch")["outputs"];
    assert_eq!((&outputs["samples"], &outputs["fired"], &outputs["series"]["replicas"]["max"]), (&json!(1), &json!([]), &json!(2)));
}

#[test]
fn a_reading_that_fails_ends_nothing_and_is_told() {
    let stage = watched("duration: 1h", true);
    let (run, id) = watching(&stage);
    stage.fault(&["refuse", "GET */deployments/ticket-service", "--status", "503", "--times", "3"]);
    until("a failed reading", || of(&stage, &id)["samples"][0]["failed"].as_u64() >= Some(1));
    let before = samples_of(&stage, &id);
    until("the samples to go on", || samples_of(&stage, &id) > before + 4);
    // Interrupted, it is paused; resumed, it goes on where it was, with what it had seen.
    run.interrupt();
    run.wait().code(130);
    let seen = samples_of(&stage, &id);
    let run = stage.start(&["resume", &id, "--watch"]);
    until("the samples to go on", || samples_of(&stage, &id) > seen);
    stage.run(&["cancel", &id, "--yes"]).code(0);
    run.wait().code(1);
}

/// An alert that fires at once, by itself, and grows what is sampled; that ends the samples.
fn growing() -> Stage {
    let during = r#"playbook: during
summary: Grow when it is small
steps:
  - id: watch
    uses: monitor
    with:
      every: 100ms
      that: ${{ result.service.object.spec.replicas == 4 }}
      samples:
        service: { uses: k8s.get, with: { object: deployment/ticket-service } }
      alerts:
        - name: small
          when: ${{ result.service.object.spec.replicas < 4 }}
          playbook: grow
          approve: false
"#;
    let grow = r#"playbook: grow
summary: Grow
steps:
  - id: scale
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
"#;
    Stage::new().playbook("during", during).playbook("grow", grow).sandbox(50)
}

#[test]
fn promise_2_killed_at_every_commit_and_effect_an_alert_starts_its_playbook_once() {
    let killed = at_every_point(4, |point| {
        let stage = growing();
        let (killed, ran) = stage.run_killed_at(point, &["run", "during"]);
        if killed {
            stage.resume_if_open(0);
        } else {
            ran.code(0);
        }
        let status = stage.status_json();
        assert_eq!(status["status"], "succeeded", "{point}: {}", stage.run(&["status"]));
        assert_eq!(step_of(&status, "watch")["outputs"]["fired"], json!(["small"]), "{point}");
        assert_eq!(stage.effects_on("spec.replicas").len(), 1, "{point}: {:?}", stage.effects());
        killed
    });
    assert!(killed["commit"] >= 5 && killed["effect"] >= 1, "{killed:?}");
}
