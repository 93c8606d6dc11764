//! What an environment's file may say, and what is told of one that says something else.

use std::path::Path;

use serde_json::json;

use super::super::source::File;
use super::*;
use crate::model::environment::{ClusterAccount, TlsMode};
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
aws:
  region: eu-central-1
  account: \"012345678901\"
  endpoint: http://127.0.0.1:4566
  profile: events
postgres:
  host: db.example
  database: tickettoken
  user: runsheet
  password: { env: PGPASSWORD }
  ca_file: ca.pem
pgbouncer:
  service: pgbouncer
  namespace: pooling
  user: runsheet
  password: { file: /run/secrets/pgbouncer }
  tls: require
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
    let aws = definition.aws.clone().unwrap();
    assert_eq!((aws.region.as_str(), aws.account.as_str(), aws.account_line), ("eu-central-1", "012345678901", 13));
    assert_eq!((aws.endpoint.as_deref(), aws.profile.as_deref()), (Some("http://127.0.0.1:4566"), Some("events")));
    let postgres = definition.postgres.clone().unwrap();
    assert_eq!((postgres.port, postgres.tls), (5432, TlsMode::VerifyFull));
    assert_eq!(postgres.ca_file.as_deref(), Some(Path::new("/root/playbooks/environments/ca.pem")), "beside the environment's file");
    assert_eq!(definition.secrets["service_token"], SecretRef::File("/run/secrets/token".into()));
    assert_eq!(definition.notify[0].on, [Occasion::Failed, Occasion::Stuck]);
    let secret_url = NotifyTo::Webhook { url: WebhookUrl::Secret(SecretRef::Env("HOOK_URL".into())), bearer: None };
    assert_eq!(definition.notify[1].to, secret_url);
    let values = definition.target_values();
    assert_eq!(values["kubernetes"], json!({ "namespace": "production", "cluster": "staging" }));
    assert_eq!(values["postgres"], json!({ "host": "db.example", "port": 5432, "user": "runsheet", "database": "tickettoken" }));
    assert_eq!(values["aws"], json!({ "region": "eu-central-1", "account": "012345678901" }));
    assert_eq!(values["capacity"]["low"]["replicas"], 2);
    let pooler = json!({ "service": "pgbouncer", "namespace": "pooling", "port": 6432, "user": "runsheet", "database": "pgbouncer" });
    assert_eq!(values["pgbouncer"], pooler);
    let sources: Vec<&str> = definition.credentials().into_iter().map(|(place, _)| place).collect();
    assert_eq!(sources, ["postgres.password", "pgbouncer.password"]);
}

#[test]
fn the_instances_of_a_pooler_are_named_each_by_itself_or_by_their_service() {
    let of = |pooler: &str| draft(&format!("environment: staging\npgbouncer:\n{pooler}"));
    let named = of("  instances: [10.0.0.5, \"[::1]:7000\"]\n  user: u\n  database: console\n");
    assert!(named.problems.is_empty(), "{}", named.problems);
    let values = named.definition.unwrap().target_values();
    assert_eq!(values["pgbouncer"], json!({ "instances": ["10.0.0.5:6432", "[::1]:7000"], "user": "u", "database": "console" }));
    for (pooler, text) in [
        ("  user: u\n", "needs `instances`"),
        ("  instances: [a]\n", "needs `user`"),
        ("  instances: []\n  user: u\n", "`instances` names none"),
        ("  instances: [a, \"a:6432\"]\n  user: u\n", "the instance a:6432 is named twice"),
        ("  instances: [\"a:b\"]\n  user: u\n", "an instance is `HOST:PORT`"),
        ("  instances: [a]\n  service: b\n  user: u\n", "`instances` and `service` exclude each other"),
        ("  instances: [a]\n  port: 1\n  user: u\n", "this belongs to `service`"),
        ("  service: b\n  user: u\n  password: hunter2\n", "password"),
        ("  service: b\n  user: u\n  host: c\n", "host"),
    ] {
        let told = of(pooler).problems.to_string();
        assert!(told.contains(text) && !told.contains("hunter2"), "{pooler}: {told}");
    }
}

#[test]
fn the_schema_accepts_what_is_loaded_and_not_what_is_refused() {
    let schema = jsonschema::validator_for(&environment_schema()).unwrap();
    let whole = json!({
        "environment": "staging", "summary": "s", "confirm": "name",
        "kubernetes": { "context": "staging", "namespace": "production", "cluster_uid": "6f2c" },
        "aws": { "region": "eu-central-1", "account": "012345678901", "endpoint": "https://a.example", "profile": "p" },
        "postgres": { "host": "h", "port": 1, "database": "d", "user": "u", "password": { "env": "P" }, "tls": "require" },
        "pgbouncer": { "instances": ["a:6432"], "user": "u", "password": { "env": "P" } },
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
        json!({ "environment": "x", "aws": { "region": "eu-central-1", "account": 12345678901_u64 } }),
        json!({ "environment": "x", "values": { "pgbouncer": 1 } }),
        json!({ "environment": "x", "pgbouncer": { "user": "u" } }),
        json!({ "environment": "x", "pgbouncer": { "user": "u", "instances": ["a"], "service": "b" } }),
        json!({ "environment": "x", "notify": [{ "on": ["later"], "command": ["x"] }] }),
    ] {
        assert!(!schema.is_valid(&wrong), "{wrong}");
    }
}

#[test]
fn an_aws_account_is_read_strictly() {
    let aws = |keys: &str| format!("environment: staging\naws: {{ {keys} }}\n");
    refused(&aws("region: eu-central-1"), &["`aws` needs `account`", "aws sts get-caller-identity"]);
    refused(&aws("region: eu-central-1, account: 123456789012"), &["`account` is a number", "in quotes"]);
    refused(&aws("region: eu-central-1, account: \"12345\""), &["is not the number of an AWS account"]);
    refused(&aws("region: Frankfurt, account: \"123456789012\""), &["`region` is not the name of one"]);
    let whole = "region: eu-central-1, account: \"123456789012\"";
    refused(&aws(&format!("{whole}, endpoint: http://aws.example")), &["without TLS is on another machine"]);
    refused(&aws(&format!("{whole}, access_key: x")), &["access_key"]);
    assert_eq!(told(&aws(&format!("{whole}, endpoint: \"http://[::1]:4566\""))), "");
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

#[test]
fn argo_cd_is_in_its_usual_namespace_unless_the_file_says_another() {
    let target = |more: &str| {
        let cluster = "kubernetes: { context: a, namespace: production, cluster_uid: 6f2c }\n";
        let drafted = draft(&format!("environment: staging\n{cluster}{more}"));
        assert!(drafted.problems.is_empty(), "{}", drafted.problems);
        drafted.definition.unwrap().target_values()["argocd"].clone()
    };
    for (written, namespace) in [("", "argocd"), ("argocd: {}\n", "argocd"), ("argocd: { namespace: gitops }\n", "gitops")] {
        assert_eq!(target(written), json!({ "namespace": namespace }), "{written}");
    }
    refused("environment: staging\nargocd: { namespace: GitOps, server: x }\n", &["`namespace` is not the name of one", "server"]);
    let schema = jsonschema::validator_for(&environment_schema()).unwrap();
    assert!(schema.is_valid(&json!({ "environment": "x", "argocd": { "namespace": "gitops" } })));
    assert!(!schema.is_valid(&json!({ "environment": "x", "argocd": { "server": "x" } })));
}
