//! Faults on requests.

use std::time::{Duration, Instant};

use super::super::{Fault, SandboxError, fault};
use super::{Sandbox, status};

#[tokio::test]
async fn a_refusal_counts_down_and_has_no_effect() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["refuse", "PATCH */scale", "--status", "403", "--times", "2"]).await;
    assert_eq!(status(sandbox.scale(8).await).0, 403);
    assert_eq!(fault::list(sandbox.path()).await.unwrap()[0].fault.to_string(), "refuse 'PATCH */scale' --status 403 --times 1");
    assert_eq!(status(sandbox.scale(8).await).0, 403);
    assert!(sandbox.changes().is_empty());
    sandbox.scale(8).await.unwrap();
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 8"]);
}

#[tokio::test]
async fn a_cut_after_the_effect_leaves_the_effect_and_no_answer() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["cut-after", "PATCH */scale"]).await;
    let error = sandbox.scale(8).await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
    assert_eq!(sandbox.replicas().await, 8);
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 8"]);
    assert!(fault::list(sandbox.path()).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_cut_sends_not_one_byte() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["cut-after", "GET /health/ready", "--host", "ticket-service.production"]).await;
    let mut stream = tokio::net::TcpStream::connect(sandbox.running.address()).await.unwrap();
    stream.write_all(b"GET /health/ready HTTP/1.1\r\nHost: ticket-service.production\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"");
}

#[tokio::test]
async fn a_cut_before_the_effect_leaves_nothing() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["cut-before", "PATCH */scale"]).await;
    let error = sandbox.scale(8).await.unwrap_err();
    assert!(!matches!(error, kube::Error::Api(_)), "{error}");
    assert_eq!(sandbox.replicas().await, 2);
    assert!(sandbox.changes().is_empty());
}

#[tokio::test]
async fn a_delay_delays_only_its_route() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["delay", "PATCH */scale", "--ms", "200", "--times", "forever"]).await;
    let began = Instant::now();
    sandbox.replicas().await;
    let read = began.elapsed();
    sandbox.scale(4).await.unwrap();
    assert!(began.elapsed() >= read + Duration::from_millis(200));
    assert_eq!(sandbox.replicas().await, 4);
}

#[tokio::test]
async fn somebody_else_changes_a_field_under_their_own_name() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["change", "production/deployment/ticket-service", "spec.replicas", "5"]).await;
    assert_eq!(sandbox.replicas().await, 5);
    assert_eq!(sandbox.effects()[0].user_agent, "someone-else");
    assert_eq!(sandbox.changes(), ["spec.replicas 2 → 5"]);
    for words in [
        ["change", "production/deployment/nobody", "spec.replicas", "5"],
        ["change", "production/pod/x", "spec.replicas", "5"],
        ["change", "production/deployment/ticket-service", "spec.replicas", "-5"],
        ["change", "production/deployment/ticket-service", "spec.replicas", "many"],
    ] {
        let refused = fault::add(sandbox.path(), &Fault::parse(&words).unwrap()).await;
        assert!(matches!(refused, Err(SandboxError::Refused { status: 422, .. })), "{words:?}: {refused:?}");
    }
    assert_eq!(sandbox.effects().len(), 1);
}

#[tokio::test]
async fn faults_outlive_the_server() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["refuse", "PATCH */scale", "--status", "429", "--retry-after", "7"]).await;
    let sandbox = sandbox.restart().await;
    assert_eq!(status(sandbox.scale(8).await).0, 429);
    sandbox.scale(8).await.unwrap();
}
