//! The scheduler: it gives each Pod a node that has room, and says why where none has.
//!
//! It must not create Pods, nor move one that has a node. Invariant: what the Pods of a node ask for together never exceeds what the
//! node has to give.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::owners::{leaves, name, namespace, owner};
use super::{Cluster, events, pods};
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};
use crate::sandbox::cluster::{node, quantity};

struct Candidate {
    name: String,
    address: String,
    object: std::sync::Arc<Value>,
    cpu: i128,
    memory: i128,
    pods: i128,
    /// How many of its Pods belong to each owner.
    owners: BTreeMap<String, usize>,
    taken: usize,
}

/// What a Pod asks for.
struct Wish {
    cpu: i128,
    memory: i128,
}

fn wish(pod: &Value) -> Wish {
    Wish { cpu: quantity::of_pod(&pod["spec"], "requests", "cpu"), memory: quantity::of_pod(&pod["spec"], "requests", "memory") }
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    let waits = |entry: &&Entry| !entry.object["spec"]["nodeName"].is_string() && pod::stage(&entry.object) == Stage::Pending;
    let waiting: Vec<Entry> = cluster.store.list(Resource::Pods, None).filter(waits).cloned().collect();
    if waiting.is_empty() {
        return;
    }
    let mut nodes = candidates(cluster);
    for entry in waiting {
        let wish = wish(&entry.object);
        let mut refusals: BTreeMap<String, usize> = BTreeMap::new();
        let mut helpless = 0;
        let mut best: Option<(usize, (usize, usize))> = None;
        for (nth, candidate) in nodes.iter().enumerate() {
            match refusal(candidate, &entry.object, &wish) {
                Ok(()) => {
                    let rank = (candidate.owners.get(owner(&entry.object)).copied().unwrap_or(0), candidate.taken);
                    if best.is_none_or(|(_, found)| rank < found) {
                        best = Some((nth, rank));
                    }
                }
                Err((reasons, resolvable)) => {
                    helpless += usize::from(!resolvable);
                    for reason in reasons {
                        *refusals.entry(reason.to_owned()).or_default() += 1;
                    }
                }
            }
        }
        match best.and_then(|(nth, _)| nodes.get_mut(nth)) {
            Some(candidate) => {
                candidate.cpu -= wish.cpu;
                candidate.memory -= wish.memory;
                candidate.pods -= 1000;
                candidate.taken += 1;
                *candidate.owners.entry(owner(&entry.object).to_owned()).or_default() += 1;
                bind(cluster, &entry, candidate);
            }
            None => refuse(cluster, &entry, nodes.len(), &refusals, helpless),
        }
    }
}

fn candidates(cluster: &Cluster<'_>) -> Vec<Candidate> {
    let mut nodes: Vec<Candidate> = cluster
        .store
        .list(Resource::Nodes, None)
        .filter(|entry| !leaves(&entry.object))
        .enumerate()
        .map(|(nth, entry)| {
            let room = |resource: &str| quantity::milli(&entry.object["status"]["allocatable"][resource]).unwrap_or(0);
            let address = text(&entry.object, "/status/addresses/0/address");
            Candidate {
                name: name(&entry.object).to_owned(),
                address: if address.is_empty() { node::address(nth) } else { address.to_owned() },
                object: entry.object.clone(),
                cpu: room("cpu"),
                memory: room("memory"),
                pods: room("pods"),
                owners: BTreeMap::new(),
                taken: 0,
            }
        })
        .collect();
    for entry in cluster.store.list(Resource::Pods, None) {
        let on = entry.object["spec"]["nodeName"].as_str().unwrap_or_default();
        if on.is_empty() || pod::stage(&entry.object) == Stage::Ended {
            continue;
        }
        let Some(candidate) = nodes.iter_mut().find(|candidate| candidate.name == on) else { continue };
        let wish = wish(&entry.object);
        candidate.cpu -= wish.cpu;
        candidate.memory -= wish.memory;
        candidate.pods -= 1000;
        candidate.taken += 1;
        if !leaves(&entry.object) {
            *candidate.owners.entry(owner(&entry.object).to_owned()).or_default() += 1;
        }
    }
    nodes
}

/// Why a node cannot take the Pod, and whether ending other Pods could help.
fn refusal(candidate: &Candidate, pod: &Value, wish: &Wish) -> Result<(), (Vec<&'static str>, bool)> {
    if candidate.object["spec"]["unschedulable"] == true {
        return Err((vec!["node(s) were unschedulable"], false));
    }
    let labels = &candidate.object["metadata"]["labels"];
    let chosen = pod.pointer("/spec/nodeSelector").and_then(Value::as_object);
    if chosen.into_iter().flatten().any(|(key, value)| labels.get(key) != Some(value)) {
        return Err((vec!["node(s) didn't match Pod's node affinity/selector"], false));
    }
    let lacks = [
        (candidate.pods < 1000, "Too many pods"),
        (wish.cpu > candidate.cpu && wish.cpu > 0, "Insufficient cpu"),
        (wish.memory > candidate.memory && wish.memory > 0, "Insufficient memory"),
    ];
    let reasons: Vec<&str> = lacks.into_iter().filter_map(|(lacks, reason)| lacks.then_some(reason)).collect();
    if reasons.is_empty() { Ok(()) } else { Err((reasons, true)) }
}

fn bind(cluster: &mut Cluster<'_>, entry: &Entry, candidate: &Candidate) {
    let node = &candidate.name;
    let moment = cluster.moment;
    let mut life = entry.life.clone().unwrap_or_else(|| pods::life(moment, 0));
    if life.waited {
        life = pods::Life { works_for: life.works_for, ..pods::life(moment, 0) };
    }
    let mut object = Value::clone(&entry.object);
    object["spec"]["nodeName"] = json!(node);
    for label in ["topology.kubernetes.io/region", "topology.kubernetes.io/zone"] {
        let place = &candidate.object["metadata"]["labels"][label];
        if place.is_string() {
            object["metadata"]["labels"][label] = place.clone();
        }
    }
    pod::show(&mut object, Stage::Pending, &moment.stamp());
    object["status"]["hostIP"] = json!(candidate.address);
    let message = format!("Successfully assigned {}/{} to {node}", namespace(&object), name(&object));
    let stored = cluster.put(Resource::Pods, object, Some(life));
    events::record(cluster, &stored, events::normal("default-scheduler"), "Scheduled", &message);
}

fn refuse(cluster: &mut Cluster<'_>, entry: &Entry, nodes: usize, refusals: &BTreeMap<String, usize>, helpless: usize) {
    let message = if nodes == 0 {
        "no nodes available to schedule pods".to_owned()
    } else {
        let mut reasons: Vec<String> = refusals.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        reasons.sort();
        let mut hopes = Vec::new();
        if nodes > helpless {
            hopes.push(format!("{} No preemption victims found for incoming pod", nodes - helpless));
        }
        if helpless > 0 {
            hopes.push(format!("{helpless} Preemption is not helpful for scheduling"));
        }
        hopes.sort();
        format!("0/{nodes} nodes are available: {}. preemption: 0/{nodes} nodes are available: {}.", reasons.join(", "), hopes.join(", "))
    };
    if text(&entry.object, "/status/conditions/0/message") == message {
        return;
    }
    let mut object = Value::clone(&entry.object);
    pod::show_unschedulable(&mut object, &message, &cluster.moment.stamp());
    let life = pods::Life { waited: true, ..entry.life.clone().unwrap_or_default() };
    let stored = cluster.put(Resource::Pods, object, Some(life));
    events::record(cluster, &stored, events::warning("default-scheduler"), "FailedScheduling", &message);
}
