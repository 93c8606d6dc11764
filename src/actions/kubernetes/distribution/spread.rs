//! How pods are spread over nodes and zones.
//!
//! Must not ask anything. Invariant: pure; a node that takes no pods of the workload counts only where it has some.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// A node, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) zone: Option<String>,
    /// Whether it takes new pods of the workload.
    pub(super) eligible: bool,
}

impl Node {
    /// From the object, for pods with this spec.
    pub(super) fn of(node: &Value, pod_spec: &Value) -> Self {
        let labels = node.pointer("/metadata/labels");
        let label = |key: &str| labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
        let conditions = node.pointer("/status/conditions").and_then(Value::as_array);
        let ready = conditions.into_iter().flatten().any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        let closed = node.pointer("/spec/unschedulable").and_then(Value::as_bool).unwrap_or(false);
        let taints = node.pointer("/spec/taints").and_then(Value::as_array).into_iter().flatten();
        let repels = taints.into_iter().any(|taint| taint["effect"] != "PreferNoSchedule" && !tolerated(taint, pod_spec));
        let wanted = pod_spec.get("nodeSelector").and_then(Value::as_object);
        let selected = wanted.into_iter().flatten().all(|(key, value)| label(key) == value.as_str());
        Self {
            name: node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            zone: label("topology.kubernetes.io/zone").map(str::to_owned),
            eligible: ready && !closed && !repels && selected,
        }
    }
}

fn tolerated(taint: &Value, pod_spec: &Value) -> bool {
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let tolerations = pod_spec.get("tolerations").and_then(Value::as_array).into_iter().flatten();
    tolerations.into_iter().any(|toleration| {
        let (key, effect) = (text(toleration, "key"), text(toleration, "effect"));
        let exists = text(toleration, "operator") == "Exists";
        let keys = if key.is_empty() { exists } else { key == text(taint, "key") };
        keys && (effect.is_empty() || effect == text(taint, "effect")) && (exists || text(toleration, "value") == text(taint, "value"))
    })
}

/// Pods over nodes and zones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spread {
    pub(super) by_node: BTreeMap<String, u64>,
    /// `None`: no zone is known.
    pub(super) by_zone: Option<BTreeMap<String, u64>>,
    pub(super) skew_nodes: u64,
    pub(super) skew_zones: Option<u64>,
}

impl Spread {
    /// Of pods on these nodes. `nodes`: `None` where they could not be read.
    pub(super) fn of(pods: &[String], nodes: Option<&[Node]>) -> Self {
        let mut by_node: BTreeMap<String, u64> = BTreeMap::new();
        let (mut eligible, mut zones) = (BTreeSet::new(), BTreeMap::new());
        let mut by_zone: BTreeMap<String, u64> = BTreeMap::new();
        for node in nodes.unwrap_or_default() {
            if let Some(zone) = &node.zone {
                zones.insert(node.name.as_str(), zone.as_str());
            }
            if node.eligible {
                eligible.insert(node.name.as_str());
                by_node.insert(node.name.clone(), 0);
                if let Some(zone) = &node.zone {
                    by_zone.insert(zone.clone(), 0);
                }
            }
        }
        for pod in pods {
            *by_node.entry(pod.clone()).or_default() += 1;
            if let Some(zone) = zones.get(pod.as_str()) {
                *by_zone.entry((*zone).to_owned()).or_default() += 1;
            }
        }
        let known = !zones.is_empty();
        Self { skew_nodes: skew(&by_node), skew_zones: known.then(|| skew(&by_zone)), by_zone: known.then_some(by_zone), by_node }
    }

    /// Whether it is as even as it can be: over zones where there are several, else over nodes.
    pub(super) fn is_even(&self) -> bool {
        match (&self.by_zone, self.skew_zones) {
            (Some(zones), Some(skew)) if zones.len() > 1 => skew <= 1,
            _ => self.skew_nodes <= 1,
        }
    }
}

fn skew(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().max().copied().unwrap_or(0) - counts.values().min().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, zone: &str, eligible: bool) -> Node {
        Node { name: name.to_owned(), zone: (!zone.is_empty()).then(|| zone.to_owned()), eligible }
    }

    fn spread(pods: &[&str], nodes: Option<&[Node]>) -> (u64, Option<u64>, bool) {
        let pods: Vec<String> = pods.iter().map(|pod| (*pod).to_owned()).collect();
        let spread = Spread::of(&pods, nodes);
        (spread.skew_nodes, spread.skew_zones, spread.is_even())
    }

    #[test]
    fn skew_is_over_what_could_have_pods() {
        let three = [node("a", "1", true), node("b", "1", true), node("c", "2", true)];
        let table = [
            // Pods by node, nodes, skew of nodes, of zones, even.
            (vec!["a", "b", "c"], Some(&three[..]), (0, Some(1), true)),
            // Even over zones is even, though not over nodes.
            (vec!["a", "b", "c", "c"], Some(&three[..]), (1, Some(0), true)),
            (vec!["a", "a", "b", "b"], Some(&three[..]), (2, Some(4), false)),
            (vec!["a", "a"], Some(&three[..2]), (2, Some(0), false)),
            (vec![], Some(&three[..]), (0, Some(0), true)),
            // Without nodes, what has no pod is not known.
            (vec!["a", "a", "b"], None, (1, None, true)),
            (vec!["a"], Some(&[]), (0, None, true)),
        ];
        for (pods, nodes, wanted) in table {
            assert_eq!(spread(&pods, nodes), wanted, "{pods:?}");
        }
        let closed = [node("a", "", true), node("b", "", false), node("c", "", false)];
        assert_eq!(spread(&["a", "a", "c"], Some(&closed)), (1, None, true));
    }

    #[test]
    fn a_node_is_eligible_as_the_scheduler_sees_it() {
        let of = |spec: Value, pod: Value| {
            let labels = json!({ "topology.kubernetes.io/zone": "eu-1a", "pool": "web" });
            let object = json!({
                "metadata": { "name": "n", "labels": labels }, "spec": spec, "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
            });
            Node::of(&object, &pod).eligible
        };
        let taint = json!({ "taints": [{ "key": "gpu", "value": "yes", "effect": "NoSchedule" }] });
        let tolerating = |toleration: Value| json!({ "tolerations": [toleration] });
        for (spec, pod, eligible) in [
            (json!({}), json!({}), true),
            (json!({ "unschedulable": true }), json!({}), false),
            (taint.clone(), json!({}), false),
            (taint.clone(), tolerating(json!({ "key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoSchedule" })), true),
            (taint.clone(), tolerating(json!({ "key": "gpu", "value": "no" })), false),
            (taint.clone(), tolerating(json!({ "operator": "Exists" })), true),
            (taint.clone(), tolerating(json!({ "key": "gpu", "operator": "Exists", "effect": "NoExecute" })), false),
            (json!({ "taints": [{ "key": "gpu", "effect": "PreferNoSchedule" }] }), json!({}), true),
            (json!({}), json!({ "nodeSelector": { "pool": "web" } }), true),
            (json!({}), json!({ "nodeSelector": { "pool": "batch" } }), false),
        ] {
            assert_eq!(of(spec.clone(), pod.clone()), eligible, "{spec} {pod}");
        }
        let node = Node::of(
            &json!({ "metadata": { "name": "n" }, "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } }),
            &json!({}),
        );
        assert_eq!(node, self::node("n", "", false));
    }
}
