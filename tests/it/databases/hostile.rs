//! Servers that are not there, do not let us in, are silent, or are not who they say: one clear message each, with what was tried.

use std::sync::Arc;

use runsheet::environment::{Connections, PgBouncerAccess, PostgresAccess, TlsMode};
use serde_json::{Value, json};

use super::{Place, on_both};

/// The actions, each with its inputs.
fn actions(place: &Place) -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("postgres.connections", json!({ "database": place.database() }), "PostgreSQL, tickettoken at "),
        ("postgres.query", json!({ "database": place.database(), "sql": "SELECT 1" }), "PostgreSQL, tickettoken at "),
        ("pgbouncer.pools", json!({ "pooler": place.pooler() }), "PgBouncer at "),
        ("pgbouncer.set", json!({ "pooler": place.pooler(), "settings": { "default_pool_size": 30 } }), "PgBouncer at "),
    ]
}

/// The same systems, reached otherwise.
fn otherwise(
    place: &Place,
    address: Option<std::net::SocketAddr>,
    postgres: impl Fn(&mut PostgresAccess),
    pgbouncer: impl Fn(&mut PgBouncerAccess),
) -> Arc<Connections> {
    let (mut database, mut pooler) = (place.postgres.clone(), place.pgbouncer.clone().unwrap());
    let mut connections = Connections::new().confined().with_host(database.host.clone(), address.unwrap_or(place.wire.address));
    for (instance, wire) in pooler.instances().unwrap().iter().zip(&place.wires) {
        connections = connections.with_host(instance.at.host.clone(), address.unwrap_or(wire.address));
    }
    postgres(&mut database);
    pgbouncer(&mut pooler);
    Arc::new(connections.with_postgres("postgres", database).with_pgbouncer(pooler))
}

async fn who_is_not_there_is_named_and_may_come(place: Place) {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connections = otherwise(&place, Some(free), |_| (), |_| ());
    for (action, inputs, server) in actions(&place) {
        let failure = place.step_by(&connections, action, inputs).failure().await;
        assert!(failure.message.starts_with(&format!("no connection to {server}")), "{action}: {failure}");
        assert!(failure.message.ends_with("Connection refused") && failure.transient && failure.hint.is_some(), "{action}: {failure:?}");
    }
}

async fn a_wrong_password_is_said_and_not_repeated(place: Place) {
    let wrong = "s3cretly-wrong";
    let connections = otherwise(
        &place,
        None,
        |access| access.password = Some(wrong.to_owned().into()),
        |access| access.password = Some(wrong.to_owned().into()),
    );
    for (action, inputs, server) in actions(&place) {
        let failure = place.step_by(&connections, action, inputs).failure().await;
        assert!(
            failure.message.starts_with(server) && failure.message.contains("does not let the user runsheet in"),
            "{action}: {failure}"
        );
        assert!(!failure.transient && !format!("{failure:?}").contains(wrong), "{action}: {failure:?}");
    }
}

async fn who_never_answers_is_not_waited_for_for_good(place: Place) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let connections = otherwise(&place, Some(silent.local_addr().unwrap()), |_| (), |_| ());
    for (action, inputs, server) in actions(&place) {
        let mut step = place.step_by(&connections, action, inputs);
        step.cx.timeout = Some(std::time::Duration::from_millis(300));
        let failure = step.failure().await;
        assert!(failure.message.starts_with(server) && failure.message.contains("did not let us in within"), "{action}: {failure}");
        assert!(failure.transient, "{action}: {failure:?}");
    }
}

async fn what_has_no_tls_is_not_spoken_to_in_the_clear(place: Place) {
    let mode = TlsMode::VerifyFull;
    let connections = otherwise(&place, None, |access| access.tls = mode, |access| access.target.tls = mode);
    for (action, inputs, server) in actions(&place) {
        let failure = place.step_by(&connections, action, inputs).failure().await;
        assert!(failure.message.starts_with(&format!("no TLS connection to {server}")), "{action}: {failure}");
        assert!(!failure.transient, "{action}: {failure:?}");
    }
}

on_both!(
    real_pgbouncer, super::super::Real::Pooled;
    who_is_not_there_is_named_and_may_come,
    a_wrong_password_is_said_and_not_repeated,
    who_never_answers_is_not_waited_for_for_good,
    what_has_no_tls_is_not_spoken_to_in_the_clear,
);

mod tls {
    mod real_pgbouncer {
        use super::super::*;
        use crate::databases::Real;

        #[tokio::test(flavor = "multi_thread")]
        async fn the_right_authority_is_trusted_and_the_right_name_wanted() {
            let place = Place::real(Real::Pooled).await;
            let ca = place.own_file("pgbouncer", "ca_file");
            let by = |host: &str, ca: &str| {
                let mut access = place.pgbouncer.clone().unwrap();
                let at = runsheet::model::environment::HostPort { host: host.to_owned(), port: 6432 };
                access.target.place = runsheet::model::environment::PgBouncerPlace::Instances(vec![at]);
                access.target.tls = TlsMode::VerifyFull;
                access.ca_file = Some(ca.into());
                let value = access.target.value();
                let connections = Connections::new().with_host(host, place.wires[0].address).with_pgbouncer(access);
                place.step_by(&Arc::new(connections), "pgbouncer.pools", json!({ "pooler": value }))
            };
            let found = by("localhost", &ca).try_outputs().await.unwrap();
            assert_eq!(found["instances"][0]["at"], "localhost:6432", "{found:#}");
            let other = by("pgbouncer.example", &ca).failure().await;
            assert!(other.message.starts_with("no TLS connection to PgBouncer at pgbouncer.example:6432: "), "{other}");
        }
    }
}
