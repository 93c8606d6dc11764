//! Credentials that are renewed, and requests that wait for them.

use std::path::Path;

use serde_json::{Value, json};
use wiremock::matchers::{header, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::environment::{KubeCall, KubeError, KubeconfigOptions};

#[test]
fn credentials_are_renewed_before_they_expire() {
    let now: Timestamp = "2026-11-23T19:00:00Z".parse().unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    assert_eq!(renewal(at("2026-11-23T19:15:00Z"), now), at("2026-11-23T19:14:00Z"));
    assert_eq!(renewal(at("2026-11-23T19:00:30Z"), now), at("2026-11-23T19:00:15Z"), "a short life is not all renewals");
}

/// A login to the server with this user.
fn login(folder: &Path, server: &MockServer, user: &Value, limit: Duration) -> Arc<Fresh> {
    let config = json!({
        "current-context": "x", "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
        "clusters": [{ "name": "x", "cluster": { "server": server.uri() } }], "users": [{ "name": "x", "user": user }],
    });
    let file = folder.join("config");
    std::fs::write(&file, config.to_string()).unwrap();
    let options = KubeconfigOptions { context: None, file: Some(file), proxy: None, exec_timeout: limit };
    Fresh::new(Login::from_kubeconfig(&options).unwrap())
}

/// A server that knows this token.
async fn server(token: &str) -> MockServer {
    let server = MockServer::start().await;
    let known = ResponseTemplate::new(200).set_body_json(json!({}));
    let bearer = format!("Bearer {token}");
    Mock::given(path("/version")).and(header("authorization", bearer.as_str())).respond_with(known).with_priority(1).mount(&server).await;
    Mock::given(path("/version")).respond_with(ResponseTemplate::new(401)).with_priority(9).mount(&server).await;
    server
}

fn shell(script: &str) -> Value {
    json!({ "exec": { "command": "sh", "args": ["-c", script], "interactiveMode": "Never" } })
}

const LONG: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_request_that_gives_up_on_its_credentials_was_not_sent_and_the_next_one_finds_them() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server("a-token").await);
    let (go, times) = (folder.path().join("go"), folder.path().join("times"));
    let script = format!(
        "echo once >> {}; while ! test -e {}; do sleep 0.02; done; echo '{{\"status\": {{\"token\": \"a-token\"}}}}'",
        times.display(),
        go.display()
    );
    let fresh = login(folder.path(), &server, &shell(&script), LONG);
    let client = fresh.handle();
    let short = KubeCall::get("/version", Duration::from_millis(200)).send(&client).await;
    assert_eq!(short.unwrap_err(), KubeError::Credentials(CredentialsError::StillAsking), "not one whose outcome is unknown");
    assert!(server.received_requests().await.unwrap().is_empty());
    std::fs::write(&go, "").unwrap();
    assert_eq!(KubeCall::get("/version", LONG).send(&client).await.unwrap().status, 200);
    assert_eq!(std::fs::read_to_string(times).unwrap(), "once\n", "the renewal went on without the request");
}

#[tokio::test]
async fn those_who_wait_for_a_plugin_that_fails_fail_with_it() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server("a-token").await);
    let times = folder.path().join("times");
    let fresh = login(folder.path(), &server, &shell(&format!("echo once >> {}; sleep 0.3; exit 1", times.display())), LONG);
    let client = fresh.handle();
    let all = (0..8).map(|_| KubeCall::get("/version", LONG).send(&client));
    for result in futures::future::join_all(all).await {
        assert!(matches!(&result, Err(KubeError::Credentials(CredentialsError::Failed { .. }))), "{result:?}");
    }
    assert_eq!(std::fs::read_to_string(&times).unwrap(), "once\n");
    let _ = KubeCall::get("/version", LONG).send(&client).await;
    assert_eq!(std::fs::read_to_string(&times).unwrap(), "once\nonce\n", "a later request tries again");
}

#[tokio::test]
async fn a_token_that_is_refused_is_read_again() {
    let (folder, server) = (tempfile::tempdir().unwrap(), server("the-new-token").await);
    let file = folder.path().join("token");
    std::fs::write(&file, "the-old-token\n").unwrap();
    let fresh = login(folder.path(), &server, &json!({ "tokenFile": file }), LONG);
    let client = fresh.handle();
    let status = || async { KubeCall::get("/version", LONG).send(&client).await.unwrap().status };
    assert_eq!(status().await, 401);
    std::fs::write(&file, "the-new-token").unwrap();
    assert_eq!(status().await, 401, "not at each refusal");
    if let Some(held) = fresh.held.lock().unwrap().as_mut() {
        held.since = Instant::now().checked_sub(REFUSED_AGAIN).unwrap();
    }
    assert_eq!(status().await, 401, "the request itself is not sent twice");
    assert_eq!(status().await, 200);
    // A file that is handed over and removed leaves the token that was read last.
    std::fs::remove_file(&file).unwrap();
    if let Some(held) = fresh.held.lock().unwrap().as_mut() {
        held.renew = Some(Timestamp::UNIX_EPOCH);
    }
    assert_eq!(status().await, 200);
}
