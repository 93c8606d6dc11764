//! What a real cluster refuses, in the middle of a run or at its start: another account, an expired token, another owner of a field, too many
//! requests, an API that is gone.
//!
//! Invariant: each is told with what to do, has had no effect that is not recorded, and the run goes on once it is mended.

use serde_json::{Value, json};

use super::environments::{Cluster, RUN, environment, kubeconfig, refused, stage_of, stage_with, untouched};
use super::errors::Told;
use super::support::{Stage, step_of};

/// A change that is tried again.
const PATIENT: &str = "\
playbook: patient
summary: A change that is tried again
steps:
  - id: gate
    uses: approve
  - id: grow
    needs: [gate]
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
    retry: { attempts: 40, backoff: constant, initial: 250ms, max: 250ms, jitter: false }
";

const BUSY: &str = "\
playbook: busy
summary: A change of a cluster that is asked too often
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: 4 }
    retry: { attempts: 2, backoff: constant, initial: 10ms, max: 10ms, jitter: false }
";

/// The token of an account of the cluster.
fn token(cluster: &Cluster, account: &str) -> String {
    let config = cluster.stage.run(&["sandbox", "kubeconfig", "--account", account, "-o", "json"]).code(0).json();
    config["users"][0]["user"]["token"].as_str().expect("a token").to_owned()
}

fn log_in(stage: &Stage, cluster: &Cluster, token: &str) {
    kubeconfig(stage, &cluster.url, &json!({ "token": token }));
}

/// That a command ends so, and says these.
#[track_caller]
fn says(stage: &Stage, args: &[&str], code: i32, wanted: &[&str]) {
    let told = Told::of(stage, stage.run(args), code);
    for line in wanted {
        assert!(told.out.contains(line) || told.err.contains(line), "`{line}` is not in:\n{}\n---\n{}", told.out, told.err);
    }
}

