//! Actions on a cluster, called as the engine calls them.
//!
//! It must not know the sandbox. Invariant: every wait has an end and says what it waited for.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use runsheet::environment::KubeCall;
use runsheet::model::catalogue::Catalogue;
use runsheet::ports::action::Actions;
use serde_json::{Value, json};

use super::PATIENCE;
use super::control_plane::{Cluster, NAMESPACE, SandboxCluster};
use super::real::{Namespace, Proxy, RealCluster};
use super::step::{Lines, Step, until};

/// The same tests on the sandbox and on a real control plane: functions that take a [`Bench`].
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sandbox {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::support::Bench::sandbox().await).await;
            })*
        }
        mod real_cluster {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(crate::support::Bench::real().await).await;
            })*
        }
    };
}
pub(crate) use on_both;

/// What an action is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// The sandbox.
    Sandbox,
    /// A real control plane.
    Real,
}

/// A cluster and the actions on it.
pub struct Bench {
    /// The cluster.
    pub cluster: Box<dyn Cluster>,
    /// The log of every step.
    pub log: Arc<Lines>,
    actions: Actions,
    client: kube::Client,
}

impl Bench {
    /// On a fresh cluster of this kind.
    pub async fn start(on: On) -> Self {
        match on {
            On::Sandbox => Self::sandbox().await,
            On::Real => Self::real().await,
        }
    }

    /// On a fresh sandbox.
    pub async fn sandbox() -> Self {
        Self::on(Box::new(SandboxCluster::start().await))
    }

    /// In a fresh namespace of a real control plane.
    pub async fn real() -> Self {
        Self::on(Box::new(RealCluster::start().await))
    }

    /// In a fresh namespace of a real control plane, with what stands in front of it.
    pub async fn behind_proxy() -> (Self, Arc<Proxy>, Arc<Namespace>) {
        let cluster = RealCluster::start().await;
        let (proxy, namespace) = (Arc::clone(cluster.proxy()), Arc::clone(cluster.own_namespace()));
        (Self::on(Box::new(cluster)), proxy, namespace)
    }

    /// On this cluster.
    pub fn on(cluster: Box<dyn Cluster>) -> Self {
        let connections = cluster.connections();
        let client = connections.kube_client().expect("a client of the cluster");
        Self { actions: Actions::new(runsheet::actions::builtin(&connections)), client, cluster, log: Arc::default() }
    }

    /// An action with its inputs, as a step of its own.
    pub fn step(&self, action: &str, inputs: Value) -> Step {
        self.step_of(&self.actions, action, inputs)
    }

    /// The same as another account than the administrator.
    pub fn step_as(&self, account: &str, action: &str, inputs: Value) -> Step {
        let actions = Actions::new(runsheet::actions::builtin(&self.cluster.connections_as(account)));
        self.step_of(&actions, action, inputs)
    }

    /// What there is to know about every action.
    pub fn catalogue(&self) -> Catalogue {
        self.actions.catalogue()
    }

    fn step_of(&self, actions: &Actions, action: &str, inputs: Value) -> Step {
        Step::new(actions, action, inputs, self.cluster.target(), &self.log, std::env::temp_dir())
    }

    /// A path with the cluster's own namespace.
    fn here(&self, path: &str) -> String {
        path.replace(&format!("/namespaces/{NAMESPACE}"), &format!("/namespaces/{}", self.cluster.namespace()))
    }

