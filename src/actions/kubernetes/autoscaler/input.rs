//! The inputs of `k8s.autoscaler`, and what is refused of them.
//!
//! Must not ask anything. Invariant: what no autoscaler can be is refused with both values named, before anything is sent.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::state::Observed;
use crate::actions::kubernetes::horizontal::{self, CEILING, FLOOR};
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::scaler;
use crate::actions::kubernetes::workload::{Workload, is_name};
use crate::actions::support::{DurationText, maybe_whole, parse};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The action's name.
pub(super) const NAME: &str = "k8s.autoscaler";

/// The inputs of `k8s.autoscaler`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The autoscaler's name.
    pub(super) name: String,
    /// The workload it scales: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`.
    pub(super) workload: Workload,
    /// The fewest pods (`minReplicas`), 1 or more; as it is where it is left out, 1 for a new one.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 2_147_483_647))]
    min: Option<i32>,
    /// The most pods (`maxReplicas`); as it is where it is left out; a new one needs it.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 1, max = 2_147_483_647))]
    max: Option<i32>,
    /// What it goes by: `{ cpu: 70, memory: 80 }` (utilisation in percent of the requests), or a list of metrics as `autoscaling/v2` has them.
    /// As they are where it is left out; a new one needs it.
    metrics: Option<Metrics>,
    /// How fast it goes up and down, as `autoscaling/v2` has it: `{ scaleDown: { stabilizationWindowSeconds: 300, policies: [..] } }`. It takes the
    /// place of the whole behaviour; as it is where it is left out.
    behavior: Option<Map<String, Value>>,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits for the pods to go; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) settle: Option<Span>,
}

/// What an autoscaler goes by.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Metrics {
    /// As `autoscaling/v2` has them.
    List(Vec<Map<String, Value>>),
    /// Utilisation in percent of the requests.
    Utilisation(Utilisation),
}

/// Utilisation in percent of the requests.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Utilisation {
    /// Of the CPU requests, in percent.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 1))]
    cpu: Option<i32>,
    /// Of the memory requests, in percent.
    #[serde(default, deserialize_with = "maybe_whole")]
    #[schemars(with = "Option<i32>", range(min = 1))]
    memory: Option<i32>,
}

impl Input {
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if !is_name(&input.name) {
            let name: String = input.name.chars().take(80).collect();
            return Err(Failure::permanent(format!("`{name}` is not an autoscaler's name")).hint("lower-case letters, digits, `-` and `.`"));
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }

    /// The metrics as the API has them.
    pub(super) fn metrics(&self) -> Option<Value> {
        let of = |name: &str, percent: i32| json!({ "type": "Resource", "resource": { "name": name, "target": { "type": "Utilization", "averageUtilization": percent } } });
        Some(match self.metrics.as_ref()? {
            Metrics::List(list) => json!(list),
            Metrics::Utilisation(Utilisation { cpu, memory }) => {
                let given = [("cpu", cpu), ("memory", memory)];
                given.into_iter().filter_map(|(name, percent)| percent.map(|percent| of(name, percent))).collect()
            }
        })
    }

    /// The fields that are given, as the API names them.
    pub(super) fn fields(&self) -> Vec<(&'static str, Value)> {
        let fields = [
            (FLOOR, self.min.map(|min| json!(min))),
            (CEILING, self.max.map(|max| json!(max))),
            ("spec.metrics", self.metrics()),
            ("spec.behavior", self.behavior.clone().map(Value::Object)),
        ];
        fields.into_iter().filter_map(|(field, value)| value.map(|value| (field, value))).collect()
    }

    /// A new autoscaler.
    pub(super) fn manifest(&self, namespace: &str) -> Value {
        let mut spec = Map::new();
        spec.insert("scaleTargetRef".to_owned(), self.workload.reference());
        spec.insert("minReplicas".to_owned(), json!(1));
        for (field, value) in self.fields() {
            spec.insert(field.trim_start_matches("spec.").to_owned(), value);
        }
        json!({
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": { "name": self.name, "namespace": namespace },
            "spec": spec,
        })
    }

    /// Why this cannot be had from what is there.
    pub(super) fn refusal(&self, observed: &Observed) -> Option<Failure> {
        let Self { name, workload, .. } = self;
        let there = &observed.there;
        let namespace = &there.namespace;
        if there.replicas.is_none() {
            let message = format!("there is no {workload} in namespace {namespace} for the autoscaler {name} to scale");
            return Some(Failure::permanent(message).hint("check the name, the namespace and the environment"));
        }
        if let Some(scaled_object) = &observed.scaled_object {
            return Some(horizontal::of_keda(name, scaled_object));
        }
        if let Some(scaled_object) = &observed.keda {
            return Some(scaler::of_keda(name, workload, scaled_object));
        }
        if let (Some(scales), false) = (&there.scales, there.ours) {
            return Some(
                Failure::permanent(format!("the autoscaler {name} in namespace {namespace} scales {scales}, not {workload}"))
                    .hint("give the autoscaler another name, or name the workload that it scales"),
            );
        }
        if !there.others.is_empty() {
            let others = there.others.join(", ");
            return Some(
                Failure::permanent(format!("{workload} has another autoscaler already, {others}: two on one workload fight each other"))
                    .hint(format!("change that one (`name: {}`), or delete it first", there.others.first().map_or("", String::as_str))),
            );
        }
        let floor = self.min.map_or(there.min.unwrap_or(1), i64::from);
        if floor < 1 {
            let message =
                format!("the floor of {name} cannot be {floor}: 0 needs the cluster's feature HPAScaleToZero and a metric from outside");
            return Some(Failure::permanent(message).hint("the lowest floor is 1"));
        }
        let Some(ceiling) = self.max.map(i64::from).or(there.max) else {
            return Some(
                Failure::permanent(format!("there is no autoscaler {name} yet, and a new one needs `max`"))
                    .hint("say how many pods it may start at most"),
            );
        };
        if floor > ceiling {
            let message = format!("the floor of {name} would be {floor} and its maximum {ceiling}: it can never meet both");
            return Some(Failure::permanent(message).hint("lower `min` or raise `max`"));
        }
        let metrics = self.metrics();
        let none = metrics.as_ref().is_some_and(|metrics| metrics.as_array().is_none_or(Vec::is_empty));
        if none || (metrics.is_none() && !there.exists) {
            return Some(
                Failure::permanent(format!("the autoscaler {name} has no metric to go by")).hint("`metrics: { cpu: 70 }`, for instance"),
            );
        }
        None
    }
}
