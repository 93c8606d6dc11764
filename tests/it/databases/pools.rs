//! `pgbouncer.pools`: every instance, in sum.

use serde_json::json;

use super::{Place, Real, on_both};

async fn every_instance_is_told_and_summed(place: Place) {
    let found = place.outputs("pgbouncer.pools", json!({ "pooler": place.pooler() })).await;
    assert_eq!(found["pool_mode"], "transaction", "{found:#}");
    let instances = found["instances"].as_array().unwrap();
    assert_eq!(instances.len(), 2, "{found:#}");
    let (first, second) = (&instances[0], &instances[1]);
    assert_eq!(
        (&first["default_pool_size"], &second["default_pool_size"]),
        (&json!(20), &json!(25)),
        "each has its own settings: {found:#}"
    );
    let most = |at: &serde_json::Value| at["max_client_conn"].as_i64().unwrap();
    assert_eq!(found["max_client_conn"], json!(most(first) + most(second)));
    assert_eq!((&found["clients_waiting"], &found["max_wait_seconds"]), (&json!(0), &json!(0.0)), "{found:#}");
    assert!(found["client_share"].as_f64().unwrap() < 0.1, "{found:#}");
    if place.is_sandbox {
        assert_eq!((&found["clients"], &found["servers_idle"]), (&json!(40), &json!(40)), "two pods of 20: {found:#}");
        assert_eq!(found["pools"][0]["user"], "ticket_service", "{found:#}");
    } else {
        assert_eq!(found["clients"], 0, "the admin console does not count: {found:#}");
    }
    assert!(found["summary"].as_str().unwrap().starts_with("PgBouncer (transaction, 2 instances): "), "{found:#}");
    let declared = place.step("pgbouncer.pools", json!({})).action.entry();
    let names: Vec<&str> = declared.outputs.iter().map(|output| output.name.as_str()).collect();
    assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), names, "every declared output is there");
}

async fn an_instance_that_does_not_answer_is_a_failure(place: Place) {
    place.wires[1].cut("SHOW POOLS", crate::support::Cut::Before);
    let failure = place.step("pgbouncer.pools", json!({ "pooler": place.pooler() })).failure().await;
    assert!(failure.transient && failure.message.starts_with("the connection to PgBouncer at "), "{failure}");
    assert!(place.step("pgbouncer.pools", json!({ "pooler": place.pooler() })).try_outputs().await.is_ok(), "it was cut once");
}

on_both!(real_pgbouncer, super::super::Real::Pooled; every_instance_is_told_and_summed, an_instance_that_does_not_answer_is_a_failure);

mod waiting {
    use super::*;

    mod real_pgbouncer {
        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn who_waits_is_told() {
            let place = Place::real(Real::Session).await;
            place.console(0).await.simple_query("SET default_pool_size = 1").await.unwrap();
            let connect = async || {
                let mut config = tokio_postgres::Config::new();
                config
                    .host("127.0.0.1")
                    .port(place.wires[0].address.port())
                    .user("ticket_service")
                    .password("opensesame")
                    .dbname("tickettoken");
                let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
                tokio::spawn(connection);
                client
            };
            // In session mode the first keeps the only connection; the others wait for it.
            let first = connect().await;
            first.simple_query("SELECT 1").await.unwrap();
            let mut waiting = Vec::new();
            for _ in 0..2 {
                let client = connect().await;
                waiting.push(tokio::spawn(async move { client.simple_query("SELECT 1").await }));
            }
            let deadline = std::time::Instant::now() + crate::support::PATIENCE;
            loop {
                let found = place.outputs("pgbouncer.pools", json!({ "pooler": place.pooler() })).await;
                if found["clients_waiting"] == 2 {
                    assert_eq!((&found["pool_mode"], &found["pools"][0]["clients_waiting"]), (&json!("session"), &json!(2)), "{found:#}");
                    break;
                }
                assert!(std::time::Instant::now() < deadline, "nobody waits: {found:#}");
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            waiting.iter().for_each(tokio::task::JoinHandle::abort);
            drop(first);
        }
    }
}
