//! `postgres.query`: typed rows, bound parameters, and writes whose COMMIT is looked up when its answer is lost.

use runsheet::model::outcome::{Applied, Verdict};
use serde_json::{Value, json};

use super::{Place, Real, on_both};
use crate::support::{Cut, Step};

fn query(place: &Place, sql: &str, params: Value) -> Step {
    place.step("postgres.query", json!({ "database": place.database(), "sql": sql, "params": params }))
}

fn write(place: &Place, sql: &str, params: Value) -> Step {
    place.step("postgres.query", json!({ "database": place.database(), "sql": sql, "params": params, "writes": true }))
}

async fn a_parameter_is_bound_and_rows_come_back(place: Place) {
    let found = query(&place, "SELECT setting FROM pg_settings WHERE name = $1", json!(["max_connections"])).try_outputs().await.unwrap();
    assert_eq!(found["rows"], json!([{ "setting": "200" }]));
    assert_eq!((&found["value"], &found["row_count"], &found["truncated"]), (&json!("200"), &json!(1), &json!(false)), "{found:#}");
    let found = query(&place, "SELECT setting FROM pg_settings WHERE name = $1", json!(["x' OR 'a'='a"])).try_outputs().await.unwrap();
    assert_eq!((&found["rows"], &found["value"]), (&json!([]), &Value::Null), "it stays a parameter");
    let found = query(&place, "SELECT count(*) FROM pg_stat_activity WHERE datname = $1", json!(["no_such"])).try_outputs().await.unwrap();
    assert_eq!(found["value"], json!(0), "a count is a number: {found:#}");
    let limited = json!({ "database": place.database(), "sql": "SELECT name FROM pg_settings", "max_rows": 2 });
    let found = place.outputs("postgres.query", limited).await;
    assert_eq!((&found["row_count"], &found["truncated"]), (&json!(2), &json!(true)), "{found:#}");
    let declared = query(&place, "SELECT 1", json!([])).action.entry();
    let mut names: Vec<&str> = declared.outputs.iter().map(|output| output.name.as_str()).collect();
    let mut keys: Vec<&str> = found.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, names, "every declared output is there");
}

async fn what_is_wrong_is_said(place: Place) {
    for (sql, params, text) in [
        ("SELECT nothing FROM pg_settings", json!([]), "(42703)"),
        ("DELETE FROM tickets", json!([]), if place.is_sandbox { "(25006)" } else { "(42P01)" }),
        ("SELECT setting FROM pg_settings WHERE name = $1", json!([]), "the statement has 1 parameters, and `params` gives 0"),
        ("COMMIT", json!([]), "does not take COMMIT"),
        ("NOTIFY tickets", json!([]), "does not take NOTIFY in a step that only reads"),
        ("REINDEX TABLE pg_class", json!([]), "does not take REINDEX in a step that only reads"),
    ] {
        let failure = query(&place, sql, params).failure().await;
        assert!(failure.message.contains(text) && !failure.transient, "{sql}: {failure}");
    }
    place.wire.cut("pg_settings WHERE name", Cut::Before);
    let failure = query(&place, "SELECT setting FROM pg_settings WHERE name = $1", json!(["x"])).failure().await;
    assert!(failure.transient && failure.message.contains("was cut"), "{failure}");
}

on_both!(real_postgres, super::super::Real::Postgres; a_parameter_is_bound_and_rows_come_back, what_is_wrong_is_said);

mod real_postgres_alone {
    pub(super) mod real_postgres {
        use super::super::*;

        /// A table of the test's own.
        async fn table(place: &Place, columns: &str) -> String {
            let name = format!("t_{}", runsheet::model::id::RunId::generate().to_string().replace('-', "_").to_lowercase());
            write(place, &format!("CREATE TABLE {name} ({columns})"), json!([])).try_outputs().await.unwrap();
            name
        }

