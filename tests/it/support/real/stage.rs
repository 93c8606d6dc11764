//! A stage whose environment `staging` is a namespace of a real control plane, and the sandbox's PostgreSQL server.
//!
//! It must not know any playbook. Invariant: the account is the deployer, who may do what playbooks need and no more.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::kubernetes::Kubernetes;
use super::namespace::Namespace;
use super::proxy::Proxy;
use crate::support::control_plane::{Cluster, SandboxCluster};
use crate::support::objects::{Objects, differences, items, objects};
use crate::support::{PATIENCE, Stage, until};

/// The account of the runs.
const ACCOUNT: &str = "deployer";

/// How the stage reaches the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// By its address, with a client certificate.
    Direct,
    /// Through a [`Proxy`], with a token.
    Proxied,
}

/// A stage on a namespace of its own.
pub struct RealStage {
    stage: Stage,
    proxy: Option<Proxy>,
    namespace: Arc<Namespace>,
    /// The event of this stage alone: the ticket service is that of all tests.
    event: String,
    // Last: the proxy and the database live on it.
    database: SandboxCluster,
    runtime: Runtime,
}

impl Deref for RealStage {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

impl RealStage {
    /// On the control plane of all tests.
    pub fn new(way: Way) -> Self {
        Self::on(Arc::new(Kubernetes::shared()), way)
    }

    /// On this one.
    pub fn on(kubernetes: Arc<Kubernetes>, way: Way) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let (namespace, database, proxy) = runtime.block_on(async {
            let proxy = if way == Way::Proxied { Some(Proxy::start(Arc::clone(&kubernetes)).await) } else { None };
            let database = async {
                let database = SandboxCluster::start().await;
                // Its own pods hold no connections: those that count are the real ones.
                database.empty().await;
                database
            };
            let (namespace, database) = tokio::join!(Namespace::new(Arc::clone(&kubernetes)), database);
            (Arc::new(namespace), database, proxy)
        });
        let stage = Stage::new().env("SERVICE_TOKEN", kubernetes.ticket_service().1).env("PGPASSWORD", database.postgres_password());
        let event = uuid::Uuid::now_v7().to_string();
        let stage = Self { stage, proxy, namespace, event, database, runtime };
        stage.write_kubeconfig(&stage.stage, stage.proxy.as_ref());
        stage.write_environment(&stage.stage);
        stage.until_ready(2);
        stage
    }

    /// With a playbook of the repository, which looks as often as a check may.
    pub fn quick(mut self, playbook: &str) -> Self {
        let stage = std::mem::replace(&mut self.stage, Stage::new());
        self.stage = stage.quick_playbook(playbook);
        self
    }

    /// With a playbook of the repository as it is.
    pub fn plain(mut self, playbook: &str) -> Self {
        let stage = std::mem::replace(&mut self.stage, Stage::new());
        self.stage = stage.repository_playbook(playbook);
        self
    }

    /// Another machine, with a state and locks of its own, on the same namespace. It reaches the API server directly.
    pub fn neighbour(&self) -> Stage {
        let kubernetes = &self.namespace.kubernetes;
        let stage = Stage::new().env("SERVICE_TOKEN", kubernetes.ticket_service().1).env("PGPASSWORD", self.database.postgres_password());
        self.write_kubeconfig(&stage, None);
        self.write_environment(&stage);
        stage
    }

