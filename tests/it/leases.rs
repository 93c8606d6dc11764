//! Locks between machines: promise 5. Two stages are two machines, each with its own folder of locks, and a sandbox in a third folder is the cluster.
//!
//! Invariant: after every run that came to an end, no Lease is left.

use serde_json::json;

use super::environments::{Cluster, RUN, stage_of, stage_with};
use super::support::{Live, Stage, until};

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/production/leases";
/// Longer than any test waits: whoever has to wait for its end fails.
const LONG: (&str, &str) = ("RUNSHEET_LEASE_SECONDS", "600");
/// Short enough to be waited for.
const SHORT: (&str, &str) = ("RUNSHEET_LEASE_SECONDS", "2");

/// A step that the test lets go on, then a change; its lock is held all the while.
fn with_held(stage: &Stage) {
    let (started, go) = (stage.path("started"), stage.path("go"));
    let playbook = format!(
        "playbook: held\nsummary: A change after a step that takes its time\nsteps:\n  - id: hold\n    uses: command\n    with: {{ argv: [sh, -c, 'touch {}; until [ \
         -e {} ]; do sleep 0.02; done'] }}\n  - id: grow\n    needs: [hold]\n    uses: k8s.scale\n    with: {{ workload: deployment/ticket-service, replicas: 4 }}\n",
        started.display(),
        go.display()
    );
    stage.write_playbook("held", &playbook);
}

fn go(stage: &Stage) {
    std::fs::write(stage.path("go"), "").unwrap();
}

/// A run whose lock is held.
fn held(stage: &Stage, lease: (&str, &str)) -> Live {
    with_held(stage);
    let run = stage.start_with_env(&["run", "held", "--env", "staging", "--yes"], &[lease]);
    until("the step has begun", || stage.path("started").exists());
    run
}

/// Who holds a Lease.
fn holders(cluster: &Cluster) -> Vec<String> {
    let (status, list) = cluster.stage.api("GET", LEASES, None);
    assert_eq!(status, 200, "{list}");
    list["items"].as_array().unwrap().iter().map(|lease| lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned()).collect()
}

#[track_caller]
fn none_left(cluster: &Cluster) {
    assert_eq!(holders(cluster), Vec::<String>::new(), "a Lease is left");
}

/// A run to four that is killed there, as by `kill -9`.
#[track_caller]
fn killed_at(stage: &Stage, point: &str, lease: (&str, &str)) {
    let ran = stage.run_with(&RUN, &[lease, ("RUNSHEET_CRASH_AT", point)]);
    assert!(ran.was_killed(), "{point}: {ran}");
}

const TO_EIGHT: [&str; 7] = ["run", "scale", "--env", "staging", "--yes", "-p", "replicas=8"];
const TO_EIGHT_WAITING: [&str; 8] = ["run", "scale", "--env", "staging", "--yes", "-p", "replicas=8", "--wait"];

#[test]
fn promise_5_a_run_on_another_machine_is_refused_with_the_holder_or_waits_for_its_end() {
    let cluster = Cluster::new();
    let (here, there) = (stage_of(&cluster), stage_of(&cluster));
    let first = held(&here, LONG);
    let [holder] = &holders(&cluster)[..] else { panic!("one object, one Lease: {:?}", holders(&cluster)) };
    assert!(holder.starts_with("run ") && holder.contains(&format!(" of held, process {} on ", first.pid())), "{holder}");
    let refused = there.run_with(&TO_EIGHT, &[LONG]).code(6);
    refused
        .stderr_has(&format!(
            "deployment/ticket-service in production is locked by {holder}, on another machine (if that is dead, whoever waits with `--wait` has it in"
        ))
        .stderr_has("hint: wait for its end, or start with `--wait`");
    assert_eq!(there.status_json()["status"], "cancelled");
    let mut second = there.start_with_env(&TO_EIGHT_WAITING, &[LONG]);
    there.until_status("it is there", |run| run["status"] != "cancelled");
    assert!(!second.has_ended() && cluster.stage.effects().is_empty());
    go(&here);
    let _ = first.wait().code(0);
    let _ = second.wait().code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→8"]);
    assert_eq!(cluster.stage.effects().len(), 2, "a Lease is no effect");
    none_left(&cluster);
}

