//! What decides how many pods a workload may have at once, for actions on other systems that have to count with it.
//!
//! Must not judge: the objects are handed on as the API gave them. Invariant: only reads; pods that have finished for good are left out.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::api::{Api, asked};
use super::errors::{Asked, Trouble};
use super::permissions::{Asking, On};
use super::pod_count::has_finished;
use super::workload::{Kind, Workload};
use super::workload_state::WorkloadState;
use super::{horizontal, pages, scaled_object};
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::model::permission::{Extent, Needs, Purpose};
use crate::model::run::TargetSpec;
use crate::ports::action::Context;

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
    /// What scales it: HorizontalPodAutoscalers, and ScaledObjects of KEDA in the place of the ones that KEDA makes for them.
    pub(in crate::actions) autoscalers: Vec<Value>,
    /// Its pods, those on their way out too.
    pub(in crate::actions) pods: Vec<Value>,
}

/// What reading it needs, from a step's `workload` and `namespace`.
pub(in crate::actions) fn permissions(inputs: &Value, target: Option<&TargetSpec>) -> Needs {
    let mut asking = Asking::of(inputs, target);
    if let Some(workload) = asking.workload(inputs) {
        asking.reads("get", &workload);
    }
    asking.reads("list", &On::autoscalers());
    asking.add(Purpose::Reads, Extent::Where("KEDA is there"), "list", &On::scaled_objects());
    asking.reads("list", &On::pods());
    asking.needs()
}

/// Reads a workload of the run's cluster, what scales it and its pods. The namespace is the step's own, else the target's.
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
    let scaled: Vec<_> = scaled_object::list(&api, &namespace).await?.into_iter().filter(|one| one.scales(workload)).collect();
    let mut hpas = horizontal::list(&api, &namespace).await?;
    // KEDA's own HPA says what its ScaledObject says, and is not there while that is paused.
    hpas.retain(|hpa| hpa.scales(workload) && !scaled.iter().any(|one| one.owns(hpa)));
    let autoscalers = scaled.into_iter().map(|one| one.object).chain(hpas.into_iter().map(|one| one.object)).collect();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    let asked = Asked { verb: "list", resource: "pods", name: "", namespace: &namespace };
    let take = |pod: &Value| (!has_finished(pod)).then(|| pod.clone());
    let pods = pages::list(&api, &path, &[("labelSelector", &state.selector)], asked, take).await?;
    Ok(Capacity { object, replicas: state.replicas, surges: workload.kind == Kind::Deployment, autoscalers, pods })
}
