//! Tests of the sandbox through the clients that the program uses: kube's typed client and reqwest.
//!
//! They listen on free ports of loopback and write to temporary folders only.

mod accounts;
mod admission;
mod apply;
mod argocd;
mod cascades;
mod durability;
mod faults;
mod former;
mod hostile;
mod kubernetes;
mod leases;
mod load;
mod pages;
mod pod_log;
mod pod_proxy;
mod pods;
mod postgres;
mod process;
mod redis;
mod resize;
mod ticket_service;
mod watch;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, Config};
use serde_json::json;
use tempfile::TempDir;

use super::{Effect, Options, Ready, Running, effects, start};

/// Fast enough for tests: a Pod is ready after some 30 ms.
const FAST: f64 = 20.0;

struct Sandbox {
    dir: TempDir,
    running: Running,
    client: Client,
}

fn options() -> Options {
    Options { speed: FAST, ..Options::default() }
}

fn client(ready: &Ready, token: &str) -> Client {
    // The provider can be installed once in a process; later calls find it there.
    let _installed = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::new(format!("http://{}", ready.address).parse().unwrap());
    config.auth_info.token = Some(token.to_owned().into());
    // The client would repeat 429, 503 and 504 by itself.
    config.default_retry = false;
    config.read_timeout = Some(Duration::from_secs(20));
    Client::try_from(config).unwrap()
}

impl Sandbox {
    async fn start() -> Self {
        Self::with(options()).await
    }

    async fn with(options: Options) -> Self {
        let dir = TempDir::new().unwrap();
        let running = start(dir.path(), options).await.unwrap();
        let client = client(&running.ready, &running.ready.admin_token);
        Self { dir, running, client }
    }

    /// Stops the server and starts another one on the same folder.
    async fn restart(self) -> Self {
        self.running.shutdown().await;
        let running = start(self.dir.path(), options()).await.unwrap();
        let client = client(&running.ready, &running.ready.admin_token);
        Self { dir: self.dir, running, client }
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn deployments(&self) -> Api<Deployment> {
        Api::namespaced(self.client.clone(), "production")
    }

    fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), "production")
    }

    async fn scale(&self, replicas: i32) -> kube::Result<()> {
        let patch = Patch::Merge(json!({ "spec": { "replicas": replicas } }));
        self.deployments().patch_scale("ticket-service", &PatchParams::default(), &patch).await.map(drop)
    }

    async fn replicas(&self) -> i32 {
        self.deployments().get_scale("ticket-service").await.unwrap().spec.unwrap().replicas.unwrap_or(0)
    }

    async fn ready_replicas(&self) -> i32 {
        self.deployments().get("ticket-service").await.unwrap().status.unwrap().ready_replicas.unwrap_or(0)
    }

    async fn pod_names(&self) -> Vec<String> {
        let list = self.pods().list(&ListParams::default().labels("app=ticket-service")).await.unwrap();
        list.items.into_iter().map(|pod| pod.metadata.name.unwrap()).collect()
    }

    fn effects(&self) -> Vec<Effect> {
        effects(self.path()).unwrap()
    }

    /// The changes of the effect log in short: `spec.replicas 2 → 8`.
    fn changes(&self) -> Vec<String> {
        self.effects().iter().map(|effect| format!("{} {} → {}", effect.field, effect.from, effect.to)).collect()
    }

    async fn fault(&self, words: &[&str]) {
        super::fault::add(self.path(), &super::Fault::parse(words).unwrap()).await.unwrap();
    }
}

/// Asks until the answer is yes; fails after 10 s.
async fn eventually<F: Future<Output = bool>>(what: &str, ask: impl Fn() -> F) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), asking).await.is_ok(), "not within 10 s: {what}");
}

/// The code, reason and message of an API error.
fn status<T>(result: kube::Result<T>) -> (u16, String, String) {
    match result.err().expect("the API refused") {
        kube::Error::Api(status) => (status.code, status.reason.clone(), status.message.clone()),
        other => panic!("not an API error: {other}"),
    }
}
