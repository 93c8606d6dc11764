//! `http.request` against servers on loopback.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wiremock::matchers::{body_json, body_string, header, method, path, query_param};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::actions::trial;

const TOKEN: &str = "t0ken-of-the-service";

fn action(connections: Connections) -> HttpRequest {
    HttpRequest { connections: Arc::new(connections) }
}

async fn applied(value: Value) -> Applied {
    let (cx, _) = trial::context(None, &[("service_token", TOKEN)]);
    action(Connections::new()).apply(&cx, &Inputs(value), &Intent::default()).await
}

fn outputs(applied: Applied) -> Value {
    match applied {
        Applied::Applied { outputs } => outputs,
        other => panic!("{other:?}"),
    }
}

fn not_applied(applied: Applied) -> Failure {
    match applied {
        Applied::NotApplied { failure } => failure,
        other => panic!("{other:?}"),
    }
}

/// Takes one connection, reads what is sent, answers with these bytes, and closes (or keeps it open).
async fn raw(answer: &'static str, keep: bool) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut bytes = [0; 4096];
        let _ = stream.read(&mut bytes).await;
        let _ = stream.write_all(answer.as_bytes()).await;
        if keep {
            std::future::pending::<()>().await;
        }
    });
    address
}

#[tokio::test]
async fn a_write_carries_key_token_and_body_and_its_answer_is_redacted() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/warm"))
        .and(query_param("n", "3"))
        .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
        .and(header("x-api-key", "another-secret"))
        .and(header("idempotency-key", "0123456789abcdef0123456789abcdef"))
        .and(body_json(json!({ "eventId": "e" })))
        .respond_with(
            ResponseTemplate::new(201)
                .insert_header("set-cookie", "session=1")
                .insert_header("x-echo", TOKEN)
                .set_body_json(json!({ "warmed": 2, "echo": TOKEN })),
        )
        .expect(1)
        .mount(&server)
        .await;
    let inputs = Inputs(json!({
        "method": "POST", "url": format!("{}/warm", server.uri()), "query": { "n": 3 }, "bearer": TOKEN,
        "secret_headers": { "X-Api-Key": "another-secret" }, "json": { "eventId": "e" },
    }));
    let (cx, log) = trial::context(None, &[("service_token", TOKEN)]);
    let outputs = outputs(action(Connections::new()).apply(&cx, &inputs, &Intent::default()).await);
    assert_eq!((&outputs["status"], &outputs["json"]["warmed"], &outputs["truncated"]), (&json!(201), &json!(2), &json!(false)));
    assert_eq!(outputs["json"]["echo"], "[secret service_token]");
    assert_eq!(outputs["headers"]["x-echo"], "[secret service_token]");
    assert_eq!(outputs["headers"]["set-cookie"], Value::Null);
    let all = format!("{outputs} {:?}", log.lines.lock().unwrap());
    assert!(!all.contains(TOKEN) && all.contains("status 201"), "{all}");
}

#[tokio::test]
async fn forms_and_raw_bodies_bring_their_media_types() {
    let server = MockServer::start().await;
    for (media, body, inputs) in [
        ("application/x-www-form-urlencoded", "a=1&b=x+y", json!({ "form": { "a": 1, "b": "x y" } })),
        ("text/csv", "a,b", json!({ "body": "a,b", "content_type": "text/csv" })),
    ] {
        Mock::given(method("PUT"))
            .and(header("content-type", media))
            .and(body_string(body))
            .respond_with(ResponseTemplate::new(200))
            .expect(1)
            .mount(&server)
            .await;
        let mut value = json!({ "method": "PUT", "url": server.uri() });
        value.as_object_mut().unwrap().extend(inputs.as_object().unwrap().clone());
        outputs(applied(value).await);
    }
}

