//! Kubernetes, through its API.
//!
//! Invariant: an object is named by its cluster's own UID, never by the name that an environment gives the cluster; every request has a timeout
//! and is sent once; Secrets are never read.

mod api;
mod apply;
mod argocd;
mod autoscaler;
mod by_hand;
mod capacity;
mod created;
mod differences;
mod distribution;
mod endpoints;
mod errors;
mod events;
mod exec;
mod field_path;
mod followed;
mod get;
mod horizontal;
mod job;
mod keda;
mod logs;
mod managed;
mod manifest_text;
mod object;
mod overtaken;
mod pages;
mod patch;
mod permissions;
mod pod_choice;
mod pod_count;
mod pod_http;
mod pod_log;
mod pod_template;
mod pods;
mod quantity;
mod raw;
mod reading;
mod rollout;
mod rollout_restart;
mod rollout_status;
mod scale;
mod scaled_object;
mod scaler;
mod scaler_step;
mod set_env;
mod set_resources;
#[cfg(test)]
mod stand_in;
mod standing;
mod swap_fields;
mod top;
mod wait;
mod workload;
mod workload_state;

pub(in crate::actions) use capacity::{Capacity, WorkloadName, capacity, permissions as capacity_permissions};

use std::sync::Arc;

use crate::environment::{Connections, KUBERNETES};
use crate::model::change::ObjectRef;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::{Action, Context};

/// Every action on the cluster that these connections lead to.
pub fn builtin(connections: &Arc<Connections>) -> Vec<Arc<dyn Action>> {
    let mut all: Vec<Arc<dyn Action>> = vec![
        Arc::new(scale::Scale::new(Arc::clone(connections))),
        Arc::new(get::Get::new(Arc::clone(connections))),
        Arc::new(wait::Wait::new(Arc::clone(connections))),
        Arc::new(set_env::SetEnv::new(Arc::clone(connections))),
        Arc::new(set_resources::SetResources::new(Arc::clone(connections))),
        Arc::new(patch::Patch::new(Arc::clone(connections))),
        Arc::new(rollout_restart::RolloutRestart::new(Arc::clone(connections))),
        Arc::new(rollout_status::RolloutStatus::new(Arc::clone(connections))),
        Arc::new(autoscaler::Autoscaler::new(Arc::clone(connections))),
        Arc::new(keda::Keda::new(Arc::clone(connections))),
        Arc::new(apply::Apply::new(Arc::clone(connections))),
        Arc::new(reading::Reader::<pods::PodsReading>::new(connections)),
        Arc::new(reading::Reader::<endpoints::EndpointsReading>::new(connections)),
        Arc::new(reading::Reader::<distribution::DistributionReading>::new(connections)),
        Arc::new(reading::Reader::<events::EventsReading>::new(connections)),
        Arc::new(reading::Reader::<logs::LogsReading>::new(connections)),
        Arc::new(reading::Reader::<top::TopReading>::new(connections)),
        Arc::new(pod_http::PodHttp::new(connections)),
        Arc::new(exec::Exec::new(connections)),
        Arc::new(job::Job::new(Arc::clone(connections))),
    ];
    all.extend(argocd::builtin(connections));
    all
}

/// The namespace: the step's own, else the target's.
fn namespace(input: Option<&str>, target: Option<&TargetSpec>) -> Result<String, Failure> {
    let default = target.and_then(|target| target.values.get("kubernetes")).and_then(|cluster| cluster.get("namespace"));
    let name = input.or_else(|| default.and_then(serde_json::Value::as_str)).ok_or_else(|| {
        Failure::permanent("no namespace: neither the step nor the environment names one")
            .hint("give the step a `namespace`, or the environment `kubernetes.namespace`")
    })?;
    if workload::is_name(name) {
        Ok(name.to_owned())
    } else {
        Err(Failure::permanent(format!("`{}` is not a namespace's name", name.chars().take(80).collect::<String>()))
            .hint("lower-case letters, digits and `-`"))
    }
}

/// What an object of this cluster is called in the ledger and in locks.
fn object_ref(target: &TargetSpec, namespace: &str, workload: &workload::Workload) -> Option<ObjectRef> {
    named_ref(target, namespace, &workload.to_string())
}

/// The same for any object: `pod/NAME`, `hpa/NAME`.
fn named_ref(target: &TargetSpec, namespace: &str, object: &str) -> Option<ObjectRef> {
    let uid = target.identity.get(KUBERNETES)?.as_str()?;
    Some(ObjectRef(format!("{KUBERNETES_PREFIX}:{uid}/{namespace}/{object}")))
}

const KUBERNETES_PREFIX: &str = "k8s";

/// The cluster's UID as recorded in the run.
fn cluster<'a>(action: &str, cx: &'a Context) -> Result<&'a TargetSpec, Failure> {
    let target = crate::actions::support::target(action, cx.target.as_ref())?;
    if target.identity.get(KUBERNETES).is_some_and(serde_json::Value::is_string) {
        Ok(target)
    } else {
        Err(Failure::permanent(format!("{action} needs a Kubernetes cluster, and the environment {} has none", target.environment))
            .hint("name an environment with a cluster"))
    }
}
