//! The PostgreSQL server: who gets in, what is answered, what is counted, and what hostile clients get.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage};

use super::super::{connections, persist};
use super::{Sandbox, eventually};

async fn connect(sandbox: &Sandbox, user: &str, password: &str, database: &str) -> Result<Client, Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(sandbox.running.address().port()).user(user).password(password).dbname(database);
    config.application_name("test").connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn client(sandbox: &Sandbox) -> Client {
    connect(sandbox, "runsheet", &sandbox.running.ready.postgres_password, "tickettoken").await.unwrap()
}

fn refusal(result: Result<Client, Error>) -> String {
    let error = result.expect_err("it is refused");
    let error = error.as_db_error().expect("the server says why");
    format!("{} {}", error.code().code(), error.message())
}

#[tokio::test]
async fn statements_are_answered_by_both_protocols() {
    let sandbox = Sandbox::start().await;
    let client = client(&sandbox).await;
    let simple = client.simple_query("SHOW max_connections; SELECT 1").await.unwrap();
    let values: Vec<&str> = simple
        .iter()
        .filter_map(|message| match message {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        })
        .collect();
    assert_eq!(values, ["200", "1"]);
    let row = client.query_one("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'", &[]).await.unwrap();
    assert_eq!(row.get::<_, i64>(0), 2 * 20 + 8 + 1, "two Pods, the others and this session");
    let row = client.query_one("SELECT pid, datname, client_addr FROM pg_stat_activity WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(row.get::<_, i32>(0) > 0);
    assert_eq!((row.get::<_, String>(1), row.get::<_, Option<String>>(2)), ("tickettoken".to_owned(), Some("127.0.0.1".to_owned())));
    let error = client.query("SELECT name FROM tickets", &[]).await.unwrap_err();
    assert!(error.as_db_error().unwrap().message().contains("pg_stat_activity"), "it says what it knows: {error:?}");
    let error = client.execute("DELETE FROM tickets", &[]).await.unwrap_err();
    assert_eq!(error.code().unwrap().code(), "25006");
    assert!(client.simple_query("SELECT 1").await.is_ok(), "the session goes on after an error");
}

#[tokio::test]
async fn nobody_gets_in_without_the_password() {
    let sandbox = Sandbox::start().await;
    let password = sandbox.running.ready.postgres_password.clone();
    assert!(password.len() >= 32);
    let wrong = refusal(connect(&sandbox, "runsheet", "wrong", "tickettoken").await);
    assert_eq!(wrong, "28P01 password authentication failed for user \"runsheet\"");
    assert!(refusal(connect(&sandbox, "postgres", &password, "tickettoken").await).starts_with("28P01"));
    assert_eq!(refusal(connect(&sandbox, "runsheet", &password, "nothing").await), "3D000 database \"nothing\" does not exist");
    assert!(refusal(connect(&sandbox, "runsheet", "wrong", "nothing").await).starts_with("28P01"), "strangers are told nothing");
}

#[tokio::test]
async fn pools_are_counted_at_every_change_and_kept_over_a_restart() {
    let sandbox = Sandbox::start().await;
    let usage = connections(sandbox.path()).await.unwrap();
    assert_eq!((usage.pods, usage.wanted, usage.free, usage.exceeded), (2, 40, 189, 0));
    sandbox.scale(9).await.unwrap();
    eventually("nine Pods", async || sandbox.ready_replicas().await == 9).await;
    let usage = connections(sandbox.path()).await.unwrap();
    assert_eq!((usage.wanted, usage.peak, usage.exceeded, usage.used), (180, 180, 0, 188));
    let last = client(&sandbox).await;
    sandbox.scale(16).await.unwrap();
    eventually("sixteen Pods", async || sandbox.ready_replicas().await == 16).await;
    let usage = connections(sandbox.path()).await.unwrap();
    assert_eq!((usage.wanted, usage.peak, usage.used), (320, 320, 197));
    assert!(usage.exceeded > 0 && usage.first_exceeded.as_ref().is_some_and(|first| first.wanted > 189), "{usage:?}");
    let password = sandbox.running.ready.postgres_password.clone();
    let full = refusal(connect(&sandbox, "runsheet", &password, "tickettoken").await);
    assert_eq!(full, "53300 remaining connection slots are reserved for non-replication superuser connections");
    drop(last);

    let sandbox = sandbox.restart().await;
    let after = connections(sandbox.path()).await.unwrap();
    assert_eq!((after.exceeded, after.first_exceeded, after.peak), (usage.exceeded, usage.first_exceeded, 320));
    sandbox.scale(2).await.unwrap();
    eventually("two Pods", async || sandbox.pod_names().await.len() == 2).await;
    assert_eq!(connections(sandbox.path()).await.unwrap().wanted, 40, "what is gone holds nothing");
    super::super::reset(sandbox.path()).await.unwrap();
    assert_eq!(connections(sandbox.path()).await.unwrap().exceeded, 0);
}

#[tokio::test]
async fn a_terminating_pod_holds_its_connections_until_it_is_gone() {
    let sandbox = Sandbox::start().await;
    sandbox.fault(&["stall-terminating"]).await;
    sandbox.scale(1).await.unwrap();
    eventually("one ready Pod", async || sandbox.ready_replicas().await == 1).await;
    assert_eq!(connections(sandbox.path()).await.unwrap().wanted, 40);
    super::super::fault::clear(sandbox.path()).await.unwrap();
    eventually("one Pod", async || connections(sandbox.path()).await.unwrap().wanted == 20).await;
}

#[tokio::test]
async fn a_folder_from_before_there_was_a_password_gets_one_and_keeps_it() {
    let sandbox = Sandbox::start().await;
    let path = sandbox.path().join(persist::IDENTITY);
    sandbox.running.shutdown().await;
    let mut identity: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    identity.as_object_mut().unwrap().shift_remove("postgres_password").expect("there is one");
    std::fs::write(&path, identity.to_string()).unwrap();
    let first = super::start(sandbox.dir.path(), super::options()).await.unwrap();
    let password = first.ready.postgres_password.clone();
    assert!(password.len() >= 32 && !format!("{:?}", first.ready).contains(&password));
    first.shutdown().await;
    let second = super::start(sandbox.dir.path(), super::options()).await.unwrap();
    assert_eq!(second.ready.postgres_password, password);
}

#[tokio::test]
async fn faults_meet_sessions_too() {
    let sandbox = Sandbox::start().await;
    let password = sandbox.running.ready.postgres_password.clone();
    sandbox.fault(&["refuse", "CONNECT /postgres", "--status", "503", "--times", "1"]).await;
    assert!(refusal(connect(&sandbox, "runsheet", &password, "tickettoken").await).starts_with("57P03"));
    let client = client(&sandbox).await;
    sandbox.fault(&["cut-before", "QUERY /postgres", "--times", "1"]).await;
    assert!(client.simple_query("SELECT 1").await.unwrap_err().is_closed());
}

/// What a server sends to these bytes, until it closes.
async fn sent(sandbox: &Sandbox, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(sandbox.running.address()).await.unwrap();
    // It may be closed before all of it is sent.
    let _sent = stream.write_all(bytes).await;
    let _shut = stream.shutdown().await;
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    let _closed = read.expect("the server ends it");
    answer
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    [&[kind][..], &u32::try_from(body.len() + 4).unwrap().to_be_bytes(), body].concat()
}

#[tokio::test]
async fn hostile_clients_are_shown_out_and_the_server_lives() {
    let sandbox = Sandbox::start().await;
    let start = |body: &[u8]| [&u32::try_from(body.len() + 8).unwrap().to_be_bytes()[..], &196_608_u32.to_be_bytes(), body].concat();
    let me = start(b"user\0runsheet\0database\0tickettoken\0\0");
    let password = message(b'p', format!("{}\0", sandbox.running.ready.postgres_password).as_bytes());
    let inside = |more: &[u8]| [&me[..], &password, more].concat();
    let ssl = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
    // Bytes, what the answer holds.
    let table: Vec<(Vec<u8>, &[u8])> = vec![
        (vec![0], b""),
        (vec![0; 8], b""),
        (vec![0, 0xff, 0xff, 0xff, 0, 3, 0, 0], b""),
        ([&9_u32.to_be_bytes()[..], &[0; 5]].concat(), b"0A000"),
        (ssl.repeat(5), b"NN"),
        (start(b""), b"08P01"),
        (start(b"user"), b"08P01"),
        (start(b"user\0\xff\0\0"), b"08P01"),
        (start(&b"a\0b\0".repeat(200)), b"08P01"),
        (start(b"database\0x\0\0"), b"28000"),
        ([&me[..], &message(b'p', b"no end")].concat(), b"28P01"),
        ([&me[..], &message(b'Q', b"SELECT 1\0")].concat(), b"28P01"),
        ([&me[..], b"p\xff\xff\xff\xff"].concat(), b"R"),
        (inside(b"Q\x00\x01\x00\x01"), b"server_version"),
        (inside(&message(b'Q', &b"(".repeat(60_000))), b"08P01"),
        (inside(&message(b'Q', &[b"(".repeat(60_000), vec![0]].concat())), b"0A000"),
        (inside(&message(b'Q', b"")), b"server_version"),
        (inside(&message(b'!', b"")), b"server_version"),
        (inside(&[message(b'P', b"x"), message(b'S', b"")].concat()), b"08P01"),
        (inside(&[message(b'B', b"\0none\0"), message(b'S', b"")].concat()), b"26000"),
        (inside(&[message(b'E', b"none\0\0\0\0\0"), message(b'S', b"")].concat()), b"26000"),
        (inside(&message(b'P', b"a\0SELECT 1\0\0\0").repeat(3)), b"server_version"),
        (
            inside(
                &[(0..80).flat_map(|n| message(b'P', format!("s{n}\0SELECT 1\0\0\0").as_bytes())).collect(), message(b'S', b"")].concat(),
            ),
            b"54000",
        ),
    ];
    for (bytes, wanted) in table {
        let answer = sent(&sandbox, &bytes).await;
        let found = wanted.is_empty() || answer.windows(wanted.len()).any(|part| part == wanted);
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(60)]).into_owned();
        assert!(found, "{shown:?}: {}", String::from_utf8_lossy(&answer));
    }
    let answer = sent(&sandbox, b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with(b"HTTP/1.1 200"), "the same port still speaks HTTP");
    assert!(client(&sandbox).await.simple_query("SELECT 1").await.is_ok());
}

