//! The kubelets: they bring Pods up that have a node, keep them, and take them away.
//!
//! It must not create Pods. Invariant: a Pod that was bound runs after 200 ms and is ready after 600 ms at speed 1, and one that was told
//! to end is gone after 500 ms, unless a fault holds it.

use serde_json::{Value, json};

pub(super) use crate::sandbox::cluster::pod::Life;

use super::owners::{lives, workload_name};
use super::{Cluster, Moment, events, resizing, trouble};
use crate::sandbox::cluster::pod::{self, Containers, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, Store, text};
use crate::sandbox::fault::Fault;

/// How long things take, in milliseconds at speed 1.
const RUNS_AFTER: f64 = 200.0;
const READY_AFTER: f64 = 600.0;
const STAGGER: f64 = 60.0;
const GONE_AFTER: f64 = 500.0;
/// How many addresses each of the 200 networks of Pods has.
const ADDRESSES: u32 = 250;

/// What the cluster has in mind for a Pod that is made now, as the `nth` of several.
pub(super) fn life(moment: Moment, nth: usize) -> Life {
    let stagger = STAGGER * nth as f64;
    Life { runs_at: moment.after(RUNS_AFTER + stagger), ready_at: moment.after(READY_AFTER + stagger), ..Life::default() }
}

/// Starts the end of a Pod.
pub(crate) fn terminate(store: &mut Store, entry: &Entry, moment: Moment) {
    let mut life = entry.life.clone().unwrap_or_default();
    life.gone_at = Some(moment.after(GONE_AFTER));
    life.held = false;
    life.warm = false;
    let mut object = Value::clone(&entry.object);
    pod::show(&mut object, Stage::Terminating, &moment.stamp());
    let runs = text(&object, "/status/phase") == "Running";
    let message = format!("Stopping container {}", text(&object, "/spec/containers/0/name"));
    let stored = store.put(Resource::Pods, object, Some(life));
    if runs {
        events::tell(store, moment, &stored, events::normal("kubelet"), "Killing", &message);
    }
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    let stalled = cluster.faults.standing().any(|fault| matches!(fault, Fault::StallTerminating));
    for entry in cluster.list(Resource::Pods) {
        match pod::stage(&entry.object) {
            Stage::Ended => {}
            Stage::Terminating => {
                let gone = entry.life.as_ref().and_then(|life| life.gone_at);
                match gone {
                    Some(gone) if gone <= cluster.moment.now && !stalled => cluster.remove(Resource::Pods, &entry.object),
                    Some(gone) if !stalled => cluster.at(gone),
                    Some(_) => {}
                    None => {
                        let gone = Some(cluster.moment.after(GONE_AFTER));
                        cluster.set_life(&entry.object, Life { gone_at: gone, ..entry.life.clone().unwrap_or_default() });
                    }
                }
            }
            _ if !entry.object["spec"]["nodeName"].is_string() => {}
            stage => keep(cluster, &entry, stage),
        }
    }
}

/// Brings one Pod that has a node to where it is to be now.
fn keep(cluster: &mut Cluster<'_>, entry: &Entry, stage: Stage) {
    let moment = cluster.moment;
    let mut life = entry.life.clone().unwrap_or_else(|| life(moment, 0));
    if trouble::meets(cluster, entry, stage, &life) {
        return;
    }
    // A Pod that a client bound by itself has none yet.
    let before = entry.life.clone().unwrap_or_default();
    if life.trouble_at.is_some() {
        life.trouble_at = None;
    }
    if stage != Stage::Ready {
        let allowed = unready_allowance(cluster, &entry.object);
        let due = life.ready_at <= moment.now;
        life.held = allowed > 0 && (life.held || due) && held_beside(cluster, &entry.object) < allowed;
    }
    let reached = match stage {
        Stage::Ready => Stage::Ready,
        _ if life.ready_at <= moment.now && !life.held => Stage::Ready,
        _ if life.runs_at <= moment.now => Stage::Running,
        _ => Stage::Pending,
    };
    match reached {
        Stage::Pending => cluster.at(life.runs_at.min(life.ready_at)),
        Stage::Running if !life.held => cluster.at(life.ready_at),
        _ => {}
    }
    if let Some(worked) = life.works_for.filter(|_| stage != Stage::Pending) {
        let ends = moment.from(life.runs_at, worked as f64);
        if ends <= moment.now {
            return end(cluster, entry, life);
        }
        cluster.at(ends);
    }
    if life.held && !before.held {
        let message = "Readiness probe failed: HTTP probe failed with statuscode: 503";
        events::record(cluster, &entry.object, events::warning("kubelet"), "Unhealthy", message);
    }
    if reached != stage {
        show(cluster, entry, reached, life);
    } else if !resizing::run(cluster, entry, &mut life) && life != before {
        cluster.set_life(&entry.object, life);
    }
}

