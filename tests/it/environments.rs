//! Environments through the binary: a sandbox in another folder is the real cluster, and a kubeconfig leads to it.
//!
//! Invariant: whatever is refused has had no effect and lost nothing, and a run that was open goes on once it is mended.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::errors::{Told, tells};
use super::support::Stage;

const SCALE: &str = "\
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
struct Cluster {
    stage: Stage,
    url: String,
    token: String,
    uid: String,
}

impl Cluster {
    fn new() -> Self {
        let stage = Stage::new().sandbox(20);
        let text = std::fs::read_to_string(stage.sandbox_folder().join("ready.json")).unwrap();
        let ready: Value = serde_json::from_str(&text).unwrap();
        let text = |key: &str| ready[key].as_str().unwrap().to_owned();
        Self { url: format!("http://{}", text("address")), token: text("admin_token"), uid: text("cluster_uid"), stage }
    }
}

/// A stage whose environment `staging` leads to the cluster, by a context with this user.
fn stage_with(cluster: &Cluster, user: &Value) -> Stage {
    let stage = Stage::new().playbook("scale", SCALE).playbook("gated", GATED);
    kubeconfig(&stage, &cluster.url, user);
    environment(&stage, &cluster.uid, "");
    stage
}

fn stage_of(cluster: &Cluster) -> Stage {
    stage_with(cluster, &json!({ "token": cluster.token }))
}

fn kubeconfig(stage: &Stage, url: &str, user: &Value) -> PathBuf {
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

fn environment(stage: &Stage, uid: &str, more: &str) {
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

fn write(stage: &Stage, text: &str) {
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("staging.yaml"), text).unwrap();
}

const RUN: [&str; 5] = ["run", "scale", "--env", "staging", "--yes"];
const RUN_GATED: [&str; 5] = ["run", "gated", "--env", "staging", "--yes"];

#[track_caller]
fn refused(stage: &Stage, args: &[&str], code: i32, wanted: &[&str]) -> Told {
    let told = Told::of(stage, stage.run(args), code);
    for line in wanted {
        assert!(told.err.contains(line), "`{line}` is not in:\n{}", told.err);
    }
    told
}

/// Refused before anything was recorded or done.
#[track_caller]
fn untouched(stage: &Stage, cluster: &Cluster) {
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
    for args in [&["approve", "gate"][..], &["resume"], &["rollback", "--yes"], &["skip", "gate", "--reason", "x"], &["cancel", "--yes"]] {
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
        "\
error: the target's identity cannot be read from http://127.0.0.1:PORT: no connection to the Kubernetes API: Connection refused
 hint: check that the cluster is up and reachable from here, then try again; nothing was done",
    );
    // The sandbox speaks plain HTTP: what is asked of it in TLS is told as that.
    kubeconfig(&stage, &cluster.url.replace("http://", "https://"), &json!({ "token": cluster.token }));
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

/// A user whose credentials come from a shell script.
fn plugin(stage: &Stage, script: &str) -> Value {
    let file = stage.path("login");
    std::fs::write(&file, script).unwrap();
    json!({ "exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": [file], "interactiveMode": "Never",
        "env": [{ "name": "LOGIN_KEY", "value": "hunter2hunter2" }],
    } })
}

#[test]
fn a_credential_plugin_is_run_and_its_failures_are_told() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "  exec_timeout: 1s\n");
    let counter = stage.path("times");
    let works = format!(
        "echo once >> {}\necho '{{\"kind\": \"ExecCredential\", \"status\": {{\"token\": \"{}\", \"expirationTimestamp\": \
         \"2999-01-01T00:00:00Z\"}}}}'\n",
        counter.display(),
        cluster.token
    );
    // What fails, with what is told of it.
    for (script, wanted) in [
        (
            "echo \"session of $LOGIN_KEY has ended\" >&2; exit 7",
            "the credential plugin `sh` ended with exit code 7: session of [secret LOGIN_KEY] has ended",
        ),
        ("echo waiting for a browser >&2; sleep 600", "the credential plugin `sh` did not finish within 1 s: waiting for a browser"),
        ("echo no", "the credential plugin `sh` gave nothing that could be used: what it printed is not JSON"),
    ] {
        kubeconfig(&stage, &cluster.url, &plugin(&stage, script));
        let told =
            refused(&stage, &RUN, 6, &["there are no credentials for the Kubernetes API at http://127.0.0.1:PORT: ", wanted, "\n hint: "]);
        assert!(!told.err.contains("hunter2"), "{}", told.err);
        untouched(&stage, &cluster);
    }
    kubeconfig(&stage, &cluster.url, &json!({ "exec": { "command": "no-such-plugin", "installHint": "brew install no-such-plugin" } }));
    refused(
        &stage,
        &RUN,
        6,
        &["the credential plugin `no-such-plugin` is not installed on this machine\n hint: install it: brew install no-such-plugin"],
    );
    untouched(&stage, &cluster);
    kubeconfig(&stage, &cluster.url, &plugin(&stage, &works));
    let _ = stage.run(&RUN).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    assert_eq!(stage.text("times"), "once\n", "it is asked once for each process, not for each request");
    assert!(stage.state_files_with(&cluster.token).is_empty());
}

