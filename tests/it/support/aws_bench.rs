//! Actions on AWS, called as the engine calls them: on the sandbox, and on the stand-ins for AWS that others test against, behind a proxy that gives
//! them the states which they lack.
//!
//! Invariant: each test has a replication group and a DB instance of its own.

use std::sync::Arc;
use std::time::Duration;

use runsheet::environment::{Aws, AwsAccess, AwsLogin, Connections, Environment};
use runsheet::model::id::RunId;
use runsheet::model::run::TargetSpec;
use runsheet::ports::action::Actions;
use runsheet::sandbox::{self, Fault, Options};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::real::{AwsFault, AwsProxy};
use super::servers;
use super::step::{Lines, Step, until};

/// The same tests on the sandbox and on the stand-ins: functions that take an [`AwsBench`].
macro_rules! on_all {
    (sandbox: $($own:ident),*; moto: $($moto:ident),*; ministack: $($mini:ident),* $(;)?) => {
        mod sandbox {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $own() {
                super::$own(crate::support::AwsBench::start(crate::support::Runs::Sandbox).await).await;
            })*
        }
        mod real_moto {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $moto() {
                super::$moto(crate::support::AwsBench::start(crate::support::Runs::Moto).await).await;
            })*
        }
        mod real_ministack {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $mini() {
                super::$mini(crate::support::AwsBench::start(crate::support::Runs::Ministack).await).await;
            })*
        }
    };
}
pub(crate) use on_all;

/// The region of all of them.
const REGION: &str = "eu-central-1";
/// By how much faster than usual the sandbox is.
const SPEED: f64 = 100.0;

/// What the actions are tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// The sandbox.
    Sandbox,
    /// moto, behind a proxy.
    Moto,
    /// MiniStack, behind a proxy.
    Ministack,
}

#[derive(Deserialize)]
struct At {
    url: String,
}

/// An account and the actions on it.
pub struct AwsBench {
    /// What it is.
    pub runs: Runs,
    /// The proxy, where there is one.
    pub proxy: Option<AwsProxy>,
    /// The account, for looks of the test's own.
    pub aws: Aws,
    /// The replication group of this test: two nodes of `cache.t4g.medium`.
    pub group: String,
    /// The DB instance of this test, with automatic backups.
    pub database: String,
    /// The log of every step.
    pub log: Arc<Lines>,
    connections: Arc<Connections>,
    target: TargetSpec,
    sandbox: Option<(sandbox::Running, TempDir)>,
}

impl AwsBench {
    /// With a group and an instance of its own.
    pub async fn start(runs: Runs) -> Self {
        match runs {
            Runs::Sandbox => Self::sandbox().await,
            Runs::Moto => Self::behind_proxy(runs, servers::shared::<At>("moto").url).await,
            Runs::Ministack => Self::behind_proxy(runs, servers::shared::<At>("ministack").url).await,
        }
    }

    async fn sandbox() -> Self {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let running = sandbox::start(dir.path(), Options { speed: SPEED, ..Options::default() }).await.expect("a sandbox");
        let ready = &running.ready;
        let environment = Environment::sandbox(
            ready.address,
            ready.admin_token.clone().into(),
            &ready.cluster_uid,
            ready.service_token.clone().into(),
            ready.postgres_password.clone().into(),
            sandbox::target_values(),
        );
        Self {
            runs: Runs::Sandbox,
            proxy: None,
            aws: environment.connections.aws().expect("an account"),
            group: "ticket-redis".to_owned(),
            database: "ticket-db".to_owned(),
            log: Arc::default(),
            connections: Arc::clone(&environment.connections),
            target: environment.spec,
            sandbox: Some((running, dir)),
        }
    }

