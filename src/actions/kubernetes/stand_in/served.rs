//! A stand-in for an API server that answers as a test's own function says, for tests of reads: lists, logs and the pod proxy.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::environment::{Connections, KubernetesAccess};

/// A request as it came.
#[derive(Clone, Debug)]
pub(in crate::actions::kubernetes) struct Came {
    pub(in crate::actions::kubernetes) method: Method,
    pub(in crate::actions::kubernetes) path: String,
    /// Decoded, in order.
    pub(in crate::actions::kubernetes) query: Vec<(String, String)>,
    pub(in crate::actions::kubernetes) headers: HeaderMap,
    pub(in crate::actions::kubernetes) body: String,
}

impl Came {
    /// A parameter of the query; empty where it is absent.
    pub(in crate::actions::kubernetes) fn query(&self, name: &str) -> &str {
        self.query.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }
}

/// A running stand-in; it ends with the test's runtime.
pub(in crate::actions::kubernetes) struct Served {
    pub(in crate::actions::kubernetes) connections: Arc<Connections>,
    came: Arc<Mutex<Vec<Came>>>,
}

impl Served {
    /// With these answers.
    pub(in crate::actions::kubernetes) async fn start(answer: impl Fn(&Came) -> Response + Send + Sync + 'static) -> Self {
        let came: Arc<Mutex<Vec<Came>>> = Arc::default();
        let (seen, answer) = (Arc::clone(&came), Arc::new(answer));
        let app = Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let request = Came {
                method,
                path: uri.path().to_owned(),
                query: url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect(),
                headers,
                body: String::from_utf8_lossy(&body).into_owned(),
            };
            // It is ready, whatever it forbids.
            if request.path == crate::environment::IDENTITY_PATH {
                return std::future::ready(text("ok"));
            }
            let response = answer(&request);
            seen.lock().unwrap().push(request);
            std::future::ready(response)
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let access = KubernetesAccess::Token { url: format!("http://{address}"), token: "a-token".to_owned().into() };
        Self { connections: Arc::new(Connections::new().with_kubernetes(access)), came }
    }

    /// The requests so far.
    pub(in crate::actions::kubernetes) fn came(&self) -> Vec<Came> {
        self.came.lock().unwrap().clone()
    }
}

/// An object.
pub(in crate::actions::kubernetes) fn object(value: Value) -> Response {
    Json(value).into_response()
}

/// A list of objects.
pub(in crate::actions::kubernetes) fn items(items: &[Value]) -> Response {
    object(json!({ "kind": "List", "metadata": { "resourceVersion": "7" }, "items": items }))
}

/// Plain text.
pub(in crate::actions::kubernetes) fn text(text: impl Into<String>) -> Response {
    text.into().into_response()
}

/// A `Status` object.
pub(in crate::actions::kubernetes) fn refusal(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status, "reason": reason, "message": message });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

/// The connection is cut in the middle of the answer.
pub(in crate::actions::kubernetes) fn cut() -> Response {
    let pieces = [Ok("{\"kind\":"), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}

/// `deployment/ticket-service` with this status.
pub(in crate::actions::kubernetes) fn deployment(status: Value) -> Value {
    json!({
        "metadata": { "name": "ticket-service", "namespace": "production", "uid": "uid-of-the-deployment" },
        "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "ticket-service" } } },
        "status": status,
    })
}

/// Its path.
pub(in crate::actions::kubernetes) const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/production/deployments/ticket-service";
/// The path of the namespace's pods.
pub(in crate::actions::kubernetes) const PODS: &str = "/api/v1/namespaces/production/pods";
