//! What decides how many pods a workload may have at once, for actions on other systems that have to count with it.
//!
//! Must not judge: the objects are handed on as the API gave them. Invariant: only reads; pods that have finished for good are left out.

use std::borrow::Cow;
use std::sync::Arc;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::api::{Api, asked};
use super::errors::{Asked, Trouble};
use super::workload::{Kind, Workload};
use super::workload_state::WorkloadState;
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// How many objects are asked for at once.
const PAGE: usize = 500;
/// The most pods, and the most autoscalers, that are read.
const MOST: usize = 20_000;

/// A workload as an input: `deployment/ticket-service`.
#[derive(Clone, Debug)]
pub(in crate::actions) struct WorkloadName(Workload);

impl std::fmt::Display for WorkloadName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl std::str::FromStr for WorkloadName {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        text.parse().map(Self).map_err(|error: super::workload::NotAWorkload| Failure::permanent(error.to_string()))
    }
}

impl<'de> Deserialize<'de> for WorkloadName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Workload::deserialize(deserializer).map(Self)
    }
}

impl JsonSchema for WorkloadName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        Workload::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Workload::json_schema(generator)
    }
}

/// A workload with all that decides how many pods it may have.
#[derive(Clone, Debug)]
pub(in crate::actions) struct Capacity {
    /// The workload.
    pub(in crate::actions) object: Value,
    /// Its replicas, as its spec says now.
    pub(in crate::actions) replicas: i64,
    /// Whether its rollouts may have more pods than replicas: a Deployment's.
    pub(in crate::actions) surges: bool,
    /// The HorizontalPodAutoscalers that target it.
    pub(in crate::actions) autoscalers: Vec<Value>,
    /// Its pods, those on their way out too.
    pub(in crate::actions) pods: Vec<Value>,
}

/// Reads a workload of the run's cluster, its autoscalers and its pods. The namespace is the step's own, else the target's.
///
/// # Errors
/// A read that failed; an action without a cluster; a workload that is not there.
pub(in crate::actions) async fn capacity(
    action: &str,
    connections: &Arc<Connections>,
    cx: &Context,
    WorkloadName(workload): &WorkloadName,
    namespace: Option<&str>,
) -> Result<Capacity, Failure> {
    super::cluster(action, cx)?;
    let namespace = super::namespace(namespace, cx.target.as_ref())?;
    let api = Api::new(connections, cx)?;
    let failure = |trouble: Trouble| trouble.failure(asked("get", workload.kind.plural(), workload, &namespace));
    let object = api.get(&workload.path(&namespace)).await.map_err(failure)?;
    let state = WorkloadState::of(&object).map_err(failure)?;
    let autoscalers = list(&api, "horizontalpodautoscalers", &namespace, "/apis/autoscaling/v2", "").await?;
    let selector = format!("&labelSelector={}", utf8_percent_encode(&state.selector, NON_ALPHANUMERIC));
    let mut pods = list(&api, "pods", &namespace, "/api/v1", &selector).await?;
    pods.retain(|pod| !matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed")));
    Ok(Capacity {
        object,
        replicas: state.replicas,
        surges: workload.kind == Kind::Deployment,
        autoscalers: autoscalers.into_iter().filter(|autoscaler| targets(autoscaler, workload)).collect(),
        pods,
    })
}

/// Whether the autoscaler scales this workload.
fn targets(autoscaler: &Value, workload: &Workload) -> bool {
    let field = |name: &str| autoscaler.pointer(&format!("/spec/scaleTargetRef/{name}")).and_then(Value::as_str).unwrap_or_default();
    let group = field("apiVersion").split('/').next().unwrap_or_default();
    field("kind").eq_ignore_ascii_case(workload.kind.as_str()) && field("name") == workload.name && matches!(group, "apps" | "")
}

async fn list(api: &Api, resource: &str, namespace: &str, base: &str, query: &str) -> Result<Vec<Value>, Failure> {
    let asked = Asked { verb: "list", resource, name: "", namespace };
    let mut found = Vec::new();
    let mut next = String::new();
    loop {
        let path = format!("{base}/namespaces/{namespace}/{resource}?limit={PAGE}{query}{next}");
        let mut page = api.get(&path).await.map_err(|trouble| trouble.failure(asked))?;
        let Some(Value::Array(items)) = page.get_mut("items").map(Value::take) else {
            return Err(Trouble::Garbled { what: "a list has no items".to_owned() }.failure(asked));
        };
        found.extend(items);
        if found.len() > MOST {
            return Err(Failure::permanent(format!("{asked}: there are more than {MOST}, which is more than this reads")));
        }
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() => next = format!("&continue={}", utf8_percent_encode(token, NON_ALPHANUMERIC)),
            _ => return Ok(found),
        }
    }
}
