//! PostgreSQL and PgBouncer: every action, on the sandbox and on the real servers alike.
//!
//! The tests take a [`Place`] and know of the sandbox and the real servers no more than how they are told apart.

mod budget;
mod checked;
mod connections;
mod hostile;
mod pools;
mod query;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;

use runsheet::environment::{Connections, Environment, PgBouncerAccess, PostgresAccess, TlsMode};
use runsheet::model::environment::{HostPort, PgBouncerPlace, PgBouncerTarget};
use runsheet::model::run::TargetSpec;
use runsheet::ports::action::Actions;
use runsheet::sandbox::{self, Options, Pooler, Running};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::servers::{self, Own};
use crate::support::wire::Wire;
use crate::support::{Lines, Step};

/// The same tests against the sandbox and the real servers; `real` is `real_postgres` or `real_pgbouncer`.
macro_rules! on_both {
    ($real:ident, $kind:expr; $($test:ident),* $(,)?) => {
        mod sandbox {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::databases::Place::sandbox(runsheet::sandbox::Pooler::Transaction).await).await;
            })*
        }
        mod $real {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::databases::Place::real($kind).await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// Which real servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Real {
    /// PostgreSQL that all tests share.
    Postgres,
    /// PgBouncer before PostgreSQL, of the test alone: its settings may be changed.
    Pooled,
    /// The instance in session mode.
    Session,
}

#[derive(Deserialize)]
struct Postgres {
    host: String,
    port: u16,
    password: String,
}

#[derive(Deserialize)]
struct Pooled {
    instances: Vec<String>,
    session: String,
    password: String,
    postgres: Postgres,
}

/// Where the actions are tried.
pub struct Place {
    /// Whether it is the sandbox.
    pub is_sandbox: bool,
    /// How its systems are reached.
    pub connections: Arc<Connections>,
    /// What a run records of it.
    pub target: TargetSpec,
    /// The log of every step.
    pub log: Arc<Lines>,
    /// The way to each instance of PgBouncer, in their order.
    pub wires: Vec<Wire>,
    /// The way to PostgreSQL.
    pub wire: Wire,
    /// How PostgreSQL is reached.
    pub postgres: PostgresAccess,
    /// How PgBouncer is reached.
    pub pgbouncer: Option<PgBouncerAccess>,
    files: TempDir,
    _cluster: Running,
    _folder: TempDir,
    own: Option<Own>,
}

impl Place {
    /// A sandbox with this pooler.
    pub async fn sandbox(pooler: Pooler) -> Self {
        let values = sandbox::target_values_with(pooler);
        let (folder, running) = start(pooler).await;
        let ready = running.ready.clone();
        let postgres = PostgresAccess {
            host: "postgres.production".to_owned(),
            port: 5432,
            user: "runsheet".to_owned(),
            database: "tickettoken".to_owned(),
            tls: TlsMode::Disable,
            ca_file: None,
            password: Some(ready.postgres_password.clone().into()),
        };
        let instances: Vec<String> = values
            .get("pgbouncer")
            .and_then(|pooler| pooler["instances"].as_array())
            .into_iter()
            .flatten()
            .map(|at| at.as_str().expect("an instance").to_owned())
            .collect();
        let pgbouncer = (!instances.is_empty()).then(|| pooler_at(&instances, &ready.postgres_password));
        let servers = Servers { postgres: ready.address, instances: instances.iter().map(|_| ready.address).collect(), own: None };
        Self::of(true, folder, running, postgres, pgbouncer, servers).await
    }

    /// Real servers, and the sandbox's cluster.
    pub async fn real(real: Real) -> Self {
        let (folder, running) = start(Pooler::None).await;
        let (own, at, pooled) = match real {
            Real::Postgres => (None, servers::shared::<Postgres>("postgres"), None),
            Real::Pooled | Real::Session => {
                let own = Own::start("pgbouncer");
                let mut pooled: Pooled = own.answer("pgbouncer");
                if real == Real::Session {
                    pooled.instances = vec![pooled.session.clone()];
                }
                let at =
                    Postgres { host: pooled.postgres.host.clone(), port: pooled.postgres.port, password: pooled.postgres.password.clone() };
                (Some(own), at, Some(pooled))
            }
        };
        let postgres = PostgresAccess {
            host: at.host.clone(),
            port: at.port,
            user: "runsheet".to_owned(),
            database: "tickettoken".to_owned(),
            tls: TlsMode::Disable,
            ca_file: None,
            password: Some(at.password.into()),
        };
        let address = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        let names: Vec<String> = pooled.iter().flat_map(|pooled| pooled.instances.clone()).collect();
        let servers = Servers {
            postgres: address(&format!("{}:{}", at.host, at.port)),
            instances: names.iter().map(|name| address(name)).collect(),
            own,
        };
        // Each by a name of its own, so that a wire can stand before it.
        let named: Vec<String> = (0..names.len()).map(|at| format!("pgbouncer-{at}.example:6432")).collect();
        let pgbouncer = pooled.map(|pooled| pooler_at(&named, &pooled.password));
        Self::of(false, folder, running, postgres, pgbouncer, servers).await
    }

