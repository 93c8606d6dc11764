//! A cluster that actions are tried on: how it is reached, and what goes wrong there on demand.
//!
//! It must not know any action. Invariant: what is particular to the sandbox stands in this file alone, so that the same tests can be run against
//! another control plane by another implementation of [`Cluster`].

use std::sync::Arc;

use async_trait::async_trait;
use runsheet::environment::{Connections, Environment};
use runsheet::model::run::TargetSpec;
use runsheet::sandbox::{self, Autoscaler, Fault, Options, Running};
use tempfile::TempDir;

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

/// A cluster with the Deployment, the Service and the database of the scaling procedure in the namespace `production`, and several nodes.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// How it is reached.
    fn connections(&self) -> Arc<Connections>;
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
    /// Every change of a field by a client so far, in order: for what must change nothing.
    fn changes(&self) -> usize;
}

/// The sandbox, served by the test itself.
pub struct SandboxCluster {
    folder: TempDir,
    running: Running,
    environment: Environment,
}

impl SandboxCluster {
    /// A fresh one, whose pods come and go quickly.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("runsheet-it-").tempdir().expect("a temporary folder");
        let options = Options { speed: 50.0, autoscaler: Autoscaler::None, ..Options::default() };
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
        Self { folder, running, environment }
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

    fn changes(&self) -> usize {
        sandbox::effects(self.folder.path()).expect("the effect log").len()
    }
}
