//! A stand-in for an API server that holds objects by path, for tests: it reads, lists, creates, patches, replaces and deletes as the real one
//! does, and can be told to fail. It has no controllers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::environment::{Connections, KubernetesAccess};

/// What happens to the next write.
#[derive(Clone, Debug)]
pub(in crate::actions::kubernetes) enum Fault {
    /// Nothing of it is done, and it is answered with this status, reason and message.
    Refuse(u16, &'static str, &'static str),
    /// It is done, and the connection is cut in the middle of the answer.
    CutAfter,
    /// Nothing of it is done, and the connection is cut.
    CutBefore,
    /// Somebody else puts this object in the place of what is there, just before it.
    Meanwhile(Value),
}

/// The objects by their path (`/apis/apps/v1/namespaces/production/deployments/x`), and what was done to them.
#[derive(Clone, Default)]
pub(in crate::actions::kubernetes) struct Held {
    pub(in crate::actions::kubernetes) objects: BTreeMap<String, Value>,
    /// Taken from the end.
    pub(in crate::actions::kubernetes) faults: Vec<Fault>,
    /// Each write that changed something: method and path.
    pub(in crate::actions::kubernetes) writes: Vec<(String, String)>,
    /// Fields that managers own, and which of them: server-side apply without `force` conflicts there.
    pub(in crate::actions::kubernetes) owned: Vec<(&'static str, &'static str)>,
    /// What is filled in on every write, as an API server's defaults are.
    pub(in crate::actions::kubernetes) defaults: Option<fn(&mut Value)>,
    version: u64,
}

/// A running stand-in; it ends with the test's runtime.
pub(in crate::actions::kubernetes) struct Objects {
    pub(in crate::actions::kubernetes) held: Arc<Mutex<Held>>,
    pub(in crate::actions::kubernetes) connections: Arc<Connections>,
}

impl Objects {
    /// With these objects, each with its path.
    pub(in crate::actions::kubernetes) async fn start(objects: &[(&str, Value)]) -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
        let app = Router::new().fallback(serve).with_state(Arc::clone(&held));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: SocketAddr = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        let access = KubernetesAccess::Token { url: format!("http://{address}"), token: "a-token".to_owned().into() };
        let stand_in = Self { held, connections: Arc::new(Connections::new().with_kubernetes(access)) };
        for (path, object) in objects {
            stand_in.put(path, object.clone());
        }
        stand_in
    }

    /// Puts an object there, as somebody else would.
    pub(in crate::actions::kubernetes) fn put(&self, path: &str, object: Value) {
        self.held.lock().unwrap().store(path, object);
    }

    /// The object there.
    pub(in crate::actions::kubernetes) fn get(&self, path: &str) -> Option<Value> {
        self.held.lock().unwrap().objects.get(path).cloned()
    }

    /// Has the next write meet this.
    pub(in crate::actions::kubernetes) fn fault(&self, fault: Fault) {
        self.held.lock().unwrap().faults.push(fault);
    }

    /// How many writes changed something.
    pub(in crate::actions::kubernetes) fn writes(&self) -> usize {
        self.held.lock().unwrap().writes.len()
    }
}

