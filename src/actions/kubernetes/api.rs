//! What the actions ask of the Kubernetes API, request by request.
//!
//! Must not decide anything. Invariant: every request has a timeout, and a write is sent once.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::errors::{Asked, Trouble};
use super::swap_fields::{Place, with_manager};
use super::workload::Workload;
use crate::actions::support;
use crate::environment::{Connections, IDENTITY_PATH, KubeCall, KubeReply, LONGEST_EFFECT};
use crate::model::outcome::Failure;
use crate::ports::action::{Context, Log};

/// How long one request may take.
const TIMEOUT: Duration = LONGEST_EFFECT;
const FORBIDDEN: u16 = 403;

/// A cluster's API, for the time of one call of an action.
pub(super) struct Api {
    pub(super) client: kube::Client,
    pub(super) timeout: Duration,
    pub(super) log: Arc<dyn Log>,
}

impl Api {
    /// The API that these connections lead to.
    pub(super) fn new(connections: &Arc<Connections>, cx: &Context) -> Result<Self, Failure> {
        let client = connections.kube_client().map_err(|error| support::not_connected(&error))?;
        Ok(Self { client, timeout: support::within(cx, TIMEOUT), log: Arc::clone(&cx.log) })
    }

    /// The same with less time for each request.
    pub(super) fn within(mut self, limit: Duration) -> Self {
        self.timeout = self.timeout.min(limit);
        self
    }

    /// Reads what is at a path.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.exchange(KubeCall::get(path, self.timeout)).await
    }

    /// Swaps `spec.replicas` from one value, which is not 0, to another, only if the first is there, and in the object with this uid.
    pub(super) async fn patch_replicas(&self, place: &Place, from: i64, to: i64) -> Result<(), Trouble> {
        let mut patch = vec![
            json!({ "op": "test", "path": "/spec/replicas", "value": from }),
            json!({ "op": "replace", "path": "/spec/replicas", "value": to }),
        ];
        if let Some(uid) = &place.uid {
            patch.insert(0, json!({ "op": "test", "path": "/metadata/uid", "value": uid }));
        }
        self.write(Method::PATCH, scale_path(place), "application/json-patch+json", json!(patch)).await.map(drop)
    }

    /// Reads the `scale` subresource.
    pub(super) async fn scale(&self, place: &Place) -> Result<Value, Trouble> {
        self.get(&scale_path(place)).await
    }

    /// Replaces the `scale` subresource, only if the object still is at the version that this was read at.
    pub(super) async fn put_scale(&self, place: &Place, scale: Value) -> Result<(), Trouble> {
        self.write(Method::PUT, scale_path(place), "application/json", scale).await.map(drop)
    }

    /// Sends a write, once; the object that the server answered with.
    pub(super) async fn write(&self, method: Method, path: String, media: &'static str, body: Value) -> Result<Value, Trouble> {
        self.exchange(KubeCall { method, path, body: Some((media, body)), timeout: self.timeout }).await
    }

    async fn exchange(&self, call: KubeCall) -> Result<Value, Trouble> {
        let reads = (call.method == Method::GET).then(|| call.clone());
        let mut reply = call.send(&self.client).await.map_err(Trouble::Silent)?;
        if reply.status == FORBIDDEN {
            let trouble = self.refused(&reply).await;
            match reads {
                // It is ready, now at least: a read can be asked again, and that answer counts.
                Some(call) if trouble.is_forbidden() => reply = call.send(&self.client).await.map_err(Trouble::Silent)?,
                _ => return Err(trouble),
            }
        }
        match reply.status {
            200..=299 if reply.body.is_object() => Ok(reply.body),
            200..=299 => Err(Trouble::Garbled { what: "it is not a JSON object".to_owned() }),
            _ => Err(Trouble::of(&reply, &*self.log)),
        }
    }

    /// What a reply other than 2xx is. A server that has just been started forbids everything until it has read who may do what: where it forbids,
    /// it is asked for what this account has read before.
    pub(super) async fn refused(&self, reply: &KubeReply) -> Trouble {
        let trouble = Trouble::of(reply, &*self.log);
        if !trouble.is_forbidden() {
            return trouble;
        }
        match KubeCall::get(IDENTITY_PATH, self.timeout).send(&self.client).await {
            Ok(ready) if ready.status == 403 || ready.status >= 500 => trouble.not_ready(),
            Ok(_) | Err(_) => trouble,
        }
    }
}

