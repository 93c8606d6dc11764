//! Which pods a step is about: those of a workload, or those that a label selector finds.
//!
//! Must not change anything. Invariant: a selector is never empty, so that no step is about all pods of a namespace by mistake.

use serde_json::Value;

use super::api::{Api, asked};
use super::errors::Asked;
use super::pages;
use super::workload::Workload;
use super::workload_state::WorkloadState;
use crate::model::outcome::Failure;

/// The pods that a step names.
pub(super) struct Chosen {
    /// As `kubectl -l` takes it.
    pub(super) selector: String,
    /// The workload's object, where the step names one.
    pub(super) workload: Option<Value>,
    /// `deployment/x`, or `app=x`: for messages.
    pub(super) what: String,
    pub(super) namespace: String,
}

/// That exactly one of them is given.
///
/// # Errors
/// What to write instead.
pub(super) fn check(workload: Option<&Workload>, selector: Option<&str>) -> Result<(), Failure> {
    match (workload, selector) {
        (Some(_), Some(_)) => Err(Failure::permanent("`workload` and `selector` cannot both be given").hint("keep one of them")),
        (None, None) => {
            Err(Failure::permanent("it needs `workload` or `selector`").hint("`workload: deployment/NAME`, or `selector: app=NAME`"))
        }
        (None, Some(text)) if text.trim().is_empty() => {
            Err(Failure::permanent("`selector` is empty: it would find every pod of the namespace").hint("write labels: `app=NAME`"))
        }
        _ => Ok(()),
    }
}

impl Chosen {
    /// Reads the workload for its selector, where one is named.
    ///
    /// # Errors
    /// A read that failed, a workload that is not there.
    pub(super) async fn of(api: &Api, workload: Option<&Workload>, selector: Option<&str>, namespace: String) -> Result<Self, Failure> {
        check(workload, selector)?;
        let Some(workload) = workload else {
            let selector = selector.unwrap_or_default().trim().to_owned();
            return Ok(Self { what: selector.clone(), selector, workload: None, namespace });
        };
        let object = match api.get(&workload.path(&namespace)).await {
            Ok(object) => object,
            Err(trouble) if trouble.is_gone() => {
                return Err(Failure::permanent(format!("there is no {workload} in namespace {namespace}"))
                    .hint("check the name, the namespace and the environment"));
            }
            Err(trouble) => return Err(trouble.failure(asked("get", workload.kind.plural(), workload, &namespace))),
        };
        let state =
            WorkloadState::of(&object).map_err(|trouble| trouble.failure(asked("get", workload.kind.plural(), workload, &namespace)))?;
        Ok(Self { selector: state.selector, what: workload.to_string(), workload: Some(object), namespace })
    }

    /// The pods as they are now: what `take` makes of each.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn pods<T>(&self, api: &Api, take: impl FnMut(&Value) -> Option<T>) -> Result<Vec<T>, Failure> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let asked = Asked { verb: "list", resource: "pods", name: "", namespace: &self.namespace };
        pages::list(api, &path, &[("labelSelector", &self.selector)], asked, take).await
    }
}
