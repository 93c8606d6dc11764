//! PodDisruptionBudgets: how many Pods may be taken away on purpose.
//!
//! It must not take any away. Invariant: the status speaks of the Pods that are there now.

use serde_json::{Value, json};

use super::Cluster;
use super::owners::{lives, namespace, selects};
use super::rollout::replicas;
use crate::sandbox::cluster::deployment::former;
use crate::sandbox::cluster::pod::{self, Stage};
use crate::sandbox::cluster::resource::Resource;

/// A count, or a percentage of `all`, rounded up as the real one does.
fn part(value: &Value, all: i64) -> Option<i64> {
    if let Some(count) = value.as_i64() {
        return Some(count);
    }
    let percent: i64 = value.as_str()?.strip_suffix('%')?.parse().ok()?;
    Some((all * percent.clamp(0, 100) + 99) / 100)
}

pub(super) fn run(cluster: &mut Cluster<'_>) {
    for entry in cluster.list(Resource::PodDisruptionBudgets) {
        let budget = &entry.object;
        let here = namespace(budget);
        let (mut found, mut healthy) = (0, 0);
        for entry in cluster.store.list(Resource::Pods, Some(here)).filter(|entry| selects(&budget["spec"]["selector"], &entry.object)) {
            found += i64::from(lives(&entry.object));
            healthy += i64::from(pod::stage(&entry.object) == Stage::Ready);
        }
        let mut controlled = 0;
        for kind in [Resource::Deployments, Resource::StatefulSets] {
            for entry in cluster.store.list(kind, Some(here)) {
                let template = &entry.object["spec"]["template"];
                controlled += if selects(&budget["spec"]["selector"], template) { replicas(&entry.object) } else { 0 };
            }
        }
        let expected = if controlled > 0 { controlled } else { found };
        let desired = match (part(&budget["spec"]["minAvailable"], expected), part(&budget["spec"]["maxUnavailable"], expected)) {
            (Some(least), _) => least,
            (None, Some(most)) => (expected - most).max(0),
            (None, None) => 0,
        };
        let allowed = if found > 0 { (healthy - desired).max(0) } else { 0 };
        let (value, reason) = if allowed > 0 { ("True", "SufficientPods") } else { ("False", "InsufficientPods") };
        let known = former(budget, "DisruptionAllowed").filter(|condition| condition["status"] == value);
        let since = known.map_or_else(|| json!(cluster.moment.stamp()), |condition| condition["lastTransitionTime"].clone());
        let mut object = Value::clone(budget);
        object["status"] = json!({
            "currentHealthy": healthy, "desiredHealthy": desired, "disruptionsAllowed": allowed, "expectedPods": expected,
            "observedGeneration": budget["metadata"]["generation"],
            "conditions": [{
                "type": "DisruptionAllowed", "status": value, "reason": reason, "message": "", "lastTransitionTime": since,
                "observedGeneration": budget["metadata"]["generation"],
            }],
        });
        cluster.update(Resource::PodDisruptionBudgets, budget, object);
    }
}