/// Shows the stage that a Pod has reached, and tells of it.
pub(super) fn show(cluster: &mut Cluster<'_>, entry: &Entry, stage: Stage, life: Life) {
    let now = cluster.moment.stamp();
    let mut object = Value::clone(&entry.object);
    pod::show_with(&mut object, stage, &Containers { restarts: life.restarts, ..Containers::default() }, &now);
    if !object["status"]["podIP"].is_string() && stage != Stage::Pending {
        let address = address(cluster);
        object["status"]["podIP"] = json!(address);
        object["status"]["podIPs"] = json!([{ "ip": address }]);
    }
    let began = pod::stage(&entry.object) == Stage::Pending && stage != Stage::Pending;
    let stored = cluster.put(Resource::Pods, object, Some(life));
    if began {
        for container in stored["spec"]["containers"].as_array().into_iter().flatten() {
            let (name, image) = (text(container, "/name"), text(container, "/image"));
            let present = format!("Container image \"{image}\" already present on machine");
            events::record(cluster, &stored, events::normal("kubelet"), "Pulled", &present);
            events::record(cluster, &stored, events::normal("kubelet"), "Created", &format!("Created container: {name}"));
            events::record(cluster, &stored, events::normal("kubelet"), "Started", &format!("Started container {name}"));
        }
    }
}

/// An address that no other Pod had for long.
pub(super) fn address(cluster: &mut Cluster<'_>) -> String {
    let number = cluster.memory.addresses;
    cluster.memory.addresses = (number + 1) % (ADDRESSES * 200);
    format!("10.244.{}.{}", number / ADDRESSES, number % ADDRESSES + 2)
}

/// Ends a Pod whose work is done.
fn end(cluster: &mut Cluster<'_>, entry: &Entry, life: Life) {
    let fails = trouble::crashes(cluster, &entry.object);
    let containers = Containers { restarts: life.restarts, exit: Some(i64::from(fails)), ..Containers::default() };
    let mut object = Value::clone(&entry.object);
    pod::show_with(&mut object, Stage::Ended, &containers, &cluster.moment.stamp());
    cluster.put(Resource::Pods, object, Some(life));
}

/// How many Pods of this Pod's workload a fault keeps from getting ready.
fn unready_allowance(cluster: &Cluster<'_>, pod: &Value) -> usize {
    let counts = cluster.faults.standing().filter_map(|fault| match fault {
        Fault::Unready { deployment, pods } if *deployment == workload_name(cluster.store, pod) => Some(*pods as usize),
        _ => None,
    });
    counts.max().unwrap_or(0)
}

/// How many other live Pods of the same workload are held back.
fn held_beside(cluster: &Cluster<'_>, pod: &Value) -> usize {
    let workload = workload_name(cluster.store, pod);
    let siblings = cluster.store.list(Resource::Pods, Some(text(pod, "/metadata/namespace")));
    siblings
        .filter(|entry| lives(&entry.object) && entry.life.as_ref().is_some_and(|life| life.held))
        .filter(|entry| text(&entry.object, "/metadata/uid") != text(pod, "/metadata/uid"))
        .filter(|entry| workload_name(cluster.store, &entry.object) == workload)
        .count()
}
