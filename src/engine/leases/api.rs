//! The requests for Leases, and what each answer means.
//!
//! Must not try anything again. Invariant: what may have been done and was not answered is never called not done.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::lease::Lease;
use super::place::Place;
use crate::environment::{Connections, IDENTITY_PATH, KubeCall, KubeError, KubeReply};

/// As much as is shown of what a server said.
const LONGEST: usize = 300;

/// Why a request for a Lease did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is one already, or it is not as it was seen.
    Conflict,
    /// There is none.
    Gone,
    /// The account may not.
    Forbidden(String),
    /// The cluster has no Leases.
    NoApi,
    /// There is no such namespace.
    NoNamespace,
    /// The request may have been carried out all the same.
    Unclear(String),
    /// The request was not carried out.
    Failed(String),
}

impl Refusal {
    /// In words.
    pub fn words(&self) -> String {
        match self {
            Self::Conflict => "its Lease was changed at the same time".to_owned(),
            Self::Gone => "its Lease is gone".to_owned(),
            Self::Forbidden(said) => format!("its Lease is forbidden (403): {said}"),
            Self::NoApi => "the cluster has no Leases".to_owned(),
            Self::NoNamespace => "its namespace is not there".to_owned(),
            Self::Unclear(why) | Self::Failed(why) => why.clone(),
        }
    }
}

/// The Leases of a cluster.
#[derive(Clone)]
pub(super) struct LeaseApi {
    connections: Arc<Connections>,
    timeout: Duration,
}

impl LeaseApi {
    pub fn new(connections: Arc<Connections>, timeout: Duration) -> Self {
        Self { connections, timeout }
    }

    /// Makes one.
    pub async fn create(&self, place: &Place, lease: Value) -> Result<Lease, Refusal> {
        self.lease(Method::POST, place.collection(), Some(lease)).await
    }

    /// Reads it.
    pub async fn get(&self, place: &Place) -> Result<Lease, Refusal> {
        self.lease(Method::GET, place.path(), None).await
    }

    /// Replaces it, only if it still has the version that the new one names.
    pub async fn replace(&self, place: &Place, lease: Value) -> Result<Lease, Refusal> {
        self.lease(Method::PUT, place.path(), Some(lease)).await
    }

    /// Deletes it, only if it is still this one.
    pub async fn delete(&self, place: &Place, lease: &Lease) -> Result<(), Refusal> {
        let options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": lease.uid, "resourceVersion": lease.version },
        });
        self.send(Method::DELETE, place.path(), Some(options)).await.map(drop)
    }

    async fn lease(&self, method: Method, path: String, body: Option<Value>) -> Result<Lease, Refusal> {
        let reply = self.send(method, path, body).await?;
        Lease::read(&reply.body).ok_or_else(|| Refusal::Unclear("the answer of the Kubernetes API is no Lease".to_owned()))
    }

    async fn send(&self, method: Method, path: String, body: Option<Value>) -> Result<KubeReply, Refusal> {
        let client = self.connections.kube_client().map_err(|error| Refusal::Failed(error.to_string()))?;
        let writes = method != Method::GET;
        let path = if writes && method != Method::DELETE { format!("{path}?fieldManager=runsheet") } else { path };
        let call = KubeCall { method, path, body: body.map(|body| ("application/json", body)), timeout: self.timeout };
        match call.send(&client).await {
            Ok(reply) if (200..300).contains(&reply.status) => Ok(reply),
            Ok(reply) => match refusal(&reply) {
                // An API server that has just been started forbids everything until it has read who may do what.
                Refusal::Forbidden(said) if !self.is_ready(&client).await => {
                    Err(Refusal::Failed(format!("the API server forbids it, and does not say that it is ready (403): {said}")))
                }
                refusal => Err(refusal),
            },
            Err(error @ (KubeError::NotSent { .. } | KubeError::Credentials(_))) => Err(Refusal::Failed(error.to_string())),
            Err(error) if writes => Err(Refusal::Unclear(error.to_string())),
            Err(error) => Err(Refusal::Failed(error.to_string())),
        }
    }

    /// Whether the server lets this account read what it has read before.
    async fn is_ready(&self, client: &kube::Client) -> bool {
        let asked = KubeCall::get(IDENTITY_PATH, self.timeout).send(client).await;
        asked.is_ok_and(|reply| reply.status != 403 && reply.status < 500)
    }
}

fn refusal(reply: &KubeReply) -> Refusal {
    let text = |at: &str| reply.body.pointer(at).and_then(Value::as_str).unwrap_or_default();
    let said: String = text("/message").chars().filter(|character| !character.is_control()).take(LONGEST).collect();
    let status = reply.status;
    let failed = || format!("the Kubernetes API answered with status {status}{}{said}", if said.is_empty() { "" } else { ": " });
    match (status, text("/reason"), text("/details/kind")) {
        (403, _, _) => Refusal::Forbidden(said),
        (404, "NotFound", "namespaces") => Refusal::NoNamespace,
        // Without the object's name it is the resource itself that the server does not know.
        (404, "NotFound", _) if !text("/details/name").is_empty() => Refusal::Gone,
        (404, _, _) => Refusal::NoApi,
        (409, _, _) => Refusal::Conflict,
        (401 | 429, _, _) => Refusal::Failed(failed()),
        (408 | 500..=599, _, _) => Refusal::Unclear(failed()),
        _ => Refusal::Failed(failed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_one_meaning() {
        let of = |status: u16, body: Value| refusal(&KubeReply { status, retry_after: None, body });
        let missing = |kind: &str, name: &str| json!({ "reason": "NotFound", "message": "m", "details": { "kind": kind, "name": name } });
        assert_eq!(of(404, missing("leases", "runsheet-x")), Refusal::Gone);
        assert_eq!(of(404, missing("namespaces", "production")), Refusal::NoNamespace);
        assert_eq!(of(404, Value::Null), Refusal::NoApi, "`404 page not found` in plain text");
        assert_eq!(
            of(404, json!({ "reason": "NotFound", "message": "the server could not find the requested resource", "details": {} })),
            Refusal::NoApi
        );
        assert_eq!(of(409, json!({ "reason": "AlreadyExists" })), Refusal::Conflict);
        assert_eq!(of(403, json!({ "message": "no\u{7}" })), Refusal::Forbidden("no".into()));
        for (status, sure) in [(401, true), (422, true), (429, true), (408, false), (500, false), (503, false)] {
            let told = of(status, json!({ "message": "why" }));
            assert_eq!(matches!(told, Refusal::Failed(_)), sure, "{status}: {told:?}");
            assert!(told.words().ends_with(&format!("status {status}: why")), "{told:?}");
        }
    }
}
