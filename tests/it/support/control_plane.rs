//! A cluster that actions are tried on: how it is reached, and what goes wrong there on demand.
//!
//! It must not know any action. Invariant: what is particular to the sandbox stands in this file alone, so that the same tests can be run against
//! another control plane by another implementation of [`Cluster`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use runsheet::environment::{Connections, Environment};
use runsheet::model::run::TargetSpec;
use runsheet::sandbox::{self, Account, ArgoCd, Autoscaler, Fault, Options, Running};
use tempfile::TempDir;

use super::PATIENCE;

/// The namespace that tests write in paths; another cluster's own is put in its place.
pub const NAMESPACE: &str = "production";

/// When the connection of a request is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Before the server has it.
    Before,
    /// Once it is carried out, before its answer.
    After,
}

/// What a cluster can suffer from.
#[derive(Clone, Copy, Debug)]
pub enum Trouble<'a> {
    /// So many pods of the workload of this name crash again and again.
    Crash(&'a str, u32),
    /// So many pods of it do not become ready.
    Unready(&'a str, u32),
}

/// A cluster with the Deployment, the Service and the database of the scaling procedure in a namespace, and several nodes.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// How it is reached.
    fn connections(&self) -> Arc<Connections>;
    /// The namespace that is its own.
    fn namespace(&self) -> &str;
    /// Where its API server is: `http://127.0.0.1:PORT`.
    fn url(&self) -> String;
    /// The token of `admin` or `viewer`; none for anybody else.
    fn token(&self, account: &str) -> Option<String>;
    /// How it is reached by another account than its administrator: `viewer`, `scaler`, `deployer`.
    fn connections_as(&self, account: &str) -> Arc<Connections>;
    /// Every request that was made to its API so far, in order, as method and path without query; `None` where it does not tell.
    fn requests(&self) -> Option<Vec<(String, String)>> {
        None
    }
    /// What a run records of it.
    fn target(&self) -> TargetSpec;
    /// The secrets that its connections need, by name.
    fn postgres_password(&self) -> String;
    /// Cuts the connection of the next request on this route: `PATCH */deployments/x`, where `*` stands for any text.
    async fn cut(&self, route: &str, moment: Cut);
    /// Answers the next request on this route with this status, without carrying it out.
    async fn refuse(&self, route: &str, status: u16);
    /// Lets it suffer.
    async fn suffer(&self, trouble: Trouble<'_>);
    /// Ends all of that.
    async fn heal(&self);
    /// Installs Argo CD, with an Application `ticket-service` that heals itself: it owns the Deployment and the Service of this name and, where one is
    /// wanted, an autoscaler `ticket-service-hpa` on the CPU alone. Its repository says what is there, but for the replicas beside an autoscaler.
    async fn argocd(&self, autoscaler: bool);
    /// Every change of a field by a client so far, in order: for what must change nothing.
    fn changes(&self) -> usize;
}

/// The sandbox, served by the test itself.
pub struct SandboxCluster {
    folder: TempDir,
    running: Running,
    environment: Environment,
    accounts: BTreeMap<String, Arc<Connections>>,
}

impl SandboxCluster {
    /// A fresh one, whose pods come and go quickly.
    pub async fn start() -> Self {
        Self::keeping(Options::default().history).await
    }

    /// As [`SandboxCluster::start`], with so many changes kept for watches and pages.
    pub async fn keeping(history: usize) -> Self {
        let folder = tempfile::Builder::new().prefix("runsheet-it-").tempdir().expect("a temporary folder");
        let options = Options { speed: 50.0, autoscaler: Autoscaler::None, history, ..Options::default() };
        let running = sandbox::start(folder.path(), options).await.expect("the sandbox starts");
        let ready = running.ready.clone();
        let with_token = |token: String| {
            let (service, postgres) = (ready.service_token.clone(), ready.postgres_password.clone());
            Environment::sandbox(ready.address, token.into(), &ready.cluster_uid, service.into(), postgres.into(), sandbox::target_values())
        };
        let mut accounts = BTreeMap::new();
        for account in [Account::Viewer, Account::Deployer, Account::Scaler, Account::Expired] {
            let config = sandbox::kubeconfig(folder.path(), account).await.expect("the account's kubeconfig").json();
            let token = config["users"][0]["user"]["token"].as_str().expect("a token").to_owned();
            accounts.insert(account.to_string(), with_token(token).connections);
        }
        let environment = with_token(ready.admin_token.clone());
        Self { folder, running, environment, accounts }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running.ready.address
    }

    /// Takes all pods away, and with them the connections that they hold.
    pub async fn empty(&self) {
        self.add(&["change", "production/deployment/ticket-service", "spec.replicas", "0"]).await;
        let deadline = Instant::now() + PATIENCE;
        while sandbox::connections(self.folder.path()).await.expect("the sandbox answers").wanted > 0 {
            assert!(Instant::now() < deadline, "the sandbox's pods are still there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn add(&self, words: &[&str]) {
        let fault = Fault::parse(words).expect("a fault");
        sandbox::fault::add(self.folder.path(), &fault).await.expect("the sandbox takes the fault");
    }
}

#[async_trait]
impl Cluster for SandboxCluster {
    fn connections(&self) -> Arc<Connections> {
        Arc::clone(&self.environment.connections)
    }

    fn namespace(&self) -> &str {
        NAMESPACE
    }

    fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn token(&self, account: &str) -> Option<String> {
        let text = std::fs::read_to_string(self.folder.path().join("identity.json")).expect("who the sandbox is");
        let identity: serde_json::Value = serde_json::from_str(&text).expect("who the sandbox is");
        identity[format!("{account}_token")].as_str().map(str::to_owned)
    }

    fn connections_as(&self, account: &str) -> Arc<Connections> {
        Arc::clone(self.accounts.get(account).expect("an account of the sandbox"))
    }

    fn requests(&self) -> Option<Vec<(String, String)>> {
        let log = std::fs::read_to_string(self.folder.path().join("requests.log")).expect("the request log");
        let words = |line: &str| {
            let mut words = line.split(' ').skip(1).map(str::to_owned);
            Some((words.next()?, words.next()?))
        };
        Some(log.lines().filter_map(words).collect())
    }

    fn target(&self) -> TargetSpec {
        self.environment.spec.clone()
    }

    fn postgres_password(&self) -> String {
        self.running.ready.postgres_password.clone()
    }

    async fn cut(&self, route: &str, moment: Cut) {
        self.add(&[if moment == Cut::Before { "cut-before" } else { "cut-after" }, route]).await;
    }

    async fn refuse(&self, route: &str, status: u16) {
        self.add(&["refuse", route, "--status", &status.to_string()]).await;
    }

    async fn suffer(&self, trouble: Trouble<'_>) {
        let (word, name, pods) = match trouble {
            Trouble::Crash(name, pods) => ("crash", name, pods),
            Trouble::Unready(name, pods) => ("unready", name, pods),
        };
        self.add(&[word, name, "--pods", &pods.to_string()]).await;
    }

    async fn heal(&self) {
        sandbox::fault::clear(self.folder.path()).await.expect("the sandbox clears its faults");
    }

    async fn argocd(&self, autoscaler: bool) {
        let autoscaler = if autoscaler { Autoscaler::Cpu } else { Autoscaler::None };
        sandbox::reset_to(self.folder.path(), Some(autoscaler), Some(ArgoCd::SelfHeal), None).await.expect("the sandbox is made anew");
    }

    fn changes(&self) -> usize {
        sandbox::effects(self.folder.path()).expect("the effect log").len()
    }
}