impl Held {
    fn store(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        if object["metadata"]["uid"].is_null() {
            // A change of what is there leaves it the same object.
            let before = self.objects.get(path).map(|before| before["metadata"]["uid"].clone());
            object["metadata"]["uid"] = before.unwrap_or_else(|| json!(format!("uid-{}", self.version)));
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }
}

async fn serve(State(held): State<Arc<Mutex<Held>>>, method: Method, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let mut held = held.lock().unwrap();
    if method == Method::GET {
        return read(&held, uri.path());
    }
    if uri.query().is_some_and(|query| query.contains("dryRun=All")) {
        let mut copy = held.clone();
        return write(&mut copy, &method, &uri, &headers, &body);
    }
    match held.faults.pop() {
        Some(Fault::Refuse(status, reason, message)) => return refusal(status, reason, message),
        Some(Fault::CutBefore) => return cut(),
        Some(Fault::CutAfter) => {
            write(&mut held, &method, &uri, &headers, &body);
            return cut();
        }
        Some(Fault::Meanwhile(object)) => {
            held.store(uri.path(), object);
        }
        None => {}
    }
    write(&mut held, &method, &uri, &headers, &body)
}

fn read(held: &Held, path: &str) -> Response {
    if let Some(object) = held.objects.get(path) {
        return Json(object.clone()).into_response();
    }
    let inside = format!("{path}/");
    let items: Vec<&Value> = held
        .objects
        .iter()
        .filter(|(key, _)| key.strip_prefix(&inside).is_some_and(|name| !name.contains('/')))
        .map(|(_, object)| object)
        .collect();
    let last = path.rsplit('/').next().unwrap_or_default();
    let named = path.split_once("/namespaces/").is_some_and(|(_, rest)| rest.split('/').count() > 2);
    if items.is_empty() && (named || !last.ends_with('s')) {
        return refusal(404, "NotFound", "not found");
    }
    Json(json!({ "kind": "List", "metadata": { "resourceVersion": held.version.to_string() }, "items": items })).into_response()
}

fn write(held: &mut Held, method: &Method, uri: &Uri, headers: &HeaderMap, body: &str) -> Response {
    // A resize changes the pod itself.
    let path = uri.path().strip_suffix("/resize").unwrap_or(uri.path());
    let mut sent: Value = serde_json::from_str(body).unwrap_or_default();
    let defaults = held.defaults.unwrap_or(|_| {});
    let stored = held.objects.get(path).cloned();
    let mut wanted = match (method.as_str(), stored) {
        ("POST", _) => {
            let path = format!("{path}/{}", sent["metadata"]["name"].as_str().unwrap_or_default());
            if held.objects.contains_key(&path) {
                return refusal(409, "AlreadyExists", "it already exists");
            }
            defaults(&mut sent);
            held.writes.push((method.to_string(), path.clone()));
            return (StatusCode::CREATED, Json(held.store(&path, sent))).into_response();
        }
        (_, None) => return refusal(404, "NotFound", "not found"),
        ("DELETE", Some(object)) => {
            let precondition = &sent["preconditions"]["uid"];
            if !precondition.is_null() && precondition != &object["metadata"]["uid"] {
                return refusal(409, "Conflict", "the UID in the precondition does not match");
            }
            let precondition = &sent["preconditions"]["resourceVersion"];
            if !precondition.is_null() && precondition != &object["metadata"]["resourceVersion"] {
                return refusal(409, "Conflict", "the ResourceVersion in the precondition does not match");
            }
            held.objects.remove(path);
            held.writes.push((method.to_string(), path.to_owned()));
            return Json(json!({ "kind": "Status", "status": "Success" })).into_response();
        }
        ("PUT", Some(object)) => {
            let version = &sent["metadata"]["resourceVersion"];
            if !version.is_null() && version != &object["metadata"]["resourceVersion"] {
                return refusal(409, "Conflict", "the object has been modified");
            }
            sent
        }
        ("PATCH", Some(mut object)) => match headers["content-type"].to_str().unwrap_or_default() {
            "application/json-patch+json" => {
                let mut operations: Vec<Value> = serde_json::from_value(sent).unwrap();
                // As the API server does: a member that is not there passes as null.
                operations.retain(|operation| {
                    let missing = object.pointer(operation["path"].as_str().unwrap_or_default()).is_none_or(Value::is_null);
                    !(operation["op"] == "test" && operation["value"].is_null() && missing)
                });
                let patch: json_patch::Patch = serde_json::from_value(json!(operations)).unwrap();
                if json_patch::patch(&mut object, &patch).is_err() {
                    return refusal(422, "Invalid", "the server rejected our request due to an error in our request");
                }
                object
            }
            "application/merge-patch+json" => {
                json_patch::merge(&mut object, &sent);
                object
            }
            "application/apply-patch+yaml" => {
                let version = sent["metadata"].as_object_mut().and_then(|metadata| metadata.remove("resourceVersion"));
                if version.is_some_and(|version| version != object["metadata"]["resourceVersion"]) {
                    return refusal(409, "Conflict", "the object has been modified");
                }
                if !uri.query().unwrap_or_default().contains("force=true")
                    && let Some(body) = super::applied::conflict(&object, &sent, &held.owned)
                {
                    return (StatusCode::CONFLICT, Json(body)).into_response();
                }
                super::applied::merge(&mut object, &sent);
                object
            }
            other => panic!("a patch of type {other}"),
        },
        (other, _) => panic!("{other} {path}"),
    };
    defaults(&mut wanted);
    if held.objects.get(path) != Some(&wanted) {
        held.writes.push((method.to_string(), path.to_owned()));
        return Json(held.store(path, wanted)).into_response();
    }
    Json(wanted).into_response()
}

fn refusal(status: u16, reason: &str, message: &str) -> Response {
    let body = json!({ "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message });
    (StatusCode::from_u16(status).unwrap(), Json(body)).into_response()
}

fn cut() -> Response {
    let pieces = [Ok("{\"kind\":"), Err(std::io::Error::other("cut"))];
    Body::from_stream(futures::stream::iter(pieces)).into_response()
}