#[test]
fn a_token_comes_from_its_file() {
    let cluster = Cluster::new();
    let stage = stage_with(&cluster, &json!({ "tokenFile": "token" }));
    refused(&stage, &RUN, 6, &["the token's file STAGE/token cannot be used: No such file or directory\n hint: check `tokenFile`"]);
    untouched(&stage, &cluster);
    std::fs::write(stage.path("token"), format!("{}\n", cluster.token)).unwrap();
    let _ = stage.run(&RUN).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
}

#[test]
fn requests_go_through_the_proxy_of_the_environment() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&tunnels);
    let to = cluster.url.replace("http://", "");
    std::thread::spawn(move || {
        for client in proxy.incoming().map_while(Result::ok) {
            let (counted, to) = (Arc::clone(&counted), to.clone());
            std::thread::spawn(move || tunnel(client, &to, &counted));
        }
    });
    environment(&stage, &cluster.uid, &format!("  proxy: http://{address}\n"));
    let _ = stage.run(&RUN).code(0);
    assert_eq!(cluster.stage.effects_on("spec.replicas"), ["2→4"]);
    assert!(tunnels.load(Ordering::SeqCst) >= 1, "the proxy saw nothing");
}

/// What an HTTP proxy does with `CONNECT`.
fn tunnel(mut client: TcpStream, to: &str, counted: &AtomicUsize) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && matches!(client.read(&mut byte), Ok(1)) {
        head.push(byte[0]);
    }
    if !head.starts_with(format!("CONNECT {to} ").as_bytes()) {
        return;
    }
    counted.fetch_add(1, Ordering::SeqCst);
    let Ok(mut server) = TcpStream::connect(to) else { return };
    let _ = client.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
    let (mut back, mut from) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut from, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let _ = std::io::copy(&mut client, &mut server);
    let _ = server.shutdown(Shutdown::Both);
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
    ran.has_nowhere("right-token").has_nowhere("other-token");
}

#[test]
fn a_file_with_mistakes_is_told_line_by_line() {
    let stage = Stage::new().playbook("scale", SCALE);
    write(
        &stage,
        "environment: staging\nkubernetes:\n  contxt: staging\n  namespace: production\n  cluster_uid: 6f2c\npostgres: { host: h, database: d, user: u, password: hunter2 }\n",
    );
    for args in [&["run", "scale", "--env", "staging"][..], &["environment", "show", "staging"]] {
        let told = Told::of(&stage, stage.run(args), 3);
        for line in [
            "error[unknown-key]: `kubernetes` has no key `contxt`",
            "--> ROOT/playbooks/environments/staging.yaml:3:3",
            "3 |   contxt: staging",
            "^^^^^^",
            "help: did you mean `context`?",
            "error[secret]: `password` is written in the file: a secret's text never stands here",
            "password: ••••••• }",
        ] {
            assert!(told.err.contains(line), "`{line}` is not in:\n{}", told.err);
        }
        assert!(!told.err.contains("hunter2"), "{}", told.err);
    }
    let told = Told::of(&stage, stage.run(&["environment", "check"]), 3);
    assert!(told.out.contains("did you mean `context`?"), "{}", told.out);
    assert!(!stage.root().join("state").exists(), "no sandbox was taken in its place");
}

