//! Requests to single Pods, by way of the API server's proxy.

use serde_json::{Value, json};

use super::{Sandbox, eventually};

/// Status and body of a request to the API server with the cluster's token.
pub(super) async fn asked(sandbox: &Sandbox, method: http::Method, path: &str) -> (u16, String) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}{path}", sandbox.running.ready.address);
    let response = client.request(method, url).bearer_auth(&sandbox.running.ready.admin_token).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn get(sandbox: &Sandbox, path: &str) -> (u16, Value) {
    let (status, body) = asked(sandbox, http::Method::GET, path).await;
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

fn path(pod: &str, rest: &str) -> String {
    format!("/api/v1/namespaces/production/pods/{pod}/proxy{rest}")
}

#[tokio::test]
async fn each_pod_warms_its_own_pool() {
    let sandbox = Sandbox::start().await;
    let pods = sandbox.pod_names().await;
    let (status, body) = get(&sandbox, &path(&pods[1], "/health/ready")).await;
    assert_eq!((status, body), (200, json!({ "status": "ready", "pod": pods[1], "pool": { "size": 20, "warm": 20 } })));
    let log = format!("/api/v1/namespaces/production/pods/{}/log", pods[0]);
    assert!(!asked(&sandbox, http::Method::GET, &log).await.1.contains("connections are open"));
    get(&sandbox, &path(&format!("{}:8080", pods[0]), "/health/ready")).await;
    assert!(asked(&sandbox, http::Method::GET, &log).await.1.contains("20 of 20 connections are open"));
}

#[tokio::test]
async fn the_clusters_token_reaches_no_pod() {
    let sandbox = Sandbox::start().await;
    let pods = sandbox.pod_names().await;
    let (status, body) = get(&sandbox, &path(&pods[0], "/internal/cache/status?eventId=7b1f6c1e-2f0a-4a52-9d55-0d3c6f2d9a11")).await;
    assert_eq!((status, body), (401, json!({ "error": "a bearer token is needed" })));
    assert_eq!(asked(&sandbox, http::Method::POST, &path(&pods[0], "/internal/cache/warm")).await.0, 401);
    assert_eq!(get(&sandbox, &path(&pods[0], "/nowhere")).await.0, 404);
}

#[tokio::test]
async fn what_cannot_be_reached_is_told_as_the_api_server_does() {
    let sandbox = Sandbox::start().await;
    let pods = sandbox.pod_names().await;
    let (status, body) = get(&sandbox, &path("none", "/health/ready")).await;
    assert_eq!((status, &body["message"], &body["reason"]), (404, &json!("pods \"none\" not found"), &json!("NotFound")));
    let (status, body) = get(&sandbox, &path(&format!("{}:9999", pods[0]), "/health/ready")).await;
    let message = body["message"].as_str().unwrap();
    assert!(
        message.starts_with("error trying to reach service: dial tcp 10.") && message.ends_with(":9999: connect: connection refused"),
        "{message}"
    );
    assert_eq!((status, &body["reason"]), (503, &json!("ServiceUnavailable")));
    assert_eq!(get(&sandbox, &path(&format!("ftp:{}:21", pods[0]), "/")).await.0, 400);
    sandbox.fault(&["unready", "ticket-service", "--pods", "1"]).await;
    sandbox.scale(3).await.unwrap();
    eventually("a pod that runs and is not ready answers 503 itself", || async {
        for pod in sandbox.pod_names().await {
            if get(&sandbox, &path(&pod, "/health/ready")).await == (503, json!({ "status": "unready", "pod": pod })) {
                return true;
            }
        }
        false
    })
    .await;
}

#[tokio::test]
async fn faults_meet_the_proxy_too() {
    let sandbox = Sandbox::start().await;
    let pods = sandbox.pod_names().await;
    sandbox.fault(&["refuse", "GET */proxy/*", "--status", "500"]).await;
    assert_eq!(get(&sandbox, &path(&pods[0], "/health/ready")).await.0, 500);
    assert_eq!(get(&sandbox, &path(&pods[0], "/health/ready")).await.0, 200);
}
