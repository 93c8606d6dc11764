//! A stand-in for the API of Leases, for tests: it makes, replaces and deletes as the real one does, and can be told to fail.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::environment::{Connections, IDENTITY_PATH, KubernetesAccess};

/// What happens to a request.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// Nothing of it is done, and it is answered with this status.
    Refuse(u16),
    /// It is done, and the connection is cut in the middle of the answer.
    CutAfter,
    /// Nothing of it is done, and the connection is cut.
    CutBefore,
    /// Just before it, this holder of another machine has taken the Lease.
    TakenBy(&'static str),
}

#[derive(Default)]
pub(super) struct Held {
    /// By path.
    pub leases: BTreeMap<String, Value>,
    /// For the next requests of a method, each for one.
    pub faults: Vec<(Method, VecDeque<Fault>)>,
    /// For every request of these methods, until it is taken away.
    pub broken: Vec<(Method, Fault)>,
    /// Each request: method and path.
    pub asked: Vec<String>,
    /// The server has just been started, and forbids everything.
    pub starting: bool,
    version: u64,
}

/// A running stand-in; it ends with the test's runtime.
#[derive(Clone)]
pub(super) struct StandIn {
    pub held: Arc<Mutex<Held>>,
    pub connections: Arc<Connections>,
}

impl StandIn {
    pub async fn start() -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&held));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let access =
            KubernetesAccess::Token { url: format!("http://{}", listener.local_addr().unwrap()), token: "a-token".to_owned().into() };
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { held, connections: Arc::new(Connections::new().with_kubernetes(access)) }
    }

    /// The only Lease, where there is one.
    pub fn lease(&self) -> Option<Value> {
        let held = self.held.lock().unwrap();
        assert!(held.leases.len() < 2, "{:?}", held.leases);
        held.leases.values().next().cloned()
    }

    /// Changes the only Lease, as somebody else does.
    pub fn change(&self, change: impl FnOnce(&mut Value)) {
        let mut held = self.held.lock().unwrap();
        let (path, mut lease) = held.leases.pop_first().expect("there is a Lease");
        change(&mut lease);
        held.store(path, lease);
    }

    /// Puts a Lease there that was once given back.
    pub fn put(&self, lease: Value) {
        let path = format!("/apis/coordination.k8s.io/v1/namespaces/production/leases/{}", lease["metadata"]["name"].as_str().unwrap());
        self.held.lock().unwrap().store(path, lease);
    }

    /// Deletes all, as somebody else does.
    pub fn delete(&self) {
        self.held.lock().unwrap().leases.clear();
    }

    /// The next request of this method that has no fault yet meets this one.
    pub fn fault(&self, method: Method, fault: Fault) {
        self.held.lock().unwrap().faults.push((method, VecDeque::from([fault])));
    }

    /// Each request of this method meets this.
    pub fn breaks(&self, method: Method, fault: Fault) {
        self.held.lock().unwrap().broken.push((method, fault));
    }

    /// All is well again.
    pub fn heal(&self) {
        self.held.lock().unwrap().broken.clear();
    }

    /// How many requests there were.
    pub fn asked(&self) -> usize {
        self.held.lock().unwrap().asked.len()
    }
}

impl Held {
    fn store(&mut self, path: String, mut lease: Value) -> Value {
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if lease["metadata"]["uid"].is_null() {
            lease["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        }
        self.leases.insert(path, lease.clone());
        lease
    }

    fn fault(&mut self, method: &Method) -> Option<Fault> {
        if let Some((_, fault)) = self.broken.iter().find(|(broken, _)| broken == method) {
            return Some(fault.clone());
        }
        let (_, faults) = self.faults.iter_mut().find(|(faulty, faults)| faulty == method && !faults.is_empty())?;
        faults.pop_front()
    }
}

async fn serve(State(held): State<Arc<Mutex<Held>>>, method: Method, uri: Uri, body: String) -> Response {
    let mut held = held.lock().unwrap();
    let path = uri.path().to_owned();
    if path == IDENTITY_PATH {
        let status = if held.starting { StatusCode::FORBIDDEN } else { StatusCode::OK };
        return (status, Json(json!({ "kind": "Namespace" }))).into_response();
    }
    held.asked.push(format!("{method} {path}"));
    match held.fault(&method) {
        Some(Fault::Refuse(status)) => return refusal(status, "Refused", "it is refused"),
        Some(Fault::CutBefore) => return cut(),
        Some(Fault::CutAfter) => {
            let _ = answer(&mut held, &method, path, &body);
            return cut();
        }
        Some(Fault::TakenBy(who)) => {
            let sent: Value = serde_json::from_str(&body).unwrap();
            let path = if method == Method::POST { format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap()) } else { path.clone() };
            let mut lease = sent.clone();
            lease["metadata"]["annotations"] = json!({ "runsheet/process": who, "runsheet/lock-file": who });
            lease["spec"]["holderIdentity"] = json!(who);
            held.store(path, lease);
        }
        None => {}
    }
    answer(&mut held, &method, path, &body)
}

fn answer(held: &mut Held, method: &Method, path: String, body: &str) -> Response {
    let sent: Value = serde_json::from_str(body).unwrap_or_default();
    let stored = held.leases.get(&path).cloned();
    let same = |claimed: &Value, found: &Value| claimed.is_null() || claimed == found;
    match (method.as_str(), stored) {
        ("POST", _) => {
            assert!(sent["metadata"]["resourceVersion"].is_null(), "{sent}");
            let path = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap_or_default());
            if held.leases.contains_key(&path) {
                return refusal(409, "AlreadyExists", "it already exists");
            }
            (StatusCode::CREATED, Json(held.store(path, sent))).into_response()
        }
        ("GET", Some(lease)) => Json(lease).into_response(),
        ("GET" | "DELETE", None) => refusal(404, "NotFound", "not found"),
        // The API makes a Lease by PUT, unless the PUT names the one it means.
        ("PUT", None) => {
            assert!(!sent["metadata"]["uid"].is_null(), "an unguarded PUT: {sent}");
            refusal(409, "Conflict", "Precondition failed: UID")
        }
        ("PUT", Some(lease)) => {
            let metadata = &sent["metadata"];
            assert!(!metadata["resourceVersion"].is_null(), "an unguarded PUT: {sent}");
            if !same(&metadata["resourceVersion"], &lease["metadata"]["resourceVersion"])
                || !same(&metadata["uid"], &lease["metadata"]["uid"])
            {
                return refusal(409, "Conflict", "the object has been modified");
            }
            Json(held.store(path, sent)).into_response()
        }
        ("DELETE", Some(lease)) => {
            let preconditions = &sent["preconditions"];
            assert!(!preconditions["resourceVersion"].is_null() && !preconditions["uid"].is_null(), "an unguarded DELETE: {sent}");
            if !same(&preconditions["resourceVersion"], &lease["metadata"]["resourceVersion"])
                || !same(&preconditions["uid"], &lease["metadata"]["uid"])
            {
                return refusal(409, "Conflict", "Precondition failed");
            }
            held.leases.remove(&path);
            Json(json!({ "kind": "Status", "status": "Success" })).into_response()
        }
        (other, _) => panic!("{other} {path}"),
    }
}

fn refusal(status: u16, reason: &str, message: &str) -> Response {
    let details = if status == 404 && reason == "NotFound" { json!({ "name": "a-lease", "kind": "leases" }) } else { Value::Null };
    let body = json!({ "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message, "details": details });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn cut() -> Response {
    let pieces = [Ok("{\"kind\":"), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}