fn scale_path(place: &Place) -> String {
    with_manager(&format!("{}/scale", place.path))
}

/// What was asked of a workload, for messages.
pub(super) fn asked<'a>(verb: &'static str, resource: &'a str, workload: &'a Workload, namespace: &'a str) -> Asked<'a> {
    Asked { verb, resource, name: &workload.name, namespace }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{method, path};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::environment::KubernetesAccess;

    struct Silent;

    impl Log for Silent {
        fn line(&self, _: &str) {}
        fn part(&self, _: u64, _: u64, _: &str) {}
        fn redact(&self, text: &str) -> String {
            text.to_owned()
        }
    }

    const ASKED: Asked<'_> = Asked { verb: "get", resource: "pods", name: "x", namespace: "production" };

    /// A server that forbids so often, and says this of itself.
    async fn server(forbids: u64, ready: u16) -> (MockServer, Api) {
        let server = MockServer::start().await;
        let forbidden = ResponseTemplate::new(403).set_body_json(json!({ "message": "not allowed" }));
        Mock::given(path("/pods/x")).respond_with(forbidden).up_to_n_times(forbids).mount(&server).await;
        Mock::given(path("/pods/x")).respond_with(ResponseTemplate::new(200).set_body_json(json!({ "is": "there" }))).mount(&server).await;
        Mock::given(method("GET")).and(path(IDENTITY_PATH)).respond_with(ResponseTemplate::new(ready)).mount(&server).await;
        let access = KubernetesAccess::Token { url: server.uri(), token: "a-token".to_owned().into() };
        let client = Connections::new().with_kubernetes(access).kube_client().unwrap();
        (server, Api { client, timeout: Duration::from_secs(5), log: Arc::new(Silent) })
    }

    #[tokio::test]
    async fn what_a_server_forbids_that_is_not_ready_may_be_tried_again() {
        for ready in [403, 500, 503] {
            let (_server, api) = server(9, ready).await;
            let failure = api.get("/pods/x").await.unwrap_err().failure(ASKED);
            assert!(failure.transient && failure.message.contains("does not say that it is ready"), "{ready}: {failure}");
            let trouble = api.write(Method::PATCH, "/pods/x".to_owned(), "application/json", json!({})).await.unwrap_err();
            assert!(matches!(trouble, Trouble::NotReady { .. }), "{ready}: {trouble:?}");
        }
    }

    #[tokio::test]
    async fn what_a_server_forbids_that_is_ready_is_forbidden_and_a_write_is_not_sent_again() {
        let (server, api) = server(9, 200).await;
        let failure = api.get("/pods/x").await.unwrap_err().failure(ASKED);
        assert!(!failure.transient && failure.message.contains("forbidden (403): not allowed"), "{failure}");
        assert!(api.write(Method::PATCH, "/pods/x".to_owned(), "application/json", json!({})).await.unwrap_err().is_forbidden());
        let sent = server.received_requests().await.unwrap();
        assert_eq!(sent.iter().filter(|request| request.method.as_str() == "PATCH").count(), 1);
    }

    #[tokio::test]
    async fn a_read_that_was_forbidden_by_a_server_that_has_become_ready_since_is_asked_again() {
        let (_server, api) = server(1, 200).await;
        assert_eq!(api.get("/pods/x").await.unwrap(), json!({ "is": "there" }));
    }
}
