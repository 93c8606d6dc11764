//! Whether the pods have followed a scaling that was taken back.
//!
//! Must not ask anything. Invariant: it has followed only when the controller has taken the change up and no more pods than before are left,
//! terminating ones included; otherwise what holds it is named.

use super::pod_count::PodCount;
use super::workload_state::WorkloadState;
use crate::model::outcome::Followed;

/// How many pods there may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Between {
    pub(super) least: u64,
    pub(super) most: u64,
}

/// Whether the pods of `workload` have followed. `holds`: what holds the autoscaler that owns the replicas, where one does.
pub(super) fn followed(workload: &str, state: Option<&WorkloadState>, pods: &PodCount, wanted: Between, holds: Option<&str>) -> Followed {
    let Between { least, most } = wanted;
    let staying = pods.total.saturating_sub(pods.terminating);
    let holds = if state.is_some_and(|state| !state.is_observed()) {
        format!("the controller of {workload} has not taken up the change yet")
    } else if pods.total <= most && staying < least {
        format!("{staying} of {least} pods are there")
    } else if pods.total <= most {
        return Followed::Yes;
    } else if staying <= most {
        format!("{} of {} pods are still terminating: {}", pods.terminating, pods.total, pods.listed(pods.terminating))
    } else if let Some(holds) = holds {
        format!("{staying} pods are there where {most} are wanted: {holds}")
    } else if pods.terminating > 0 {
        format!("{} of {} pods are still terminating: {}", pods.terminating, pods.total, pods.listed(pods.terminating))
    } else {
        format!("{} pods are there where {most} are wanted: {}", pods.total, pods.listed(pods.total))
    };
    Followed::No { holds }
}
