//! What is there of a scaler before it is created or changed, of whatever kind.
//!
//! Must not change anything. Invariant: what Argo CD will make of the change is asked together with it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::argocd::{self, Thing};
use crate::actions::kubernetes::workload::Workload;
use crate::actions::kubernetes::workload_state::WorkloadState;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;

/// What was observed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(in crate::actions::kubernetes) struct There {
    pub(in crate::actions::kubernetes) name: String,
    pub(in crate::actions::kubernetes) namespace: String,
    /// Whether the scaler is there.
    pub(in crate::actions::kubernetes) exists: bool,
    /// Its uid.
    pub(in crate::actions::kubernetes) uid: Value,
    /// Its floor, the default where it has none; null where it is not there.
    pub(in crate::actions::kubernetes) min: Option<i64>,
    /// Its maximum, the default where it has none; null where it is not there.
    pub(in crate::actions::kubernetes) max: Option<i64>,
    /// The count that it goes down to while nothing is to do, whatever its floor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::actions::kubernetes) idle: Option<i64>,
    /// The pods that its HPA saw last.
    pub(in crate::actions::kubernetes) current: i64,
    /// The pods that its HPA wanted last.
    pub(in crate::actions::kubernetes) desired: i64,
    /// Why it does not come down, in words.
    pub(in crate::actions::kubernetes) holds: Option<String>,
    /// What it scales: `Deployment/x`.
    pub(in crate::actions::kubernetes) scales: Option<String>,
    /// Whether that is the step's workload.
    pub(in crate::actions::kubernetes) ours: bool,
    /// Others of its kind that scale the workload.
    pub(in crate::actions::kubernetes) others: Vec<String>,
    /// The workload's replicas; null where there is no such workload.
    pub(in crate::actions::kubernetes) replicas: Option<i64>,
    /// The workload's pods.
    pub(in crate::actions::kubernetes) selector: String,
    /// Containers without a request that a metric needs: `app: memory`.
    pub(in crate::actions::kubernetes) without_requests: Vec<String>,
    /// What Argo CD will make of its fields, or, where it is to be created, of the workload's replicas.
    pub(in crate::actions::kubernetes) argocd: Value,
    /// What Argo CD will make of the workload's replicas under it, where the repository names them.
    #[serde(skip_serializing_if = "Value::is_null")]
    pub(in crate::actions::kubernetes) argocd_pods: Value,
    /// What the server makes of what is wanted: the whole object where it is to be created, else its fields.
    pub(in crate::actions::kubernetes) wanted: Value,
}

impl There {
    /// Of a scaler of this name for a workload: the workload's part, with the workload as it is.
    ///
    /// # Errors
    /// A read that failed.
    pub(in crate::actions::kubernetes) async fn of(
        api: &Api,
        workload: &Workload,
        namespace: &str,
        name: &str,
    ) -> Result<(Self, Option<Value>), Failure> {
        let mut there = Self { name: name.to_owned(), namespace: namespace.to_owned(), ..Self::default() };
        let Some((state, object)) = WorkloadState::read(api, workload, namespace).await? else { return Ok((there, None)) };
        (there.replicas, there.selector) = (Some(state.replicas), state.selector);
        Ok((there, Some(object)))
    }

    /// Asks what Argo CD will make of a change of these fields of the scaler, where it is there, and of the workload's replicas.
    ///
    /// # Errors
    /// A read that failed.
    pub(in crate::actions::kubernetes) async fn foretell<'f>(
        &mut self,
        api: &Api,
        target: Option<&TargetSpec>,
        scaler: Option<Thing<'_>>,
        fields: impl IntoIterator<Item = &'f str>,
        workload: Option<&Value>,
    ) -> Result<(), Failure> {
        match (scaler, workload) {
            (Some(scaler), _) => {
                self.argocd = argocd::foretell(api, target, scaler, fields).await?;
                if let Some(workload) = workload {
                    self.argocd_pods = argocd::foretell_pods(api, target, Thing::of(workload)).await?;
                }
            }
            // What it is to set, the pods of the workload, may be the repository's.
            (None, Some(workload)) => self.argocd = argocd::foretell(api, target, Thing::of(workload), [argocd::REPLICAS]).await?,
            (None, None) => {}
        }
        Ok(())
    }
}