#[test]
fn the_name_of_the_sandbox_is_its_own() {
    let stage = Stage::new().playbook("scale", SCALE);
    let folder = stage.root().join("playbooks/environments");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("sandbox.yaml"), "environment: sandbox\n").unwrap();
    let listed = stage.run(&["environment", "list", "-o", "json"]).code(0).json();
    let problem = listed[0]["problem"].as_str().unwrap();
    assert!(problem.contains("`sandbox` is the name of the built-in environment"), "{problem}");
    std::fs::remove_file(folder.join("sandbox.yaml")).unwrap();
    // One that is called otherwise than it has to be is not passed over in favour of the sandbox.
    std::fs::write(folder.join("staging.yml"), "environment: staging\n").unwrap();
    refused(
        &stage,
        &["run", "scale"],
        6,
        &["this run needs an environment, and none was named", "name one with `--env`: staging, sandbox"],
    );
    refused(&stage, &["run", "scale", "--env", "staging"], 3, &["an environment's file ends in `.yaml`\n hint: rename it to staging.yaml"]);
    let ran = stage.run(&["run", "scale", "--env", "sandbox"]).code(0);
    assert!(ran.stdout.contains("SANDBOX"), "{ran}");
}

#[test]
fn a_check_says_of_each_thing_whether_it_is_right() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let told = Told::of(&stage, stage.run(&["environment", "check", "staging"]), 0);
    let out = words(&told.out);
    for line in [
        "✔ file playbooks/environments/staging.yaml is valid",
        "✔ kubeconfig context staging leads to http://127.0.0.1:PORT as ana",
        "✔ cluster http://127.0.0.1:PORT answered within N ms",
        "✔ uid it is the cluster that is meant",
        "✔ namespace production is there",
        "✔ capacity the capacity table has every level",
    ] {
        assert!(out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let more = format!(
        "secrets: {{ service_token: {{ env: SERVICE_TOKEN }} }}\npostgres: {{ host: 127.0.0.1, port: {}, database: d, user: u, tls: disable }}\n",
        closed.port()
    );
    environment(&stage, "11111111-2222-4333-8444-555555555555", &more);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    let text = std::fs::read_to_string(&file)
        .unwrap()
        .replace("namespace: production", "namespace: nowhere")
        .replace("replicas: 8", "replicas: 0");
    std::fs::write(&file, &text).unwrap();
    let told = Told::of(&stage, stage.run(&["environment", "check"]), 6);
    let out = words(&told.out);
    for line in [
        "✘ uid this is another target: the cluster's UID is",
        "✘ namespace there is no namespace nowhere in this cluster",
        "✘ secret secret `service_token`: the environment variable SERVICE_TOKEN is not set",
        "✘ postgres 127.0.0.1:PORT cannot be reached: Connection refused",
        "✘ capacity `replicas` has to be a whole number of at least 1: high",
    ] {
        assert!(out.contains(line), "`{line}` is not in:\n{}", told.out);
    }
    // The UID that the file lacks is told.
    let lacking: String = text.lines().filter(|line| !line.contains("cluster_uid")).map(|line| format!("{line}\n")).collect();
    std::fs::write(&file, lacking).unwrap();
    let ran = stage.run(&["environment", "check", "staging"]).code(3);
    assert!(words(&ran.stdout).contains(&format!("write `cluster_uid: {}` under `kubernetes`", cluster.uid)), "{ran}");
    let checked = stage.run(&["environment", "check", "staging", "-o", "json"]).code(3).json();
    assert_eq!(checked[0]["name"], "staging");
    assert!(checked[0]["findings"].as_array().unwrap().iter().any(|finding| finding["verdict"] == "refused"), "{checked}");
    assert!(cluster.stage.effects().is_empty(), "a check changes nothing");
    assert!(!stage.root().join("state").exists(), "a check records nothing");
}

#[test]
fn a_new_environment_is_drafted_from_the_kubeconfig() {
    let cluster = Cluster::new();
    let stage = Stage::new().playbook("scale", SCALE);
    let config = kubeconfig(&stage, &cluster.url, &json!({ "token": cluster.token })).display().to_string();
    let env = [("KUBECONFIG", config.as_str())];
    let printed = stage.run_with(&["environment", "new", "staging", "--stdout"], &env).code(0);
    assert!(printed.stdout.contains(&cluster.uid), "{printed}");
    assert!(!stage.root().join("playbooks/environments").exists(), "nothing was written");
    let ran = stage.run_with(&["environment", "new", "staging"], &env).code(0);
    ran.stdout_has("From now on a run names its environment: `--env staging`, or `--env sandbox`").has_nowhere(&cluster.token);
    let file = stage.root().join("playbooks/environments/staging.yaml");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), printed.stdout);
    let checked = stage.run_with(&["environment", "check", "staging", "-o", "json"], &env).code(0).json();
    let verdicts: Vec<&str> = checked[0]["findings"].as_array().unwrap().iter().filter_map(|one| one["verdict"].as_str()).collect();
    assert!(verdicts.iter().all(|verdict| ["good", "notice"].contains(verdict)), "{checked}");
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "staging"], &env), 6);
    assert!(told.err.contains("playbooks/environments/staging.yaml is there already, and stays as it is"), "{}", told.err);
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "Staging"], &env), 6);
    assert!(told.err.contains("`Staging` cannot be the name of an environment"), "{}", told.err);
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "other", "--context", "othr"], &env), 6);
    assert!(told.err.contains("has no context `othr`\n hint: there are: staging"), "{}", told.err);
    // A cluster that does not tell who it is gets no file.
    kubeconfig(&stage, &cluster.url, &json!({ "token": "a-token-of-yesterday" }));
    let told = Told::of(&stage, stage.run_with(&["environment", "new", "other"], &env), 6);
    assert!(told.err.contains("does not accept the credentials (401)"), "{}", told.err);
    assert!(!stage.root().join("playbooks/environments/other.yaml").exists());
}

