//! What an environment's file may say, and what is told of one that says something else.

use std::path::Path;

use serde_json::json;

use super::super::source::File;
use super::*;
use crate::model::environment::{ClusterAccount, PostgresTls};
use crate::model::notification::{Confirm, NotifyTo, Occasion, SecretRef, WebhookUrl};

const WHOLE: &str = "\
environment: staging
summary: The staging cluster
confirm: name
kubernetes:
  context: staging
  kubeconfig: ~/.kube/staging
  namespace: production
  cluster_uid: 6f2c1d3e-0000-4000-8000-000000000001
  proxy: http://proxy.example:3128
  exec_timeout: 30s
postgres:
  host: db.example
  database: tickettoken
  user: runsheet
  password: { env: PGPASSWORD }
  ca_file: ca.pem
secrets:
  service_token: { file: /run/secrets/token }
notify:
  - on: [stuck, failed, stuck]
    webhook: { url: https://hooks.example/x, bearer: { env: HOOK } }
  - on: [owed]
    webhook: { url: { env: HOOK_URL } }
  - on: [waiting]
    command: [notify-send, runsheet]
values:
  ticket_service: { url: https://ticket-service.example }
  capacity: { low: { replicas: 2, rps: 500 } }
";

fn draft(text: &str) -> DraftedEnvironment {
    let path = Path::new("/root/playbooks/environments/staging.yaml");
    drafted(&File::new("staging.yaml", text).unwrap(), path, Some(Path::new("/home/ana")))
}

fn told(text: &str) -> String {
    draft(text).problems.to_string()
}

#[track_caller]
fn refused(text: &str, parts: &[&str]) {
    let told = told(text);
    for part in parts {
        assert!(told.contains(part), "`{part}` is not in:\n{told}");
    }
}

#[test]
fn every_key_is_read() {
    let drafted = draft(WHOLE);
    assert!(drafted.problems.is_empty(), "{}", drafted.problems);
    let definition = drafted.definition.unwrap();
    let kubernetes = definition.kubernetes.clone().unwrap();
    assert_eq!(definition.confirm, Confirm::Name);
    let account = ClusterAccount::Context { name: "staging".into(), kubeconfig: Some("/home/ana/.kube/staging".into()) };
    assert_eq!((kubernetes.account, kubernetes.cluster_uid_line), (account, 8));
    assert_eq!(kubernetes.exec_timeout.as_millis(), 30_000);
    let postgres = definition.postgres.clone().unwrap();
    assert_eq!((postgres.port, postgres.tls), (5432, PostgresTls::VerifyFull));
    assert_eq!(postgres.ca_file.as_deref(), Some(Path::new("/root/playbooks/environments/ca.pem")), "beside the environment's file");
    assert_eq!(definition.secrets["service_token"], SecretRef::File("/run/secrets/token".into()));
    assert_eq!(definition.notify[0].on, [Occasion::Failed, Occasion::Stuck]);
    let secret_url = NotifyTo::Webhook { url: WebhookUrl::Secret(SecretRef::Env("HOOK_URL".into())), bearer: None };
    assert_eq!(definition.notify[1].to, secret_url);
    let values = definition.target_values();
    assert_eq!(values["kubernetes"], json!({ "namespace": "production", "cluster": "staging" }));
    assert_eq!(values["postgres"], json!({ "host": "db.example", "port": 5432, "user": "runsheet", "database": "tickettoken" }));
    assert_eq!(values["capacity"]["low"]["replicas"], 2);
}

#[test]
fn the_schema_accepts_what_is_loaded_and_not_what_is_refused() {
    let schema = jsonschema::validator_for(&environment_schema()).unwrap();
    let whole = json!({
        "environment": "staging", "summary": "s", "confirm": "name",
        "kubernetes": { "context": "staging", "namespace": "production", "cluster_uid": "6f2c" },
        "postgres": { "host": "h", "port": 1, "database": "d", "user": "u", "password": { "env": "P" }, "tls": "require" },
        "secrets": { "a": { "file": "x" } },
        "notify": [{ "on": ["owed"], "webhook": { "url": { "env": "U" } } }, { "on": ["failed"], "command": ["x"] }],
        "values": { "a": 1 },
    });
    assert!(schema.is_valid(&whole), "{:?}", schema.iter_errors(&whole).map(|e| e.to_string()).collect::<Vec<_>>());
    assert!(schema.is_valid(&json!({ "environment": "x" })));
    for wrong in [
        json!({ "environment": "sandbox" }),
        json!({ "environment": "x", "postgres": { "host": "h", "database": "d", "user": "u", "password": "hunter2" } }),
        json!({ "environment": "x", "values": { "kubernetes": 1 } }),
        json!({ "environment": "x", "notify": [{ "on": ["later"], "command": ["x"] }] }),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn a_mistake_has_its_place_and_a_suggestion() {
    refused(
        "environment: staging\nkubernetes:\n  contxt: a\n  namespace: Production\n  cluster_uid: 6f2c\n",
        &[
            "staging.yaml:3:3",
            "`kubernetes` has no key `contxt`",
            "did you mean `context`?",
            "4:14",
            "not the name of one",
            "needs `context`",
        ],
    );
    refused("environment: staging\nvalues:\n  a: 1\n  a: 2\n", &["the key `a` is there twice", "4:3"]);
    refused("environment: other\n", &["called `other`, and its file staging.yaml", "write `environment: staging`"]);
    refused("environment: sandbox\n", &["`sandbox` is the name of the built-in environment"]);
    refused("environment: staging\nconfirm: nam\n", &["`confirm` cannot be `nam`", "did you mean `name`?"]);
    refused("environment: staging\nconfirm: true\n", &["`confirm` is a string, not a boolean"]);
    refused("summary: x\n", &["an environment needs `environment`", "begin with `environment: staging`"]);
    refused("environment: staging\nvalues: { kubernetes: 1 }\n", &["a value cannot be called `kubernetes`"]);
    refused("environment: staging\nvalues: { a: '${{ now }}' }\n", &["`values` cannot hold an expression"]);
    refused("environment: staging\nnotify: [{ on: [faild], command: [] }]\n", &["did you mean `failed`?", "`command` names no program"]);
    refused("environment: staging\nnotify: [{ on: [], command: [x] }]\n", &["`on` names nothing"]);
    refused("environment: staging\nnotify: [{ on: [owed] }]\n", &["needs `webhook`"]);
    refused(
        "environment: staging\npostgres: { host: h, port: 70000, database: d, user: '' }\n",
        &["`port` is a whole number from 1 to 65535", "`user` is empty"],
    );
    refused("", &["the file is empty", "an environment begins with `environment: NAME`"]);
    refused("environment: &a staging\n", &["anchors", "write the value where it is used"]);
}

#[test]
fn a_cluster_needs_its_uid_and_one_account() {
    let text = "environment: staging\nkubernetes: { context: a, namespace: b }\n";
    refused(text, &["`kubernetes` needs `cluster_uid`", "`runsheet environment check` prints it"]);
    let drafted = draft(text);
    assert!(drafted.problems.problems.iter().all(|problem| problem.code == NO_UID));
    assert!(drafted.definition.unwrap().kubernetes.is_some(), "it can be asked for with the rest");
    let both = "environment: staging\nkubernetes: { context: a, in_cluster: true, namespace: b, cluster_uid: c }\n";
    refused(both, &["`context` and `in_cluster: true` exclude each other"]);
    let file = "environment: staging\nkubernetes: { in_cluster: true, kubeconfig: x, namespace: b, cluster_uid: c }\n";
    refused(file, &["`kubeconfig` and `in_cluster: true` exclude each other"]);
    let in_cluster = draft("environment: staging\nkubernetes: { in_cluster: true, namespace: b, cluster_uid: c }\n");
    assert_eq!(in_cluster.definition.unwrap().kubernetes.unwrap().account, ClusterAccount::InCluster);
}

#[test]
fn a_secret_that_was_written_down_is_refused_and_not_repeated() {
    for text in [
        "postgres: { host: h, database: d, user: u, password: hunter2 }",
        "postgres: { host: h, database: d, user: u, password: 'hunter2', prot: 1 }",
        "postgres:\n  host: h\n  database: d\n  user: u\n  password: |\n    hunter2\n  prot: 1",
        "postgres: { host: h, database: d, user: u, password: { value: hunter2 } }",
        "postgres: { host: h, database: d, user: u, password: { env: 'hunter2!' } }",
        "secrets: { service_token: hunter2 }",
        "secrets:\n  service_token: [hunter2]",
        "secrets: { service_token: { value: hunter2 } }",
        "values: { db_password: hunter2 }",
        "values: { deep: [{ apiToken: hunter2 }] }",
        "values: { url: 'https://ana:hunter2@x.example/' }",
        "kubernetes: { context: a, namespace: b, cluster_uid: c, proxy: 'http://ana:hunter2@proxy.example' }",
        "notify: [{ on: [owed], webhook: { url: 'https://ana:hunter2@x.example', bearer: hunter2 } }]",
        // What cannot even be parsed.
        "postgres: { password: hunter2: x",
        "postgres:\n\tpassword: hunter2",
    ] {
        let told = told(&format!("environment: staging\n{text}\n"));
        assert!(!told.is_empty(), "{text}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    refused(
        "environment: staging\npostgres: { host: h, database: d, user: u, password: hunter2 }\n",
        &["`password` is written in the file", "password: •••••••", "write `{ env: NAME }`"],
    );
    assert!(told("environment: staging\nvalues: { token_url: 'https://x.example', secret_name: a }\n").is_empty());
}