    async fn behind_proxy(runs: Runs, upstream: String) -> Self {
        let proxy = AwsProxy::start(upstream.clone()).await;
        let unique: String = RunId::generate().to_string().chars().rev().filter(char::is_ascii_hexdigit).take(10).collect();
        let (group, database) = (format!("redis-{unique}"), format!("db-{unique}"));
        create(
            &upstream,
            "elasticache",
            &[
                ("Action", "CreateReplicationGroup"),
                ("ReplicationGroupId", &group),
                ("ReplicationGroupDescription", "of a test"),
                ("CacheNodeType", "cache.t4g.medium"),
                ("Engine", "redis"),
                ("NumCacheClusters", "2"),
                ("AutomaticFailoverEnabled", "true"),
            ],
        )
        .await;
        create_database(&upstream, &database, "7").await;
        let access = AwsAccess {
            region: REGION.to_owned(),
            account: String::new(),
            endpoint: Some(proxy.url()),
            login: AwsLogin::Keys { id: "AKIDEXAMPLE".to_owned(), secret: "a-secret".to_owned().into() },
        };
        let asked = Connections::new().with_aws(access.clone());
        let account = asked.aws().expect("an account").caller_account().await.expect("its number");
        let connections = Arc::new(Connections::new().with_aws(AwsAccess { account: account.clone(), ..access }));
        let target = TargetSpec {
            environment: "staging".to_owned(),
            identity: Map::from_iter([("aws".to_owned(), json!(account))]),
            values: Map::from_iter([("aws".to_owned(), json!({ "region": REGION, "account": account }))]),
        };
        let aws = connections.aws().expect("an account");
        Self { runs, proxy: Some(proxy), aws, group, database, log: Arc::default(), connections, target, sandbox: None }
    }

    /// The upstream's address, past the proxy; the sandbox has none.
    pub async fn another_database(&self, name: &str, retention: &str) {
        match self.runs {
            Runs::Sandbox => panic!("the sandbox has one database"),
            Runs::Moto => create_database(&servers::shared::<At>("moto").url, name, retention).await,
            Runs::Ministack => create_database(&servers::shared::<At>("ministack").url, name, retention).await,
        }
    }

    /// Whatever is changed from now on takes its time. In the sandbox it always does.
    pub fn slow(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.slow(1);
        }
    }

    /// Something goes wrong with the next request for this action.
    pub async fn fault(&self, action: &str, fault: AwsFault) {
        let Some((_, dir)) = &self.sandbox else {
            return self.proxy.as_ref().expect("a proxy").fault(action, fault);
        };
        let route = format!("POST /{action}");
        let words: Vec<String> = match fault {
            AwsFault::CutBefore => vec!["cut-before".into(), route],
            AwsFault::CutAfter => vec!["cut-after".into(), route],
            AwsFault::Refuse(status, _, _) => vec!["refuse".into(), route, "--status".into(), status.to_string()],
            AwsFault::Delay(delay) => vec!["delay".into(), route, "--ms".into(), delay.as_millis().to_string()],
            other => panic!("the sandbox has no {other:?}"),
        };
        sandbox::fault::add(dir.path(), &Fault::parse(&words).expect("a fault")).await.expect("the sandbox takes it");
    }

    /// How often a field of an object was changed in the sandbox, or how many requests for an action came.
    pub fn changes(&self, action: &str) -> usize {
        match (&self.sandbox, &self.proxy) {
            (Some((_, dir)), _) => {
                let effects = sandbox::effects(dir.path()).expect("the effect log");
                effects.iter().filter(|effect| effect.request == format!("POST /{action}")).count()
            }
            (None, Some(proxy)) => proxy.count(action, None),
            (None, None) => 0,
        }
    }

    /// An action with its inputs, as a step of its own.
    pub fn step(&self, action: &str, inputs: Value) -> Step {
        let actions = Actions::new(runsheet::actions::builtin(&self.connections));
        Step::new(&actions, action, inputs, self.target.clone(), &self.log, std::env::temp_dir())
    }

    /// Waits until it is so; what was asked for then.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
        until(what, Duration::from_millis(20), ask).await
    }
}

async fn create_database(upstream: &str, name: &str, retention: &str) {
    create(
        upstream,
        "rds",
        &[
            ("Action", "CreateDBInstance"),
            ("DBInstanceIdentifier", name),
            ("DBInstanceClass", "db.t4g.medium"),
            ("Engine", "postgres"),
            ("MasterUsername", "tickets"),
            ("MasterUserPassword", "a-password"),
            ("AllocatedStorage", "20"),
            ("BackupRetentionPeriod", retention),
        ],
    )
    .await;
}

/// What a test needs to be there, asked for past the proxy: the stand-ins look at the scope of a signature only.
async fn create(upstream: &str, service: &str, params: &[(&str, &str)]) {
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let scope = format!("AKIDEXAMPLE/20260101/{REGION}/{service}/aws4_request");
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let sending = client.post(upstream).form(params);
    let sending = sending.header("authorization", format!("AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature=00"));
    let answer = sending.send().await.expect("an answer");
    let (status, text) = (answer.status(), answer.text().await.expect("a text"));
    assert!(status.is_success(), "{params:?}: {status}: {text}");
}
