//! What the actions ask of the Kubernetes API, request by request.
//!
//! Must not decide anything. Invariant: every request has a timeout and is sent once.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use super::errors::{Asked, Trouble};
use super::workload::Workload;
use crate::actions::support;
use crate::environment::{Connections, KubeCall};
use crate::model::outcome::Failure;
use crate::ports::action::{Context, Log};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);

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

    /// Swaps `spec.replicas` from one value, which is not 0, to another, only if the first is there.
    pub(super) async fn patch_replicas(&self, workload: &Workload, namespace: &str, from: i64, to: i64) -> Result<(), Trouble> {
        let patch = json!([
            { "op": "test", "path": "/spec/replicas", "value": from },
            { "op": "replace", "path": "/spec/replicas", "value": to },
        ]);
        self.write(Method::PATCH, scale_path(workload, namespace), "application/json-patch+json", patch).await.map(drop)
    }

    /// Reads the `scale` subresource.
    pub(super) async fn scale(&self, workload: &Workload, namespace: &str) -> Result<Value, Trouble> {
        self.get(&scale_path(workload, namespace)).await
    }

    /// Replaces the `scale` subresource, only if the object still is at the version that this was read at.
    pub(super) async fn put_scale(&self, workload: &Workload, namespace: &str, scale: Value) -> Result<(), Trouble> {
        self.write(Method::PUT, scale_path(workload, namespace), "application/json", scale).await.map(drop)
    }

    /// Sends a write, once; the object that the server answered with.
    pub(super) async fn write(&self, method: Method, path: String, media: &'static str, body: Value) -> Result<Value, Trouble> {
        self.exchange(KubeCall { method, path, body: Some((media, body)), timeout: self.timeout }).await
    }

    async fn exchange(&self, call: KubeCall) -> Result<Value, Trouble> {
        let reply = call.send(&self.client).await.map_err(Trouble::Silent)?;
        match reply.status {
            200..=299 if reply.body.is_object() => Ok(reply.body),
            200..=299 => Err(Trouble::Garbled { what: "it is not a JSON object".to_owned() }),
            _ => Err(Trouble::of(&reply, &*self.log)),
        }
    }
}

fn scale_path(workload: &Workload, namespace: &str) -> String {
    format!("{}/scale?fieldManager=runsheet", workload.path(namespace))
}

/// What was asked of a workload, for messages.
pub(super) fn asked<'a>(verb: &'static str, resource: &'a str, workload: &'a Workload, namespace: &'a str) -> Asked<'a> {
    Asked { verb, resource, name: &workload.name, namespace }
}