    fn write_kubeconfig(&self, stage: &Stage, proxy: Option<&Proxy>) {
        let kubernetes = &self.namespace.kubernetes;
        let (cluster, user) = match proxy {
            Some(proxy) => (json!({ "server": proxy.url() }), json!({ "token": kubernetes.token(ACCOUNT) })),
            None => {
                let at = |name: &str| kubernetes.kubeconfig(ACCOUNT).with_file_name(name).display().to_string();
                let user = json!({ "client-certificate": at(&format!("{ACCOUNT}.crt")), "client-key": at(&format!("{ACCOUNT}.key")) });
                (json!({ "server": kubernetes.server(), "certificate-authority": at("ca.crt") }), user)
            }
        };
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "staging",
            "clusters": [{ "name": "c", "cluster": cluster }],
            "users": [{ "name": "ana", "user": user }],
            "contexts": [{ "name": "staging", "context": { "cluster": "c", "user": "ana", "namespace": self.namespace.name } }],
        });
        std::fs::write(stage.path("kubeconfig"), config.to_string()).expect("a kubeconfig");
    }

    fn write_environment(&self, stage: &Stage) {
        let (address, kubernetes) = (self.database.address(), &self.namespace.kubernetes);
        let (host, port) = (address.ip(), address.port());
        let text = format!(
            "environment: staging
summary: A namespace of a real control plane
kubernetes: {{ context: staging, kubeconfig: {config}, namespace: {namespace}, cluster_uid: {uid} }}
argocd: {{ namespace: {namespace} }}
postgres: {{ host: {host}, port: {port}, database: tickettoken, user: runsheet, tls: disable, password: {{ env: PGPASSWORD }} }}
secrets:
  service_token: {{ env: SERVICE_TOKEN }}
values:
  ticket_service: {{ url: \"{tickets}\" }}
  capacity: {{ low: {{ replicas: 2 }}, medium: {{ replicas: 4 }}, high: {{ replicas: 8 }}, critical: {{ replicas: 16 }} }}
",
            config = stage.path("kubeconfig").display(),
            namespace = self.namespace.name,
            uid = kubernetes.uid(),
            tickets = kubernetes.ticket_service().0,
        );
        let folder = stage.root().join("playbooks/environments");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("staging.yaml"), text).expect("an environment");
    }

    /// Installs Argo CD, as [`Cluster::argocd`] says, and lets the account of the runs read and pause it.
    pub fn install_argocd(&self, autoscaler: bool) {
        let name = &self.namespace.name;
        let meta = json!({ "name": "argocd", "namespace": name });
        let objects = json!(["applications", "appprojects"]);
        let rules = json!([
            { "apiGroups": ["argoproj.io"], "resources": objects, "verbs": ["get", "list", "patch"] },
            { "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] },
        ]);
        let rbac = "/apis/rbac.authorization.k8s.io/v1";
        let of = |kind: &str| json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": meta });
        let (mut role, mut binding) = (of("Role"), of("RoleBinding"));
        role["rules"] = rules;
        binding["roleRef"] = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "argocd" });
        binding["subjects"] = json!([{ "apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "runsheet:deployers" }]);
        self.create(rbac, "roles", &role);
        self.create(rbac, "rolebindings", &binding);
        // It goes on for as long as the runtime does.
        drop(self.runtime.block_on(super::install_argocd(&self.namespace, autoscaler)));
    }

    /// The event of this stage.
    pub fn event(&self) -> &str {
        &self.event
    }

    /// Its namespace.
    pub fn namespace(&self) -> &Arc<Namespace> {
        &self.namespace
    }

    /// Its proxy, where it has one.
    #[track_caller]
    pub fn proxy(&self) -> &Proxy {
        self.proxy.as_ref().expect("a stage that goes through a proxy")
    }

    /// Whether it goes through a proxy.
    pub fn is_proxied(&self) -> bool {
        self.proxy.is_some()
    }

    /// Waits until an API server that was started says that it is ready.
    pub fn until_api(&self) {
        let kubernetes = &self.namespace.kubernetes;
        until("the API server is ready", || {
            let request = kubernetes
                .client()
                .get(format!("{}/readyz", kubernetes.server()))
                .bearer_auth(kubernetes.token("admin").expect("an account"));
            self.runtime.block_on(request.send()).is_ok_and(|answer| answer.status().is_success())
        });
    }

    /// Waits until the proxy holds a request.
    #[track_caller]
    pub fn until_held(&self) {
        let held = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, self.proxy().until_held()).await });
        assert!(held.is_ok(), "waited in vain until a request is held; there were {:#?}", self.proxy().seen());
    }

    /// The path of a resource of the namespace: `path("/apis/apps/v1", "deployments/ticket-service")`.
    pub fn path(&self, group: &str, rest: &str) -> String {
        self.namespace.path(group, rest)
    }

    /// A request as the administrator; the status and the answer.
    pub fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.runtime.block_on(self.namespace.ask(method, path, body))
    }

    /// Creates an object of the namespace.
    #[track_caller]
    pub fn create(&self, group: &str, resource: &str, object: &Value) {
        let (status, made) = self.ask(Method::POST, &self.path(group, resource), Some(object));
        assert_eq!(status, 201, "{made}");
    }

    /// Changes an object of the namespace as somebody else does.
    #[track_caller]
    pub fn patch(&self, group: &str, object: &str, patch: &Value) {
        let (status, made) = self.ask(Method::PATCH, &self.path(group, object), Some(patch));
        assert_eq!(status, 200, "{made}");
    }

    /// An object of the namespace.
    #[track_caller]
    pub fn get(&self, group: &str, object: &str) -> Value {
        let (status, object) = self.ask(Method::GET, &self.path(group, object), None);
        assert_eq!(status, 200, "{object}");
        object
    }

    /// The Deployment `ticket-service`.
    #[track_caller]
    pub fn deployment(&self) -> Value {
        self.get("/apis/apps/v1", "deployments/ticket-service")
    }

    /// Waits until it has so many ready replicas, and no others, and the Service knows.
    pub fn until_ready(&self, replicas: u64) {
        self.runtime.block_on(self.namespace.until_ready("ticket-service", replicas));
        let replicas = usize::try_from(replicas).expect("a count");
        until("the Service knows the pods that are ready", || {
            let slices = self.get("/apis/discovery.k8s.io/v1", "endpointslices");
            let endpoints = self.get("/api/v1", "endpoints/ticket-service");
            let addresses = items(&endpoints["subsets"]).iter().map(|subset| items(&subset["addresses"]).len()).sum::<usize>();
            items(&slices["items"]).iter().map(|slice| items(&slice["endpoints"]).len()).sum::<usize>() == replicas && addresses == replicas
        });
    }

    /// Waits until the cluster is as wanted.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        until(what, || is(self));
    }

    /// Every object of the namespace by its name, reduced.
    pub fn objects(&self) -> Objects {
        /// What each control plane had when it was first asked: what tests define there later is not theirs to compare.
        static DISCOVERED: OnceLock<std::sync::Mutex<BTreeMap<(String, String), Value>>> = OnceLock::new();
        let discovered = DISCOVERED.get_or_init(Default::default);
        objects(Some(&self.namespace.name), |path| {
            let lists = path.contains("/namespaces/");
            let place = (self.namespace.kubernetes.uid().to_owned(), path.to_owned());
            let known = discovered.lock().expect("no panic while it is held").get(&place).cloned();
            if let Some(known) = known.filter(|_| !lists) {
                return known;
            }
            let (status, answer) = self.ask(Method::GET, path, None);
            assert_eq!(status, 200, "{path}: {answer}");
            if !lists {
                discovered.lock().expect("no panic while it is held").insert(place, answer.clone());
            }
            answer
        })
    }

    /// That every object is as it was. What the cluster makes of others' objects by itself, the endpoints, may take a moment.
    #[track_caller]
    pub fn assert_as_before(&self, before: &Objects, when: &str) {
        let deadline = Instant::now() + PATIENCE * 3;
        while let Some(told) = differences(before, &self.objects()) {
            let follows = told.lines().all(|line| line.starts_with("endpoint"));
            let status = || self.stage.run(&["status"]);
            assert!(follows && Instant::now() < deadline, "{when}: the namespace is not as it was: {told}\n{}", status());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The writes that the API server carried out, in order, as `PATCH deployments/ticket-service`.
    pub fn writes(&self) -> Vec<String> {
        let here = format!("/namespaces/{}/", self.namespace.name);
        let seen = self.proxy().seen().into_iter();
        let writes = seen.filter(|seen| !["GET", "HEAD"].contains(&seen.method.as_str()) && !seen.path.contains("dryRun=All"));
        let told = writes.filter_map(|seen| {
            let (_, object) = seen.path.split_once(&here)?;
            let object = object.split('?').next().unwrap_or(object);
            // Leases are renewed as long as a run goes on; each pod has another name.
            let object = match object.split('/').collect::<Vec<_>>()[..] {
                ["leases", ..] => return None,
                ["pods", _, subresource] => format!("pods/*/{subresource}"),
                _ => object.to_owned(),
            };
            let refused = seen.status.filter(|status| !(200..300).contains(status));
            Some(format!("{} {object}{}", seen.method, refused.map(|status| format!(" ({status})")).unwrap_or_default()))
        });
        told.collect()
    }

    /// How often the caches were filled with the stage's event.
    pub fn fills(&self) -> u64 {
        let (url, token) = self.namespace.kubernetes.ticket_service();
        let request = self.namespace.kubernetes.client().get(format!("{url}/internal/cache/status?eventId={}", self.event));
        let answer = self.runtime.block_on(async { request.bearer_auth(token).send().await?.json::<Value>().await });
        answer.expect("the ticket service answers")["fills"].as_u64().expect("a count")
    }

    /// The pods of `ticket-service`.
    pub fn pods(&self) -> Vec<Value> {
        items(&self.get("/api/v1", "pods?labelSelector=app%3Dticket-service")["items"]).to_vec()
    }
}
