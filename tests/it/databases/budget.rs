//! `postgres.connection_budget` through PgBouncer: the procedure's 16 × 20 passes in transaction mode, and what does not is refused and says why.

use runsheet::sandbox::Pooler;
use serde_json::{Value, json};

use super::{Place, Real, on_both};

fn inputs(place: &Place, through: &str) -> Value {
    json!({
        "workload": "deployment/ticket-service", "replicas": 16, "pool_size": 20, "database": place.database(), "require": "fits", "through": through,
    })
}

async fn sixteen_pods_of_twenty_pass_in_transaction_mode(place: Place) {
    let found = place.outputs("postgres.connection_budget", inputs(&place, "pgbouncer")).await;
    assert_eq!((&found["fits"], &found["pods"]), (&json!(true), &json!(20)), "{found:#}");
    let pooler = &found["pooler"];
    assert_eq!(
        (&pooler["pool_mode"], &pooler["instances"], &pooler["clients"]),
        (&json!("transaction"), &json!(2), &json!(400)),
        "{found:#}"
    );
    assert_eq!(pooler["clients_of_one_instance"], json!(400), "one of two may get all: {found:#}");
    let seen = pooler["server_connections"].as_i64().unwrap();
    let sum = found["sum"].as_str().unwrap();
    assert!(sum.contains("20 pods × 20 = 400 clients of PgBouncer (transaction mode)"), "{sum}");
    if place.is_sandbox {
        assert_eq!(
            (seen, &found["others"], &found["free"]),
            (25 + 30, &json!(8), &json!(189)),
            "its own connections are not others': {found:#}"
        );
        assert!(
            sum.contains("PostgreSQL sees at most 25 (1 pool: 20 + 5 reserve) + 30 (1 pool: 25 + 5 reserve) = 55 connections"),
            "{sum}"
        );
        assert_eq!(found["largest_pool_size"], json!(50), "1000 clients over 20 pods: {found:#}");
    } else {
        assert_eq!(seen, 25 + 30, "{found:#}");
        assert_eq!(
            (&found["largest_pool_size"], &pooler["max_client_conn"]),
            (&json!(45), &json!(900)),
            "the smaller of 1000 and 900: {found:#}"
        );
    }
    // Directly it is what the procedure says.
    let failure = place.step("postgres.connection_budget", inputs(&place, "direct")).failure().await;
    assert!(failure.message.starts_with("the connections do not fit: 16 replicas + 4 surge"), "{failure}");
}

async fn too_small_a_max_client_conn_is_refused_and_says_why(place: Place) {
    place.console(1).await.simple_query("SET max_client_conn = 300").await.unwrap();
    let failure = place.step("postgres.connection_budget", inputs(&place, "pgbouncer")).failure().await;
    assert!(
        failure.message.starts_with("the connections do not fit: ") && failure.message.contains("of the 300 that it takes"),
        "{failure}"
    );
    assert!(failure.hint.as_deref().unwrap().contains("raise `max_client_conn` of every instance"), "{failure:?}");
}

async fn what_postgres_would_see_counts_too(place: Place) {
    place.console(0).await.simple_query("SET default_pool_size = 190").await.unwrap();
    let failure = place.step("postgres.connection_budget", inputs(&place, "pgbouncer")).failure().await;
    assert!(failure.message.contains("PgBouncer may open 225 connections to PostgreSQL, which has "), "{failure}");
    assert!(failure.hint.as_deref().unwrap().contains("`default_pool_size`"), "{failure:?}");
    // Bounded, it fits again.
    place.console(0).await.simple_query("SET max_db_connections = 60").await.unwrap();
    let found = place.outputs("postgres.connection_budget", inputs(&place, "pgbouncer")).await;
    assert!(found["sum"].as_str().unwrap().contains("bounded by max_db_connections"), "{found:#}");
}

on_both!(
    real_pgbouncer, super::super::Real::Pooled;
    sixteen_pods_of_twenty_pass_in_transaction_mode,
    too_small_a_max_client_conn_is_refused_and_says_why,
    what_postgres_would_see_counts_too,
);

async fn session_mode_is_refused(place: Place) {
    let failure = place.step("postgres.connection_budget", inputs(&place, "pgbouncer")).failure().await;
    assert!(failure.message.starts_with("the connections do not fit through PgBouncer: PgBouncer at "), "{failure}");
    assert!(failure.message.contains("pools in session mode: a client keeps its connection"), "{failure}");
    assert!(!failure.transient && failure.hint.as_deref().unwrap().contains("pool_mode = transaction"), "{failure:?}");
}

mod session {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn sandbox() {
        session_mode_is_refused(Place::sandbox(Pooler::Session).await).await;
    }

    mod real_pgbouncer {
        use super::*;

        #[tokio::test(flavor = "multi_thread")]
        async fn refused() {
            session_mode_is_refused(Place::real(Real::Session).await).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_connect_past_the_pooler_are_found() {
    // The sandbox's pods connect directly, and the environment names a pooler that nobody uses.
    let (place, pooled) = (Place::sandbox(Pooler::None).await, Place::sandbox(Pooler::Transaction).await);
    for at in 0..2 {
        // Nor does it have connections to a server of its own, whose processes have the same numbers.
        pooled.console(at).await.simple_query("SET default_pool_size = 0").await.unwrap();
    }
    let mut connections = runsheet::environment::Connections::new().confined();
    connections = connections.with_kubernetes(place.connections.kubernetes().unwrap().clone());
    connections = connections.with_host("postgres.production", place.wire.address).with_postgres("postgres", place.postgres.clone());
    for (instance, wire) in pooled.pgbouncer.as_ref().unwrap().instances().unwrap().iter().zip(&pooled.wires) {
        connections = connections.with_host(instance.at.host.clone(), wire.address);
    }
    let connections = std::sync::Arc::new(connections.with_pgbouncer(pooled.pgbouncer.clone().unwrap()));
    let failure = place.step_by(&connections, "postgres.connection_budget", inputs(&place, "pgbouncer")).failure().await;
    assert!(failure.message.contains("40 connections come from the workload's pods to the server itself, past PgBouncer"), "{failure}");
    let none = place.step("postgres.connection_budget", inputs(&place, "pgbouncer")).failure().await;
    assert!(none.message.contains("the environment names no PgBouncer"), "{none}");
}