    async fn of(
        is_sandbox: bool,
        folder: TempDir,
        running: Running,
        mut postgres: PostgresAccess,
        pgbouncer: Option<PgBouncerAccess>,
        servers: Servers,
    ) -> Self {
        let ready = running.ready.clone();
        let mut environment = Environment::sandbox(
            ready.address,
            ready.admin_token.clone().into(),
            &ready.cluster_uid,
            ready.service_token.clone().into(),
            ready.postgres_password.clone().into(),
            sandbox::target_values(),
        );
        let wire = Wire::to(servers.postgres).await;
        if !is_sandbox {
            // PgBouncer names the server by this address: so does the environment, and the way leads there all the same.
            postgres.port = servers.postgres.port();
        }
        let kubernetes = environment.connections.kubernetes().expect("a cluster").clone();
        let mut connections = Connections::new().confined().with_kubernetes(kubernetes).with_host(postgres.host.clone(), wire.address);
        connections = connections.with_postgres("postgres", postgres.clone());
        let mut wires = Vec::new();
        let values = &mut environment.spec.values;
        values.insert(
            "postgres".to_owned(),
            json!({ "host": postgres.host, "port": postgres.port, "user": postgres.user, "database": postgres.database }),
        );
        if let Some(pgbouncer) = &pgbouncer {
            for (instance, server) in pgbouncer.instances().expect("instances").iter().zip(servers.instances) {
                let wire = Wire::to(server).await;
                connections = connections.with_host(instance.at.host.clone(), wire.address);
                wires.push(wire);
            }
            connections = connections.with_pgbouncer(pgbouncer.clone());
            values.insert("pgbouncer".to_owned(), pgbouncer.target.value());
        }
        Self {
            is_sandbox,
            connections: Arc::new(connections),
            target: environment.spec,
            log: Arc::default(),
            wires,
            wire,
            postgres,
            pgbouncer,
            files: tempfile::tempdir().expect("a temporary folder"),
            _cluster: running,
            _folder: folder,
            own: servers.own,
        }
    }

    /// `target.postgres`
    pub fn database(&self) -> Value {
        self.target.values["postgres"].clone()
    }

    /// `target.pgbouncer`
    pub fn pooler(&self) -> Value {
        self.target.values["pgbouncer"].clone()
    }

    /// A step of its own, by these connections.
    pub fn step_by(&self, connections: &Arc<Connections>, action: &str, inputs: Value) -> Step {
        let actions = Actions::new(runsheet::actions::builtin(connections));
        Step::new(&actions, action, inputs, self.target.clone(), &self.log, self.files.path().join("step"))
    }

    /// A step of its own.
    pub fn step(&self, action: &str, inputs: Value) -> Step {
        self.step_by(&self.connections, action, inputs)
    }

    /// What a step gives, where it must.
    #[track_caller]
    pub fn outputs(&self, action: &str, inputs: Value) -> impl Future<Output = Value> {
        let at = std::panic::Location::caller();
        let step = self.step(action, inputs);
        async move { step.try_outputs().await.unwrap_or_else(|failure| panic!("{at}: {failure} ({:?})", failure.hint)) }
    }

    /// A session with an instance of PgBouncer as somebody else has one, past the wires' cuts.
    pub async fn console(&self, at: usize) -> tokio_postgres::Client {
        let access = self.pgbouncer.as_ref().expect("a pooler");
        let instance = &access.instances().expect("instances")[at].at;
        let mut config = tokio_postgres::Config::new();
        let password = secrecy::ExposeSecret::expose_secret(access.password.as_ref().expect("a password")).to_owned();
        config.host("127.0.0.1").port(self.wires[at].address.port()).user("runsheet").password(password).dbname("pgbouncer");
        config.application_name(format!("somebody else at {instance}"));
        let (client, connection) = config.connect(tokio_postgres::NoTls).await.expect("the console");
        tokio::spawn(connection);
        client
    }

    /// A file that a server of the test's own names.
    pub fn own_file(&self, server: &str, key: &str) -> String {
        let answer: Value = self.own.as_ref().expect("a server of its own").answer(server);
        answer[key].as_str().expect("a file").to_owned()
    }

    /// The value of a setting of an instance.
    pub async fn setting(&self, at: usize, name: &str) -> String {
        let rows = self.console(at).await.simple_query("SHOW CONFIG").await.expect("the settings");
        let row = rows.into_iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) if row.get("key") == Some(name) => row.get("value").map(str::to_owned),
            _ => None,
        });
        row.expect("the setting")
    }
}

struct Servers {
    postgres: SocketAddr,
    instances: Vec<SocketAddr>,
    own: Option<Own>,
}

async fn start(pooler: Pooler) -> (TempDir, Running) {
    let folder = tempfile::Builder::new().prefix("runsheet-it-").tempdir().expect("a temporary folder");
    let options = Options { speed: 50.0, pooler, ..Options::default() };
    let running = sandbox::start(folder.path(), options).await.expect("the sandbox starts");
    (folder, running)
}

fn pooler_at(instances: &[String], password: &str) -> PgBouncerAccess {
    let target = PgBouncerTarget {
        place: PgBouncerPlace::Instances(instances.iter().map(|at| HostPort::parse(at, 6432).expect("an instance")).collect()),
        user: "runsheet".to_owned(),
        database: "pgbouncer".to_owned(),
        password: None,
        tls: TlsMode::Disable,
        ca_file: None,
    };
    PgBouncerAccess { target, ca_file: None, password: Some(password.to_owned().into()) }
}
