//! What a cluster does by itself: it brings Pods up, takes them away, and keeps the status of Deployments true.
//!
//! It must not read a clock, sleep or write to disk: it is told the time and says when it wants to be asked again. Invariant: asking it
//! twice at the same time changes nothing the second time. Rolling updates are not simulated: Pods keep the template they were born with,
//! and `updatedReplicas` says so.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::deployment::{self, Counts};
use super::pod::{self, Birth, Life, Stage};
use super::resource::Resource;
use super::store::{Entry, Store, text};
use crate::sandbox::fault::{Fault, FaultSet};

/// How many Pods the cluster has room for.
pub(crate) const ROOM: usize = 256;

/// How long things take, in milliseconds at speed 1.
const SCHEDULED_AFTER: f64 = 200.0;
const READY_AFTER: f64 = 600.0;
const STAGGER: f64 = 60.0;
const GONE_AFTER: f64 = 500.0;

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
        // Whole milliseconds, far below the range of both types; a cast saturates.
        self.now + (milliseconds / self.speed).ceil() as u64
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

/// Brings the cluster to what is due now; the answer is when the next thing is due, if anything is.
pub(crate) fn reconcile(store: &mut Store, faults: &FaultSet, moment: Moment) -> Option<u64> {
    advance_pods(store, faults, moment);
    let deployments: Vec<Entry> = store.list(Resource::Deployments, None).cloned().collect();
    let owners: BTreeSet<String> = deployments.iter().map(|entry| text(&entry.object, "/metadata/uid").to_owned()).collect();
    for entry in pods(store) {
        if pod::stage(&entry.object) != Stage::Terminating && !owners.contains(owner(&entry.object)) {
            terminate(store, &entry, moment);
        }
    }
    for entry in deployments {
        let full = resize(store, &entry.object, moment);
        settle_status(store, &entry.object, full, moment);
    }
    next_due(store, faults)
}

fn pods(store: &Store) -> Vec<Entry> {
    store.list(Resource::Pods, None).cloned().collect()
}

/// The uid of the Deployment that a Pod belongs to.
pub(crate) fn owner(pod: &Value) -> &str {
    text(pod, "/metadata/ownerReferences/0/uid")
}

fn place(pod: &Value) -> (&str, &str) {
    (text(pod, "/metadata/namespace"), text(pod, "/metadata/name"))
}

fn advance_pods(store: &mut Store, faults: &FaultSet, moment: Moment) {
    let stalled = stalls_terminating(faults);
    for entry in pods(store) {
        let Some(mut life) = entry.life.clone() else { continue };
        let (namespace, name) = place(&entry.object);
        match pod::stage(&entry.object) {
            Stage::Terminating => {
                if !stalled && life.gone_at.is_some_and(|gone| gone <= moment.now) {
                    store.remove(Resource::Pods, namespace, name);
                }
            }
            Stage::Ready => {}
            Stage::Pending | Stage::Running => {
                let allowed = unready_allowance(faults, &entry.object);
                let held = held_beside(store, &entry.object);
                life.held = if life.held { held < allowed } else { life.ready_at <= moment.now && held < allowed };
                let stage = if life.ready_at <= moment.now && !life.held {
                    Stage::Ready
                } else if life.runs_at <= moment.now {
                    Stage::Running
                } else {
                    Stage::Pending
                };
                if stage == pod::stage(&entry.object) {
                    if Some(&life) != entry.life.as_ref() {
                        store.set_life(namespace, name, life);
                    }
                } else {
                    let mut object = Value::clone(&entry.object);
                    pod::show(&mut object, stage, &moment.stamp());
                    store.put(Resource::Pods, object, Some(life));
                }
            }
        }
    }
}

fn stalls_terminating(faults: &FaultSet) -> bool {
    faults.standing().any(|fault| matches!(fault, Fault::StallTerminating))
}

/// How many Pods of this Pod's Deployment a fault keeps from getting ready.
fn unready_allowance(faults: &FaultSet, pod: &Value) -> usize {
    let deployment = text(pod, "/metadata/ownerReferences/0/name");
    let counts = faults.standing().filter_map(|fault| match fault {
        Fault::Unready { deployment: name, pods } if name == deployment => Some(*pods as usize),
        _ => None,
    });
    counts.max().unwrap_or(0)
}

/// How many other live Pods of the same Deployment are held back.
fn held_beside(store: &Store, pod: &Value) -> usize {
    let siblings = store.list(Resource::Pods, Some(text(pod, "/metadata/namespace")));
    siblings
        .filter(|entry| owner(&entry.object) == owner(pod) && text(&entry.object, "/metadata/uid") != text(pod, "/metadata/uid"))
        .filter(|entry| pod::stage(&entry.object) != Stage::Terminating && entry.life.as_ref().is_some_and(|life| life.held))
        .count()
}

