//! The keys `redis`, `rabbitmq` and `prometheus`.

use std::path::Path;

use serde_json::json;

use super::super::source::File;
use super::{DraftedEnvironment, drafted, environment_schema};
use crate::model::environment::{PrometheusLogin, TlsMode};
use crate::model::notification::SecretRef;

fn draft(text: &str) -> DraftedEnvironment {
    let text = format!("environment: staging\n{text}\n");
    drafted(&File::new("staging.yaml", &text).unwrap(), Path::new("/root/environments/staging.yaml"), None)
}

#[test]
fn every_key_is_read() {
    let drafted = draft(
        "redis: { host: redis.example, port: 6380, user: reader, password: { env: R }, ca_file: ca.pem }\n\
         rabbitmq: { url: 'https://rabbitmq.example:15671/', user: monitor, password: { env: Q }, ca_file: ca.pem }\n\
         prometheus: { url: 'https://example/prometheus/', bearer: { file: token } }",
    );
    assert!(drafted.problems.is_empty(), "{}", drafted.problems);
    let definition = drafted.definition.unwrap();
    let (redis, rabbitmq, prometheus) =
        (definition.redis.clone().unwrap(), definition.rabbitmq.clone().unwrap(), definition.prometheus.clone().unwrap());
    assert_eq!((redis.port, redis.tls, redis.user.as_deref()), (6380, TlsMode::VerifyFull, Some("reader")));
    assert_eq!(redis.ca_file.as_deref(), Some(Path::new("/root/environments/ca.pem")));
    assert_eq!(rabbitmq.url, "https://rabbitmq.example:15671");
    assert_eq!(prometheus.login, PrometheusLogin::Bearer(SecretRef::File("/root/environments/token".into())));
    let places: Vec<&str> = definition.credentials().into_iter().map(|(place, _)| place).collect();
    assert_eq!(places, ["redis.password", "rabbitmq.password", "prometheus.bearer"]);
    let values = definition.target_values();
    assert_eq!(values["redis"], json!({ "host": "redis.example", "port": 6380, "user": "reader" }));
    assert_eq!(values["rabbitmq"], json!({ "url": "https://rabbitmq.example:15671" }));
    assert_eq!(values["prometheus"], json!({ "url": "https://example/prometheus" }));
    let least = draft("redis: { host: redis.example }\nprometheus: { url: 'http://prometheus' }").definition.unwrap();
    assert_eq!((least.redis.unwrap().port, least.prometheus.unwrap().login), (6379, PrometheusLogin::None));
    let basic = draft("prometheus: { url: 'http://prometheus', user: reader, password: { env: P } }").definition.unwrap();
    assert_eq!(basic.credentials()[0].0, "prometheus.password");
}

#[test]
fn a_mistake_has_its_place_and_a_suggestion() {
    for (text, parts) in [
        ("redis: { hots: x }", &["`redis` has no key `hots`", "did you mean `host`?"][..]),
        ("redis: { host: x, user: a }", &["`user` needs `password`"]),
        ("redis: { host: x, port: 0 }", &["`port` is a whole number from 1 to 65535"]),
        ("redis: { host: x, tls: never }", &["`tls` cannot be `never`"]),
        ("rabbitmq: { url: 'https://x' }", &["`rabbitmq` needs `user`", "`rabbitmq` needs `password`"]),
        ("rabbitmq: { url: x, user: a, password: { env: P } }", &["`url` is not an absolute URL"]),
        ("rabbitmq: { url: 'http://x/?a=b', user: a, password: { env: P } }", &["`url` has a query or a fragment"]),
        ("prometheus: { bearer: { env: T } }", &["`prometheus` needs `url`"]),
        ("prometheus: { url: 'http://x', bearer: { env: T }, user: a }", &["`bearer` excludes `user` and `password`"]),
        ("prometheus: { url: 'http://x', user: a }", &["`user` needs `password`"]),
        ("prometheus: { url: 'http://x', password: { env: P } }", &["`password` needs `user`"]),
    ] {
        let told = draft(text).problems.to_string();
        for part in parts {
            assert!(told.contains(part), "{text}: `{part}` is not in:\n{told}");
        }
    }
}

#[test]
fn a_secret_that_was_written_down_is_refused_and_not_repeated() {
    for text in [
        "redis: { host: x, password: hunter2 }",
        "rabbitmq: { url: 'https://a:hunter2@x', user: a, password: { env: P } }",
        "rabbitmq: { url: 'https://x', user: a, password: hunter2 }",
        "prometheus: { url: 'http://x', bearer: hunter2 }",
        "prometheus: { url: 'http://x', user: a, password: { value: hunter2 } }",
    ] {
        let told = draft(text).problems.to_string();
        assert!(!told.is_empty() && !told.contains("hunter2"), "{text}: {told}");
    }
}

#[test]
fn the_schema_accepts_what_is_loaded_and_not_what_is_refused() {
    let schema = jsonschema::validator_for(&environment_schema()).unwrap();
    let with = |key: &str, value: serde_json::Value| json!({ "environment": "x", key: value });
    let secret = json!({ "env": "P" });
    for good in [
        with("redis", json!({ "host": "h", "user": "u", "password": secret, "tls": "disable" })),
        with("rabbitmq", json!({ "url": "https://x", "user": "u", "password": secret })),
        with("prometheus", json!({ "url": "https://x", "bearer": secret })),
        with("prometheus", json!({ "url": "https://x", "user": "u", "password": secret, "ca_file": "ca.pem" })),
    ] {
        assert!(schema.is_valid(&good), "{good}");
    }
    for wrong in [
        with("redis", json!({ "host": "h", "user": "u" })),
        with("rabbitmq", json!({ "url": "https://x", "user": "u", "password": "hunter2" })),
        with("prometheus", json!({ "url": "https://x", "user": "u" })),
        with("prometheus", json!({ "url": "https://x", "user": "u", "password": secret, "bearer": secret })),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}
