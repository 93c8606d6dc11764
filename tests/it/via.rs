//! Ways to what cannot be reached from here: port-forwards by the cluster, and machines that are logged in to.
//!
//! Invariant: what goes wrong on the way is told as that, and a request that never left it is never called unknown.

use serde_json::{Value, json};

use super::environments::{Cluster, kubeconfig, write};
use super::support::{Ran, Stage};

const ASK: &str = "\
playbook: ask
summary: One question, and one change
params:
  event_id: { type: string, default: 0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11 }
secrets:
  service_token: {}
steps:
  - id: ask
    uses: http.request
    with: { url: \"${{ target.tickets.url + '/health/ready' }}\" }
    check:
      after:
        - that: \"${{ result.json.pod.startsWith('ticket-service-') }}\"
          message: a pod answers for itself
  - id: warm
    needs: [ask]
    uses: http.request
    with:
      method: POST
      url: \"${{ target.tickets.url + '/internal/cache/warm' }}\"
      bearer: ${{ secrets.service_token }}
      json: { eventId: \"${{ params.event_id }}\" }
    effect: once
";
const WARM: &str = "\
playbook: warm
summary: One change
secrets:
  service_token: {}
steps:
  - id: warm
    uses: http.request
    with:
      method: POST
      url: \"${{ target.tickets.url + '/internal/cache/warm' }}\"
      bearer: ${{ secrets.service_token }}
      json: { eventId: 0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11 }
      timeout: 10s
    effect: once
";

/// A stage whose environment reaches `tickets.internal` by this way on the cluster.
fn stage(cluster: &Cluster, user: &Value, way: &str) -> Stage {
    let stage = Stage::new().playbook("ask", ASK).playbook("warm", WARM);
    kubeconfig(&stage, &cluster.url, user);
    let file = stage.path("kubeconfig");
    write(
        &stage,
        &format!(
            "environment: staging\nkubernetes:\n  context: staging\n  kubeconfig: {}\n  namespace: production\n  cluster_uid: {}\nvia:\n  Tickets.internal: \
             {way}\nsecrets:\n  service_token: {{ env: SERVICE_TOKEN }}\nvalues:\n  tickets: {{ url: 'http://tickets.internal' }}\n",
            file.display(),
            cluster.uid
        ),
    );
    stage
}

fn run(stage: &Stage, cluster: &Cluster, args: &[&str]) -> Ran {
    stage.run_with(args, &[("SERVICE_TOKEN", &cluster.stage.service_token())])
}

const RUN_ASK: [&str; 5] = ["run", "ask", "--env", "staging", "--yes"];
const RUN_WARM: [&str; 5] = ["run", "warm", "--env", "staging", "--yes"];

fn fills(cluster: &Cluster) -> Vec<String> {
    cluster.stage.effects_on("fills")
}

#[test]
fn requests_go_through_a_port_forward_to_a_ready_pod() {
    let cluster = Cluster::new();
    for way in ["k8s:service/ticket-service:80", "k8s:production/service/ticket-service:http", "k8s:service/ticket-service"] {
        let stage = stage(&cluster, &json!({ "token": cluster.token }), way);
        let ran = run(&stage, &cluster, &RUN_ASK).code(0);
        ran.has_nowhere(&cluster.token);
    }
    assert_eq!(fills(&cluster), ["0→1", "1→2", "2→3"]);
}

#[test]
fn a_way_that_leads_nowhere_is_told_and_nothing_was_sent() {
    let cluster = Cluster::new();
    for (way, told) in [
        (
            "k8s:service/nobody:80",
            "no way to tickets.internal:80 by k8s:production/service/nobody:80: there is no service nobody in namespace production",
        ),
        ("k8s:service/ticket-service:81", "service ticket-service has no port 81; it has 80 (http)"),
        ("k8s:pod/nobody:8080", "there is no pod nobody in namespace production"),
    ] {
        let stage = stage(&cluster, &json!({ "token": cluster.token }), way);
        let ran = run(&stage, &cluster, &RUN_WARM).code(1);
        assert!(format!("{}{}", ran.stdout, ran.stderr).contains(told), "`{told}` is not in:\n{}{}", ran.stdout, ran.stderr);
        assert_eq!(stage.step_status("warm"), "failed");
        let checked = run(&stage, &cluster, &["environment", "check", "staging"]).code(6);
        assert!(checked.stdout.replace('\n', " ").split_whitespace().collect::<Vec<_>>().join(" ").contains(told), "{}", checked.stdout);
    }
    assert!(fills(&cluster).is_empty());
}

#[test]
fn an_account_that_may_not_forward_is_told_what_to_allow() {
    let cluster = Cluster::new();
    let ran = cluster.stage.run(&["sandbox", "kubeconfig", "--account", "viewer"]).code(0);
    let viewer: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
    let token = viewer["users"][0]["user"]["token"].as_str().map_or_else(
        || ran.stdout.lines().find_map(|line| line.trim().strip_prefix("token: ")).expect("a token").trim_matches('"').to_owned(),
        str::to_owned,
    );
    let stage = stage(&cluster, &json!({ "token": token }), "k8s:service/ticket-service:80");
    let ran = run(&stage, &cluster, &RUN_WARM).code(1);
    let told = format!("{}{}", ran.stdout, ran.stderr);
    assert!(told.contains("the account may not create pods/portforward in namespace production (403)"), "{told}");
    assert!(told.contains("allow `get` and `create` on `pods/portforward` in a Role"), "{told}");
    assert!(fills(&cluster).is_empty());
}

#[test]
fn an_answer_that_is_lost_on_the_way_back_is_unknown() {
    let cluster = Cluster::new();
    let stage = stage(&cluster, &json!({ "token": cluster.token }), "k8s:service/ticket-service:80");
    cluster.stage.fault(&["cut-after", "POST /internal/cache/warm"]);
    let _ = run(&stage, &cluster, &RUN_WARM).code(5);
    assert_eq!((stage.step_status("warm").as_str(), fills(&cluster)), ("unknown", vec!["0→1".to_owned()]));
    // And one that was cut before it got there is too: nobody can tell from here.
    let _ = stage.run(&["skip", "warm", "--reason", "it was done"]);
    cluster.stage.fault(&["refuse", "GET */portforward", "--status", "500"]);
    let ran = run(&stage, &cluster, &RUN_WARM).code(1);
    assert!(format!("{}{}", ran.stdout, ran.stderr).contains("the Kubernetes API refuses it (500)"), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(fills(&cluster), ["0→1"], "a way that was not opened carries nothing");
}

#[test]
fn an_environment_tells_and_checks_its_ways() {
    let cluster = Cluster::new();
    let stage = stage(&cluster, &json!({ "token": cluster.token }), "k8s:service/ticket-service:80");
    let _ = stage.run(&["environment", "show", "staging"]).code(0).stdout_has("k8s:production/service/ticket-service:80");
    let shown = stage.run(&["environment", "show", "staging", "-o", "json"]).code(0).json();
    let wanted = json!([{ "host": "tickets.internal", "way": "k8s:production/service/ticket-service:80" }]);
    assert_eq!(shown["via"], wanted);
    let checked = run(&stage, &cluster, &["environment", "check", "staging"]);
    let text = checked.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("tickets.internal:80 is reached by k8s:production/service/ticket-service:80 within"), "{}", checked.stdout);
    let doctor = run(&stage, &cluster, &["doctor", "--env", "staging"]);
    let text = doctor.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("the account may open every port-forward of the environment"), "{}{}", doctor.stdout, doctor.stderr);
}

/// The same on the sandbox and on a real control plane.
mod ways {
    use runsheet::environment::{ConnectionError, Connections, KubernetesAccess, Reach, ViaError};
    use runsheet::model::environment::{ForwardEnd, PortName, Via, Way};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::support::{Bench, on_both};

    fn connections(bench: &Bench, account: &str, end: ForwardEnd, port: PortName) -> Connections {
        let token = bench.cluster.token(account).expect("an account").into();
        let access = KubernetesAccess::Token { url: bench.cluster.url(), token };
        let way = Way::PortForward { namespace: bench.cluster.namespace().to_owned(), end, port: Some(port) };
        Connections::new().with_kubernetes(access).with_via(Via { host: "tickets.internal".to_owned(), port: None, way })
    }

    fn service() -> ForwardEnd {
        ForwardEnd::Service("ticket-service".to_owned())
    }

    async fn asked(reach: &Reach) -> String {
        let mut stream = tokio::net::TcpStream::connect(reach.address().expect("an address")).await.expect("a connection");
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: tickets.internal\r\nconnection: close\r\n\r\n").await.expect("sent");
        let mut answer = String::new();
        let _ended = stream.read_to_string(&mut answer).await;
        answer
    }

    async fn pod_is_ready(bench: &Bench) {
        bench
            .until("a pod is ready", || async {
                let slices = bench.list("/apis/discovery.k8s.io/v1/namespaces/production/endpointslices").await;
                let ready = slices.iter().flat_map(|slice| slice["endpoints"].as_array().cloned().unwrap_or_default());
                ready.into_iter().any(|endpoint| endpoint["conditions"]["ready"] == true).then_some(())
            })
            .await;
    }

    async fn a_service_leads_to_a_ready_pod(bench: Bench) {
        pod_is_ready(&bench).await;
        for port in [PortName::Number(80), PortName::Name("http".to_owned())] {
            let connections = connections(&bench, "admin", service(), port);
            let reach = connections.reach("Tickets.internal", 80).await.expect("a way");
            assert!(reach.address().is_some_and(|address| address.ip().is_loopback()));
            // The way is opened anew for each connection.
            for _ in 0..3 {
                let answer = asked(&reach).await;
                assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"status\":\"ready\""), "{answer}: {:?}", reach.failure());
            }
            assert_eq!(reach.failure(), None);
        }
    }

    async fn what_is_not_there_or_not_allowed_is_told_apart(bench: Bench) {
        pod_is_ready(&bench).await;
        let nobody = connections(&bench, "admin", ForwardEnd::Service("nobody".to_owned()), PortName::Number(80));
        let error = nobody.reach("tickets.internal", 80).await.expect_err("no way");
        assert!(matches!(&error, ConnectionError::Via { error, .. } if matches!(**error, ViaError::Missing { .. })), "{error}");
        let nobody = connections(&bench, "admin", ForwardEnd::Pod("nobody".to_owned()), PortName::Number(80));
        let error = nobody.reach("tickets.internal", 80).await.expect_err("no way");
        assert!(matches!(&error, ConnectionError::Via { error, .. } if matches!(**error, ViaError::Missing { .. })), "{error}");
        let viewer = connections(&bench, "viewer", service(), PortName::Number(80));
        let error = viewer.reach("tickets.internal", 80).await.expect_err("no way");
        assert!(
            matches!(&error, ConnectionError::Via { error, .. } if matches!(**error, ViaError::Forbidden { resource: "pods/portforward", .. })),
            "{error}"
        );
        assert!(!error.is_transient() && !error.may_have_arrived(), "{error}");
    }

    async fn a_port_that_nobody_listens_on_is_told_each_time(bench: Bench) {
        pod_is_ready(&bench).await;
        let pods = bench.list("/api/v1/namespaces/production/pods").await;
        let pod = pods[0]["metadata"]["name"].as_str().expect("a name").to_owned();
        let connections = connections(&bench, "admin", ForwardEnd::Pod(pod.clone()), PortName::Number(9));
        // Whoever is first: what the node says, or what the client sends.
        for nth in 0..40 {
            let reach = connections.reach("tickets.internal", 80).await.expect("a way");
            let answer = asked(&reach).await;
            let error = reach.failure().unwrap_or_else(|| panic!("no reason, the {nth}. time: {answer:?}"));
            assert!(error.to_string().contains(&format!("pod {pod} takes no connection on port 9: ")), "{error}");
            assert!(!error.may_have_arrived(), "{error}");
        }
    }

    async fn a_way_ends_with_whoever_holds_it(bench: Bench) {
        pod_is_ready(&bench).await;
        let connections = connections(&bench, "admin", service(), PortName::Number(80));
        let reach = connections.reach("tickets.internal", 80).await.expect("a way");
        let address = reach.address().expect("an address");
        let mut open = tokio::net::TcpStream::connect(address).await.expect("a connection");
        drop(reach);
        let mut byte = [0; 1];
        assert!(matches!(open.read(&mut byte).await, Ok(0) | Err(_)), "what was open is closed");
        bench.until("the port is closed", || async { tokio::net::TcpStream::connect(address).await.err().map(drop) }).await;
    }

    on_both!(what_is_not_there_or_not_allowed_is_told_apart, a_way_ends_with_whoever_holds_it);

    #[tokio::test(flavor = "multi_thread")]
    async fn on_the_sandbox_a_port_that_nobody_listens_on_is_told_each_time() {
        a_port_that_nobody_listens_on_is_told_each_time(Bench::sandbox().await).await;
    }

    /// Only on the sandbox, as above.
    #[tokio::test(flavor = "multi_thread")]
    async fn who_has_nothing_more_to_ask_is_still_answered() {
        let bench = Bench::sandbox().await;
        pod_is_ready(&bench).await;
        let connections = connections(&bench, "admin", service(), PortName::Number(80));
        let reach = connections.reach("tickets.internal", 80).await.expect("a way");
        let mut stream = tokio::net::TcpStream::connect(reach.address().expect("an address")).await.expect("a connection");
        stream.write_all(b"GET /health/ready HTTP/1.1\r\nhost: tickets.internal\r\nconnection: close\r\n\r\n").await.expect("sent");
        stream.shutdown().await.expect("the end of the question");
        let mut answer = String::new();
        let _ended = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}: {:?}", reach.failure());
    }

    /// Only on the sandbox: what kwok's port-forwards lead to answers no request.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_service_of_the_sandbox_leads_to_a_ready_pod() {
        a_service_leads_to_a_ready_pod(Bench::sandbox().await).await;
    }
}

