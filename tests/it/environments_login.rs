//! How a kubeconfig logs in: plugins, tokens' files, proxies.
//!
//! Invariant: a login that fails is told and has had no effect.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::environments::{Cluster, RUN, environment, kubeconfig, refused, stage_of, stage_with, untouched};
use super::support::Stage;

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
