//! Servers that do wrong: each gives one clear error, which names the server, what was asked and a way out, shows no page and no password, and comes soon.

use std::time::{Duration, Instant};

use runsheet::environment::{ApiAccess, ApiLogin, ApiSystem, RedisAccess};
use runsheet::model::environment::TlsMode;
use runsheet::model::outcome::Failure;
use serde_json::{Value, json};

use crate::support::asking::{Asking, PASSWORD, api, redis};
use crate::support::hostile::{Hostile, Manner, certificate, http, http_cut};

const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the portal</body></html>";
const HTML: (&str, &str) = ("Content-Type", "text/html; charset=utf-8");
const JSON: (&str, &str) = ("Content-Type", "application/json");
/// What a step gives the attempt, and how much longer it may take to say that it is over.
const ATTEMPT: Duration = Duration::from_millis(400);
const SOON: Duration = Duration::from_secs(15);

/// What is said, of which kind.
struct Told {
    what: &'static str,
    parts: Vec<&'static str>,
    transient: bool,
}

#[track_caller]
fn clear(failure: &Failure, told: &Told, began: Instant) {
    let Told { what, parts, transient } = told;
    for part in parts {
        assert!(failure.message.contains(part), "{what}: `{part}` is not in: {failure}");
    }
    assert_eq!(failure.transient, *transient, "{what}: {failure}");
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.len() > 10), "{what}: no way out: {failure}");
    let all = format!("{failure:?}");
    for never in ["<html", "DOCTYPE", "portal", "os error", PASSWORD, &PASSWORD[..6], "panicked"] {
        assert!(!all.contains(never), "{what}: `{never}` is in: {failure}");
    }
    assert!(failure.message.len() < 600, "{what}: {failure}");
    assert!(!failure.message.contains('\n'), "{what}: {failure}");
    assert!(began.elapsed() < SOON, "{what} took {:?}", began.elapsed());
}

fn told(what: &'static str, parts: &[&'static str], transient: bool) -> Told {
    Told { what, parts: parts.to_vec(), transient }
}

/// Both APIs with what is asked of them first.
const ASKED: [(ApiSystem, &str, &str, &str); 3] = [
    (ApiSystem::Prometheus, "prometheus.query", "Prometheus at http", "/api/v1/query"),
    (ApiSystem::Rabbitmq, "rabbitmq.queues", "RabbitMQ's management API at http", "/api/queues"),
    (ApiSystem::Rabbitmq, "rabbitmq.nodes", "RabbitMQ's management API at http", "/api/overview"),
];

fn inputs(action: &str) -> Value {
    if action == "prometheus.query" { json!({ "query": "up" }) } else { json!({}) }
}