#[tokio::test]
async fn there_is_an_end_to_sessions() {
    let sandbox = Sandbox::start().await;
    let mut waiting = Vec::new();
    for _ in 0..64 {
        let mut stream = TcpStream::connect(sandbox.running.address()).await.unwrap();
        let ssl = [8_u32.to_be_bytes(), 80_877_103_u32.to_be_bytes()].concat();
        stream.write_all(&ssl).await.unwrap();
        assert_eq!(stream.read_u8().await.unwrap(), b'N');
        waiting.push(stream);
    }
    let password = sandbox.running.ready.postgres_password.clone();
    let full = refusal(connect(&sandbox, "runsheet", &password, "tickettoken").await);
    assert_eq!(full, "53300 sorry, too many clients already");
    drop(waiting);
    eventually("room again", async || connect(&sandbox, "runsheet", &password, "tickettoken").await.is_ok()).await;
}

#[tokio::test]
async fn a_statement_takes_parameters_and_its_portal_lasts_as_long_as_its_transaction() {
    let sandbox = Sandbox::start().await;
    let mut client = client(&sandbox).await;
    let transaction = client.build_transaction().read_only(true).start().await.unwrap();
    let statement = transaction.prepare("SELECT datname FROM pg_stat_activity WHERE usename = $1 AND datname <> $2").await.unwrap();
    assert_eq!(statement.params().len(), 2);
    let rows = transaction.query("SELECT count(*) FROM pg_stat_activity", &[]).await.unwrap();
    assert!(rows[0].get::<_, i64>(0) > 0);
    let plain = transaction.prepare("SELECT datname FROM pg_stat_activity WHERE usename = 'reporting'").await.unwrap();
    let portal = transaction.bind(&plain, &[]).await.unwrap();
    assert_eq!(transaction.query_portal(&portal, 10).await.unwrap().len(), 5, "it is asked after another message");
    transaction.rollback().await.unwrap();
    assert!(client.simple_query("SELECT 1").await.is_ok());
}

