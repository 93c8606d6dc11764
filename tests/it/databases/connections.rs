//! `postgres.connections`: who holds how many, over all databases.

use serde_json::json;

use super::{Place, on_both};

async fn everybody_is_counted_against_what_there_is(place: Place) {
    let held = if place.is_sandbox { None } else { Some(somebody(&place).await) };
    let found = place.outputs("postgres.connections", json!({ "database": place.database() })).await;
    assert_eq!((&found["max_connections"], &found["reserved"], &found["usable"]), (&json!(200), &json!(3), &json!(197)), "{found:#}");
    let in_use = found["in_use"].as_i64().unwrap();
    assert_eq!(found["free"], json!(197 - in_use), "{found:#}");
    for by in ["by_state", "by_database", "by_user", "by_application", "by_client"] {
        let sum: i64 = found[by].as_object().unwrap().values().map(|count| count.as_i64().unwrap()).sum();
        assert_eq!(sum, in_use, "{by}: {found:#}");
    }
    if place.is_sandbox {
        assert_eq!((in_use, &found["by_user"]["ticket_service"]), (48, &json!(40)), "{found:#}");
        assert_eq!(found["by_database"]["analytics"], json!(3), "all databases count: {found:#}");
    } else {
        assert!(found["by_application"]["databases-test"].as_i64() >= Some(2), "{found:#}");
        assert!(
            found["by_state"]["idle in transaction"].as_i64() >= Some(1) && found["by_database"]["analytics"].as_i64() >= Some(1),
            "{found:#}"
        );
    }
    assert_eq!(found["hidden"], 0, "{found:#}");
    assert!(found["summary"].as_str().unwrap().starts_with(&format!("{in_use} of 197 connections in use")), "{found:#}");
    drop(held);
}

/// Two sessions of others: one idle, one in a transaction.
async fn somebody(place: &Place) -> Vec<tokio_postgres::Client> {
    let mut held = Vec::new();
    for (user, database, statement) in [("ticket_service", "tickettoken", "SELECT 1"), ("reporting", "analytics", "BEGIN")] {
        let mut config = tokio_postgres::Config::new();
        config.host("127.0.0.1").port(place.wire.address.port()).user(user).password("opensesame").dbname(database);
        config.application_name("databases-test");
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        client.simple_query(statement).await.unwrap();
        held.push(client);
    }
    held
}

on_both!(real_postgres, super::super::Real::Postgres; everybody_is_counted_against_what_there_is);

mod hidden {
    mod real_postgres {
        use super::super::*;
        use crate::databases::Real;

        #[tokio::test(flavor = "multi_thread")]
        async fn what_a_stranger_does_not_see_is_said() {
            let place = Place::real(Real::Postgres).await;
            let held = somebody(&place).await;
            let access = runsheet::environment::PostgresAccess { user: "stranger".to_owned(), ..place.postgres.clone() };
            let connections = runsheet::environment::Connections::new()
                .with_host(access.host.clone(), place.wire.address)
                .with_postgres("postgres", access);
            let mut database = place.database();
            database["user"] = json!("stranger");
            let found = place
                .step_by(&std::sync::Arc::new(connections), "postgres.connections", json!({ "database": database }))
                .try_outputs()
                .await
                .unwrap();
            assert!(found["hidden"].as_i64() >= Some(2) && found["by_state"]["hidden"].as_i64() >= Some(2), "{found:#}");
            assert!(found["summary"].as_str().unwrap().contains("GRANT pg_read_all_stats"), "{found:#}");
            drop(held);
        }
    }
}