async fn failure(access: ApiAccess, action: &str) -> Failure {
    let asking = Asking::api(access);
    let failure = asking.try_read(action, inputs(action), Some(ATTEMPT)).await.expect_err("it fails");
    assert!(!asking.log.text().contains(PASSWORD), "{}", asking.log.text());
    failure
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_answers_wrongly() {
    // A server can say anything, also what it was sent.
    let echo = format!("{{\"error\":\"no such {PASSWORD}\"}}");
    // Neither in a text, nor as it was sent, nor where what is told of it ends.
    let sent = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("runsheet:{PASSWORD}"));
    let text = format!("Authorization: Basic {sent} ({PASSWORD})");
    let edge = format!("{{\"error\":\"{} {PASSWORD}\"}}", "x".repeat(290));
    let cases: Vec<(Manner, Told)> = vec![
        (Manner::Silent, told("silent", &["did not answer", "within 0.4 s"], true)),
        (Manner::HangsUp, told("hangs up", &["the connection to", "was cut before the whole answer"], true)),
        (Manner::Drips(http("200 OK", &[JSON], "{}"), Duration::from_millis(50)), told("slow", &["did not answer", "within 0.4 s"], true)),
        (
            Manner::Says(http("401 Unauthorized", &[HTML], PAGE)),
            told("a wrong password", &["does not let the user runsheet in (401)", "it is a web page"], false),
        ),
        (
            Manner::Says(http("403 Forbidden", &[JSON], "{\"error\":\"not_authorised\",\"reason\":\"User not monitor\"}")),
            told("forbidden", &["does not let the user runsheet ask", "(403): not_authorised: User not monitor"], false),
        ),
        (Manner::Says(http("404 Not Found", &[HTML], PAGE)), told("another path", &["knows no", "(404)"], false)),
        (
            Manner::Says(http("429 Too Many Requests", &[HTML, ("Retry-After", "7")], PAGE)),
            told("throttling", &["asks to be left alone for a while (429, Retry-After: 7)"], true),
        ),
        (
            Manner::Says(http("500 Internal Server Error", &[HTML], PAGE)),
            told("a 500 with a page", &["failed at", "(500): it is a web page: of a proxy or a login, perhaps"], true),
        ),
        (
            Manner::Says(http(
                "503 Service Unavailable",
                &[("Content-Type", "text/plain"), ("Retry-After", "3")],
                "no healthy\r\nupstream",
            )),
            told("a 503 of a proxy", &["(503, Retry-After: 3): no healthy upstream"], true),
        ),
        (Manner::Says(http("200 OK", &[HTML], PAGE)), told("a page", &["status 200, but the answer is no JSON: it is a web page"], false)),
        (Manner::Says(http("200 OK", &[JSON], PAGE)), told("a page that calls itself JSON", &["no JSON: it is a web page"], false)),
        (
            Manner::Says(http("200 OK", &[("Content-Type", "text/plain")], "{\"status\":\"success\"}")),
            told("JSON of another type", &["no JSON: it is said to be text/plain"], false),
        ),
        (
            Manner::Says(http("200 OK", &[JSON], "{\"status\":")),
            told("half of some JSON", &["is said to be JSON, and is not, or was cut"], false),
        ),
        (Manner::Says(http("200 OK", &[JSON], "")), told("nothing", &["no JSON: it is empty"], false)),
        (Manner::Says(http("200 OK", &[JSON], "{\"a\":1}")), told("other JSON", &["with something else than was asked"], false)),
        (
            Manner::SaysAndHangsUp(http_cut("200 OK", &[JSON], "{\"status\":\"success\",\"data\":{}}")),
            told("a cut body", &["was cut before the whole answer"], true),
        ),
        (
            Manner::Says(http("302 Found", &[("Location", "https://login.example/?next=x")], "")),
            told("a redirect", &["with a redirect (302) to https://login.example/?next=x, which was not followed"], false),
        ),
        (Manner::Says(http("418 I'm a teapot", &[JSON], &echo)), told("an echo", &["(418): no such [password]"], false)),
        (
            Manner::Says(http("400 Bad Request", &[("Content-Type", "text/plain")], &text)),
            told("an echo of the request", &["(400): Authorization: Basic [password] ([password])"], false),
        ),
        (Manner::Says(http("400 Bad Request", &[JSON], &edge)), told("an echo at the edge", &["x [password"], false)),
        (
            Manner::Says(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
            told("another protocol", &["with something else than was asked: it does not speak HTTP"], false),
        ),
    ];
    for (system, action, place, path) in ASKED {
        for (manner, told) in &cases {
            let server = Hostile::start(manner.clone()).await;
            let began = Instant::now();
            let failure = failure(api(system, &server.url()), action).await;
            clear(&failure, told, began);
            assert!(failure.message.contains(place), "{action}, {}: {failure}", told.what);
            if !matches!(told.what, "a wrong password" | "throttling") {
                assert!(failure.message.contains(path), "{action}, {}: {failure}", told.what);
            }
            let asked = usize::from(told.what != "hangs up");
            assert_eq!(server.heard().matches(" HTTP/1.1\r\n").count(), asked, "{action}, {}: asked once", told.what);
            let wait = failure.retry_after.map(|wait| wait.to_string());
            let asked_for = match told.what {
                "throttling" => Some("7s".to_owned()),
                "a 503 of a proxy" => Some("3s".to_owned()),
                _ => None,
            };
            assert_eq!(wait, asked_for, "{action}, {}", told.what);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_that_go_while_their_pages_are_read_are_no_list() {
    let page = |all: u32, pages: u32, names: &[&str]| {
        let items: Vec<Value> = names.iter().map(|name| json!({ "name": name, "vhost": "/", "type": "classic" })).collect();
        http("200 OK", &[JSON], &json!({ "filtered_count": all, "page_count": pages, "items": items }).to_string())
    };
    let gone = http("400 Bad Request", &[JSON], "{\"error\":\"page_out_of_range\"}");
    for (said, changed) in [
        (vec![page(4, 2, &["a", "b"]), page(4, 2, &["c", "d"])], false),
        // `a` went, and `c` with it, out of sight.
        (vec![page(4, 2, &["a", "b"]), page(3, 2, &["d"])], true),
        (vec![page(3, 2, &["a", "b"]), gone.clone()], true),
        (vec![page(2, 1, &["a"])], true),
    ] {
        let server = Hostile::start(Manner::SaysInTurn(said)).await;
        let asking = Asking::api(api(ApiSystem::Rabbitmq, &server.url()));
        match asking.try_read("rabbitmq.queues", json!({}), Some(SOON)).await {
            Ok(outputs) => assert!(!changed && outputs["count"] == 4, "{outputs:#}"),
            Err(failure) => {
                let told = told("other queues", &["became others while their pages were read"], true);
                assert!(changed, "{failure}");
                clear(&failure, &told, Instant::now());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_that_cannot_be_reached() {
    for (system, action, place, _) in ASKED {
        let began = Instant::now();
        let nobody = format!("http://{}", Hostile::nobody().await);
        let refused = failure(api(system, &nobody), action).await;
        clear(&refused, &told("nobody there", &["no connection to", place, "onnection refused"], true), began);

        let began = Instant::now();
        let plain = Hostile::start(Manner::Says(http("400 Bad Request", &[HTML], PAGE))).await;
        let no_tls = failure(api(system, &plain.url().replace("http:", "https:")), action).await;
        clear(&no_tls, &told("no TLS", &["no TLS connection to", "does not speak TLS"], false), began);

        let began = Instant::now();
        let unknown = Hostile::start_tls(Manner::Says(http("200 OK", &[JSON], "{}"))).await;
        let untrusted = failure(api(system, &unknown.url()), action).await;
        clear(&untrusted, &told("an unknown authority", &["no TLS connection to", "nor named as `ca_file`"], false), began);
        assert_eq!(unknown.heard(), "", "the password was not sent");

        let trusting = ApiAccess { ca_file: Some(certificate()), ..api(system, &unknown.url()) };
        let trusted = failure(trusting, action).await;
        assert!(
            trusted.message.contains("with something else than was asked"),
            "the certificate is taken, and the answer is not: {trusted}"
        );

        let elsewhere = failure(api(system, "http://192.0.2.1:9090"), action).await;
        let parts = ["192.0.2.1 is another machine, and the password for", "would cross the network in plain text"];
        clear(&elsewhere, &told("a password in the clear", &parts, false), Instant::now());
        let file = ApiAccess { ca_file: Some("/there/is/none.pem".into()), ..api(system, &unknown.url()) };
        let no_file = failure(file, action).await;
        clear(&no_file, &told("no file", &["the certificates in /there/is/none.pem cannot be used"], false), Instant::now());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_credential_nothing_is_made_up() {
    let server = Hostile::start(Manner::Says(http("401 Unauthorized", &[JSON], "{\"error\":\"x\"}"))).await;
    let login = ApiLogin::Bearer(None);
    let access = ApiAccess { login, ..api(ApiSystem::Prometheus, &server.url()) };
    let failure = failure(access, "prometheus.query").await;
    assert!(failure.message.contains("does not let the token in (401): x"), "{failure}");
    assert!(!server.heard().to_ascii_lowercase().contains("authorization"), "{}", server.heard());
}

async fn redis_failure(access: RedisAccess) -> Failure {
    let asking = Asking::redis(access);
    let failure = asking.try_read("redis.info", json!({}), Some(ATTEMPT)).await.expect_err("it fails");
    assert!(!asking.log.text().contains(PASSWORD));
    failure
}

fn at(server: &Hostile) -> RedisAccess {
    redis("127.0.0.1", server.address().port(), PASSWORD)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_wrongly() {
    let bulk = |text: &str| format!("${}\r\n{text}\r\n", text.len()).into_bytes();
    let ok = b"+OK\r\n".to_vec();
    let says = |text: &str| Manner::SaysInTurn(vec![ok.clone(), text.as_bytes().to_vec()]);
    let cases: Vec<(Manner, Told)> = vec![
        (Manner::Silent, told("silent", &["did not", "within 0.4 s"], true)),
        (Manner::HangsUp, told("hangs up", &["the connection to Redis", "was cut"], true)),
        (Manner::SaysInTurn(vec![ok.clone()]), told("silent after it let us in", &["did not answer INFO within 0.4 s"], true)),
        (
            Manner::Says(format!("-WRONGPASS invalid username-password pair {PASSWORD}\r\n").into_bytes()),
            told("a wrong password", &["does not let the user default in: WRONGPASS invalid username-password pair [password]"], false),
        ),
        (
            Manner::Says(b"-ERR Client sent AUTH, but no password is set\r\n".to_vec()),
            told("no password wanted", &["does not let the user default in: ERR Client sent AUTH, but no password is set"], false),
        ),
        (
            says("-NOPERM User default has no permissions to run the 'info' command\r\n"),
            told("no permission", &["does not let the user default ask INFO: NOPERM User default has no permissions"], false),
        ),
        (says("-LOADING Redis is loading the dataset in memory\r\n"), told("loading", &["answers nobody now: LOADING"], true)),
        (says("-ERR max number of clients reached\r\n"), told("full", &["answers nobody now: ERR max number of clients reached"], true)),
        (says("-ERR unknown command 'INFO'\r\n"), told("another server", &["answered INFO with an error: ERR unknown command"], false)),
        (says(":42\r\n"), told("a number", &["is no Redis server: it answered INFO with something else than a text"], false)),
        (
            Manner::SaysInTurn(vec![ok.clone(), bulk("hello")]),
            told("a text", &["is no Redis server: its INFO has no `redis_version`"], false),
        ),
        (Manner::Says(http("400 Bad Request", &[HTML], PAGE)), told("a web server", &["is no Redis server", "not its protocol"], false)),
        (
            Manner::SaysInTurn(vec![ok.clone(), b"$1000000000\r\nredis".to_vec()]),
            told("a promise of a gigabyte", &["did not answer INFO within 0.4 s"], true),
        ),
        (Manner::SaysAndHangsUp(b"$100\r\nredis_version:7".to_vec()), told("a cut answer", &["was cut"], true)),
    ];
    for (manner, told) in cases {
        let server = Hostile::start(manner).await;
        let began = Instant::now();
        let failure = redis_failure(at(&server)).await;
        clear(&failure, &told, began);
        assert!(failure.message.contains(&format!("127.0.0.1:{}", server.address().port())), "{}: {failure}", told.what);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_cannot_be_reached() {
    let began = Instant::now();
    let nobody = redis_failure(redis("127.0.0.1", Hostile::nobody().await.port(), PASSWORD)).await;
    clear(&nobody, &told("nobody there", &["no connection to Redis, 127.0.0.1:", "onnection refused"], true), began);

    let unknown = Hostile::start_tls(Manner::Says(b"+OK\r\n".to_vec())).await;
    let untrusted = redis_failure(RedisAccess { tls: TlsMode::VerifyFull, ..at(&unknown) }).await;
    let parts = ["no TLS connection to Redis", "nor named as `ca_file`"];
    clear(&untrusted, &told("an unknown authority", &parts, false), Instant::now());
    assert_eq!(unknown.heard(), "", "the password was not sent");
    let trusted = redis_failure(RedisAccess { tls: TlsMode::VerifyFull, ca_file: Some(certificate()), ..at(&unknown) }).await;
    assert!(trusted.message.contains("with something else than a text"), "the certificate is taken, and the answer is not: {trusted}");

    let plain = Hostile::start(Manner::Says(b"-ERR Protocol error\r\n".to_vec())).await;
    let no_tls = redis_failure(RedisAccess { tls: TlsMode::VerifyFull, ..at(&plain) }).await;
    clear(&no_tls, &told("no TLS", &["no TLS connection to Redis", "does not speak TLS"], false), Instant::now());

    let elsewhere = redis_failure(redis("192.0.2.1", 6379, PASSWORD)).await;
    let parts = ["192.0.2.1 is another machine, and the password for Redis would cross the network in plain text"];
    clear(&elsewhere, &told("a password in the clear", &parts, false), Instant::now());
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_take_bounded_memory() {
    let began = Instant::now();
    let endless = Hostile::start(Manner::Floods(b"+OK\r\n".repeat(1000))).await;
    let asking = Asking::redis(at(&endless));
    let failure = asking.try_read("redis.info", json!({}), Some(ATTEMPT * 10)).await.expect_err("it fails");
    assert!(failure.message.contains("Redis") && began.elapsed() < SOON * 2, "{failure}");
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{}\r\n",
        "[".repeat(1 << 20)
    );
    let head = long.into_bytes();
    let chunk = head[head.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4..].to_vec();
    let server = Hostile::start(Manner::Floods([head, chunk.repeat(40)].concat())).await;
    let asking = Asking::api(api(ApiSystem::Prometheus, &server.url()));
    let failure = asking.try_read("prometheus.query", json!({ "query": "up" }), Some(SOON * 2)).await.expect_err("it fails");
    assert!(failure.message.contains("answered /api/v1/query with more than 32 MiB"), "{failure}");
}
