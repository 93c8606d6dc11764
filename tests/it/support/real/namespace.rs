//! A namespace of a test's own, with the Deployment and the Service of the scaling procedure, as the sandbox has them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};

use super::kubernetes::Kubernetes;
use crate::support::PATIENCE;

/// A namespace. It is deleted when this is dropped.
pub struct Namespace {
    /// The control plane.
    pub kubernetes: Arc<Kubernetes>,
    /// Its name.
    pub name: String,
}

impl Namespace {
    /// A fresh one, whose pods are ready.
    pub async fn new(kubernetes: Arc<Kubernetes>) -> Self {
        let name = format!("it-{}", &uuid::Uuid::now_v7().simple().to_string()[16..]);
        let namespace = Self { kubernetes, name };
        let meta = json!({ "name": namespace.name });
        namespace.create("/api/v1/namespaces", &json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": meta })).await;
        // As `kubectl apply` leaves them.
        for (group, plural, mut object) in [("/apis/apps/v1", "deployments", ticket_service()), ("/api/v1", "services", service())] {
            let applied = format!("{object}\n");
            object["metadata"]["annotations"] = json!({ "kubectl.kubernetes.io/last-applied-configuration": applied });
            namespace.create(&namespace.path(group, &format!("{plural}?fieldManager=kubectl-client-side-apply")), &object).await;
        }
        namespace.until_ready("ticket-service", 2).await;
        namespace
    }

    /// The path of a resource in it: `path("/apis/apps/v1", "deployments/ticket-service")`.
    pub fn path(&self, group: &str, rest: &str) -> String {
        format!("{group}/namespaces/{}/{rest}", self.name)
    }

    /// A request as the administrator; the status and the answer.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let media = if method == Method::PATCH { "application/strategic-merge-patch+json" } else { "application/json" };
        self.kubernetes.ask("admin", method, path, body.map(|body| (media, body))).await
    }

    /// Creates an object.
    pub async fn create(&self, collection: &str, object: &Value) -> Value {
        let (status, made) = self.ask(Method::POST, collection, Some(object)).await;
        assert_eq!(status, 201, "POST {collection}: {made}");
        made
    }

    /// An object that is there.
    pub async fn get(&self, path: &str) -> Value {
        let (status, object) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {object}");
        object
    }

    /// Waits until a Deployment has so many ready replicas, and no others.
    pub async fn until_ready(&self, deployment: &str, replicas: u64) {
        let path = self.path("/apis/apps/v1", &format!("deployments/{deployment}"));
        let deadline = Instant::now() + PATIENCE;
        loop {
            let object = self.get(&path).await;
            let status = &object["status"];
            if status["readyReplicas"] == replicas
                && status["replicas"] == replicas
                && status["observedGeneration"] == object["metadata"]["generation"]
            {
                return;
            }
            assert!(Instant::now() < deadline, "{deployment} has not {replicas} ready replicas: {status}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // The cluster takes everything in it away by itself; nobody waits for that.
        let (kubernetes, name) = (Arc::clone(&self.kubernetes), self.name.clone());
        let gone = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let request = kubernetes.client().delete(format!("{}/api/v1/namespaces/{name}", kubernetes.server()));
            let request = request.bearer_auth(kubernetes.token("admin").unwrap_or_default()).timeout(Duration::from_secs(5));
            runtime.block_on(async { drop(request.send().await) });
            std::io::Result::Ok(())
        });
        let _ = gone.join();
    }
}

/// The Deployment of the scaling procedure.
fn ticket_service() -> Value {
    let probe = json!({ "httpGet": { "path": "/health/ready", "port": "http" } });
    let container = json!({
        "name": "ticket-service", "image": "registry.example/ticket-service:1.0.0", "readinessProbe": probe,
        "ports": [{ "name": "http", "containerPort": 8080 }], "env": [{ "name": "DB_POOL_MAX", "value": "20" }],
        "resources": { "requests": { "cpu": "250m", "memory": "256Mi" }, "limits": { "cpu": "1", "memory": "512Mi" } },
    });
    let labels = json!({ "app": "ticket-service" });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "ticket-service", "labels": labels },
        "spec": { "replicas": 2, "selector": { "matchLabels": labels }, "template": { "metadata": { "labels": labels }, "spec": { "containers": [container] } } },
    })
}

fn service() -> Value {
    let labels = json!({ "app": "ticket-service" });
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "ticket-service", "labels": labels },
        "spec": { "selector": labels, "ports": [{ "name": "http", "port": 80, "targetPort": 8080 }] },
    })
}
