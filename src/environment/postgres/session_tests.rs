//! Sessions against a stand-in: each cause of a failure has its own words.

use super::super::stand_in::{Manner, PostgresStandIn};
use super::*;

const SECOND: Duration = Duration::from_secs(1);

async fn session(stand_in: &PostgresStandIn, password: Option<&str>) -> Result<PostgresSession, PostgresError> {
    let connections = stand_in.reached_by(Connections::new(), password);
    connections.postgres_session(&stand_in.access(password), SECOND).await
}

#[tokio::test]
async fn a_session_reads_rows_and_is_read_only() {
    let table = (vec!["a".into(), "b".into()], vec![vec![Some("1".into()), None], vec![Some("2".into()), Some("x".into())]]);
    let stand_in = PostgresStandIn::start(Manner::Wants("hunter2"), vec![("SELECT a, b", table)]).await;
    let session = session(&stand_in, Some("hunter2")).await.unwrap();
    let rows = session.rows("SELECT a, b FROM t").await.unwrap();
    assert_eq!(rows, [vec![Some("1".to_owned()), None], vec![Some("2".to_owned()), Some("x".to_owned())]]);
    let error = session.rows("SELEC").await.unwrap_err();
    assert_eq!(error.to_string(), "PostgreSQL, tickettoken at db.example:5432, answered with an error (42601): syntax error");
    let start = stand_in.held.lock().unwrap().asked[0].clone();
    for part in
        ["user runsheet", "database tickettoken", "default_transaction_read_only=on", "statement_timeout=1000", "application_name runsheet"]
    {
        assert!(start.contains(part), "{start}");
    }
}

#[tokio::test]
async fn each_refusal_has_its_own_words() {
    // Code; what is said, whether trying again can help.
    let table = [
        ("28P01", "does not let the user runsheet in: it is so", false),
        ("28000", "does not let the user runsheet in: it is so", false),
        ("3D000", "has no such database: it is so", false),
        ("53300", "the server has no connection left, and that is the exhaustion itself: it is so", true),
        ("57P03", "takes nobody now: it is so", true),
        ("0A000", "answered with an error (0A000): it is so", false),
    ];
    for (code, text, transient) in table {
        let stand_in = PostgresStandIn::start(Manner::Refuses(code, "it is so"), Vec::new()).await;
        let error = session(&stand_in, None).await.err().unwrap();
        assert!(error.to_string().contains(text) && error.to_string().contains("tickettoken at db.example:5432"), "{error}");
        assert_eq!(error.is_transient(), transient, "{error}");
    }
}

#[tokio::test]
async fn a_password_is_asked_for_and_never_repeated() {
    let stand_in = PostgresStandIn::start(Manner::Wants("hunter2"), Vec::new()).await;
    let error = session(&stand_in, None).await.err().unwrap();
    assert!(error.to_string().ends_with("it asks for a password, and the environment gives none"), "{error}");
    let error = session(&stand_in, Some("s3cretly")).await.err().unwrap();
    assert!(matches!(error, PostgresError::Authentication { .. }), "{error}");
    assert!(error.to_string().contains("[password]") && !format!("{error} {error:?}").contains("s3cretly"), "{error:?}");
}

#[tokio::test]
async fn a_network_that_fails_is_told_apart() {
    let stand_in = PostgresStandIn::start(Manner::IsSilent, Vec::new()).await;
    let connections = stand_in.reached_by(Connections::new(), None);
    let error = connections.postgres_session(&stand_in.access(None), Duration::from_millis(100)).await.err().unwrap();
    assert!(error.to_string().ends_with("did not let us in within 0.1 s") && error.is_transient(), "{error}");

    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = Connections::new().with_host("db.example", free).postgres_session(&stand_in.access(None), SECOND).await.err().unwrap();
    assert!(error.to_string().ends_with("Connection refused") && error.is_transient(), "{error}");

    let elsewhere = PostgresAccess { host: "db.invalid".to_owned(), ..stand_in.access(None) };
    let error = Connections::new().confined().postgres_session(&elsewhere, SECOND).await.err().unwrap();
    assert!(matches!(error, PostgresError::Connection(ConnectionError::Confined { .. })), "{error}");
}

#[tokio::test]
async fn a_statement_that_is_not_answered_ends() {
    let one = || vec![("SELECT", (vec!["a".to_owned()], vec![vec![Some("1".to_owned())]]))];
    let stand_in = PostgresStandIn::start(Manner::CutsAnswers, one()).await;
    let error = session(&stand_in, None).await.unwrap().rows("SELECT 1").await.unwrap_err();
    assert!(matches!(error, PostgresError::Cut { .. }) && error.is_transient(), "{error}");

    let stand_in = PostgresStandIn::start(Manner::Ponders, one()).await;
    let connections = stand_in.reached_by(Connections::new(), None);
    let session_of = connections.postgres_session(&stand_in.access(None), Duration::from_millis(50)).await.unwrap();
    let error = session_of.rows("SELECT 1").await.unwrap_err();
    assert!(error.to_string().ends_with("did not answer within 1.05 s"), "{error}");

    let stand_in = PostgresStandIn::start(Manner::Floods, one()).await;
    let connections = stand_in.reached_by(Connections::new(), None);
    let error = connections.postgres_session(&stand_in.access(None), SECOND * 10).await.unwrap().rows("SELECT 1").await.unwrap_err();
    assert!(matches!(error, PostgresError::Cut { .. }), "{error}");
}

#[tokio::test]
async fn plain_text_stays_on_this_machine_and_tls_never_falls_back() {
    let stand_in = PostgresStandIn::start(Manner::Serves, Vec::new()).await;
    let away = Connections::new().with_host("db.example", "192.0.2.1:5432".parse().unwrap());
    let error = away.postgres_session(&stand_in.access(Some("hunter2")), SECOND).await.err().unwrap();
    assert!(error.to_string().contains("without TLS only on this machine"), "{error}");

    for tls in [TlsMode::Require, TlsMode::VerifyFull] {
        let access = PostgresAccess { tls, ..stand_in.access(Some("hunter2")) };
        let error = stand_in.reached_by(Connections::new(), None).postgres_session(&access, SECOND).await.err().unwrap();
        assert!(matches!(error, PostgresError::Tls { .. }), "{tls:?}: {error}");
        assert!(error.to_string().ends_with("server does not support TLS"), "{error}");
    }
    assert!(stand_in.held.lock().unwrap().asked.is_empty(), "nothing was sent in plain text");
    let access = PostgresAccess { tls: TlsMode::VerifyFull, ca_file: Some("/nowhere/ca.pem".into()), ..stand_in.access(None) };
    let error = stand_in.reached_by(Connections::new(), None).postgres_session(&access, SECOND).await.err().unwrap();
    assert!(error.to_string().starts_with("the certificates in /nowhere/ca.pem cannot be used"), "{error}");
}