async fn console(sandbox: &Sandbox, at: usize, password: &str) -> Result<Client, Error> {
    let mut config = Config::new();
    config.host("127.0.0.1").port(sandbox.running.address().port()).user("runsheet").password(password).dbname("pgbouncer");
    config.application_name(format!("test at pgbouncer-{at}.pgbouncer.production:6432")).connect_timeout(Duration::from_secs(5));
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn setting(client: &Client, name: &str) -> Option<String> {
    let rows = client.simple_query("SHOW CONFIG").await.unwrap();
    rows.into_iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) if row.get("key") == Some(name) => row.get("value").map(str::to_owned),
        _ => None,
    })
}

#[tokio::test]
async fn each_instance_of_pgbouncer_has_settings_of_its_own_over_a_restart_and_until_a_reload() {
    let sandbox = Sandbox::start().await;
    let password = sandbox.running.ready.postgres_password.clone();
    assert_eq!(refusal(console(&sandbox, 0, &password).await), "3D000 database \"pgbouncer\" does not exist", "there is none at first");
    super::super::reset_to(sandbox.path(), None, None, Some(super::super::Pooler::Transaction)).await.unwrap();
    assert_eq!(refusal(console(&sandbox, 0, "wrong").await), "08P01 password authentication failed");
    let (first, second) = (console(&sandbox, 0, &password).await.unwrap(), console(&sandbox, 1, &password).await.unwrap());
    second.simple_query("SET default_pool_size = 40").await.unwrap();
    assert_eq!(
        (setting(&first, "default_pool_size").await, setting(&second, "default_pool_size").await),
        (Some("20".into()), Some("40".into()))
    );
    for (statement, words) in [
        ("SET default_pool_size = many", "SET failed"),
        ("SET nothing = 1", "SET failed"),
        ("SELECT 1", "invalid command 'SELECT 1', use SHOW HELP;"),
    ] {
        let error = first.simple_query(statement).await.unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("08P01", words));
    }
    assert!(first.query("SHOW CONFIG", &[]).await.unwrap_err().to_string().contains("error"), "it speaks the simple protocol alone");
    let usage = connections(sandbox.path()).await.unwrap();
    assert_eq!(usage.pooled.map(|pooled| (pooled.clients, pooled.servers)), Some((40, 40)));
    let sandbox = sandbox.restart().await;
    let second = console(&sandbox, 1, &password).await.unwrap();
    assert_eq!(setting(&second, "default_pool_size").await.as_deref(), Some("40"), "what was set is kept");
    second.simple_query("RELOAD").await.unwrap();
    assert_eq!(setting(&second, "default_pool_size").await.as_deref(), Some("25"));
    super::super::reset(sandbox.path()).await.unwrap();
    assert!(console(&sandbox, 1, &password).await.is_ok(), "a reset keeps the pooler");
}