#[tokio::test]
async fn a_write_that_was_cut_or_not_answered_is_unknown_and_a_read_is_not() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{";
    for (answer, keep) in [("", false), (half, false), ("", true), (half, true)] {
        for method in ["POST", "GET"] {
            let url = format!("http://{}/", raw(answer, keep).await);
            let start = Instant::now();
            let applied = applied(json!({ "method": method, "url": url, "timeout": "200ms" })).await;
            assert!(start.elapsed() < Duration::from_secs(5));
            match (method, &applied) {
                ("POST", Applied::Unknown { failure }) | ("GET", Applied::NotApplied { failure }) => {
                    assert!(failure.transient && failure.message.starts_with(method), "{failure}");
                    let wanted = if keep { "no answer within 0.2 s" } else { "was cut before the whole answer" };
                    assert!(failure.message.contains(wanted), "{failure}");
                }
                _ => panic!("{method}: {applied:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_refused_connection_and_a_failed_handshake_sent_nothing() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failure = not_applied(applied(json!({ "method": "POST", "url": format!("http://{free}/x") })).await);
    assert!(failure.transient && failure.message.contains("refused") && !failure.message.contains("os error"), "{failure}");
    let plain = raw("this is no TLS\r\n\r\n", false).await;
    let insecure = json!({ "method": "POST", "url": format!("https://{plain}/x"), "tls": { "insecure": true } });
    let failure = not_applied(applied(insecure).await);
    assert!(failure.transient && failure.message.contains("no connection"), "{failure}");
}

#[tokio::test]
async fn what_the_server_says_becomes_the_failure() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(422).set_body_string(format!("bad event, token was {TOKEN}"));
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    let failure = not_applied(applied(json!({ "method": "POST", "url": format!("{}/a?b=c", server.uri()), "bearer": TOKEN })).await);
    let wanted = format!("POST {}/a was answered with status 422, not 200-299: bad event, token was [secret service_token]", server.uri());
    assert_eq!((failure.message.as_str(), failure.transient), (wanted.as_str(), false));
    let expected = json!({ "method": "POST", "url": server.uri(), "expect": { "status": ["200-204", 422] } });
    assert_eq!(outputs(applied(expected).await)["status"], 422);
}

#[tokio::test]
async fn redirects_are_followed_by_reads_only_and_never_with_credentials_elsewhere() {
    let (here, there) = (MockServer::start().await, MockServer::start().await);
    let to = |location: &str| ResponseTemplate::new(307).insert_header("location", location);
    let elsewhere = format!("{}/end", there.uri());
    Mock::given(path("/near")).respond_with(to("/end")).mount(&here).await;
    Mock::given(path("/far")).respond_with(to(&elsewhere)).mount(&here).await;
    for server in [&here, &there] {
        Mock::given(path("/end")).respond_with(ResponseTemplate::new(200)).mount(server).await;
    }
    let get = |path: &str, token: Option<&str>| json!({ "url": format!("{}{path}", here.uri()), "bearer": token });
    assert_eq!(outputs(applied(get("/near", Some(TOKEN))).await)["status"], 200);
    assert_eq!(outputs(applied(get("/far", None)).await)["status"], 200);
    let failure = not_applied(applied(get("/far", Some(TOKEN))).await);
    assert!(failure.message.contains(&format!("it redirects to {elsewhere}")), "{failure}");
    assert_eq!(there.received_requests().await.unwrap().len(), 1, "credentials went nowhere else");
    let written = applied(json!({ "method": "POST", "url": format!("{}/near", here.uri()) })).await;
    assert!(
        matches!(&written, Applied::FailedWithEffect { failure, .. } if failure.message.contains("it redirects to /end")),
        "{written:?}"
    );
}

#[tokio::test]
async fn a_large_body_is_cut_and_said_so() {
    let server = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200).set_body_json(json!(["x".repeat(50_000)]))).mount(&server).await;
    let whole = outputs(applied(json!({ "url": server.uri() })).await);
    assert_eq!((whole["body"].as_str().unwrap().len(), &whole["truncated"]), (4096, &json!(false)));
    assert_eq!(whole["json"][0].as_str().unwrap().len(), 50_000);
    for most in [1000, 40_000] {
        let cut = outputs(applied(json!({ "url": server.uri(), "max_body": most })).await);
        assert_eq!((cut["body"].as_str().unwrap().len(), &cut["truncated"], &cut["json"]), (most.min(4096), &json!(true), &Value::Null));
    }
}

#[tokio::test]
async fn a_mapped_host_is_reached_under_its_own_name_and_nothing_else_is() {
    let server = MockServer::start().await;
    Mock::given(header("host", "ticket-service.production")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    Mock::given(header("host", "ticket-service.production:8080")).respond_with(ResponseTemplate::new(202)).mount(&server).await;
    let action = action(Connections::new().confined().with_host("ticket-service.production", *server.address()));
    let (cx, _) = trial::context(None, &[]);
    let get = |url: &str| Inputs(json!({ "url": url }));
    assert_eq!(action.observe(&cx, &get("http://ticket-service.production/x")).await.unwrap()["status"], 200);
    assert_eq!(action.observe(&cx, &get("http://ticket-service.production:8080/x")).await.unwrap()["status"], 202);
    let failure = action.observe(&cx, &get("http://elsewhere.example/x")).await.unwrap_err();
    assert!(!failure.transient && failure.message.contains("elsewhere.example is not part of this environment"), "{failure}");
    let plan = action.plan(&cx, &get("http://ticket-service.production/x"), &Value::Null, &Rollback::Auto).unwrap();
    let wanted = format!("--connect-to ticket-service.production:80:{}", server.address());
    assert!(plan.intent.by_hand[0].contains(&wanted), "{:?}", plan.intent.by_hand);
}

#[tokio::test]
async fn the_authors_read_tells_whether_a_write_happened() {
    let server = MockServer::start().await;
    for (at, status, body) in [
        ("/done", 200, json!({ "warmed": true, "more": 1 })),
        ("/undone", 200, json!({ "warmed": false })),
        ("/odd", 200, json!({})),
        ("/none", 404, json!({})),
        ("/down", 503, json!({})),
    ] {
        Mock::given(path(at))
            .and(header("authorization", format!("Bearer {TOKEN}").as_str()))
            .respond_with(ResponseTemplate::new(status).set_body_json(body))
            .mount(&server)
            .await;
    }
    let action = action(Connections::new());
    let (cx, _) = trial::context(None, &[]);
    let inputs = |at: &str, absent: Value| {
        let verify =
            json!({ "url": format!("{}{at}", server.uri()), "bearer": TOKEN, "present": { "json": { "warmed": true } }, "absent": absent });
        Inputs(json!({ "method": "POST", "url": server.uri(), "verify": verify }))
    };
    let undone = json!({ "json": { "warmed": false } });
    let ask = async |at: &str, absent: Value| action.verify(&cx, &inputs(at, absent), &Intent::default()).await;
    assert!(matches!(ask("/done", undone.clone()).await.unwrap(), Verdict::Present { .. }));
    assert_eq!(ask("/undone", undone.clone()).await.unwrap(), Verdict::Absent);
    assert_eq!(ask("/none", json!({ "status": [404] })).await.unwrap(), Verdict::Absent);
    for (at, absent) in [("/odd", undone.clone()), ("/none", undone.clone()), ("/undone", Value::Null)] {
        let verdict = ask(at, absent).await.unwrap();
        assert!(matches!(verdict, Verdict::CannotTell { .. }), "{at}: {verdict:?}");
    }
    assert!(ask("/down", undone).await.unwrap_err().transient);
    let none = Inputs(json!({ "method": "POST", "url": server.uri() }));
    assert!(matches!(action.verify(&cx, &none, &Intent::default()).await.unwrap(), Verdict::CannotTell { .. }));
    let read = Inputs(json!({ "url": server.uri() }));
    assert_eq!(action.verify(&cx, &read, &Intent::default()).await.unwrap(), Verdict::Absent);
}

#[test]
fn the_plan_shows_a_curl_line_without_secrets() {
    let (cx, _) = trial::context(None, &[]);
    let inputs = Inputs(json!({
        "method": "POST", "url": "https://tickets.example/warm?x=1", "json": { "it's": 1 }, "basic": { "username": "ops", "password": null },
        "secret_headers": { "X-Api-Key": null }, "timeout": "5s",
    }));
    let plan = action(Connections::new()).plan(&cx, &inputs, &Value::Null, &Rollback::Auto).unwrap();
    let wanted = "curl --fail-with-body -X POST --max-time 5 -H 'content-type: application/json' \
        -H 'idempotency-key: 0123456789abcdef0123456789abcdef' -H 'X-Api-Key: '\"$HEADER_X_API_KEY\" -u ops:\"$BASIC_PASSWORD\" \
        --data-raw '{\"it'\\''s\":1}' 'https://tickets.example/warm?x=1'";
    assert_eq!(plan.intent.by_hand, [wanted]);
    assert_eq!(plan.intent.revert, Revert::Keep { reason: "an HTTP request has no revert of its own".into() });
    let read = action(Connections::new()).plan(&cx, &Inputs(json!({ "url": "https://tickets.example" })), &Value::Null, &Rollback::Auto);
    assert_eq!(read.unwrap().intent.revert, Revert::Nothing);
}

#[test]
fn inputs_that_do_not_go_together_are_refused_before_anything_is_sent() {
    let (cx, _) = trial::context(None, &[]);
    let table = [
        (json!({ "url": "tickets" }), "`url` is not a URL"),
        (json!({ "url": "ftp://tickets.example" }), "not an http or https URL"),
        (json!({ "url": "https://u:pw@tickets.example" }), "holds credentials"),
        (json!({ "url": "https://x.example", "json": 1 }), "a GET or HEAD has no body"),
        (json!({ "method": "POST", "url": "https://x.example", "json": 1, "body": "x" }), "only one of"),
        (json!({ "method": "POST", "url": "https://x.example", "follow_redirects": true }), "a write never follows a redirect"),
        (json!({ "method": "post", "url": "https://x.example" }), "unknown variant `post`"),
        (json!({ "url": "https://x.example", "headers": { "Authorization": "Bearer x" } }), "would be written down"),
        (json!({ "url": "https://x.example", "headers": { "Content-Length": "1" } }), "set by the client itself"),
        (json!({ "url": "https://x.example", "headers": { "a b": "1" } }), "is not a header's name"),
        (json!({ "url": "https://x.example", "expect": { "status": [99] } }), "99 is not a status"),
        (json!({ "url": "https://x.example", "expect": { "status": ["299-200"] } }), "is not a status"),
        (json!({ "url": "https://x.example", "max_body": 1_000_000_000 }), "`max_body` is more than"),
        (json!({ "url": "https://x.example", "bearer": "line\nline" }), "holds characters that no header can carry"),
        (json!({ "url": "https://x.example", "timeout": "5" }), "is not a duration"),
    ];
    for (inputs, wanted) in table {
        let failure = action(Connections::new()).plan(&cx, &Inputs(inputs.clone()), &Value::Null, &Rollback::Auto).unwrap_err();
        assert!(failure.message.contains(wanted) && !failure.transient, "{inputs}: {failure}");
        assert!(!failure.message.contains("pw") && !failure.message.contains("line\n"), "{failure}");
    }
}

#[test]
fn only_secrets_are_marked_as_such() {
    let schema = &ENTRY.inputs;
    let mark = |at: &str| schema.pointer(&format!("/properties/{at}/x-runsheet-secret")).cloned();
    for at in ["bearer", "basic/properties/password", "secret_headers/additionalProperties", "verify/properties/bearer"] {
        assert_eq!(mark(at), Some(json!("only")), "{at}");
    }
    for at in ["url", "json", "headers/additionalProperties", "basic/properties/username"] {
        assert!(schema.pointer(&format!("/properties/{at}")).is_some(), "{at}");
        assert_eq!(mark(at), None, "{at}");
    }
    assert_eq!(schema["required"], json!(["url"]));
    jsonschema::meta::validate(schema).unwrap();
}

#[test]
fn the_schema_says_which_method_is_meant_where_none_is_written() {
    let schema = &ENTRY.inputs["properties"]["method"];
    assert_eq!((&schema["default"], &schema["x-runsheet-reads"]), (&json!("GET"), &json!(["GET", "HEAD"])));
}
