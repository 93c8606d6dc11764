//! A stand-in for an API server with one Deployment, for tests: its `scale` subresource swaps as the real one does, and it can be told to fail.

mod applied;
pub(super) mod objects;
pub(super) mod served;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::environment::{Connections, KubernetesAccess};

/// What the stand-in does with the next write.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing, with this status and `Retry-After`.
    Refuse(u16, Option<&'static str>),
    /// What was asked, and cuts the connection in the middle of the answer.
    CutAfter,
    /// Nothing, and cuts the connection in the middle of the answer.
    CutBefore,
    /// What was asked, but somebody else changes the replicas to this first.
    Meanwhile(i64),
    /// Nothing, and no answer either.
    Hang,
}

/// The cluster's state.
pub(super) struct Cluster {
    pub(super) replicas: i64,
    pub(super) version: u64,
    pub(super) generation: i64,
    pub(super) observed: i64,
    /// Name, and whether it is terminating.
    pub(super) pods: Vec<(String, bool)>,
    pub(super) gone: bool,
    pub(super) faults: Vec<Fault>,
    /// Each write that changed something: from, to.
    pub(super) effects: Vec<(i64, i64)>,
}

/// A running stand-in; it ends with the test's runtime.
pub(super) struct StandIn {
    pub(super) cluster: Arc<Mutex<Cluster>>,
    pub(super) connections: Arc<Connections>,
}

impl StandIn {
    pub(super) async fn start(replicas: i64) -> Self {
        let cluster = Arc::new(Mutex::new(Cluster {
            replicas,
            version: 1,
            generation: 1,
            observed: 1,
            pods: (0..replicas).map(|number| (format!("pod-{number}"), false)).collect(),
            gone: false,
            faults: Vec::new(),
            effects: Vec::new(),
        }));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&cluster));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let access = KubernetesAccess::Token { url: format!("http://{address}"), token: "a-token".to_owned().into() };
        Self { cluster, connections: Arc::new(Connections::new().with_kubernetes(access)) }
    }
}

const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";

async fn serve(State(cluster): State<Arc<Mutex<Cluster>>>, method: Method, uri: Uri, body: String) -> Response {
    if method == Method::GET {
        return read(&cluster.lock().unwrap(), &uri);
    }
    let fault = cluster.lock().unwrap().faults.pop();
    match fault {
        Some(Fault::Refuse(status, after)) => {
            let mut answer = refusal(status, "Fault", "as it was told");
            if let Some(after) = after {
                answer.headers_mut().insert("retry-after", after.parse().unwrap());
            }
            answer
        }
        Some(Fault::CutAfter) => {
            write(&mut cluster.lock().unwrap(), &method, &body);
            cut()
        }
        Some(Fault::CutBefore) => cut(),
        Some(Fault::Meanwhile(count)) => {
            let mut cluster = cluster.lock().unwrap();
            cluster.replicas = count;
            cluster.version += 1;
            write(&mut cluster, &method, &body)
        }
        Some(Fault::Hang) => std::future::pending().await,
        None => write(&mut cluster.lock().unwrap(), &method, &body),
    }
}

fn read(cluster: &Cluster, uri: &Uri) -> Response {
    match uri.path() {
        DEPLOYMENT if !cluster.gone => Json(json!({
            "metadata": { "name": "ticket-service", "generation": cluster.generation, "managedFields": [{ "manager": "somebody" }] },
            "spec": { "replicas": cluster.replicas, "selector": { "matchLabels": { "app": "ticket-service" } } },
            "status": { "observedGeneration": cluster.observed, "readyReplicas": cluster.pods.iter().filter(|pod| !pod.1).count() },
        }))
        .into_response(),
        path if path.strip_suffix("/scale") == Some(DEPLOYMENT) && !cluster.gone => Json(scale(cluster)).into_response(),
        "/api/v1/namespaces/production/pods" => {
            assert!(uri.query().unwrap_or_default().contains("labelSelector=app%3Dticket%2Dservice"), "{uri}");
            let pod = |(name, leaving): &(String, bool)| {
                let at = leaving.then_some("2026-01-01T00:00:00Z");
                json!({ "metadata": { "name": name, "deletionTimestamp": at }, "status": { "phase": "Running" } })
            };
            let evicted = json!({ "metadata": { "name": "evicted" }, "status": { "phase": "Failed" } });
            let items: Vec<Value> = cluster.pods.iter().map(pod).chain([evicted]).collect();
            Json(json!({ "metadata": {}, "items": items })).into_response()
        }
        "/apis/keda.sh/v1alpha1" => Json(json!({ "resources": [
            { "name": "scaledobjects/status", "kind": "ScaledObject", "namespaced": true },
            { "name": "scaledobjects", "kind": "ScaledObject", "namespaced": true },
        ] }))
        .into_response(),
        "/apis/keda.sh/v1alpha1/namespaces/production/scaledobjects/floor" => {
            Json(json!({ "metadata": { "name": "floor" }, "spec": { "minReplicaCount": 2 } })).into_response()
        }
        _ => refusal(404, "NotFound", "not found"),
    }
}

/// As the API server gives it: a count of 0 is left out.
fn scale(cluster: &Cluster) -> Value {
    let spec = if cluster.replicas == 0 { json!({}) } else { json!({ "replicas": cluster.replicas }) };
    json!({ "kind": "Scale", "metadata": { "name": "ticket-service", "resourceVersion": cluster.version.to_string() }, "spec": spec })
}

fn write(cluster: &mut Cluster, method: &Method, body: &str) -> Response {
    let body: Value = serde_json::from_str(body).unwrap();
    let wanted = if *method == Method::PUT {
        let version = cluster.version.to_string();
        if body["metadata"]["resourceVersion"].as_str() != Some(version.as_str()) {
            return refusal(409, "Conflict", "the object has been modified");
        }
        body["spec"]["replicas"].as_i64().unwrap_or(0)
    } else {
        assert_eq!(body[0]["op"], "test");
        let there = scale(cluster).pointer("/spec/replicas").cloned();
        if there.as_ref() != Some(&body[0]["value"]) {
            return refusal(422, "Invalid", "the server rejected our request due to an error in our request");
        }
        assert_eq!((&body[1]["op"], &body[1]["path"]), (&json!("replace"), &json!("/spec/replicas")));
        body[1]["value"].as_i64().unwrap()
    };
    if wanted != cluster.replicas {
        cluster.effects.push((cluster.replicas, wanted));
        cluster.replicas = wanted;
        cluster.version += 1;
        cluster.generation += 1;
    }
    Json(scale(cluster)).into_response()
}

fn refusal(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn cut() -> Response {
    let pieces = [Ok("{\"kind\":"), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}