        async fn count(place: &Place, table: &str) -> Value {
            query(place, &format!("SELECT count(*) FROM {table}"), json!([])).try_outputs().await.unwrap()["value"].clone()
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn every_type_comes_back_as_what_it_is() {
            let place = Place::real(Real::Postgres).await;
            let sql = "SELECT $1::int AS i, $2::bigint AS b, $3::text AS t, $4::bool AS o, $5::jsonb AS j, $6::numeric AS n, $7::int[] AS a, \
                       $8::timestamptz AS z, $9::uuid AS u, NULL::text AS x, 0.5::float8 AS f, interval '1 month 2 days 3.5 s' AS s, \
                       '10.0.0.0/8'::cidr AS c, date '2026-02-01' AS d";
            let params = json!([
                7, 9_007_199_254_740_993_i64, "it's", true, { "k": [1] }, "12.50", [1, null, 3], "2026-02-01T19:00:00+02:00",
                "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11"
            ]);
            let found = query(&place, sql, params).try_outputs().await.unwrap();
            let wanted = json!({
                "i": 7, "b": 9_007_199_254_740_993_i64, "t": "it's", "o": true, "j": { "k": [1] }, "n": 12.5, "a": [1, null, 3],
                "z": "2026-02-01T17:00:00Z", "u": "0190a6c4-7b3e-7c21-9f10-3f6d2b8c5a11", "x": null, "f": 0.5, "s": "P1M2DT3.5S", "c": "10.0.0.0/8",
                "d": "2026-02-01",
            });
            assert_eq!(found["rows"][0], wanted);
            let failure = query(&place, "SELECT point(1, 2) AS p", json!([])).failure().await;
            assert!(failure.message.contains("the column `p` cannot be taken: its type point is not read"), "{failure}");
            let failure = query(&place, "SELECT 1 AS a, 2 AS a", json!([])).failure().await;
            assert!(failure.message.contains("two columns are called `a`"), "{failure}");
            let failure = query(&place, "SELECT $1::int", json!(["many"])).failure().await;
            assert!(failure.message.contains("(22P02)"), "{failure}");
            let large = query(&place, "SELECT repeat('x', 200000) AS x", json!([])).failure().await;
            assert!(large.message.contains("larger than 65536 bytes"), "{large}");
            let cut = query(&place, "SELECT repeat('x', 20000) AS x FROM generate_series(1, 10)", json!([])).try_outputs().await.unwrap();
            assert_eq!((&cut["row_count"], &cut["truncated"]), (&json!(3), &json!(true)));
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn without_writes_nothing_is_written() {
            let place = Place::real(Real::Postgres).await;
            let table = table(&place, "a int").await;
            for sql in [
                format!("INSERT INTO {table} VALUES (1)"),
                format!("WITH x AS (INSERT INTO {table} VALUES (1) RETURNING a) SELECT * FROM x"),
                format!("DO $$ BEGIN INSERT INTO {table} VALUES (1); END $$"),
                format!("EXPLAIN ANALYZE INSERT INTO {table} VALUES (1)"),
                format!("CREATE TABLE {table}_2 (a int)"),
            ] {
                let failure = query(&place, &sql, json!([])).failure().await;
                assert!(failure.message.contains("(25006)"), "{sql}: {failure}");
                assert!(failure.hint.as_deref().unwrap().contains("writes: true"), "{failure:?}");
            }
            let twice = query(&place, "SELECT 1; SELECT 2", json!([])).failure().await;
            assert!(twice.message.contains("(42601)"), "one statement is one: {twice}");
            assert_eq!(count(&place, &table).await, json!(0));
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn a_write_is_one_transaction() {
            let place = Place::real(Real::Postgres).await;
            let table = table(&place, "a int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED").await;
            let done =
                write(&place, &format!("INSERT INTO {table} VALUES ($1), ($2) RETURNING a"), json!([1, 2])).try_outputs().await.unwrap();
            assert_eq!((&done["affected"], &done["rows"]), (&json!(2), &json!([{ "a": 1 }, { "a": 2 }])), "{done:#}");
            // A constraint that is checked at COMMIT: the server says no, and nothing is there.
            let step = write(&place, &format!("INSERT INTO {table} VALUES (3), (1)"), json!([]));
            let intent = step.intent().await;
            let Applied::NotApplied { failure } = step.apply(&intent).await else { panic!("it is refused") };
            assert!(failure.message.contains("(23505)") && !failure.transient, "{failure}");
            assert_eq!((step.verify(&intent).await, count(&place, &table).await), (Verdict::Absent, json!(2)));
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn promise_2_a_commit_whose_answer_is_lost_is_looked_up() {
            let place = Place::real(Real::Postgres).await;
            let table = table(&place, "a int").await;
            let step = write(&place, &format!("INSERT INTO {table} VALUES ($1)"), json!([1]));
            let intent = step.intent().await;
            let unknown = step.verify(&intent).await;
            assert!(matches!(&unknown, Verdict::CannotTell { reason } if reason.contains("not here")), "{unknown:?}");

            place.wire.cut("COMMIT", Cut::Before);
            let lost = step.apply(&intent).await;
            let Applied::Unknown { failure } = lost else { panic!("{lost:?}") };
            assert!(failure.message.starts_with("COMMIT was sent, and its answer is not known"), "{failure}");
            // The server has noticed that the client is gone by the time it says what became of it, or says that it is open still.
            let deadline = std::time::Instant::now() + crate::support::PATIENCE;
            while let Verdict::InProgress { .. } = step.verify(&intent).await {
                assert!(std::time::Instant::now() < deadline, "it is open still");
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            assert_eq!((step.verify(&intent).await, count(&place, &table).await), (Verdict::Absent, json!(0)));

            place.wire.cut("COMMIT", Cut::After);
            let lost = step.apply(&intent).await;
            assert!(matches!(lost, Applied::Unknown { .. }), "{lost:?}");
            let verdict = step.verify(&intent).await;
            assert!(matches!(&verdict, Verdict::Present { outputs } if outputs["rows"].is_null()), "{verdict:?}");
            assert_eq!(count(&place, &table).await, json!(1));

            // What is cut before COMMIT is sent has certainly had no effect.
            let step = write(&place, &format!("INSERT INTO {table} VALUES ($1)"), json!([2]));
            let intent = step.intent().await;
            place.wire.cut("INSERT INTO", Cut::After);
            let cut = step.apply(&intent).await;
            assert!(matches!(&cut, Applied::NotApplied { failure } if failure.transient), "{cut:?}");
            assert_eq!((step.verify(&intent).await, count(&place, &table).await), (Verdict::Absent, json!(1)));
        }

        #[tokio::test(flavor = "multi_thread")]
        async fn what_takes_too_long_or_is_locked_ends() {
            let place = Place::real(Real::Postgres).await;
            let table = table(&place, "a int").await;
            let slow = json!({ "database": place.database(), "sql": "SELECT pg_sleep(60)", "statement_timeout": "100ms" });
            let failure = place.step("postgres.query", slow).failure().await;
            assert!(failure.message.contains("(57014)") && failure.hint.as_deref().unwrap().contains("`statement_timeout`"), "{failure:?}");
            let mut config = tokio_postgres::Config::new();
            config.host("127.0.0.1").port(place.wire.address.port()).user("runsheet").password("opensesame").dbname("tickettoken");
            let (client, connection) = config.connect(tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            client.batch_execute(&format!("BEGIN; LOCK TABLE {table}")).await.unwrap();
            let locked = json!({
                "database": place.database(), "sql": format!("INSERT INTO {table} VALUES (1)"), "writes": true, "lock_timeout": "100ms",
            });
            let failure = place.step("postgres.query", locked).failure().await;
            assert!(failure.message.contains("(55P03)") && failure.transient, "{failure:?}");
            client.batch_execute("ROLLBACK").await.unwrap();
            assert_eq!(count(&place, &table).await, json!(0));
        }
    }
}
