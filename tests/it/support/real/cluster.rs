//! A namespace of a real control plane, behind the same trait as the sandbox.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use runsheet::environment::{Connections, KubernetesAccess, PostgresAccess, TlsMode};
use runsheet::model::run::TargetSpec;
use runsheet::sandbox;
use serde_json::{Map, Value, json};

use super::kubernetes::Kubernetes;
use super::namespace::Namespace;
use super::proxy::{Fault, Proxy};
use crate::support::control_plane::{Cluster, Cut, NAMESPACE, SandboxCluster, Trouble};

/// A namespace, reached through a proxy that does what [`Cut`] and refusals ask for; and the sandbox's PostgreSQL server, since it is not what is
/// tried here.
pub struct RealCluster {
    namespace: Arc<Namespace>,
    proxy: Arc<Proxy>,
    database: SandboxCluster,
    suffering: Mutex<Vec<tokio::task::JoinHandle<()>>>,
    /// What Argo CD does.
    healing: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl RealCluster {
    /// In a fresh namespace.
    pub async fn start() -> Self {
        let kubernetes = Arc::new(Kubernetes::shared());
        let namespace = Arc::new(Namespace::new(Arc::clone(&kubernetes)).await);
        let proxy = Arc::new(Proxy::start(kubernetes).await);
        let database = SandboxCluster::start().await;
        database.empty().await;
        Self { namespace, proxy, database, suffering: Mutex::default(), healing: Mutex::default() }
    }

    /// Its namespace.
    pub fn own_namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// What it is reached through.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// A route with its own namespace.
    fn here(&self, route: &str) -> String {
        route.replace(&format!("/namespaces/{NAMESPACE}"), &format!("/namespaces/{}", self.namespace.name))
    }

    /// Keeps doing something to pods until [`Cluster::heal`].
    fn keep<F: Future<Output = ()> + Send + 'static>(&self, doing: F) {
        self.suffering.lock().unwrap_or_else(PoisonError::into_inner).push(tokio::spawn(doing));
    }
}

#[async_trait]
impl Cluster for RealCluster {
    fn connections(&self) -> Arc<Connections> {
        self.connections_as("admin")
    }

    fn connections_as(&self, account: &str) -> Arc<Connections> {
        let token = self.namespace.kubernetes.token(account).expect("an account").into();
        let address = self.database.address();
        let access = PostgresAccess {
            host: address.ip().to_string(),
            port: address.port(),
            user: "runsheet".to_owned(),
            database: "tickettoken".to_owned(),
            tls: TlsMode::Disable,
            ca_file: None,
            password: Some(self.database.postgres_password().into()),
        };
        let kubernetes = KubernetesAccess::Token { url: self.proxy.url(), token };
        Arc::new(Connections::new().with_kubernetes(kubernetes).with_postgres("postgres", access))
    }

    fn requests(&self) -> Option<Vec<(String, String)>> {
        let seen = self.proxy.seen().into_iter();
        Some(seen.map(|seen| (seen.method, seen.path.split('?').next().unwrap_or_default().to_owned())).collect())
    }

    fn namespace(&self) -> &str {
        &self.namespace.name
    }

    fn url(&self) -> String {
        self.proxy.url()
    }

    fn token(&self, account: &str) -> Option<String> {
        self.namespace.kubernetes.token(account)
    }

    fn target(&self) -> TargetSpec {
        let address = self.database.address();
        let mut values = sandbox::target_values();
        // There are none of these beside it.
        values.retain(|name, _| !["prometheus", "rabbitmq", "redis"].contains(&name.as_str()));
        let mut set = |name: &str, value: Value| drop(values.insert(name.to_owned(), value));
        set("kubernetes", json!({ "namespace": self.namespace.name, "cluster": "test" }));
        set("argocd", json!({ "namespace": self.namespace.name }));
        set("ticket_service", json!({ "url": self.namespace.kubernetes.ticket_service().0 }));
        let (host, port) = (address.ip().to_string(), address.port());
        set("postgres", json!({ "host": host, "port": port, "user": "runsheet", "database": "tickettoken" }));
        let identity = Map::from_iter([("kubernetes".to_owned(), json!(self.namespace.kubernetes.uid()))]);
        TargetSpec { environment: "test".to_owned(), identity, values }
    }

    fn postgres_password(&self) -> String {
        self.database.postgres_password()
    }