/// Through a real sshd.
mod real_ssh {
    use std::io::Write as _;
    use std::net::TcpListener;
    use std::process::{Command, Stdio};

    use serde::Deserialize;
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::super::environments::write;
    use super::super::support::{Ran, Stage, servers, until};

    #[derive(Deserialize)]
    struct Ssh {
        config: String,
    }

    const PLAYBOOK: &str = "\
playbook: tell
summary: One change
steps:
  - id: tell
    uses: http.request
    with: { method: POST, url: \"${{ target.hooks.url + '/told' }}\", json: { a: 1 }, timeout: 15s }
    effect: once
";

    /// A stage that reaches a port of this machine, as another machine sees it, and the arguments that `ssh` was called with.
    fn stage(port: u16, machine: &str) -> Stage {
        let stage = Stage::new().playbook("tell", PLAYBOOK);
        let config = servers::shared::<Ssh>("ssh").config;
        let folder = stage.path("bin");
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("ssh");
        let text = format!(
            "#!/bin/sh\necho $$ >>{}\necho \"$@\" >>{}\nPATH=/usr/bin:/bin exec ssh -F {config} \"$@\"\n",
            stage.path("pids").display(),
            stage.path("calls").display()
        );
        // Written by a process of its own: what is open for writing is not started.
        let script = format!("cat >'{0}' && chmod 755 '{0}'", program.display());
        let mut shell = Command::new("sh").args(["-c", &script]).stdin(Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
        write(
            &stage,
            &format!(
                "environment: staging\nvia:\n  localhost:{port}: ssh:{machine}\nvalues:\n  hooks: {{ url: 'http://localhost:{port}' }}\n"
            ),
        );
        stage
    }

    fn run(stage: &Stage, args: &[&str]) -> Ran {
        let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
        stage.run_with(args, &[("PATH", &path)])
    }

    const RUN: [&str; 5] = ["run", "tell", "--env", "staging", "--yes"];

    async fn server() -> MockServer {
        let server = MockServer::start().await;
        Mock::given(method("POST")).and(path("/told")).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        server
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn requests_go_through_another_machine() {
        let server = server().await;
        let port = server.address().port();
        let stage = stage(port, "bastion.test");
        tokio::task::block_in_place(|| {
            let _ = run(&stage, &RUN).code(0);
            let checked = run(&stage, &["environment", "check", "staging"]);
            assert!(
                checked.stdout.contains(&format!("localhost:{port} is reached by ssh:bastion.test")),
                "{}{}",
                checked.stdout,
                checked.stderr
            );
        });
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].headers["host"], format!("localhost:{port}").as_str(), "the host is the one that was named");
        let calls = stage.text("calls");
        assert!(calls.lines().all(|call| call.ends_with(&format!("-W localhost:{port} -- bastion.test"))), "{calls}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn each_refusal_has_its_own_words_and_nothing_was_sent() {
        let server = server().await;
        let port = server.address().port();
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        for (port, machine, told) in [
            (port, "stranger.test", "the host key of stranger.test is not known on this machine"),
            (port, "changed.test", "the host key of changed.test has changed since it was noted"),
            (port, "locked.test", "locked.test does not let us in"),
            (port, "closed.test", "no connection to closed.test: connect to host 127.0.0.1 port"),
            (closed, "bastion.test", "bastion.test makes no connection to localhost"),
        ] {
            let stage = stage(port, machine);
            tokio::task::block_in_place(|| {
                let ran = run(&stage, &RUN).code(1);
                assert!(format!("{}{}", ran.stdout, ran.stderr).contains(told), "{machine}: {}{}", ran.stdout, ran.stderr);
                assert_eq!(stage.step_status("tell"), "failed", "{machine}");
            });
        }
        assert!(server.received_requests().await.unwrap().is_empty());
    }

    #[test]
    fn nothing_is_left_behind_by_a_runsheet_that_was_killed() {
        // It accepts, and neither answers nor heeds that the other end is over.
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stage = stage(listener.local_addr().unwrap().port(), "bastion.test");
        let path = format!("{}:/usr/bin:/bin", stage.path("bin").display());
        let live = stage.start_with_env(&RUN, &[("PATH", &path)]);
        let (_held, _) = listener.accept().unwrap();
        let _ = live.kill9();
        let pids = stage.text("pids");
        assert_eq!(pids.lines().count(), 1, "{pids}");
        let is_there = || {
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", pids.trim())).unwrap_or_default();
            // One that has ended and that nobody has asked about yet is no more than a number.
            stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
        };
        until("`ssh` has ended", || !is_there());
    }

    #[test]
    fn a_machine_without_ssh_is_told_what_to_install() {
        let stage = stage(1, "bastion.test");
        let ran = stage.run_with(&RUN, &[("PATH", "/nowhere")]).code(1);
        let told = format!("{}{}", ran.stdout, ran.stderr);
        assert!(told.contains("`ssh` is not installed on this machine") && told.contains("openssh-client"), "{told}");
    }
}
