//! The logs of Pods.

use kube::api::LogParams;

use super::pod_proxy::asked;
use super::{Options, Sandbox, eventually, status};

#[tokio::test]
async fn a_pod_tells_what_it_did() {
    let sandbox = Sandbox::start().await;
    let pod = &sandbox.pod_names().await[0];
    let log = sandbox.pods().logs(pod, &LogParams::default()).await.unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(
        lines,
        [
            "INFO  starting ticket-service 1.0.0",
            "INFO  listening on port 8080",
            "INFO  database pool: at most 20 connections, opened when they are first needed",
            "INFO  ready",
        ]
    );
    let params = LogParams { tail_lines: Some(2), timestamps: true, ..LogParams::default() };
    let tail = sandbox.pods().logs(pod, &params).await.unwrap();
    assert_eq!(tail.lines().count(), 2);
    assert!(tail.lines().all(|line| line.starts_with("20") && line.contains(".000000000Z INFO  ")), "{tail}");
    // The pods of a fresh sandbox started a minute ago.
    let params = LogParams { since_seconds: Some(5), ..LogParams::default() };
    assert_eq!(sandbox.pods().logs(pod, &params).await.unwrap(), "");
    let params = LogParams { limit_bytes: Some(7), ..LogParams::default() };
    assert_eq!(sandbox.pods().logs(pod, &params).await.unwrap(), "INFO  s");
}

#[tokio::test]
async fn what_has_no_log_is_refused_as_the_api_server_does() {
    let sandbox = Sandbox::with(Options { speed: 0.01, ..Options::default() }).await;
    let before = sandbox.pod_names().await;
    let pod = &before[0];
    let refused = async |name: &str, params: LogParams| status(sandbox.pods().logs(name, &params).await);
    let (code, reason, message) = refused("none", LogParams::default()).await;
    assert_eq!((code, reason.as_str(), message.as_str()), (404, "NotFound", "pods \"none\" not found"));
    let other = LogParams { container: Some("other".to_owned()), ..LogParams::default() };
    assert_eq!(refused(pod, other).await.2, format!("container other is not valid for pod {pod}"));
    let previous = LogParams { previous: true, ..LogParams::default() };
    let wanted = format!("previous terminated container \"ticket-service\" in pod \"{pod}\" not found");
    assert_eq!(refused(pod, previous).await, (400, "BadRequest".to_owned(), wanted));
    sandbox.scale(3).await.unwrap();
    eventually("a third pod", || async { sandbox.pod_names().await.len() == 3 }).await;
    let new = sandbox.pod_names().await.into_iter().find(|name| !before.contains(name)).unwrap();
    let wanted = format!("container \"ticket-service\" in pod \"{new}\" is waiting to start: ContainerCreating");
    assert_eq!(refused(&new, LogParams::default()).await.2, wanted);
    let path = format!("/api/v1/namespaces/production/pods/{pod}/log");
    assert_eq!(asked(&sandbox, http::Method::DELETE, &path).await.0, 405);
    assert_eq!(asked(&sandbox, http::Method::GET, &format!("{path}?tailLines=-1")).await.0, 400);
}