    async fn cut(&self, route: &str, moment: Cut) {
        self.proxy.fault(&self.here(route), if moment == Cut::Before { Fault::CutBefore } else { Fault::CutAfter });
    }

    async fn refuse(&self, route: &str, status: u16) {
        self.proxy.fault(&self.here(route), Fault::Refuse(status, None));
    }

    async fn suffer(&self, trouble: Trouble<'_>) {
        let (workload, count, wanted) = match trouble {
            Trouble::Crash(workload, count) => (workload.to_owned(), count, Condition::Crashing),
            Trouble::Unready(workload, count) => (workload.to_owned(), count, Condition::Unready),
        };
        let namespace = Arc::clone(&self.namespace);
        // Those that are ready stay so.
        let ready: Vec<String> =
            if wanted == Condition::Unready { pods(&namespace, &workload).await.iter().map(name).collect() } else { Vec::new() };
        self.keep(async move {
            loop {
                let all = pods(&namespace, &workload).await;
                let chosen = all.iter().filter(|pod| !ready.contains(&name(pod))).take(usize::try_from(count).unwrap_or(usize::MAX));
                for pod in chosen.filter(|pod| pod["status"]["phase"] == "Running" && is_ready(pod)) {
                    set(&namespace, pod, wanted).await;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
    }

    async fn heal(&self) {
        self.proxy.heal();
        let suffering = std::mem::take(&mut *self.suffering.lock().unwrap_or_else(PoisonError::into_inner));
        for task in suffering {
            task.abort();
            let _ = task.await;
        }
        let path = self.namespace.path("/api/v1", "pods");
        for pod in items(&self.namespace.get(&path).await) {
            if pod["status"]["phase"] == "Running" && !is_ready(&pod) {
                set(&self.namespace, &pod, Condition::Ready).await;
            }
        }
    }

    async fn argocd(&self, autoscaler: bool) {
        let healing = super::argocd::install(&self.namespace, autoscaler).await;
        self.healing.lock().unwrap_or_else(PoisonError::into_inner).push(healing);
    }

    fn changes(&self) -> usize {
        self.proxy.changes()
    }
}

impl Drop for RealCluster {
    fn drop(&mut self) {
        for tasks in [&self.suffering, &self.healing] {
            tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..).for_each(|task| task.abort());
        }
    }
}

fn items(list: &Value) -> Vec<Value> {
    list["items"].as_array().cloned().unwrap_or_default()
}

fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

/// The pods of a workload: their names begin with its.
async fn pods(namespace: &Namespace, workload: &str) -> Vec<Value> {
    let mut all = items(&namespace.get(&namespace.path("/api/v1", "pods")).await);
    all.retain(|pod| name(pod).strip_prefix(workload).is_some_and(|rest| rest.starts_with('-')));
    all
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}

/// How a pod can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Ready,
    Unready,
    Crashing,
}

/// What a kubelet would write of a pod.
async fn set(namespace: &Namespace, pod: &Value, wanted: Condition) {
    let ready = wanted == Condition::Ready;
    let started = &pod["status"]["startTime"];
    // The pod of a Job is not started again: it has failed.
    let failed = wanted == Condition::Crashing && pod["metadata"]["ownerReferences"][0]["kind"] == "Job";
    let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
    let statuses: Vec<Value> = statuses
        .map(|status| {
            let mut status = status.clone();
            status["ready"] = json!(ready);
            if failed {
                status["state"] =
                    json!({ "terminated": { "exitCode": 1, "reason": "Error", "startedAt": started, "finishedAt": started } });
            } else if wanted == Condition::Crashing {
                status["restartCount"] = json!(4);
                status["state"] =
                    json!({ "waiting": { "reason": "CrashLoopBackOff", "message": "back-off 1m20s restarting failed container" } });
            } else if ready && status["state"]["waiting"].is_object() {
                status["state"] = json!({ "running": { "startedAt": started } });
            }
            status
        })
        .collect();
    let condition = |kind: &str| json!({ "type": kind, "status": if ready { "True" } else { "False" } });
    let mut patch =
        json!({ "status": { "conditions": [condition("Ready"), condition("ContainersReady")], "containerStatuses": statuses } });
    if failed {
        patch["status"]["phase"] = json!("Failed");
    }
    let path = namespace.path("/api/v1", &format!("pods/{}/status", name(pod)));
    // It may be gone by now, which is as good.
    namespace.ask(Method::PATCH, &path, Some(&patch)).await;
}
