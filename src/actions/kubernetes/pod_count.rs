//! How many pods a selector finds.
//!
//! Must not keep more than names. Invariant: pods that have finished for good (evicted, completed) are left out.

use serde_json::Value;

use super::api::Api;
use super::errors::Asked;
use super::pages;
use crate::model::outcome::Failure;

/// How many names are kept.
const NAMES: usize = 5;

/// The pods of a workload that still take part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PodCount {
    /// All of them, terminating ones included.
    pub(super) total: u64,
    /// Those on their way out.
    pub(super) terminating: u64,
    /// The first few names of those on their way out, else of all.
    pub(super) names: Vec<String>,
}

impl PodCount {
    /// The pods that this selector finds now.
    ///
    /// # Errors
    /// A read that failed.
    pub(super) async fn of(api: &Api, namespace: &str, selector: &str) -> Result<Self, Failure> {
        let path = format!("/api/v1/namespaces/{namespace}/pods");
        let asked = Asked { verb: "list", resource: "pods", name: "", namespace };
        let found = pages::list(api, &path, &[("labelSelector", selector)], asked, |pod| {
            let leaving = pod.pointer("/metadata/deletionTimestamp").is_some_and(|at| !at.is_null());
            let name = pod.pointer("/metadata/name").and_then(Value::as_str).unwrap_or("?");
            (!has_finished(pod)).then(|| (leaving, name.to_owned()))
        })
        .await?;
        let (mut pods, mut others) = (Self::default(), Vec::new());
        for (leaving, name) in found {
            pods.total += 1;
            pods.terminating += u64::from(leaving);
            let names = if leaving { &mut pods.names } else { &mut others };
            if names.len() < NAMES {
                names.push(name);
            }
        }
        if pods.names.is_empty() {
            pods.names = others;
        }
        Ok(pods)
    }

    /// `a, b and 3 more`, of so many.
    pub(super) fn listed(&self, all: u64) -> String {
        let more = all.saturating_sub(self.names.len() as u64);
        if more == 0 { self.names.join(", ") } else { format!("{} and {more} more", self.names.join(", ")) }
    }
}

/// Whether a pod has finished for good: it takes part in nothing any more.
pub(super) fn has_finished(pod: &Value) -> bool {
    matches!(pod.pointer("/status/phase").and_then(Value::as_str), Some("Succeeded" | "Failed"))
}