    /// An object as it is.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let reply = KubeCall::get(self.here(path), PATIENCE).send(&self.client).await.expect("an answer");
        match reply.status {
            404 => None,
            200 => Some(reply.body),
            status => panic!("GET {path}: {status}: {}", reply.body),
        }
    }

    /// A request as it is; the status and the answer.
    pub async fn ask(&self, method: Method, path: &str, media: &'static str, body: Value) -> (u16, Value) {
        let call = KubeCall { method, path: self.here(path), body: Some((media, body)), timeout: PATIENCE };
        let reply = call.send(&self.client).await.expect("an answer");
        (reply.status, reply.body)
    }

    /// Applies (server-side) as this manager does, which takes what it wants.
    pub async fn apply_as(&self, manager: &str, path: &str, object: Value) -> Value {
        let path = format!("{path}?fieldManager={manager}&force=true");
        let (status, body) = self.ask(Method::PATCH, &path, "application/apply-patch+yaml", object).await;
        assert!((200..300).contains(&status), "{path}: {status}: {body}");
        body
    }

    /// Deletes an object and makes another under its name, which is as it was.
    pub async fn make_anew(&self, object: &str) {
        let was = self.get(object).await.expect("an object");
        self.delete(object).await;
        let metadata = &was["metadata"];
        let mut anew = json!({ "apiVersion": was["apiVersion"], "kind": was["kind"], "metadata": { "name": metadata["name"], "labels": metadata["labels"] } });
        for part in ["spec", "data"] {
            if !was[part].is_null() {
                anew[part] = was[part].clone();
            }
        }
        self.create(object.rsplit_once('/').expect("a collection").0, anew).await;
    }

    /// Deletes an object as somebody else does, and waits until it is gone.
    pub async fn delete(&self, object: &str) {
        self.write(Method::DELETE, object, "application/json", json!({ "propagationPolicy": "Background" })).await;
        self.until("it is gone", || async { self.get(object).await.is_none().then_some(()) }).await;
    }

    /// Writes as somebody else does.
    #[track_caller]
    pub fn write<'a>(&'a self, method: Method, path: &'a str, media: &'static str, body: Value) -> impl Future<Output = Value> + 'a {
        let at = std::panic::Location::caller();
        async move {
            let path_with_owner = format!("{}?fieldManager=somebody-else", self.here(path));
            let call = KubeCall { method: method.clone(), path: path_with_owner, body: Some((media, body)), timeout: PATIENCE };
            let reply = call.send(&self.client).await.expect("an answer");
            assert!((200..300).contains(&reply.status), "{at}: {method} {path}: {}: {}", reply.status, reply.body);
            reply.body
        }
    }

    /// Creates an object as somebody else does.
    #[track_caller]
    pub fn create<'a>(&'a self, collection: &'a str, object: Value) -> impl Future<Output = Value> + 'a {
        self.write(Method::POST, collection, "application/json", object)
    }

    /// Changes an object as somebody else does, by a strategic merge patch; an object of a definition (CRD), which knows none, by a merge patch.
    #[track_caller]
    pub fn patch<'a>(&'a self, path: &'a str, patch: Value) -> impl Future<Output = Value> + 'a {
        let custom = path.starts_with("/apis/keda.sh/");
        let media = if custom { "application/merge-patch+json" } else { "application/strategic-merge-patch+json" };
        self.write(Method::PATCH, path, media, patch)
    }

    /// The objects of a list.
    pub async fn list(&self, path: &str) -> Vec<Value> {
        let list = self.get(path).await.expect("a list");
        list["items"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until it is so; what was asked for then.
    pub async fn until<T>(&self, what: &str, ask: impl AsyncFnMut() -> Option<T>) -> T {
        until(what, Duration::from_millis(10), ask).await
    }
}

/// What somebody set in an object: without what servers and controllers write.
pub fn settled(object: Option<Value>) -> Option<Value> {
    let mut object = object?;
    let all = object.as_object_mut()?;
    all.remove("status");
    let metadata = all.get_mut("metadata").and_then(Value::as_object_mut)?;
    for field in ["resourceVersion", "managedFields", "generation"] {
        metadata.remove(field);
    }
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove("deployment.kubernetes.io/revision");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    Some(object)
}

/// The Deployment of the tests with another name: its pods run this image and request so much CPU.
pub fn deployment(name: &str, replicas: u32, image: &str, cpu: &str) -> Value {
    let labels = json!({ "app": name });
    let container = json!({
        "name": "app", "image": image, "ports": [{ "name": "http", "containerPort": 8080 }],
        "resources": { "requests": { "cpu": cpu, "memory": "32Mi" } },
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } },
    })
}
