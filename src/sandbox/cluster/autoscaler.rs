//! The autoscaler that a fresh cluster may have: one of those of the scaling procedure.
//!
//! It must not scale (the controller does). Invariant: without being asked for, there is none.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::resource::Resource;
use super::scaled_object;

/// Which metrics the first autoscaler has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Autoscaler {
    /// There is no autoscaler.
    #[default]
    None,
    /// It follows the CPU alone.
    Cpu,
    /// It follows the CPU and the memory, as in the procedure; the memory never lets it come down.
    Memory,
    /// KEDA follows a queue and the requests, as in the procedure.
    Keda,
}

impl Autoscaler {
    /// All of them, in the order of their names' help.
    pub const ALL: [Self; 4] = [Self::None, Self::Cpu, Self::Memory, Self::Keda];

    /// The object with its kind, where there is to be one.
    pub(crate) fn object(self, uid: &str, created: &str) -> Option<(Resource, Value)> {
        let metric = |name: &str, target: i64| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": target } } });
        let metrics = match self {
            Self::None => return None,
            Self::Keda => return Some((Resource::ScaledObjects, scaled_object::initial(uid, created))),
            Self::Cpu => vec![metric("cpu", 70)],
            Self::Memory => vec![metric("cpu", 70), metric("memory", 80)],
        };
        let rules = |window: i64, percent: i64| {
            json!({
                "stabilizationWindowSeconds": window, "selectPolicy": "Max",
                "policies": [{ "type": "Percent", "value": percent, "periodSeconds": 60 }],
            })
        };
        let object = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": "ticket-service-hpa", "namespace": "production", "uid": uid, "creationTimestamp": created },
            "spec": {
                "scaleTargetRef": { "apiVersion": "apps/v1", "kind": "Deployment", "name": "ticket-service" },
                "minReplicas": 2, "maxReplicas": 16, "metrics": metrics,
                "behavior": { "scaleUp": rules(60, 100), "scaleDown": rules(300, 10) },
            },
            "status": { "desiredReplicas": 0, "currentMetrics": null },
        });
        Some((Resource::HorizontalPodAutoscalers, object))
    }
}

impl fmt::Display for Autoscaler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Keda => "keda",
        })
    }
}

impl FromStr for Autoscaler {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|autoscaler| autoscaler.to_string() == text);
        found.ok_or_else(|| format!("`{text}` is no autoscaler of the sandbox: write none, cpu, memory or keda"))
    }
}
