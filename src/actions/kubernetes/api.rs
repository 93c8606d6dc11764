//! What the actions ask of the Kubernetes API, request by request.
//!
//! Must not decide anything. Invariant: every request has a timeout and is sent once.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::errors::{Asked, Trouble};
use super::workload::Workload;
use crate::actions::support;
use crate::environment::{Connections, KubeCall};
use crate::model::outcome::Failure;
use crate::ports::action::{Context, Log};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many pods are asked for at once.
const PAGE: usize = 500;

/// A cluster's API, for the time of one call of an action.
pub(super) struct Api {
    pub(super) client: kube::Client,
    pub(super) timeout: Duration,
    pub(super) log: Arc<dyn Log>,
}

/// The pods of a workload that still take part: those that have finished for good (evicted, completed) are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pods {
    /// All of them, terminating ones included.
    pub(super) total: u64,
    /// Those on their way out.
    pub(super) terminating: u64,
    /// The first few names of those on their way out, else of all.
    pub(super) names: Vec<String>,
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

    /// The pods that a selector finds.
    pub(super) async fn pods(&self, namespace: &str, selector: &str) -> Result<Pods, Trouble> {
        let mut pods = Pods::default();
        let mut others = Vec::new();
        let mut next = String::new();
        loop {
            let path = format!(
                "/api/v1/namespaces/{namespace}/pods?labelSelector={}&limit={PAGE}{next}",
                utf8_percent_encode(selector, NON_ALPHANUMERIC)
            );
            let page = self.get(&path).await?;
            let items = page.get("items").and_then(Value::as_array);
            for pod in items.ok_or_else(|| Trouble::Garbled { what: "a list of pods has no items".to_owned() })? {
                if matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed")) {
                    continue;
                }
                pods.total += 1;
                let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?").to_owned();
                let leaving = pod.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
                pods.terminating += u64::from(leaving);
                let names = if leaving { &mut pods.names } else { &mut others };
                if names.len() < 5 {
                    names.push(name);
                }
            }
            match page.pointer("/metadata/continue").and_then(Value::as_str) {
                Some(token) if !token.is_empty() => next = format!("&continue={}", utf8_percent_encode(token, NON_ALPHANUMERIC)),
                _ => break,
            }
        }
        if pods.names.is_empty() {
            pods.names = others;
        }
        Ok(pods)
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
