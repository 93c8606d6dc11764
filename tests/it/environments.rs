//! Environments through the binary: a sandbox in another folder is the real cluster, and a kubeconfig leads to it.
//!
//! Invariant: whatever is refused has had no effect and lost nothing, and a run that was open goes on once it is mended.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::errors::{Told, tells};
use super::support::Stage;

pub const SCALE: &str = "\
playbook: scale
summary: One change
params:
  replicas: { type: integer, default: 4 }
steps:
  - id: grow
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: \"${{ params.replicas }}\" }
";

const GATED: &str = "\
playbook: gated
summary: A gate before a change
steps:
  - { id: gate, uses: approve }
  - id: grow
    needs: [gate]
    uses: k8s.scale
    with: { workload: deployment/ticket-service, replicas: \"${{ target.capacity.medium.replicas }}\" }
";

/// A cluster that is not the stage's own sandbox.
pub struct Cluster {
    pub stage: Stage,
    pub url: String,
    pub token: String,
    pub uid: String,
}

impl Cluster {
    pub fn new() -> Self {
        let stage = Stage::new().sandbox(20);
        let text = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).unwrap();
        let ready: Value = serde_json::from_str(&text).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self { url: format!("http://{}", text("address")), token: text("admin_token"), uid: text("cluster_uid"), stage }
    }
}

/// A stage whose environment `staging` leads to the cluster, by a context with this user.
pub fn stage_with(cluster: &Cluster, user: &Value) -> Stage {
    let stage = Stage::new().playbook("scale", SCALE).playbook("gated", GATED);
    kubeconfig(&stage, &cluster.url, user);
    environment(&stage, &cluster.uid, "");
    stage
}

pub fn stage_of(cluster: &Cluster) -> Stage {
    stage_with(cluster, &json!({ "token": cluster.token }))
}

pub fn kubeconfig(stage: &Stage, url: &str, user: &Value) -> PathBuf {
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "staging",
        "clusters": [{ "name": "c", "cluster": { "server": url } }],
        "users": [{ "name": "ana", "user": user }],
        "contexts": [{ "name": "staging", "context": { "cluster": "c", "user": "ana", "namespace": "production" } }],
    });
    let file = stage.path("kubeconfig");
    std::fs::write(&file, config.to_string()).unwrap();
    file
}

pub fn environment(stage: &Stage, uid: &str, more: &str) {
    let file = stage.path("kubeconfig");
    write(
        stage,
        &format!(
            "environment: staging\nsummary: The staging cluster\nkubernetes:\n  context: staging\n  kubeconfig: {}\n  namespace: production\n  \
             cluster_uid: {uid}\n{more}values:\n  capacity: {{ low: {{ replicas: 2 }}, medium: {{ replicas: 4 }}, high: {{ replicas: 8 }}, critical: {{ \
             replicas: 16 }} }}\n",
            file.display()
        ),
    );
}

pub fn write(stage: &Stage, text: &str) {
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("staging.yaml"), text).unwrap();
}

pub const RUN: [&str; 5] = ["run", "scale", "--env", "staging", "--yes"];
const RUN_GATED: [&str; 5] = ["run", "gated", "--env", "staging", "--yes"];

#[track_caller]
pub fn refused(stage: &Stage, args: &[&str], code: i32, wanted: &[&str]) -> Told {
    let told = Told::of(stage, stage.run(args), code);
    for line in wanted {
        assert!(told.err.contains(line), "`{line}` is not in:\n{}", told.err);
    }
    told
}

/// Refused before anything was recorded or done.
#[track_caller]
pub fn untouched(stage: &Stage, cluster: &Cluster) {
    assert!(!stage.root().join("state/runsheet.db").exists(), "nothing was recorded");
    assert!(cluster.stage.effects().is_empty(), "nothing was done");
}

/// A run that waits at its gate.
fn gated(stage: &Stage) {
    let _ = stage.run(&RUN_GATED).code(4);
}

