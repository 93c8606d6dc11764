//! Whom an environment wants told is told by the program itself: by webhook and by command, each thing once, also over kills, and never a secret.
//!
//! Invariant: nobody who is told can keep a run from going on.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::runtime::Runtime;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::environments::{Cluster, RUN, environment, stage_of};
use super::support::{Stage, until};

/// A server that is told of everything at `/all`, and of what is owed at `/owed`.
struct Listener {
    runtime: Runtime,
    server: MockServer,
}

impl Listener {
    fn new() -> Self {
        Self::answering(ResponseTemplate::new(200))
    }

    fn answering(answer: ResponseTemplate) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let server = runtime.block_on(async {
            let server = MockServer::start().await;
            for place in ["/all", "/owed"] {
                Mock::given(method("POST")).and(path(place)).respond_with(answer.clone()).mount(&server).await;
            }
            server
        });
        Self { runtime, server }
    }

    /// What the environment's file says of it, and of a command that writes down what it is told.
    fn rules(&self) -> String {
        let uri = self.server.uri();
        format!(
            "secrets: {{ service_token: {{ env: SERVICE_TOKEN }} }}\nnotify:\n  - on: [started, waiting, failed, stuck, finished, owed]\n    webhook: {{ url: \
             {uri}/all, bearer: {{ env: HOOK_TOKEN }} }}\n  - {{ on: [owed], webhook: {{ url: {uri}/owed }} }}\n  - on: [started, waiting, failed, stuck, \
             finished, owed]\n    command: [sh, -c, 'cat >> ../told; echo >> ../told; env >> ../told.env; echo $RUNSHEET_OCCASION >> ../told.short']\n"
        )
    }

    fn bodies(&self, place: &str) -> Vec<Value> {
        let requests = self.runtime.block_on(self.server.received_requests()).unwrap();
        let of_place = requests.iter().filter(|request| request.url.path() == place);
        of_place.map(|request| serde_json::from_slice(&request.body).unwrap()).collect()
    }

    /// The occasions told at a place, in order.
    fn told(&self, place: &str) -> Vec<String> {
        self.bodies(place).iter().map(|body| body["occasion"].as_str().unwrap().to_owned()).collect()
    }
}

const SECRETS: [(&str, &str); 2] = [("SERVICE_TOKEN", "swordfish-77b2"), ("HOOK_TOKEN", "hook-key-91cd")];

/// A step that fails and repeats a secret.
const LEAKS: &str = "\
playbook: leaks
summary: A step that repeats what it was told
secrets: { service_token: {} }
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
  - id: tell
    needs: [grow]
    uses: command
    with: { shell: true, script: 'echo it is $T >&2; exit 3', env: { T: \"${{ secrets.service_token }}\" } }
";

#[track_caller]
fn run(stage: &Stage, args: &[&str], code: i32) {
    let _ = stage.run_with(args, &SECRETS).code(code);
}

/// A stage on the cluster with these who are told.
fn stage(cluster: &Cluster, rules: &str) -> Stage {
    let stage = stage_of(cluster).playbook("leaks", LEAKS);
    environment(&stage, &cluster.uid, rules);
    stage
}

#[test]
fn each_occasion_is_told_once_by_webhook_and_by_command() {
    let (cluster, listener) = (Cluster::new(), Listener::new());
    let stage = stage(&cluster, &listener.rules());
    run(&stage, &["run", "gated", "--env", "staging", "--yes"], 4);
    assert_eq!(listener.told("/all"), ["started", "waiting"]);
    let waiting = &listener.bodies("/all")[1];
    assert_eq!((&waiting["step"], &waiting["environment"], &waiting["status"]), (&json!("gate"), &json!("staging"), &json!("waiting")));
    assert!(waiting["next"][0]["command"].as_str().unwrap().starts_with("runsheet approve "), "{waiting}");
    // Going on with it tells nothing again.
    run(&stage, &["resume"], 4);
    assert_eq!(listener.told("/all"), ["started", "waiting"]);
    run(&stage, &["approve", "gate"], 0);
    assert_eq!(listener.told("/all"), ["started", "waiting", "finished"]);
    assert_eq!(listener.told("/owed"), ["owed"]);
    let owed = &listener.bodies("/owed")[0];
    assert_eq!((owed["owed_count"].clone(), &owed["status"]), (json!(1), &json!("succeeded")));
    assert!(owed["owed"][0]["what"].as_str().unwrap().contains("replicas 4 → 2"), "{owed}");
    assert!(owed["owed"][0]["undo_by_hand"][0].as_str().unwrap().contains("kubectl"), "{owed}");
    // Somebody else's value makes the rollback stuck.
    cluster.stage.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "7"]);
    run(&stage, &["rollback", "--yes"], 5);
    assert_eq!(listener.told("/all").last().map(String::as_str), Some("stuck"));
    assert_eq!(listener.told("/all").len(), 4);
    assert_eq!(stage.text("told.short").lines().collect::<Vec<_>>(), ["started", "waiting", "finished", "stuck"]);
    let mut ids: Vec<String> = listener.bodies("/all").iter().map(|body| body["id"].as_str().unwrap().to_owned()).collect();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    let requests = listener.runtime.block_on(listener.server.received_requests()).unwrap();
    let of_all = requests.iter().filter(|request| request.url.path() == "/all");
    of_all.for_each(|request| assert_eq!(request.headers["authorization"], "Bearer hook-key-91cd"));
}

