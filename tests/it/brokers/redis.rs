//! `redis.info`, on the sandbox and on a real Redis.

use serde_json::{Value, json};

use crate::support::asking::{Asking, redis};

/// What every server says.
async fn it_says_how_it_stands(asking: Asking) {
    let told = asking.read("redis.info", json!({})).await;
    assert!(told["used_bytes"].as_u64() > Some(100_000) && told["peak_bytes"].as_u64() >= told["used_bytes"].as_u64(), "{told:#}");
    assert!(told["version"].as_str().is_some_and(|version| version.starts_with("7.")), "{told:#}");
    assert_eq!((&told["mode"], &told["role"]), (&json!("standalone"), &json!("primary")), "{told:#}");
    assert!(told["clients"].as_u64() >= Some(1) && told["max_clients"].as_u64() > Some(100), "{told:#}");
    assert!(told["fragmentation"].as_f64() > Some(0.0), "{told:#}");
    for counter in ["evicted_keys", "expired_keys", "hits", "misses", "rejected_connections", "blocked_clients", "uptime_seconds", "keys"] {
        assert!(told[counter].is_u64(), "{counter}: {told:#}");
    }
    assert!(told["policy"].is_string() && told["summary"].as_str().is_some_and(|summary| summary.contains(" used")), "{told:#}");
    // A condition sees the same.
    let seen = asking.observe("redis.info", json!({})).await;
    assert_eq!(seen["version"], told["version"]);
}

/// The server is named, as a playbook names it, or is another.
async fn it_is_asked_of_the_environments_server_alone(asking: Asking) {
    let other = json!({ "server": { "host": "redis.example", "port": 6379 } });
    let failure = asking.try_read("redis.info", other, None).await.unwrap_err();
    assert!(failure.message.contains("the environment names no redis server redis.example:6379; it names "), "{failure}");
    let secret = json!({ "server": { "host": "redis.example", "password": "hunter2" } });
    let failure = asking.try_read("redis.info", secret, None).await.unwrap_err();
    assert!(failure.message.contains("it has a key `password`") && !failure.message.contains("hunter2"), "{failure}");
}

mod sandbox {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_says_how_it_stands() {
        super::it_says_how_it_stands(Asking::sandbox().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_asked_of_the_environments_server_alone() {
        super::it_is_asked_of_the_environments_server_alone(Asking::sandbox().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_memory_follows_the_load() {
        let asking = Asking::sandbox().await;
        let sandbox = asking.sandbox.as_ref().unwrap();
        let idle = asking.read("redis.info", json!({})).await;
        assert_eq!((&idle["used_percent"], &idle["evicted_keys"]), (&json!(28.4), &json!(0)), "{idle:#}");
        sandbox.load(2000.0).await;
        let busy = asking.read("redis.info", json!({})).await;
        assert_eq!(busy["used_bytes"].as_u64().unwrap() - idle["used_bytes"].as_u64().unwrap(), 2000 * 512 * 1024);
        sandbox.load(8000.0).await;
        let full = asking.read("redis.info", json!({})).await;
        assert_eq!(full["used_percent"], 100.0);
        assert!(full["evicted_keys"].as_u64() > Some(0), "{full:#}");
        assert!(!asking.log.text().contains(sandbox.password()));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn its_faults_are_told_as_what_they_are() {
        let asking = Asking::sandbox().await;
        let sandbox = asking.sandbox.as_ref().unwrap();
        for (words, told) in [
            (&["refuse", "INFO /redis", "--status", "503"][..], "answers nobody now: LOADING Redis is loading the dataset in memory"),
            (&["cut-before", "INFO /redis"], "the connection to Redis, redis.production:6379, was cut"),
            (&["cut-after", "AUTH /redis"], "was cut"),
        ] {
            sandbox.fault(words).await;
            let failure = asking.try_read("redis.info", json!({}), None).await.unwrap_err();
            assert!(failure.message.contains(told) && failure.transient, "{words:?}: {failure}");
            asking.read("redis.info", json!({})).await;
        }
    }
}

mod real_redis {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_says_how_it_stands() {
        super::it_says_how_it_stands(Asking::real_redis()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_asked_of_the_environments_server_alone() {
        super::it_is_asked_of_the_environments_server_alone(Asking::real_redis()).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_wrong_password_is_said_to_be_one() {
        let place: Value = crate::support::servers::shared("redis");
        let (host, port) = (place["host"].as_str().unwrap(), place["port"].as_u64().unwrap());
        let asking = Asking::redis(redis(host, u16::try_from(port).unwrap(), "wrong-and-secret"));
        let failure = asking.try_read("redis.info", json!({}), None).await.unwrap_err();
        assert!(failure.message.contains("does not let the user default in: WRONGPASS") && !failure.transient, "{failure}");
        assert!(!failure.message.contains("wrong-and-secret"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_a_password_the_server_asks_for_one() {
        let place: Value = crate::support::servers::shared("redis");
        let (host, port) = (place["host"].as_str().unwrap(), place["port"].as_u64().unwrap());
        let mut access = redis(host, u16::try_from(port).unwrap(), "");
        access.password = None;
        let failure = Asking::redis(access).try_read("redis.info", json!({}), None).await.unwrap_err();
        assert!(failure.message.contains("does not let the user default in: NOAUTH Authentication required."), "{failure}");
    }
}