/// The gate opens, and the run comes to its end on the cluster.
#[track_caller]
fn goes_on(stage: &Stage, cluster: &Cluster) {
    assert_eq!(stage.status_json()["status"], "waiting", "nothing was lost");
    let _ = stage.run(&["approve", "gate"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn a_run_acts_on_the_cluster_that_its_environment_names_and_gives_back() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let ran = stage.run(&RUN).code(0);
    ran.has_nowhere("SANDBOX").has_nowhere(&cluster.token);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    let _ = stage.run(&["rollback", "--yes"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→2"]);
    assert!(!stage.sandbox_folder().exists(), "the stage's own sandbox was never needed");
    assert!(stage.state_files_with(&cluster.token).is_empty(), "a credential is never stored");
}

#[test]
fn a_wrong_cluster_is_refused_with_both_uids() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, "11111111-2222-4333-8444-555555555555", "");
    tells(
        &stage,
        &RUN,
        6,
        &format!(
            "error: this is another target: the cluster's UID is {}, and playbooks/environments/staging.yaml:7 says \
             11111111-2222-4333-8444-555555555555\n hint: nothing was done: check `context` and `kubeconfig` in that file; where the cluster was made \
             anew on purpose, write its UID there",
            cluster.uid.replace(&cluster.uid, "RUN-ID")
        ),
    );
    untouched(&stage, &cluster);
}

#[test]
fn a_run_never_moves_to_another_cluster() {
    let (first, second) = (Cluster::new(), Cluster::new());
    let stage = stage_of(&first);
    gated(&stage);
    kubeconfig(&stage, &second.url, &json!({ "token": second.token }));
    // The kubeconfig leads elsewhere: the file says so first.
    let said = refused(&stage, &["approve", "gate"], 6, &["this is another target", "staging.yaml:7 says"]);
    assert!(said.err.contains("hint: nothing was done"), "{}", said.err);
    // File and kubeconfig lead elsewhere together: the run knows.
    environment(&stage, &second.uid, "");
    let run = stage.status_json()["short_id"].as_str().unwrap().to_owned();
    for args in
        [&["approve", "gate"][..], &["resume"], &["rollback", &run, "--yes"], &["skip", "gate", "--reason", "x"], &["cancel", "--yes"]]
    {
        refused(
            &stage,
            args,
            6,
            &["this is another target: the cluster's UID is", ", which recorded it when it started, says", "a run never moves"],
        );
    }
    assert!(second.stage.effects().is_empty() && first.stage.effects().is_empty());
    kubeconfig(&stage, &first.url, &json!({ "token": first.token }));
    environment(&stage, &first.uid, "");
    goes_on(&stage, &first);
}

#[test]
fn a_run_keeps_its_values_and_takes_its_connection_from_the_file() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    gated(&stage);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("medium: { replicas: 4 }", "medium: { replicas: 9 }")).unwrap();
    goes_on(&stage, &cluster);
    gated(&stage);
    std::fs::rename(&file, stage.path("aside.yaml")).unwrap();
    refused(
        &stage,
        &["approve", "gate"],
        6,
        &["`staging`, in which the run was started, has no file any more", "hint: put ROOT/playbooks/environments/staging.yaml back"],
    );
    std::fs::rename(stage.path("aside.yaml"), &file).unwrap();
    let _ = stage.run(&["approve", "gate"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4", "4→9"]);
}

#[test]
fn an_expired_token_is_refused_and_the_run_goes_on_with_a_new_one() {
    let cluster = Cluster::new();
    let stage = stage_with(&cluster, &json!({ "token": "a-token-of-yesterday" }));
    tells(
        &stage,
        &RUN,
        6,
        "\
error: the cluster does not tell its identity: the Kubernetes API at http://127.0.0.1:PORT does not accept the credentials (401): Unauthorized
 hint: log in to the cluster again; nothing was done, and a run that is open goes on with `runsheet resume`",
    );
    untouched(&stage, &cluster);
    kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token }));
    gated(&stage);
    kubeconfig(&stage, &cluster.url, &json!({ "token": "a-token-of-yesterday" }));
    refused(&stage, &["resume"], 6, &["does not accept the credentials (401)"])
        .err
        .contains("a-token")
        .then(|| panic!("a credential is told"));
    kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token }));
    goes_on(&stage, &cluster);
}