#[test]
fn a_failure_is_told_without_the_secret_that_it_repeats() {
    let (cluster, listener) = (Cluster::new(), Listener::new());
    let stage = stage(&cluster, &listener.rules());
    run(&stage, &["run", "leaks", "--env", "staging", "--yes"], 1);
    assert_eq!(listener.told("/all"), ["started", "failed"]);
    let failed = &listener.bodies("/all")[1];
    assert_eq!((&failed["step"], &failed["status"]), (&json!("tell"), &json!("paused")));
    let message = failed["message"].as_str().unwrap();
    assert!(message.contains("on staging is paused: step tell failed") && message.contains("[secret service_token]"), "{message}");
    let told = format!("{:?}{}{}", listener.bodies("/all"), stage.text("told"), stage.text("told.env"));
    for (_, secret) in SECRETS {
        assert!(!told.contains(secret), "{told}");
        assert!(stage.state_files_with(secret).is_empty());
    }
}

#[test]
fn a_kill_repeats_nothing_that_was_told() {
    let (cluster, listener) = (Cluster::new(), Listener::new());
    let stage = stage(&cluster, &listener.rules());
    let live = stage.start_with_env(&["run", "gated", "--env", "staging", "--yes", "--watch"], &SECRETS);
    until("the gate is told", || listener.told("/all").len() == 2);
    assert!(live.kill9().was_killed());
    // Killed again in the middle of the change, before and after it: what was told is not told again, and the end is told once.
    run(&stage, &["resume"], 4);
    for point in ["before-effect:1", "effect:1", "before-commit:2"] {
        let env: Vec<(&str, &str)> = SECRETS.into_iter().chain([("RUNSHEET_CRASH_AT", point)]).collect();
        let args: &[&str] = if point == "before-effect:1" { &["approve", "gate"] } else { &["resume"] };
        drop(stage.run_with(args, &env));
    }
    if !stage.has_ended() {
        run(&stage, &["resume"], 0);
    }
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    assert_eq!(listener.told("/all"), ["started", "waiting", "finished"]);
    assert_eq!(listener.told("/owed"), ["owed"]);
}

#[test]
fn a_webhook_that_is_dead_is_said_and_delays_no_step() {
    let cluster = Cluster::new();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let stage = stage(&cluster, &format!("notify:\n  - {{ on: [started, finished], webhook: {{ url: 'http://{closed}/hook-key' }} }}\n"));
    let ran = stage.run(&RUN).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    let said = format!("warning: `started` was not told by webhook http://{closed}: ");
    let ran = ran.stderr_has(&said).stderr_has("(tried 3 times)").has_nowhere("hook-key");
    drop(ran);
    assert!(!stage.state_files_with(&format!("`finished` was not told by webhook http://{closed}")).is_empty(), "it is kept with the run");
    let took = stage.status_json()["steps"][0]["duration_ms"].as_u64().unwrap();
    assert!(took < 3000, "the step took {took} ms");
}

#[test]
fn a_webhook_that_hangs_is_said_and_delays_no_step() {
    let (cluster, listener) = (Cluster::new(), Listener::answering(ResponseTemplate::new(200).set_delay(Duration::from_secs(600))));
    let stage = stage(&cluster, &format!("notify:\n  - {{ on: [started], webhook: {{ url: '{}/all' }} }}\n", listener.server.uri()));
    let live = stage.start(&RUN);
    until("the change is there", || !cluster.stage.effects_on("spec.replicas").is_empty());
    stage.until_status("the run has ended", |status| status["status"] == "succeeded");
    // Ctrl-C ends the waiting for what is not told yet.
    let begun = Instant::now();
    live.interrupt();
    let _ = live.wait().code(0);
    assert!(begun.elapsed() < Duration::from_secs(60), "it waited {:?}", begun.elapsed());
}
