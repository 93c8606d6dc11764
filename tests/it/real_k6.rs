//! `k6.run` with the real k6, against the sandbox's ticket service, and the playbook that uses it. `RUNSHEET_TEST_K6` names the binary.

use std::path::PathBuf;

use serde_json::json;

use super::plugins::repository_plugin;
use super::support::{Stage, at_every_commit_and_effect, step_of, until};

/// A stage on which k6 can be run, with a quick sandbox.
pub fn stage() -> Stage {
    let k6 = PathBuf::from(std::env::var_os("RUNSHEET_TEST_K6").expect("RUNSHEET_TEST_K6 names k6; `tests/k6/build` prints its path"));
    let stage = Stage::new();
    let bin = stage.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    std::os::unix::fs::symlink(&k6, bin.join("k6")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let stage = stage.env("PATH", path).repository_playbook("capacity-test").sandbox(50);
    repository_plugin(&stage, "k6");
    let load = stage.root().join("playbooks/load");
    std::fs::create_dir_all(&load).unwrap();
    std::fs::copy(concat!(env!("CARGO_MANIFEST_DIR"), "/playbooks/load/purchase.js"), load.join("purchase.js")).unwrap();
    stage
}

/// A playbook with one load of so many requests a second for two seconds.
fn load(stage: &Stage, with: &str, more: &str) {
    let text = format!(
        "playbook: load\nsummary: Load\nsteps:\n  - id: load\n    uses: k6.run\n    with:\n      script: playbooks/load/purchase.js\n      rate: 20\n      duration: 2s\n      pre_allocated_vus: 5\n      env: {{ BASE_URL: \"${{{{ target.ticket_service.url }}}}\", EVENT_ID: 0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11 }}\n{with}{more}"
    );
    stage.write_playbook("load", &text);
}

/// How many purchases the sandbox has answered, by its own log.
fn purchases(stage: &Stage) -> usize {
    let log = std::fs::read_to_string(stage.sandbox_folder().join("requests.log")).unwrap_or_default();
    log.lines().filter(|line| line.contains("POST /purchases 202")).count()
}

#[test]
fn the_outputs_are_what_k6_and_the_service_have_counted() {
    let stage = stage();
    load(&stage, "      thresholds: { http_req_failed: [\"rate<0.5\"], http_req_duration: [\"p(95)<60000\"] }\n", "");
    stage.run(&["run", "load"]).code(0);
    let status = stage.status_json();
    let outputs = &step_of(&status, "load")["outputs"];
    assert_eq!((&outputs["exit_code"], &outputs["passed"], &outputs["failed_share"]), (&json!(0), &json!(true), &json!(0.0)), "{status:#}");
    let thresholds = json!([
        { "metric": "http_req_duration", "threshold": "p(95)<60000", "passed": true },
        { "metric": "http_req_failed", "threshold": "rate<0.5", "passed": true },
    ]);
    assert_eq!(outputs["thresholds"], thresholds);
    let requests = outputs["requests"].as_u64().unwrap_or_default();
    assert!((1..=41).contains(&requests), "{outputs:#}");
    assert_eq!(purchases(&stage) as u64, requests, "the service has counted the same");
    // What is done is done: a rollback keeps it and says so.
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    assert_eq!(stage.status_json()["status"], "rolled_back");
}

#[test]
fn a_breached_threshold_is_a_failure_that_may_have_had_its_effect() {
    let stage = stage();
    load(&stage, "      thresholds: { http_req_duration: [\"p(95)<0.0001\"] }\n", "");
    stage.run(&["run", "load"]).code(1).stderr_has("http_req_duration p(95)<0.0001 breached");
    let status = stage.status_json();
    assert_eq!(step_of(&status, "load")["status"], "failed");
    assert!(purchases(&stage) > 0);
}

#[test]
fn what_k6_refuses_was_not_sent() {
    let stage = stage();
    load(&stage, "      thresholds: { http_req_duration: [\"p(95)<<1\"] }\n", "");
    stage.run(&["run", "load"]).code(1).stderr_has("k6 refuses the script's options");
    stage.write_playbook(
        "load",
        &std::fs::read_to_string(stage.root().join("playbooks/load.yaml")).unwrap().replace("purchase.js", "absent.js"),
    );
    stage.run(&["run", "load"]).code(1).stderr_has("there is no script playbooks/load/absent.js");
    assert_eq!(purchases(&stage), 0);
}

#[test]
fn in_the_sandbox_nothing_else_is_reached() {
    let stage = stage();
    load(&stage, "      thresholds: { http_req_failed: [\"rate<0.5\"] }\n", "");
    let file = stage.root().join("playbooks/load.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("${{ target.ticket_service.url }}", "http://192.0.2.1");
    std::fs::write(
        file,
        text.replace("steps:", "steps:\n  - id: cluster\n    uses: k8s.rollout_status\n    with: { workload: deployment/ticket-service }"),
    )
    .unwrap();
    stage.run(&["run", "load"]).code(1).stderr_has("http_req_failed rate<0.5 breached");
    let id = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    let log = stage.run(&["logs", &id, "load"]).code(0).stdout;
    assert!(log.contains("192.0.2.1") && log.contains("blacklist"), "{log}");
}

#[test]
fn its_process_ends_with_the_step() {
    let stage = stage();
    load(&stage, "", "    timeout: 30s\n");
    let file = stage.root().join("playbooks/load.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("duration: 2s", "duration: 10m");
    std::fs::write(file, text).unwrap();
    let run = stage.start(&["run", "load"]);
    until("the load has begun", || purchases(&stage) > 0);
    assert!(run.kill9().was_killed());
    let marks = || {
        std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(Result::ok)
            .filter(|entry| {
                let words = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&words).contains("k6")
                    && String::from_utf8_lossy(&words).contains(&*stage.path("tmp").to_string_lossy())
            })
            .count()
    };
    until("k6 is gone", || marks() == 0);
    stage.run(&["resume"]).code(5);
    assert_eq!(stage.step_status("load"), "unknown", "what was cut off may run once: the operator is asked");
}

#[test]
fn the_capacity_test_is_green_in_the_sandbox_and_takes_nothing_away() {
    let stage = stage();
    let before = stage.objects();
    stage
        .run(&["run", "capacity-test", "--yes", "-p", "percent=4", "-p", "hold=1s", "-p", "p95_ms=60000", "-p", "failed_share=0.5"])
        .code(0);
    let status = stage.status_json();
    assert_eq!(status["status"], "succeeded", "{status:#}");
    for step in ["quarter", "half", "full"] {
        assert!(step_of(&status, step)["outputs"]["requests"].as_u64().unwrap_or_default() > 0, "{step}: {status:#}");
    }
    stage.run(&["rollback", &stage.latest_run(), "--yes"]).code(0);
    assert_eq!(stage.status_json()["status"], "rolled_back");
    stage.assert_as_before(&before, "capacity-test");
}

#[test]
fn the_capacity_test_wants_the_levels_replicas() {
    let stage = stage();
    let file = stage.root().join("playbooks/capacity-test.yaml");
    let text = std::fs::read_to_string(&file).unwrap().replace("within: 2m", "within: 1s");
    std::fs::write(file, text).unwrap();
    stage.run(&["run", "capacity-test", "--yes", "-p", "level=high"]).code(1).stderr_has("2 of the 8 replicas of level high are ready");
    assert_eq!(purchases(&stage), 0);
}

#[test]
fn promise_2_the_capacity_test_killed_at_every_point_ends_the_same() {
    let killed = at_every_commit_and_effect(3, |point| {
        let stage = stage();
        let before = stage.objects();
        let words = ["run", "capacity-test", "--yes", "-p", "percent=2", "-p", "hold=1s", "-p", "p95_ms=60000", "-p", "failed_share=0.5"];
        let (killed, ran) = stage.run_killed_at(point, &words);
        if killed {
            stage.resume_if_open(0)
        } else {
            drop(ran.code(0))
        }
        assert_eq!(stage.status_json()["status"], "succeeded", "{point}");
        stage.assert_as_before(&before, point);
        killed
    });
    assert!(killed["effect"] >= 3, "{killed:?}");
}
