//! HorizontalPodAutoscalers: every 15 s the replicas that the metrics ask for, within the limits and the behaviour of each.
//!
//! It must not touch Pods. Invariant: it writes the replicas of its target only once a period, and never beyond `maxReplicas`.

mod limits;
mod metrics;

pub(crate) use metrics::cpu_of;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use self::limits::{Behaviour, Limited};
use self::metrics::Reading;
use super::owners::{leaves, name, namespace, scaled, uid};
use super::{Cluster, events};
use crate::sandbox::cluster::resource::Resource;
use crate::sandbox::cluster::store::{Entry, text};

const SELF: &str = "horizontal-pod-autoscaler";
const EVERY: f64 = 15_000.0;

/// What one autoscaler remembers. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct History {
    /// When it looks again.
    next: u64,
    /// What the metrics asked for, and when.
    recommended: Vec<(u64, i64)>,
    /// By how much it scaled up, and when.
    ups: Vec<(u64, i64)>,
    downs: Vec<(u64, i64)>,
    /// How often it has looked.
    #[serde(default)]
    looks: u64,
}

impl History {
    pub(super) fn looks(&self) -> u64 {
        self.looks
    }
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    let all = cluster.list(Resource::HorizontalPodAutoscalers);
    if cluster.memory.autoscalers.len() > all.len() {
        let known: std::collections::BTreeSet<&str> = all.iter().map(|entry| uid(&entry.object)).collect();
        cluster.memory.autoscalers.retain(|uid, _| known.contains(uid.as_str()));
    }
    for entry in all {
        if leaves(&entry.object) {
            continue;
        }
        let mut history = cluster.memory.autoscalers.get(uid(&entry.object)).cloned().unwrap_or_default();
        let period = (cluster.moment.after(EVERY) - cluster.moment.now).max(1);
        // A clock that was slower before does not make it wait longer than a period.
        history.next = history.next.min(cluster.moment.now + period);
        if history.next <= cluster.moment.now {
            look(cluster, &entry.object, &mut history);
            history.looks = history.looks.saturating_add(1);
            // It keeps its beat; what it slept through is not made up for.
            let late = cluster.moment.now.saturating_sub(history.next);
            history.next = if late < period { history.next + period } else { cluster.moment.now + period };
        }
        cluster.at(history.next);
        cluster.memory.autoscalers.insert(uid(&entry.object).to_owned(), history);
    }
}

/// The status of an autoscaler while it is worked out.
struct Draft<'a> {
    autoscaler: &'a Value,
    status: Value,
    now: String,
}

impl Draft<'_> {
    fn condition(&mut self, kind: &str, holds: bool, reason: &str, message: &str) {
        let value = if holds { "True" } else { "False" };
        let Some(conditions) = self.status["conditions"].as_array_mut() else { return };
        let place = conditions.iter().position(|condition| condition["type"] == kind);
        let former = place.and_then(|place| conditions.get(place)).filter(|former| former["status"] == value);
        let since = former.map_or_else(|| json!(self.now), |former| former["lastTransitionTime"].clone());
        let condition = json!({ "type": kind, "status": value, "lastTransitionTime": since, "reason": reason, "message": message });
        match place.and_then(|place| conditions.get_mut(place)) {
            Some(known) => *known = condition,
            None => conditions.push(condition),
        }
    }

    fn store(self, cluster: &mut Cluster<'_>) {
        let mut object = self.autoscaler.clone();
        object["status"] = self.status;
        cluster.update(Resource::HorizontalPodAutoscalers, self.autoscaler, object);
    }
}

/// The kind and the object that an autoscaler scales.
fn target(cluster: &Cluster<'_>, autoscaler: &Value) -> Result<(Resource, Entry), String> {
    let reference = &autoscaler["spec"]["scaleTargetRef"];
    let kind = text(reference, "/kind");
    let found = [Resource::Deployments, Resource::ReplicaSets, Resource::StatefulSets].into_iter().find(|resource| resource.kind() == kind);
    let resource = found.ok_or_else(|| format!("no matches for kind \"{kind}\" in group \"apps\""))?;
    let entry = cluster.store.get(resource, namespace(autoscaler), text(reference, "/name"));
    let entry = entry.ok_or_else(|| format!("{} \"{}\" not found", resource.qualified(), text(reference, "/name")))?;
    Ok((resource, entry.clone()))
}