/// That the run waits for somebody to mend it, that nothing was done, and that it goes on when it is mended.
#[track_caller]
fn is_mended_by(stage: &Stage, cluster: &Cluster, mend: impl FnOnce()) {
    assert_eq!(stage.status_json()["status"], "paused", "nothing was lost");
    assert!(cluster.stage.effects().is_empty(), "nothing was done");
    mend();
    let _ = stage.run(&["resume"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn another_accounts_kubeconfig_is_refused_with_verb_resource_and_namespace() {
    let cluster = Cluster::new();
    let stage = stage_with(&cluster, &json!({ "token": token(&cluster, "viewer") }));
    says(
        &stage,
        &RUN,
        1,
        &[
            "step grow failed: patch deployments/scale `ticket-service` in namespace production: forbidden (403): ",
            "User \"viewer\" cannot patch resource \"deployments/scale\" in API group \"apps\" in the namespace \"production\"",
            "hint: allow the verb `patch` on `deployments/scale` in a Role; `kubectl auth can-i patch deployments --subresource=scale -n production` tells",
            "runsheet resume RUN",
        ],
    );
    is_mended_by(&stage, &cluster, || log_in(&stage, &cluster, &cluster.token));
}

#[test]
fn an_expired_account_is_refused_before_anything_is_recorded() {
    let cluster = Cluster::new();
    let stage = stage_with(&cluster, &json!({ "token": token(&cluster, "expired") }));
    refused(
        &stage,
        &RUN,
        6,
        &[
            "the Kubernetes API at http://127.0.0.1:PORT does not accept the credentials (401): Unauthorized",
            "hint: log in to the cluster again; nothing was done, and a run that is open goes on with `runsheet resume`",
        ],
    );
    untouched(&stage, &cluster);
}

#[test]
fn a_token_that_expires_in_the_middle_of_a_run_pauses_it() {
    for route in ["PATCH *", "GET /apis/apps/*"] {
        let cluster = Cluster::new();
        let stage = stage_of(&cluster);
        cluster.stage.fault(&["refuse", route, "--status", "401", "--times", "forever"]);
        says(
            &stage,
            &RUN,
            1,
            &[
                "`ticket-service` in namespace production: the credentials are not accepted (401)",
                "hint: renew the token of this environment",
                "runsheet resume RUN",
            ],
        );
        is_mended_by(&stage, &cluster, || cluster.stage.clear_faults());
    }
}

#[test]
fn a_conflict_names_who_owns_the_field() {
    let cluster = Cluster::new();
    let apply = |name: &str, force: &str| {
        format!(
            "playbook: {name}\nsummary: Apply a manifest\nsteps:\n  - id: apply\n    uses: k8s.apply\n    with:\n      object:\n        apiVersion: \
             apps/v1\n        kind: Deployment\n        metadata: {{ name: ticket-service }}\n        spec: {{ replicas: 5 }}\n{force}"
        )
    };
    let stage = stage_of(&cluster).playbook("apply", &apply("apply", "")).playbook("take-over", &apply("take-over", "      force: true\n"));
    owned_by(&cluster, "argocd-controller", 3);
    says(
        &stage,
        &["run", "apply", "--env", "staging", "--yes"],
        1,
        &[
            "step apply failed: others own what the manifest would change of ",
            ".spec.replicas is argocd-controller's",
            "hint: leave these fields out of the manifest, change them where their owner keeps them, or say `force: true` to take them over",
        ],
    );
    assert_eq!(stage.status_json()["status"], "paused");
    says(&stage, &["resume"], 1, &[".spec.replicas is argocd-controller's"]);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→3"], "only its owner changed it");
    let _ = stage.run(&["cancel", "--yes"]).code(0);
    let _ = stage.run(&["run", "take-over", "--env", "staging", "--yes"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→3", "3→5"]);
}

/// Has this manager own the replicas, as `kubectl apply --server-side --force-conflicts --field-manager=NAME` does.
fn owned_by(cluster: &Cluster, manager: &str, replicas: u32) {
    let url = format!("{}/apis/apps/v1/namespaces/production/deployments/ticket-service?fieldManager={manager}&force=true", cluster.url);
    let manifest = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service" }, "spec": { "replicas": replicas },
    });
    // One that is there already will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let sent = reqwest::Client::new()
        .patch(url)
        .bearer_auth(&cluster.token)
        .header("content-type", "application/apply-patch+yaml")
        .body(manifest.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    assert_eq!(runtime.block_on(sent.send()).unwrap().status(), 200);
}

#[test]
fn a_cluster_that_is_asked_too_often_is_left_alone_for_as_long_as_it_says() {
    for route in ["PATCH *", "GET /apis/apps/*"] {
        let cluster = Cluster::new();
        let stage = stage_of(&cluster).playbook("busy", BUSY);
        cluster.stage.fault(&["refuse", route, "--status", "429", "--retry-after", "2"]);
        let ran = stage.run(&["run", "busy", "--env", "staging", "--yes", "-o", "jsonl"]).code(0);
        let events = ran.json_lines();
        let waits: Vec<&Value> = events.iter().filter(|event| event["kind"] == "retry_scheduled").collect();
        assert_eq!(waits.len(), 1, "{ran}");
        let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
        let wait = at(&waits[0]["until"]).duration_since(at(&waits[0]["at"]));
        assert!(wait >= jiff::SignedDuration::from_millis(1990), "{wait:?} of the 2 s that were asked for");
        let again = events.iter().find(|event| event["seq"].as_u64() > waits[0]["seq"].as_u64()).expect("another try");
        assert!(at(&again["at"]) >= at(&waits[0]["until"]), "it was tried before its time: {again}");
        assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    }
}

#[test]
fn a_wait_that_is_asked_for_is_shown_and_one_that_is_too_long_is_not_waited_for() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster).playbook("busy", BUSY);
    cluster.stage.fault(&["refuse", "PATCH *", "--status", "429", "--retry-after", "1"]);
    says(&stage, &["run", "busy", "--env", "staging", "--yes"], 0, &["attempt 2/2 at TIME: ", "too many requests (429) (Retry-After: 1)"]);
    // Without more attempts, the step fails, and nothing is lost.
    cluster.stage.fault(&["refuse", "PATCH *", "--status", "429", "--retry-after", "1"]);
    let again: Vec<&str> = RUN.into_iter().chain(["-p", "replicas=6"]).collect();
    says(
        &stage,
        &again,
        1,
        &["step grow failed: patch deployments/scale `ticket-service` in namespace production: too many requests (429)"],
    );
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    let _ = stage.run(&["resume"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→6"]);
    let _ = stage.run(&["rollback", "--yes"]).code(0);
    cluster.stage.fault(&["refuse", "PATCH *", "--status", "429", "--retry-after", "7200", "--times", "forever"]);
    environment(&stage, &cluster.uid, "");
    let grown = "playbook: busy\nsummary: s\nsteps:\n  - id: grow\n    uses: k8s.scale\n    with: { workload: deployment/ticket-service, replicas: 7 }\n    \
                 retry: { attempts: 5, backoff: constant, initial: 10ms, max: 10ms }\n";
    stage.write_playbook("busy", grown);
    says(
        &stage,
        &["run", "busy", "--env", "staging", "--yes"],
        1,
        &["too many requests (429) (Retry-After: 7200)", "it asks for a wait of more than 1h, which is not waited for"],
    );
}

/// A run that stands at its gate, and the cluster gone under it.
fn gone_under(cluster: &mut Cluster, playbook: &str) -> (Stage, super::support::Live) {
    let stage = stage_of(cluster).playbook("patient", PATIENT);
    let run = stage.start(&["run", playbook, "--env", "staging", "--yes", "--watch"]);
    stage.until_step("gate", "waiting");
    cluster.stage.kill_sandbox();
    let _ = stage.run(&["approve", "gate"]).code(0);
    (stage, run)
}

#[test]
fn an_api_that_goes_in_the_middle_of_a_run_pauses_it() {
    let mut cluster = Cluster::new();
    let (stage, run) = gone_under(&mut cluster, "gated");
    let told = Told::of(&stage, run.wait(), 1);
    for line in [
        // The first that is asked of it after the gate is the lock.
        "step grow failed: the lock on k8s:RUN-ID/production/deployment/ticket-service cannot be taken: ",
        ": no connection to the Kubernetes API: Connection refused",
        "hint: check that the cluster is up and reachable from here: `kubectl get --raw /readyz`",
        "runsheet resume RUN",
    ] {
        assert!(told.out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    refused(&stage, &["resume"], 6, &["no connection to the Kubernetes API: Connection refused", "then try again; nothing was done"]);
    is_mended_by(&stage, &cluster, || drop(cluster.stage.run(&["sandbox", "up"]).code(0)));
}

#[test]
fn an_api_that_comes_back_finds_a_patient_step_waiting() {
    let mut cluster = Cluster::new();
    let (stage, run) = gone_under(&mut cluster, "patient");
    let waiting = stage.until_status("grow waits for its next try", |status| !step_of(status, "grow")["retry"].is_null());
    let why = step_of(&waiting, "grow")["retry"]["failure"].to_string();
    assert!(why.contains("no connection to the Kubernetes API: Connection refused"), "{why}");
    let _ = cluster.stage.run(&["sandbox", "up"]).code(0);
    let _ = run.wait().code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}