/// Starts the end of a Pod.
pub(crate) fn terminate(store: &mut Store, entry: &Entry, moment: Moment) {
    let mut life = entry.life.clone().unwrap_or_default();
    life.gone_at = Some(moment.after(GONE_AFTER));
    life.held = false;
    life.warm = false;
    let mut object = Value::clone(&entry.object);
    pod::show(&mut object, Stage::Terminating, &moment.stamp());
    store.put(Resource::Pods, object, Some(life));
}

/// Creates missing Pods and ends surplus ones; tells whether there was no room for all.
fn resize(store: &mut Store, deployment: &Value, moment: Moment) -> bool {
    let uid = text(deployment, "/metadata/uid");
    let namespace = text(deployment, "/metadata/namespace");
    let mut live: Vec<Entry> = store
        .list(Resource::Pods, Some(namespace))
        .filter(|entry| owner(&entry.object) == uid && pod::stage(&entry.object) != Stage::Terminating)
        .cloned()
        .collect();
    let wanted = usize::try_from(deployment["spec"]["replicas"].as_u64().unwrap_or(0)).unwrap_or(usize::MAX);
    if live.len() > wanted {
        // As the ReplicaSet controller does: what is not ready goes first, then the youngest.
        live.sort_by_key(|entry| {
            let ready = pod::stage(&entry.object) == Stage::Ready;
            (ready, std::cmp::Reverse(entry.life.as_ref().map_or(0, |life| life.ready_at)))
        });
        let surplus = live.len() - wanted;
        for entry in live.iter().take(surplus) {
            terminate(store, entry, moment);
        }
        return false;
    }
    let missing = wanted - live.len();
    let room = ROOM.saturating_sub(store.list(Resource::Pods, None).count());
    let hash = deployment::template_hash(deployment);
    for nth in 0..missing.min(room) {
        let uid = Uuid::now_v7().to_string();
        let suffix = free_suffix(store, deployment, &hash);
        let birth = Birth { deployment, template_hash: &hash, uid: &uid, suffix: &suffix, now: &moment.stamp() };
        let stagger = STAGGER * nth as f64;
        let life =
            Life { runs_at: moment.after(SCHEDULED_AFTER + stagger), ready_at: moment.after(READY_AFTER + stagger), ..Life::default() };
        store.put(Resource::Pods, pod::create(&birth), Some(life));
    }
    missing > room
}

/// Five random characters that make a Pod's name which no other Pod has.
fn free_suffix(store: &Store, deployment: &Value, hash: &str) -> String {
    loop {
        let random = Uuid::now_v7().simple().to_string();
        let suffix = &random[random.len() - 5..];
        let name = format!("{}-{hash}-{suffix}", text(deployment, "/metadata/name"));
        if store.get(Resource::Pods, text(deployment, "/metadata/namespace"), &name).is_none() {
            return suffix.to_owned();
        }
    }
}

fn settle_status(store: &mut Store, deployment: &Value, full: bool, moment: Moment) {
    let hash = deployment::template_hash(deployment);
    let mut counts = Counts { full, ..Counts::default() };
    for entry in store.list(Resource::Pods, Some(text(deployment, "/metadata/namespace"))) {
        if owner(&entry.object) != text(deployment, "/metadata/uid") {
            continue;
        }
        match pod::stage(&entry.object) {
            Stage::Terminating => {
                counts.terminating += 1;
                continue;
            }
            Stage::Ready => counts.ready += 1,
            Stage::Pending | Stage::Running => {}
        }
        counts.pods += 1;
        if text(&entry.object, "/metadata/labels/pod-template-hash") == hash {
            counts.updated += 1;
        }
    }
    let status = deployment::status(deployment, counts, &moment.stamp());
    if status != deployment["status"] {
        let mut object = deployment.clone();
        object["status"] = status;
        store.put(Resource::Deployments, object, None);
    }
}

/// When the next Pod changes by itself.
fn next_due(store: &Store, faults: &FaultSet) -> Option<u64> {
    let stalled = stalls_terminating(faults);
    let due = store.list(Resource::Pods, None).filter_map(|entry| {
        let life = entry.life.as_ref()?;
        match pod::stage(&entry.object) {
            Stage::Pending => Some(life.runs_at.min(life.ready_at)),
            Stage::Running if !life.held => Some(life.ready_at),
            Stage::Terminating if !stalled => life.gone_at,
            Stage::Running | Stage::Ready | Stage::Terminating => None,
        }
    });
    due.min()
}