#[test]
fn promise_5_a_run_that_slept_past_its_lease_does_nothing_when_it_wakes() {
    let cluster = Cluster::new();
    let (here, there) = (stage_of(&cluster), stage_of(&cluster));
    let first = held(&here, SHORT);
    first.suspend();
    // Its own machine's lock is another's concern: this one is another machine.
    there.run_with(&TO_EIGHT_WAITING, &[SHORT]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→8"]);
    go(&here);
    first.wake();
    let woken = first.wait().code(1);
    woken.stdout_has("/production/deployment/ticket-service is lost (").stdout_has("`runsheet resume` takes the lock anew");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→8"], "nothing was written over what the other has done");
    none_left(&cluster);
    here.run_with(&["resume"], &[SHORT]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→8", "8→4"], "once it is told to");
    none_left(&cluster);
}

#[test]
fn a_run_that_was_killed_goes_on_at_once_on_its_own_machine() {
    let cluster = Cluster::new();
    let (here, there) = (stage_of(&cluster), stage_of(&cluster));
    for point in ["commit:2", "before-effect:1", "effect:1"] {
        killed_at(&here, point, LONG);
        assert_eq!(holders(&cluster).len(), 1, "{point}: a killed process gives nothing back");
        let _ = there.run_with(&TO_EIGHT, &[LONG]).code(6);
        here.run_with(&["resume"], &[LONG]).code(0);
        none_left(&cluster);
        here.run_with(&["rollback", "--yes"], &[LONG]).code(0);
        none_left(&cluster);
    }
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2"].repeat(3));
}

#[test]
fn a_run_that_was_killed_goes_on_elsewhere_once_its_lease_has_ended() {
    let cluster = Cluster::new();
    let here = stage_of(&cluster);
    killed_at(&here, "before-effect:1", SHORT);
    // The same state on another machine.
    let elsewhere = here.path("other-locks").to_string_lossy().into_owned();
    let moved = [SHORT, ("RUNSHEET_LOCK_DIR", elsewhere.as_str())];
    here.run_with(&["resume"], &moved).code(6).stderr_has(", on another machine (if that is dead, whoever waits with `--wait` has it in");
    here.run_with(&["resume", "--wait"], &moved).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    none_left(&cluster);
}

#[test]
fn a_run_that_only_waits_holds_no_lease() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let _ = stage.run(&["run", "gated", "--env", "staging", "--yes"]).code(4);
    none_left(&cluster);
    let _ = stage.run(&["approve", "gate"]).code(0);
    none_left(&cluster);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn a_run_that_is_ended_at_once_gives_its_lease_back() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let run = held(&stage, LONG);
    assert_eq!(holders(&cluster).len(), 1);
    run.interrupt();
    stage.until_status("the pause is known", |run| run["status"] == "paused");
    run.interrupt();
    let _ = run.wait().code(130);
    none_left(&cluster);
    // And one that is refused because of one of two objects gives the other back.
    let (here, there) = (stage_of(&cluster), stage_of(&cluster));
    let first = held(&here, LONG);
    there.write_playbook(
        "two",
        "playbook: two\nsummary: Two changes\nsteps:\n  - { id: a, uses: k8s.scale, with: { workload: deployment/another, replicas: 3 } }\n  - { id: b, uses: \
         k8s.scale, with: { workload: deployment/ticket-service, replicas: 3 } }\n",
    );
    there
        .run_with(&["run", "two", "--env", "staging", "--yes"], &[LONG])
        .code(6)
        .stderr_has("deployment/ticket-service in production is locked by run");
    assert_eq!(holders(&cluster).len(), 1, "that of the first run");
    go(&here);
    let _ = first.wait().code(0);
    none_left(&cluster);
}

#[test]
fn without_the_permission_the_run_says_that_its_locks_are_this_machines_and_goes_on() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    cluster.stage.fault(&["refuse", "POST /apis/coordination.k8s.io/*", "--status", "403", "--times", "forever"]);
    let ran = stage.run(&TO_EIGHT).code(0);
    let said = "locks hold on this machine only: the account may not create leases in namespace production";
    assert_eq!(ran.stderr.matches(said).count(), 1, "{ran}");
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→8"]);
    // An account that may read only is told both.
    cluster.stage.clear_faults();
    let config = cluster.stage.run(&["sandbox", "kubeconfig", "--account", "viewer", "-o", "json"]).code(0).json();
    let viewer = stage_with(&cluster, &json!({ "token": config["users"][0]["user"]["token"] }));
    viewer.run(&RUN).code(1).stderr_has(said);
    none_left(&cluster);
}

#[test]
fn a_lease_of_no_sensible_length_is_refused() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    stage
        .run_with(&TO_EIGHT, &[("RUNSHEET_LEASE_SECONDS", "a minute")])
        .code(3)
        .stderr_has("RUNSHEET_LEASE_SECONDS is a minute, not a number of seconds from")
        .stderr_has("hint: unset it");
    assert!(cluster.stage.effects().is_empty());
}
