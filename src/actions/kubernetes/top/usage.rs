//! What one pod or node uses, asks for and may have.
//!
//! Must not judge. Invariant: what a pod's containers use together is compared with what they ask for together, and a sum that one of them lacks is none.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::actions::kubernetes::quantity::amount;

/// What was measured, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// In thousandths of a CPU.
    pub(super) cpu: u64,
    /// In bytes.
    pub(super) memory: u64,
    pub(super) at: Option<Timestamp>,
}

/// All samples, by the name of the pod or node.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<String, Sample>);

impl Samples {
    /// Those of a `PodMetricsList` or `NodeMetricsList`; `None` where it is neither.
    pub(super) fn of(list: &Value) -> Option<Self> {
        let items = match list.get("items")? {
            Value::Array(items) => items.as_slice(),
            // A Go server writes an empty list as null.
            Value::Null => &[],
            _ => return None,
        };
        let mut samples = BTreeMap::new();
        for item in items {
            let Some(name) = item.pointer("/metadata/name").and_then(Value::as_str) else { continue };
            let at = item["timestamp"].as_str().and_then(|at| at.parse().ok());
            let whole = |key: &str| match item.get("containers").and_then(Value::as_array) {
                Some(containers) => containers.iter().filter_map(|container| number(&container["usage"][key], key)).sum(),
                None => number(&item["usage"][key], key).unwrap_or(0),
            };
            samples.insert(name.to_owned(), Sample { cpu: whole("cpu"), memory: whole("memory"), at });
        }
        Some(Self(samples))
    }
}

/// CPU in thousandths, memory in bytes; rounded up, as `kubectl top` does.
fn number(value: &Value, resource: &str) -> Option<u64> {
    let nano = amount(value)?.nano();
    let unit = if resource == "cpu" { 1_000_000 } else { 1_000_000_000 };
    u64::try_from(nano.checked_add(unit - 1)? / unit).ok()
}

/// A pod or node.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) sample: Option<Sample>,
    pub(super) cpu_asked: Option<u64>,
    pub(super) memory_asked: Option<u64>,
    pub(super) cpu_limit: Option<u64>,
    pub(super) memory_limit: Option<u64>,
}

impl Row {
    /// None for a pod that has ended: it uses nothing any more.
    pub(super) fn of_pod(pod: &Value, samples: &Samples) -> Option<Self> {
        let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        if matches!(text("/status/phase"), "Succeeded" | "Failed") {
            return None;
        }
        let list = |pointer: &str| pod.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        // A sidecar is an init container that goes on: it is measured with the others.
        let sidecars = list("/spec/initContainers").filter(|container| container["restartPolicy"] == "Always");
        let containers: Vec<&Value> = list("/spec/containers").chain(sidecars).collect();
        let sum = |part: &str, resource: &str| {
            containers.iter().map(|container| number(&container["resources"][part][resource], resource)).sum::<Option<u64>>()
        };
        let name = text("/metadata/name").to_owned();
        Some(Self {
            sample: samples.0.get(&name).copied(),
            name,
            cpu_asked: sum("requests", "cpu"),
            memory_asked: sum("requests", "memory"),
            cpu_limit: sum("limits", "cpu"),
            memory_limit: sum("limits", "memory"),
        })
    }

    /// A node, against what it has to give.
    pub(super) fn of_node(node: &Value, samples: &Samples) -> Self {
        let name = node.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
        let has = |resource: &str| number(&node["status"]["allocatable"][resource], resource);
        Self {
            sample: samples.0.get(&name).copied(),
            name,
            cpu_asked: has("cpu"),
            memory_asked: has("memory"),
            cpu_limit: None,
            memory_limit: None,
        }
    }

    /// In thousandths of a CPU; 0 without a sample.
    pub(super) fn cpu(&self) -> u64 {
        self.sample.map_or(0, |sample| sample.cpu)
    }

    /// In bytes; 0 without a sample.
    pub(super) fn memory(&self) -> u64 {
        self.sample.map_or(0, |sample| sample.memory)
    }

    /// How old its sample is, in seconds.
    pub(super) fn age(&self, now: Timestamp) -> Option<u64> {
        let at = self.sample?.at?;
        Some(u64::try_from(now.as_second() - at.as_second()).unwrap_or(0))
    }

    pub(super) fn to_value(&self, now: Timestamp) -> Value {
        let (cpu, memory) = (self.cpu(), self.memory());
        json!({
            "name": self.name, "cpu_millicores": cpu, "memory_bytes": memory,
            "cpu_percent": percent(cpu, self.cpu_asked), "memory_percent": percent(memory, self.memory_asked),
            "cpu_limit_percent": percent(cpu, self.cpu_limit), "memory_limit_percent": percent(memory, self.memory_limit),
            "sample_s": self.age(now),
        })
    }
}

/// The part of a whole in percent, rounded down; none of nothing.
pub(super) fn percent(part: u64, whole: Option<u64>) -> Option<u64> {
    let whole = whole.filter(|whole| *whole > 0)?;
    u64::try_from(u128::from(part) * 100 / u128::from(whole)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_asks_for_its_part_and_what_only_starts_a_pod_does_not() {
        let container =
            |cpu: &str, policy: Value| json!({ "resources": { "requests": { "cpu": cpu, "memory": "1Gi" } }, "restartPolicy": policy });
        let pod = json!({
            "metadata": { "name": "p" },
            "spec": { "containers": [container("250m", Value::Null)], "initContainers": [container("2", Value::Null), container("100m", json!("Always"))] },
        });
        let row = Row::of_pod(&pod, &Samples::default()).unwrap();
        assert_eq!((row.cpu_asked, row.memory_asked), (Some(350), Some(2 << 30)));
    }
}
