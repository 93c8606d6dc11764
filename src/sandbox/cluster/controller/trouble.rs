//! Pods in trouble: images that cannot be pulled, and containers that crash.
//!
//! It must not touch a Pod that no fault meets. Invariant: a Pod gets over its trouble by itself once the fault is cleared, at the latest
//! when its back-off is over.

use serde_json::Value;

use super::owners::{lives, workload_name};
use super::pods::{self, Life};
use super::{Cluster, events};
use crate::sandbox::cluster::pod::{self, Containers, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};
use crate::sandbox::fault::Fault;

/// How long things take, in milliseconds at speed 1.
const PULLS_AGAIN: f64 = 1000.0;
const CRASHES_AFTER: f64 = 300.0;
const READY_AFTER: f64 = 400.0;
const BACK_OFF: f64 = 10_000.0;
const MOST_BACK_OFF: f64 = 300_000.0;

/// Deals with a Pod in trouble; false: it is in none.
pub(super) fn meets(cluster: &mut Cluster<'_>, entry: &Entry, stage: Stage, life: &Life) -> bool {
    if stage == Stage::Pending {
        let stuck = matches!(pod::waits_for(&entry.object), "ErrImagePull" | "ImagePullBackOff");
        match missing_image(cluster, &entry.object) {
            Some(image) if life.runs_at <= cluster.moment.now => no_image(cluster, entry, &image),
            None if stuck => {
                let life = Life { works_for: life.works_for, restarts: life.restarts, ..pods::life(cluster.moment, 0) };
                pods::show(cluster, entry, Stage::Pending, life);
            }
            _ => return false,
        }
        return true;
    }
    if life.works_for.is_some() {
        return false;
    }
    crash(cluster, entry, life)
}

/// The image of the Pod that cannot be pulled.
fn missing_image(cluster: &Cluster<'_>, pod: &Value) -> Option<String> {
    let faulty = cluster.faults.standing().any(|fault| match fault {
        Fault::Image { deployment } => *deployment == workload_name(cluster.store, pod),
        _ => false,
    });
    let containers = pod["spec"]["containers"].as_array();
    let mut images = containers.into_iter().flatten().map(|container| text(container, "/image"));
    let found = if faulty { images.next() } else { images.find(|image| image.ends_with(":missing")) };
    found.map(str::to_owned)
}

fn no_image(cluster: &mut Cluster<'_>, entry: &Entry, image: &str) {
    let moment = cluster.moment;
    let mut life = entry.life.clone().unwrap_or_default();
    let why = format!(
        "rpc error: code = NotFound desc = failed to pull and unpack image \"{image}\": failed to resolve reference \"{image}\": {image}: not found"
    );
    let (reason, message) = match (pod::waits_for(&entry.object), life.trouble_at) {
        ("ImagePullBackOff", _) => return,
        ("ErrImagePull", Some(at)) if at > moment.now => return cluster.at(at),
        ("ErrImagePull", _) => {
            life.trouble_at = None;
            ("ImagePullBackOff", format!("Back-off pulling image \"{image}\": ErrImagePull: {why}"))
        }
        _ => {
            life.trouble_at = Some(moment.after(PULLS_AGAIN));
            ("ErrImagePull", why.clone())
        }
    };
    let mut object = Value::clone(&entry.object);
    let waiting = Some((reason, message));
    pod::show_with(&mut object, Stage::Pending, &Containers { waiting, ..Containers::default() }, &moment.stamp());
    let stored = cluster.put(Resource::Pods, object, Some(life));
    if reason == "ErrImagePull" {
        events::record(cluster, &stored, events::normal("kubelet"), "Pulling", &format!("Pulling image \"{image}\""));
        events::record(cluster, &stored, events::warning("kubelet"), "Failed", &format!("Failed to pull image \"{image}\": {why}"));
    } else {
        events::record(cluster, &stored, events::normal("kubelet"), "BackOff", &format!("Back-off pulling image \"{image}\""));
    }
    events::record(cluster, &stored, events::warning("kubelet"), "Failed", &format!("Error: {reason}"));
}

/// Whether a fault makes this Pod's containers crash: the first Pods of the workload by name.
pub(super) fn crashes(cluster: &Cluster<'_>, pod: &Value) -> bool {
    let counts = cluster.faults.standing().filter_map(|fault| match fault {
        Fault::Crash { deployment, pods } if *deployment == workload_name(cluster.store, pod) => Some(*pods as usize),
        _ => None,
    });
    let Some(count) = counts.max() else { return false };
    let workload = workload_name(cluster.store, pod);
    let here = cluster.store.list(Resource::Pods, Some(text(pod, "/metadata/namespace")));
    let siblings = here.filter(|entry| lives(&entry.object) && workload_name(cluster.store, &entry.object) == workload);
    siblings.take(count).any(|entry| text(&entry.object, "/metadata/uid") == text(pod, "/metadata/uid"))
}

fn crash(cluster: &mut Cluster<'_>, entry: &Entry, life: &Life) -> bool {
    let crashes = crashes(cluster, &entry.object);
    let moment = cluster.moment;
    let mut life = life.clone();
    match (life.crashed, life.trouble_at) {
        (false, _) if !crashes => return false,
        (false, None) => {
            let at = moment.after(CRASHES_AFTER);
            life.trouble_at = Some(at);
            cluster.at(at);
            cluster.set_life(&entry.object, life);
        }
        (_, Some(at)) if at > moment.now => cluster.at(at),
        (false, Some(_)) => fall(cluster, entry, life),
        (true, _) => {
            life.restarts += 1;
            life.crashed = false;
            life.trouble_at = crashes.then(|| moment.after(CRASHES_AFTER));
            life.runs_at = moment.now;
            life.ready_at = moment.after(READY_AFTER);
            life.warm = false;
            pods::show(cluster, entry, Stage::Running, life);
        }
    }
    true
}

fn fall(cluster: &mut Cluster<'_>, entry: &Entry, mut life: Life) {
    let moment = cluster.moment;
    let pause = (BACK_OFF * 2_f64.powi(i32::try_from(life.restarts.min(10)).unwrap_or(10))).min(MOST_BACK_OFF);
    life.crashed = true;
    life.warm = false;
    life.trouble_at = Some(moment.after(pause));
    let mut object = Value::clone(&entry.object);
    let container = text(&object, "/spec/containers/0/name").to_owned();
    let place = format!("{}_{}({})", text(&object, "/metadata/name"), text(&object, "/metadata/namespace"), text(&object, "/metadata/uid"));
    let message = format!("back-off {}s restarting failed container={container} pod={place}", pause as u64 / 1000);
    let containers = Containers { waiting: Some(("CrashLoopBackOff", message)), restarts: life.restarts, exit: None };
    pod::show_with(&mut object, Stage::Running, &containers, &moment.stamp());
    let stored = cluster.put(Resource::Pods, object, Some(life));
    let message = format!("Back-off restarting failed container {container} in pod {place}");
    events::record(cluster, &stored, events::warning("kubelet"), "BackOff", &message);
}
