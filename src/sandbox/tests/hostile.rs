//! Bodies and requests that mean no good.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Sandbox;

const PATH: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";

/// Sends a request as it is and returns the first line of the answer.
async fn send(sandbox: &Sandbox, head: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(sandbox.running.address()).await.unwrap();
    let token = &sandbox.running.ready.admin_token;
    let head =
        format!("{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nContent-Length: {}\r\n", body.len());
    stream.write_all(format!("{head}Content-Type: application/merge-patch+json\r\n\r\n").as_bytes()).await.unwrap();
    // The server may answer and close before it has read all of a body that is too large.
    let _sent = stream.write_all(body).await;
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut answer)).await.unwrap().unwrap_or(0);
    String::from_utf8_lossy(&answer[..read]).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn hostile_bodies_are_refused_and_the_server_lives() {
    let sandbox = Sandbox::start().await;
    let brackets = vec![b'['; 1 << 20];
    let huge = format!("{{\"metadata\":{{\"annotations\":{{\"a\":\"{}\"}}}}}}", "x".repeat((2 << 20) - 60)).into_bytes();
    let too_large = vec![b' '; (2 << 20) + 1];
    for (body, expected) in
        [(&b"{"[..], "400"), (b"\xff\xfe", "400"), (b"", "400"), (&brackets, "400"), (&too_large, "413"), (&huge, "200")]
    {
        let line = send(&sandbox, &format!("PATCH {PATH}"), body).await;
        assert!(line.contains(expected), "{line} for {} bytes", body.len());
    }
    assert_eq!(sandbox.replicas().await, 2);
}

#[tokio::test]
async fn odd_requests_are_refused() {
    let sandbox = Sandbox::start().await;
    for (head, expected) in [
        (format!("TRACE {PATH}"), "405"),
        (format!("PATCH {PATH}?dryRun=Some"), "400"),
        ("GET /api/v1/pods?limit=-1".to_owned(), "400"),
        ("GET /api/v1/pods?continue=%ff".to_owned(), "400"),
        ("GET /api/v1/pods?watch=1&resourceVersion=99999999".to_owned(), "504"),
        ("GET /api/v1/secrets".to_owned(), "404"),
        ("GET /../../etc/passwd".to_owned(), "404"),
        ("GET /sandbox/nothing".to_owned(), "404"),
    ] {
        let line = send(&sandbox, &head, b"{}").await;
        assert!(line.contains(expected), "{head}: {line}");
    }
}

#[tokio::test]
async fn no_token_gets_into_the_logs() {
    let sandbox = Sandbox::start().await;
    sandbox.scale(3).await.unwrap();
    let log = std::fs::read_to_string(sandbox.path().join("requests.log")).unwrap();
    assert!(log.contains("PATCH /apis/apps/v1/namespaces/production/deployments/ticket-service/scale 200"), "{log}");
    let effects = std::fs::read_to_string(sandbox.path().join("effects.jsonl")).unwrap();
    let state = std::fs::read_to_string(sandbox.path().join("state.json")).unwrap();
    for token in [&sandbox.running.ready.admin_token, &sandbox.running.ready.service_token] {
        assert!(![&log, &effects, &state].iter().any(|text| text.contains(token.as_str())));
        assert!(!format!("{:?}{:?}", sandbox.running, sandbox.running.ready).contains(token.as_str()));
    }
}
