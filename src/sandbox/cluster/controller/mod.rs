//! What a cluster does by itself: it brings Pods up, takes them away, rolls templates out, scales, and keeps every status true.
//!
//! It must not read a clock, sleep or write to disk: it is told the time and says when it wants to be asked again. Invariant: asking it
//! twice at the same time changes nothing the second time.

mod argocd;
mod autoscaler;
mod budgets;
mod deployments;
mod endpoints;
mod events;
mod finalizers;
mod jobs;
mod keda;
mod owners;
mod pods;
mod quotas;
mod rabbitmq;
mod replica_sets;
mod resizing;
mod rollout;
mod scheduler;
mod stateful_sets;
#[cfg(test)]
mod tests;
mod trouble;
mod upgrade;

pub(crate) use argocd::Memory as ArgoCdMemory;
pub(crate) use autoscaler::{cpu_of, summary as autoscaler_summary};
pub(crate) use owners::pods_of;
pub(crate) use pods::terminate;
pub(crate) use quotas::forbids;
pub(crate) use upgrade::upgrade;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::managed_fields;
use super::pod::Life;
use super::resource::Resource;
use super::store::{Entry, Store, text};
use crate::sandbox::fault::FaultSet;
use crate::sandbox::load::Load;
use crate::sandbox::traffic::Traffic;

/// How many Pods the cluster takes.
pub(crate) const ROOM: usize = 256;
/// After so many rounds at one moment it goes on at the next one, whatever is left.
const MOST_ROUNDS: usize = 64;

/// The time that one call of [`reconcile`] works with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    /// Milliseconds since 1970.
    pub(crate) now: u64,
    /// By how much everything is faster than usual; positive.
    pub(crate) speed: f64,
}

impl Moment {
    fn after(self, milliseconds: f64) -> u64 {
        self.from(self.now, milliseconds)
    }

    /// The time so many milliseconds after `start`.
    fn from(self, start: u64, milliseconds: f64) -> u64 {
        // Whole milliseconds, far below the range of both types; a cast saturates.
        start.saturating_add((milliseconds / self.speed).ceil() as u64)
    }

    fn stamp(self) -> String {
        stamp(self.now)
    }
}

/// A time as Kubernetes writes it: UTC, whole seconds.
pub(crate) fn stamp(milliseconds: u64) -> String {
    let seconds = i64::try_from(milliseconds / 1000).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// What the controllers remember beside the objects.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Memory {
    /// How many addresses were given to Pods.
    #[serde(default)]
    addresses: u32,
    /// When the rollout of each Deployment last got on, by the uid of the Deployment.
    #[serde(default)]
    progress: BTreeMap<String, u64>,
    /// What each autoscaler remembers, by its uid.
    #[serde(default)]
    autoscalers: BTreeMap<String, autoscaler::History>,
    /// What Argo CD remembers.
    #[serde(default)]
    pub(crate) argocd: ArgoCdMemory,
}

impl Memory {
    /// How often the autoscalers have looked.
    pub(crate) fn looks(&self) -> u64 {
        self.autoscalers.values().map(autoscaler::History::looks).fold(0, u64::saturating_add)
    }
}

/// What one call of [`reconcile`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// When the next thing is due, if anything is.
    pub(crate) due: Option<u64>,
    /// Whether anything changed that is kept on disk.
    pub(crate) changed: bool,
}

/// The cluster in the hands of its controllers.
#[derive(Debug)]
struct Cluster<'a> {
    store: &'a mut Store,
    memory: &'a mut Memory,
    faults: &'a FaultSet,
    load: Load,
    traffic: &'a Traffic,
    moment: Moment,
    due: Option<u64>,
    touched: bool,
}

/// Brings the cluster to what is due now.
pub(crate) fn reconcile(
    store: &mut Store,
    memory: &mut Memory,
    faults: &FaultSet,
    load: Load,
    traffic: &Traffic,
    moment: Moment,
) -> Outcome {
    let mut cluster = Cluster { store, memory, faults, load, traffic, moment, due: None, touched: false };
    let mut changed = false;
    for nth in 0..MOST_ROUNDS {
        cluster.touched = false;
        cluster.due = None;
        cluster.round();
        if nth > 0 || !cluster.touched {
            // Once there is nothing more to tell, or much has been told.
            events::forget_old(&mut cluster);
        }
        if !cluster.touched {
            return Outcome { due: cluster.due, changed };
        }
        changed = true;
    }
    Outcome { due: Some(moment.now + 1), changed }
}

impl Cluster<'_> {
    fn round(&mut self) {
        finalizers::run(self);
        owners::collect(self);
        jobs::run(self);
        rabbitmq::run(self);
        stateful_sets::run(self);
        replica_sets::run(self);
        deployments::run(self);
        scheduler::run(self);
        pods::run(self);
        keda::run(self);
        autoscaler::run(self);
        endpoints::run(self);
        budgets::run(self);
        quotas::run(self);
        argocd::run(self);
    }

    /// The objects of a kind as they are now.
    fn list(&self, resource: Resource) -> Vec<Entry> {
        self.store.list(resource, None).cloned().collect()
    }

    fn put(&mut self, resource: Resource, object: Value, life: Option<Life>) -> Arc<Value> {
        // A Deployment's controller writes the revision together with the status.
        let subresource = if resource == Resource::Deployments { "status" } else { "" };
        self.put_by(resource, object, life, subresource)
    }

    /// Stores what was written by a subresource.
    fn put_by(&mut self, resource: Resource, mut object: Value, life: Option<Life>, subresource: &str) -> Arc<Value> {
        use Resource::{Deployments, HorizontalPodAutoscalers, Jobs, PodDisruptionBudgets, ReplicaSets, ResourceQuotas, StatefulSets};
        let managed = [Deployments, HorizontalPodAutoscalers, Jobs, PodDisruptionBudgets, ReplicaSets, ResourceQuotas, StatefulSets];
        if managed.contains(&resource) {
            let (namespace, name) = (text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
            let stored = self.store.get(resource, namespace, name).map(|entry| Arc::clone(&entry.object));
            managed_fields::by_controller(resource, stored.as_deref(), &mut object, subresource, &self.moment.stamp());
        }
        self.touched = true;
        self.store.put(resource, object, life)
    }

    /// Stores what a kind without a life of its own has become, unless it is what it was.
    fn update(&mut self, resource: Resource, before: &Value, after: Value) {
        if *before != after {
            self.put(resource, after, None);
        }
    }

    fn remove(&mut self, resource: Resource, object: &Value) {
        self.touched = true;
        self.store.remove(resource, text(object, "/metadata/namespace"), text(object, "/metadata/name"));
    }

    fn set_life(&mut self, pod: &Value, life: Life) {
        self.touched = true;
        self.store.set_life(text(pod, "/metadata/namespace"), text(pod, "/metadata/name"), life);
    }

    /// Asks to be called again at this time, where it lies ahead.
    fn at(&mut self, time: u64) {
        if time > self.moment.now {
            self.due = Some(self.due.map_or(time, |due| due.min(time)));
        }
    }
}
