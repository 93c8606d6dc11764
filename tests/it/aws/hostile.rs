//! What answers in AWS's place and is not AWS, or never answers: one clear error each, which names the request and a way out, and holds no secret.

use std::sync::Arc;
use std::time::{Duration, Instant};

use runsheet::environment::{AwsAccess, AwsLogin, Connections};
use runsheet::model::outcome::Failure;
use runsheet::model::run::TargetSpec;
use runsheet::ports::action::Actions;
use serde_json::{Map, Value, json};

use crate::support::hostile::{Hostile, Manner, http, http_cut};
use crate::support::{Lines, Step};

const SECRET: &str = "s3cret/of+the=key";
const XML: (&str, &str) = ("Content-Type", "text/xml");
const PAGE: &str = "<!DOCTYPE html><html><head><title>Sign in</title></head><body>Please sign in to the portal</body></html>";

/// Each reading action with its inputs, and the request that it makes first.
fn readings() -> [(&'static str, Value, &'static str); 2] {
    let group = json!({ "replication_group": "ticket-redis", "node_type": "cache.r6g.large" });
    [
        ("aws.rds.describe", json!({ "db_instance": "ticket-db" }), "rds:DescribeDBInstances"),
        ("aws.elasticache.modify_replication_group", group, "elasticache:DescribeReplicationGroups"),
    ]
}

async fn failure(endpoint: &str, action: &str, inputs: Value) -> Failure {
    let access = AwsAccess {
        region: "eu-central-1".to_owned(),
        account: "123456789012".to_owned(),
        endpoint: Some(endpoint.to_owned()),
        login: AwsLogin::Keys { id: "AKIDEXAMPLE".to_owned(), secret: SECRET.to_owned().into() },
    };
    let connections = Arc::new(Connections::new().with_aws(access));
    let target = TargetSpec {
        environment: "staging".to_owned(),
        identity: Map::from_iter([("aws".to_owned(), json!("123456789012"))]),
        values: Map::from_iter([("aws".to_owned(), json!({ "region": "eu-central-1", "account": "123456789012" }))]),
    };
    let (actions, log) = (Actions::new(runsheet::actions::builtin(&connections)), Arc::<Lines>::default());
    let step = Step::new(&actions, action, inputs, target, &log, std::env::temp_dir());
    let failure = step.observe().await.expect_err("it fails");
    assert!(!log.text().contains(SECRET), "{}", log.text());
    failure
}

#[track_caller]
fn clear(what: &str, failure: &Failure, parts: &[&str], transient: bool) {
    for part in [&["account 123456789012 in eu-central-1, at http"], parts].concat() {
        assert!(failure.message.contains(part), "{what}: `{part}` is not in: {failure}");
    }
    assert_eq!(failure.transient, transient, "{what}: {failure}");
    assert!(failure.hint.as_ref().is_some_and(|hint| hint.len() > 10), "{what}: no way out: {failure}");
    let all = format!("{failure:?}");
    for never in ["<html", "DOCTYPE", "portal", "os error", SECRET, "panicked"] {
        assert!(!all.contains(never), "{what}: `{never}` is in: {failure}");
    }
    assert!(failure.message.len() < 900 && !failure.message.contains('\n'), "{what}: {failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_aws_is_told_apart() {
    let refused = |code: &str, message: &str| {
        format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>")
    };
    // AWS repeats what it was sent where a signature does not fit.
    let echo = refused("SignatureDoesNotMatch", &format!("{} x-amz-security-token:{SECRET}", "The Canonical String ".repeat(20)));
    let half = "<DescribeDBInstancesResponse><DescribeDBInstancesResult><DBInstances>";
    let whole = format!("{half}</DBInstances></DescribeDBInstancesResult></DescribeDBInstancesResponse>");
    let cases: Vec<(&str, Manner, Vec<&str>, bool)> = vec![
        ("a page", Manner::Says(http("200 OK", &[("Content-Type", "text/html")], PAGE)), vec!["(status 200)", "a page of HTML"], false),
        ("a 500 with a page", Manner::Says(http("500 Oops", &[("Content-Type", "text/html")], PAGE)), vec!["(status 500)", "HTML"], true),
        ("half of the XML", Manner::Says(http("200 OK", &[XML], half)), vec!["was cut before", "its XML ends in the middle"], true),
        ("an answer without it", Manner::Says(http("200 OK", &[XML], &whole)), vec!["(status 200) is not one of AWS"], false),
        ("JSON", Manner::Says(http("200 OK", &[("Content-Type", "application/json")], "{}")), vec!["it is application/json"], false),
        ("a cut body", Manner::SaysAndHangsUp(http_cut("200 OK", &[XML], half)), vec!["was cut before"], true),
        ("hangs up", Manner::HangsUp, vec!["was cut before"], true),
        ("another protocol", Manner::Says(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()), vec!["was cut before"], true),
        ("an echo", Manner::Says(http("403 Forbidden", &[XML], &echo)), vec!["SignatureDoesNotMatch (403)"], false),
        (
            "throttling",
            Manner::Says(http("400 Bad Request", &[XML], &refused("Throttling", "Rate exceeded"))),
            vec!["Throttling (400)"],
            true,
        ),
    ];
    for (what, manner, parts, transient) in cases {
        for (action, inputs, request) in readings() {
            let server = Hostile::start(manner.clone()).await;
            let failure = failure(&server.url(), action, inputs).await;
            clear(what, &failure, &[parts.as_slice(), &[request]].concat(), transient);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reached_was_sent_nothing() {
    for (action, inputs, request) in readings() {
        let nobody = format!("http://{}", Hostile::nobody().await);
        let told = failure(&nobody, action, inputs.clone()).await;
        clear("nobody there", &told, &["no connection to AWS for", request, "onnection refused"], true);
        let plain = Hostile::start(Manner::Says(http("400 Bad Request", &[], ""))).await;
        let told = failure(&plain.url().replace("http:", "https:"), action, inputs.clone()).await;
        clear("no TLS", &told, &["no connection to AWS for", request, "does not speak TLS"], true);
        let unknown = Hostile::start_tls(Manner::Says(http("200 OK", &[XML], "<a/>"))).await;
        let told = failure(&unknown.url(), action, inputs.clone()).await;
        clear("an unknown authority", &told, &["no connection to AWS for", request, "not trusted here"], true);
        assert_eq!(unknown.heard(), "", "nothing was sent");
        let told = failure("http://192.0.2.1:4566", action, inputs).await;
        clear("in the clear", &told, &["192.0.2.1 is another machine", "without TLS only on this one"], true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_never_answers_is_not_waited_for_for_good() {
    let server = Hostile::start(Manner::Silent).await;
    let begun = Instant::now();
    let url = server.url();
    let told = futures::future::join_all(readings().map(|(action, inputs, _)| failure(&url, action, inputs))).await;
    for (told, (_, _, request)) in told.iter().zip(readings()) {
        clear("silent", told, &["AWS did not answer", request, "within 12 s"], true);
    }
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}