fn look(cluster: &mut Cluster<'_>, autoscaler: &Value, history: &mut History) {
    let now = cluster.moment.stamp();
    let mut status = autoscaler["status"].clone();
    if !status["conditions"].is_array() {
        status = json!({ "desiredReplicas": 0, "currentMetrics": null, "conditions": [] });
    }
    let mut draft = Draft { autoscaler, status, now };
    let (resource, entry) = match target(cluster, autoscaler) {
        Ok(found) => found,
        Err(why) => {
            events::record(cluster, autoscaler, events::warning(SELF), "FailedGetScale", &why);
            let message = format!("the HPA controller was unable to get the target's current scale: {why}");
            draft.condition("AbleToScale", false, "FailedGetScale", &message);
            return draft.store(cluster);
        }
    };
    draft.condition("AbleToScale", true, "SucceededGetScale", "the HPA controller was able to get the target's current scale");
    let current = super::rollout::replicas(&entry.object);
    if history.recommended.is_empty() {
        history.recommended.push((cluster.moment.now, current));
    }
    let least = autoscaler["spec"]["minReplicas"].as_i64().unwrap_or(1);
    let most = autoscaler["spec"]["maxReplicas"].as_i64().unwrap_or(1);
    let mut metrics = Value::Null;
    let (desired, reason) = if current == 0 && least != 0 {
        draft.condition("ScalingActive", false, "ScalingDisabled", "scaling is disabled since the replica count of the target is zero");
        (0, String::new())
    } else if current > most {
        (most, "Current number of replicas above Spec.MaxReplicas".to_owned())
    } else if current < least {
        (least, "Current number of replicas below Spec.MinReplicas".to_owned())
    } else {
        let reading = metrics::read(cluster, autoscaler, &entry.object, current);
        for (reason, message) in &reading.failures {
            events::record(cluster, autoscaler, events::warning(SELF), reason, message);
        }
        metrics = reading.statuses.clone();
        let Some((wanted, metric)) = proposal(&mut draft, &reading, current) else {
            draft.status["currentReplicas"] = json!(current);
            draft.status["currentMetrics"] = metrics;
            let why = reading.failure();
            events::record(cluster, autoscaler, events::warning(SELF), "FailedComputeMetricsReplicas", &why);
            return draft.store(cluster);
        };
        let reason = if wanted > current { format!("{metric} above target") } else { "All metrics below target".to_owned() };
        (normalize(cluster, &mut draft, history, current, wanted, (least, most)), reason)
    };
    draft.status["currentReplicas"] = json!(current);
    draft.status["desiredReplicas"] = json!(desired);
    draft.status["currentMetrics"] = metrics;
    if desired != current {
        let message = format!("the HPA controller was able to update the target scale to {desired}");
        draft.condition("AbleToScale", true, "SucceededRescale", &message);
        draft.status["lastScaleTime"] = json!(draft.now);
        cluster.put_by(resource, scaled(&entry.object, desired), None, "scale");
        let message = format!("New size: {desired}; reason: {reason}");
        events::record(cluster, autoscaler, events::normal(SELF), "SuccessfulRescale", &message);
        let changes = if desired > current { &mut history.ups } else { &mut history.downs };
        changes.push((cluster.moment.now, (desired - current).abs()));
    }
    draft.store(cluster);
}

/// The largest of what the metrics ask for; none where none of them could be read, or where one could not and the rest ask for less.
fn proposal(draft: &mut Draft<'_>, reading: &Reading, current: i64) -> Option<(i64, String)> {
    let best = reading.proposals.iter().max_by_key(|(wanted, _)| *wanted).cloned();
    let failed = reading.failures.first();
    match (best, failed) {
        (Some((wanted, _)), Some((reason, message))) if wanted < current => {
            draft.condition("ScalingActive", false, reason, &format!("the HPA was unable to compute the replica count: {message}"));
            None
        }
        (None, Some((reason, message))) => {
            draft.condition("ScalingActive", false, reason, &format!("the HPA was unable to compute the replica count: {message}"));
            None
        }
        (None, None) => None,
        (Some((wanted, metric)), _) => {
            let message = format!("the HPA was able to successfully calculate a replica count from {metric}");
            draft.condition("ScalingActive", true, "ValidMetricFound", &message);
            Some((wanted, metric))
        }
    }
}

/// Brings what the metrics ask for within the windows, the rates and the limits.
fn normalize(cluster: &Cluster<'_>, draft: &mut Draft<'_>, history: &mut History, current: i64, wanted: i64, bounds: (i64, i64)) -> i64 {
    let behaviour = Behaviour::of(&draft.autoscaler["spec"]["behavior"]);
    let (stable, held) = limits::stabilize(&behaviour, history, cluster.moment, current, wanted);
    match held {
        Some((reason, message)) => draft.condition("AbleToScale", true, reason, message),
        None => draft.condition("AbleToScale", true, "ReadyForNewScale", "recommended size matches current size"),
    }
    let (desired, Limited { reason, message }) = limits::rate(&behaviour, history, cluster.moment, current, stable, bounds);
    draft.condition("ScalingLimited", desired != stable, reason, message);
    limits::forget(&behaviour, history, cluster.moment);
    desired
}

/// The autoscaler in words: `production/ticket-service-hpa 2..16, now 8`.
pub(crate) fn summary(autoscaler: &Value) -> String {
    let spec = &autoscaler["spec"];
    let current = autoscaler["status"]["currentReplicas"].as_i64().unwrap_or(0);
    let least = spec["minReplicas"].as_i64().unwrap_or(1);
    format!("{}/{} {least}..{}, now {current}", namespace(autoscaler), name(autoscaler), spec["maxReplicas"])
}
