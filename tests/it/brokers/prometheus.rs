//! `prometheus.query`, on the sandbox and on a real Prometheus.

use runsheet::environment::ApiSystem;
use serde_json::{Value, json};

use crate::support::asking::Asking;

/// What every server answers.
async fn it_answers_a_query(asking: Asking) {
    let ask = |query: &str| asking.read("prometheus.query", json!({ "query": query }));
    // The design's example: no such request has been counted, and `vector(0)` makes that a 0.
    let told = ask(r#"sum(rate(http_requests_total{code=~"5.."}[1m])) or vector(0)"#).await;
    assert_eq!((&told["value"], &told["type"], &told["says"]), (&json!(0.0), &json!("vector"), &Value::Null), "{told:#}");
    let told = ask("1").await;
    assert_eq!((&told["value"], &told["type"], &told["count"]), (&json!(1.0), &json!("scalar"), &json!(1)));
    assert!(told["at"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{told:#}");
    let told = ask("sum(up)").await;
    assert!(told["value"].as_f64() >= Some(1.0) && told["series"][0]["labels"] == json!({}), "{told:#}");
    let told = ask("up{job=\"there-is-none\"}").await;
    assert_eq!((&told["value"], &told["series"]), (&Value::Null, &json!([])));
    assert!(told["says"].as_str().unwrap().contains("empty result"), "{told:#}");
    let told = ask("vector(0) / vector(0)").await;
    assert_eq!((&told["value"], &told["text"]), (&Value::Null, &json!("NaN")));
    assert!(told["says"].as_str().unwrap().starts_with("the result is NaN"), "{told:#}");
    let seen = asking.observe("prometheus.query", json!({ "query": "vector(0.25)" })).await;
    assert_eq!(seen["value"], 0.25, "a check sees the same");
    // Longer than what goes into a URL.
    let long = format!("sum(up{{job!=\"{}\"}})", "x".repeat(5000));
    assert!(ask(&long).await["value"].as_f64() >= Some(1.0));
}

async fn it_answers_over_a_range(asking: Asking) {
    let told = asking.read("prometheus.query", json!({ "query": "vector(2)", "range": "10s", "step": "5s" })).await;
    assert_eq!((&told["type"], &told["value"]), (&json!("matrix"), &Value::Null), "{told:#}");
    assert!(told["says"].as_str().unwrap().contains("a range of 1 series"));
    let points = told["series"][0]["points"].as_array().unwrap();
    assert_eq!((points.len(), &points[0][1]), (3, &json!(2.0)), "{told:#}");
}

async fn a_wrong_query_is_refused_with_its_place(asking: Asking) {
    let failure = asking.try_read("prometheus.query", json!({ "query": "sum(rate(up[" }), None).await.unwrap_err();
    assert!(!failure.transient, "{failure}");
    for part in ["Prometheus at http://", "refused /api/v1/query (400): bad_data: invalid parameter \"query\": 1:", "parse error"] {
        assert!(failure.message.contains(part), "`{part}`: {failure}");
    }
    for (inputs, told) in [
        (json!({ "query": " " }), "`query` of prometheus.query is empty"),
        (json!({ "query": "up", "step": "5s" }), "goes with `range`"),
        (json!({ "query": "up", "range": "30d", "step": "1s" }), "more points than Prometheus gives"),
        (json!({ "query": "up", "timeout": "5m" }), "from 1ms to 2m"),
        (
            json!({ "query": "up", "server": { "url": "http://prometheus.example" } }),
            "the environment names no prometheus server http://prometheus.example",
        ),
    ] {
        let failure = asking.try_read("prometheus.query", inputs, None).await.unwrap_err();
        assert!(failure.message.contains(told), "{failure}");
    }
}

macro_rules! on_each {
    ($($test:ident),* $(,)?) => {
        mod sandbox {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(Asking::sandbox().await).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn what_fails_under_load_is_counted() {
                super::what_fails_under_load_is_counted().await;
            }
        }
        mod real_prometheus {
            use super::*;
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(Asking::real_api(ApiSystem::Prometheus, None)).await;
            })*

            #[tokio::test(flavor = "multi_thread")]
            async fn rules_and_rates_are_answered() {
                let asking = Asking::real_api(ApiSystem::Prometheus, None);
                let told = asking.read("prometheus.query", json!({ "query": "job:up:sum" })).await;
                assert_eq!((&told["value"], &told["series"][0]["labels"]["job"]), (&json!(1.0), &json!("prometheus")), "{told:#}");
                let query = "sum(rate(prometheus_http_requests_total{code=\"200\"}[1m]))";
                let told = asking.until("a rate", "prometheus.query", json!({ "query": query }), |told| told["value"].as_f64() > Some(0.0)).await;
                assert_eq!(told["says"], Value::Null);
                let several = asking.read("prometheus.query", json!({ "query": "ALERTS or up" })).await;
                assert!(several["says"].as_str().unwrap().contains("2 series, not one"), "{several:#}");
                let failure = asking.try_read("prometheus.query", json!({ "query": "up + on(x) group_left() up{a=~\"*\"}" }), None).await.unwrap_err();
                assert!(failure.message.contains("(400): bad_data"), "{failure}");
            }
        }
    };
}
on_each!(it_answers_a_query, it_answers_over_a_range, a_wrong_query_is_refused_with_its_place);

/// Two pods take 500 requests a second; the rest fails.
async fn what_fails_under_load_is_counted() {
    let asking = Asking::sandbox().await;
    let sandbox = asking.sandbox.as_ref().unwrap();
    sandbox.load(800.0).await;
    let query = json!({ "query": "sum(rate(http_requests_total{code=~\"5..\"}[10s])) or vector(0)" });
    let told = asking.until("the failures of 10 s", "prometheus.query", query.clone(), |told| told["value"].as_f64() > Some(299.0)).await;
    assert!((told["value"].as_f64().unwrap() - 300.0).abs() < 1.0, "{told:#}");
    let share = json!({ "query": "sum(rate(http_requests_total{code=~\"5..\"}[10s])) / sum(rate(http_requests_total[10s]))" });
    let told = asking.until("the share", "prometheus.query", share, |told| told["value"].is_number()).await;
    assert!((told["value"].as_f64().unwrap() - 0.375).abs() < 0.01, "{told:#}");
    sandbox.load(100.0).await;
    asking.until("no more failures", "prometheus.query", query, |told| told["value"] == 0.0).await;
    let failure = asking.try_read("prometheus.query", json!({ "query": "quantile_over_time(0.9, up[1m])" }), None).await.unwrap_err();
    assert!(failure.message.contains("this sandbox knows no function \"quantile_over_time\""), "{failure}");
    assert!(!asking.log.text().contains(sandbox.password()));
}
