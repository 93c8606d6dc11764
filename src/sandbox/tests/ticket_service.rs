//! The ticket service, as reqwest sees it through the sandbox as its proxy.

use reqwest::{Client, Proxy, Response};
use serde_json::{Value, json};

use super::{Sandbox, eventually};

const EVENT: &str = "7b1f6c1e-2f0a-4a52-9d55-0d3c6f2d9a11";

fn http(sandbox: &Sandbox) -> Client {
    let proxy = Proxy::http(format!("http://{}", sandbox.running.ready.address)).unwrap();
    Client::builder().proxy(proxy).build().unwrap()
}

async fn warm(sandbox: &Sandbox, token: &str, key: Option<&str>, body: &str) -> Response {
    let mut request = http(sandbox).post("http://ticket-service.production/internal/cache/warm").body(body.to_owned());
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    request.send().await.unwrap()
}

async fn ready(sandbox: &Sandbox) -> (u16, Value) {
    let response = http(sandbox).get("http://ticket-service.production/health/ready").send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[tokio::test]
async fn it_is_ready_while_a_pod_is_and_each_request_warms_one_pool() {
    let sandbox = Sandbox::start().await;
    assert_eq!(ready(&sandbox).await, (200, json!({ "status": "ready", "pool": { "size": 40, "warm": 20 } })));
    assert_eq!(ready(&sandbox).await.1["pool"]["warm"], 40);
    assert_eq!(ready(&sandbox).await.1["pool"]["warm"], 40);
    sandbox.scale(0).await.unwrap();
    eventually("not ready", || async { ready(&sandbox).await.0 == 503 }).await;
    let response = warm(&sandbox, &sandbox.running.ready.service_token, None, &json!({ "eventId": EVENT }).to_string()).await;
    assert_eq!(response.status().as_u16(), 503);
}

#[tokio::test]
async fn it_is_reached_by_an_override_of_the_name_too() {
    let sandbox = Sandbox::start().await;
    let client = Client::builder().no_proxy().resolve("ticket-service.production", sandbox.running.address()).build().unwrap();
    let response = client.get("http://ticket-service.production/health/ready").send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200);
}

#[tokio::test]
async fn a_repeated_key_fills_the_caches_once() {
    let sandbox = Sandbox::start().await;
    let token = sandbox.running.ready.service_token.clone();
    let body = json!({ "eventId": EVENT }).to_string();
    let first: Value = warm(&sandbox, &token, Some("k1"), &body).await.json().await.unwrap();
    assert_eq!(first["eventId"], EVENT);
    let sandbox = sandbox.restart().await;
    let again: Value = warm(&sandbox, &token, Some("k1"), &body).await.json().await.unwrap();
    assert_eq!(again, first);
    assert_eq!(sandbox.changes(), ["fills 0 → 1"]);
    assert_eq!(sandbox.effects()[0].idempotency_key.as_deref(), Some("k1"));
    let status = |id: &'static str| {
        let url = format!("http://ticket-service.production/internal/cache/status?eventId={id}");
        http(&sandbox).get(url).bearer_auth(&token).send()
    };
    assert_eq!(status(EVENT).await.unwrap().json::<Value>().await.unwrap()["warmed"], true);
    let other = status("00000000-0000-4000-8000-000000000000").await.unwrap().json::<Value>().await.unwrap();
    assert_eq!(other["warmed"], false);
    // Without the key the service cannot know that it is the same request.
    warm(&sandbox, &token, Some("k2"), &body).await;
    assert_eq!(sandbox.changes(), ["fills 0 → 1", "fills 1 → 2"]);
}

#[tokio::test]
async fn it_refuses_what_it_cannot_accept() {
    let sandbox = Sandbox::start().await;
    let good = json!({ "eventId": EVENT }).to_string();
    let token = sandbox.running.ready.service_token.clone();
    let admin = sandbox.running.ready.admin_token.clone();
    for (token, body, expected) in [
        ("", good.as_str(), 401),
        (admin.as_str(), good.as_str(), 403),
        (token.as_str(), "{", 400),
        (token.as_str(), "{}", 400),
        (token.as_str(), r#"{"eventId":"event-uuid"}"#, 400),
    ] {
        assert_eq!(warm(&sandbox, token, None, body).await.status().as_u16(), expected, "{body}");
    }
    assert!(sandbox.changes().is_empty());
}