#[test]
fn environments_are_listed_shown_and_completed() {
    let cluster = Cluster::new();
    let stage = stage_of(&cluster);
    environment(&stage, &cluster.uid, "confirm: name\nsecrets: { service_token: { env: SERVICE_TOKEN } }\n");
    let listed = stage.run(&["environment", "list"]).code(0).stdout;
    let lines: Vec<String> = listed.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "ENVIRONMENT CONTEXT NAMESPACE CONFIRM SUMMARY");
    assert_eq!(lines[1], "staging staging production name The staging cluster");
    assert!(lines[2].starts_with("sandbox – production – The simulated platform"), "{listed}");
    let shown = stage.run_with(&["environment", "show", "staging"], &[("SERVICE_TOKEN", "hunter2hunter2")]).code(0);
    shown.stdout_has("from the environment variable SERVICE_TOKEN").stdout_has(&cluster.uid).has_nowhere("hunter2");
    let document = stage.run(&["environment", "show", "staging", "-o", "json"]).code(0).json();
    assert_eq!(document["target"]["kubernetes"], json!({ "namespace": "production", "cluster": "staging" }));
    assert_eq!(document["target"]["capacity"]["high"]["replicas"], 8);
    refused(&stage, &["environment", "show", "stagin"], 2, &["there is no environment `stagin`\n hint: there are: staging, sandbox"]);
    let completed = |words: &[&str]| {
        let index = (words.len() - 1).to_string();
        let env = [("COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", index.as_str()), ("IFS", "\n")];
        let args: Vec<&str> = ["--"].into_iter().chain(words.iter().copied()).collect();
        stage.run_with(&args, &env).stdout
    };
    assert_eq!(completed(&["runsheet", "run", "scale", "--env", "s"]), "staging\nsandbox");
    let schema = stage.run(&["schema", "environment"]).code(0).json();
    assert_eq!(schema["title"], "runsheet environment");
}
