//! The actions that read servers beside the cluster, called as the engine calls them: in the sandbox, and on real or hostile servers.
//!
//! It must not know an action's inputs. Invariant: what is logged is kept, so that a test can see that no secret is in it.

use std::sync::Arc;
use std::time::Duration;

use runsheet::environment::{ApiAccess, ApiLogin, ApiSystem, Connections, Environment, RedisAccess};
use runsheet::model::environment::TlsMode;
use runsheet::model::outcome::{Applied, Failure};
use runsheet::model::run::TargetSpec;
use runsheet::ports::action::Actions;
use runsheet::sandbox::{self, Fault, Options, Running};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

use super::servers;
use super::step::{Lines, Step};

/// The password of the servers that a test makes up.
pub const PASSWORD: &str = "hunter2-and-more";

/// Somebody who asks.
pub struct Asking {
    /// What was logged.
    pub log: Arc<Lines>,
    /// The sandbox, where it is one.
    pub sandbox: Option<Sandbox>,
    actions: Actions,
    target: TargetSpec,
}

/// A sandbox of one test.
pub struct Sandbox {
    folder: TempDir,
    running: Running,
}

impl Sandbox {
    /// So many requests a second from now on.
    pub async fn load(&self, rps: f64) {
        sandbox::load::set(self.folder.path(), rps).await.expect("the sandbox takes the load");
    }

    /// A fault, in the words of `sandbox fault`.
    pub async fn fault(&self, words: &[&str]) {
        let fault = Fault::parse(words).expect("a fault");
        sandbox::fault::add(self.folder.path(), &fault).await.expect("the sandbox takes the fault");
    }

    /// The password of its systems.
    pub fn password(&self) -> &str {
        &self.running.ready.postgres_password
    }
}

#[derive(Deserialize)]
struct Redis {
    host: String,
    port: u16,
    password: String,
}

#[derive(Deserialize)]
struct Api {
    url: String,
    user: Option<String>,
    password: Option<String>,
}

impl Asking {
    /// A fresh sandbox.
    pub async fn sandbox() -> Self {
        let folder = tempfile::Builder::new().prefix("runsheet-it-").tempdir().expect("a temporary folder");
        let options = Options { speed: 50.0, ..Options::default() };
        let running = sandbox::start(folder.path(), options).await.expect("the sandbox starts");
        let ready = running.ready.clone();
        let environment = Environment::sandbox(
            ready.address,
            ready.admin_token.into(),
            &ready.cluster_uid,
            ready.service_token.into(),
            ready.postgres_password.into(),
            sandbox::target_values(),
        );
        let Environment { spec, connections, .. } = environment;
        Self { sandbox: Some(Sandbox { folder, running }), ..Self::of(&connections, spec) }
    }

    fn of(connections: &Arc<Connections>, target: TargetSpec) -> Self {
        Self { log: Arc::default(), sandbox: None, actions: Actions::new(runsheet::actions::builtin(connections)), target }
    }

    fn with(connections: Connections, key: &str, value: Value) -> Self {
        let values = Map::from_iter([(key.to_owned(), value)]);
        Self::of(&Arc::new(connections), TargetSpec { environment: "staging".to_owned(), identity: Map::new(), values })
    }

    /// A Redis server.
    pub fn redis(access: RedisAccess) -> Self {
        let value = json!({ "host": access.host, "port": access.port });
        Self::with(Connections::new().with_redis(access), "redis", value)
    }

    /// An HTTP API.
    pub fn api(access: ApiAccess) -> Self {
        let (key, value) = (access.system.key(), json!({ "url": access.url }));
        Self::with(Connections::new().with_api(access), key, value)
    }

    /// The real Redis.
    pub fn real_redis() -> Self {
        let Redis { host, port, password } = servers::shared("redis");
        Self::redis(redis(&host, port, &password))
    }

    /// The real server of this system, asked with this password in the place of its own.
    pub fn real_api(system: ApiSystem, other: Option<&str>) -> Self {
        let Api { url, user, password } = servers::shared(system.key());
        let login = match (user, password) {
            (Some(user), Some(password)) => ApiLogin::Basic(user, Some(other.map_or(password, str::to_owned).into())),
            _ => ApiLogin::None,
        };
        Self::api(ApiAccess { system, url, login, ca_file: None })
    }

    fn step(&self, action: &str, inputs: Value, timeout: Option<Duration>) -> Step {
        let mut step = Step::new(&self.actions, action, inputs, self.target.clone(), &self.log, std::env::temp_dir());
        step.cx.timeout = timeout;
        step
    }

    /// Plans and applies a reading.
    pub async fn try_read(&self, action: &str, inputs: Value, timeout: Option<Duration>) -> Result<Value, Failure> {
        let step = self.step(action, inputs, timeout);
        let plan = step.try_plan().await?;
        assert!(plan.intent.changes.is_empty() && plan.unchanged.is_none(), "a reading changes nothing");
        match step.apply(&plan.intent).await {
            Applied::Applied { outputs } => {
                let declared: Vec<String> = step.action.entry().outputs.iter().map(|output| output.name.clone()).collect();
                let told: Vec<String> = outputs.as_object().expect("outputs").keys().cloned().collect();
                assert!(told.iter().all(|name| declared.contains(name)), "only what is declared is told: {told:?}");
                assert!(declared.iter().all(|name| told.contains(name)), "all that is declared is told: {told:?}");
                Ok(outputs)
            }
            Applied::NotApplied { failure } => Err(failure),
            other => panic!("a reading is never unknown: {other:?}"),
        }
    }

    /// The same, where it must.
    #[track_caller]
    pub fn read<'a>(&'a self, action: &'a str, inputs: Value) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let read = self.try_read(action, inputs, None).await;
            read.unwrap_or_else(|failure| panic!("{at}: {failure} ({:?})", failure.hint))
        }
    }

    /// What a condition on it sees.
    pub async fn observe(&self, action: &str, inputs: Value) -> Value {
        self.step(action, inputs, None).observe().await.expect("a reading")
    }

    /// Reads until it is so.
    pub async fn until(&self, what: &str, action: &str, inputs: Value, is: impl Fn(&Value) -> bool) -> Value {
        let deadline = std::time::Instant::now() + super::PATIENCE;
        loop {
            let outputs = self.read(action, inputs.clone()).await;
            if is(&outputs) {
                return outputs;
            }
            assert!(std::time::Instant::now() < deadline, "waited in vain until {what}: {outputs:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A Redis server in the clear, with this password.
pub fn redis(host: &str, port: u16, password: &str) -> RedisAccess {
    RedisAccess {
        host: host.to_owned(),
        port,
        user: None,
        tls: TlsMode::Disable,
        ca_file: None,
        password: Some(password.to_owned().into()),
    }
}

/// An API with a user and a password.
pub fn api(system: ApiSystem, url: &str) -> ApiAccess {
    let login = ApiLogin::Basic("runsheet".to_owned(), Some(PASSWORD.to_owned().into()));
    ApiAccess { system, url: url.to_owned(), login, ca_file: None }
}