#[test]
fn what_an_account_may_not_do_is_told_with_verb_resource_and_namespace() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    cluster.stage.fault(&["refuse", "GET /api/v1/namespaces/kube-system", "--status", "403"]);
    refused(
        &stage,
        &RUN,
        6,
        &["the account may not get the namespace kube-system", "(403)", "hint: let this account `get` the namespace kube-system"],
    );
    untouched(&stage, &cluster);
    cluster.stage.clear_faults();
    cluster.stage.fault(&["refuse", "PATCH *", "--status", "403"]);
    let told = Told::of(&stage, stage.run(&RUN), 1);
    for line in [
        "step grow failed: ",
        "patch deployments/scale `ticket-service` in namespace production: forbidden (403)",
        "kubectl auth can-i patch",
    ] {
        assert!(told.out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    assert!(cluster.stage.effects().is_empty());
    cluster.stage.clear_faults();
    let _ = stage.run(&["resume"]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn an_api_that_cannot_be_reached_is_refused_and_lost_nothing() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    gated(&stage);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    kubeconfig(&stage, &format!("http://{closed}"), &json!({ "token": cluster.token }));
    tells(
        &stage,
        &["resume"],
        6,
        &format!(
            "\
run RUN of gated acts on staging (cluster UID {uid})
error: the target's identity cannot be read from http://127.0.0.1:PORT: no connection to the Kubernetes API: Connection refused
 hint: check that the cluster is up and reachable from here, then try again; nothing was done",
            uid = "RUN-ID"
        ),
    );
    // What is asked in TLS of who speaks plain HTTP is told as that.
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            let _ = stream.and_then(|mut stream| stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"));
        }
    });
    kubeconfig(&stage, &format!("https://{address}"), &json!({ "token": cluster.token }));
    refused(&stage, &["resume"], 6, &["the server does not speak TLS: its URL may have to begin with `http://`"]);
    kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token }));
    goes_on(&stage, &cluster);
}

#[test]
fn a_context_or_kubeconfig_that_is_not_there_is_told_with_what_there_is() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("context: staging", "context: stagin")).unwrap();
    tells(&stage, &RUN, 6, "error: the kubeconfig STAGE/kubeconfig has no context `stagin`\n hint: there are: staging");
    std::fs::write(&file, &text).unwrap();
    std::fs::rename(stage.path("kubeconfig"), stage.path("aside")).unwrap();
    refused(&stage, &RUN, 6, &["error: there is no kubeconfig: STAGE/kubeconfig is not there\n hint: log in to the cluster first"]);
    // Without the key, KUBECONFIG and the home folder say where.
    let text: String = text.lines().filter(|line| !line.contains("kubeconfig:")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, text).unwrap();
    refused(&stage, &RUN, 6, &["there is no kubeconfig: STAGE/home/.kube/config is not there"]);
    let (gone, aside) = (stage.path("gone"), stage.path("aside"));
    let both = format!("{}:{}", gone.display(), stage.path("gone-too").display());
    let ran = stage.run_with(&RUN, &[("KUBECONFIG", &both)]);
    let told = Told::of(&stage, ran, 6);
    assert!(told.err.contains("none of STAGE/gone, STAGE/gone-too is there"), "{}", told.err);
    untouched(&stage, &cluster);
    // Of several files, the first that has a name wins, and one that is not there is passed over.
    let other = stage.path("other");
    std::fs::write(&other, "contexts: [{ name: other, context: { cluster: x, user: y } }]\ncurrent-context: other\n").unwrap();
    let three = format!("{}:{}:{}", gone.display(), other.display(), aside.display());
    let _ = stage.run_with(&RUN, &[("KUBECONFIG", &three)]).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn secrets_come_from_where_the_environment_says() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster).playbook(
        "tell",
        "playbook: tell\nsummary: s\nsecrets: { service_token: {}, other: { env: NOT_THIS_ONE } }\nsteps:\n  - id: a\n    uses: command\n    with: { argv: \
         [sh, -c, 'test \"$T\" = right-token && test \"$O\" = other-token'], env: { T: \"${{ secrets.service_token }}\", O: \"${{ secrets.other }}\" } }\n  - { id: grow, \
         needs: [a], uses: k8s.scale, with: { workload: deployment/ticket-service, replicas: 4 } }\n",
    );
    environment(&stage, &cluster.uid, "secrets:\n  service_token: { env: SERVICE_TOKEN }\n  other: { file: ../../../other }\n");
    let args = ["run", "tell", "--env", "staging", "--yes"];
    refused(
        &stage,
        &args,
        3,
        &[
            "secret `service_token`: the environment variable SERVICE_TOKEN is not set",
            "secret `other`: the file ",
            "other cannot be read: there is no such file",
            "\n hint: ",
        ],
    );
    untouched(&stage, &cluster);
    std::fs::write(stage.path("other"), "other-token\n").unwrap();
    let ran = stage.run_with(&args, &[("SERVICE_TOKEN", "right-token")]).code(0);
    ran.stderr_has("env: {T: [secret service_token], O: [secret other]}").has_nowhere("right-token").has_nowhere("other-token");
}
