//! The inputs of `k8s.scale`.
//!
//! Must not ask anything. Invariant: a count below 0 is refused before anything is asked.

use schemars::JsonSchema;
use serde::Deserialize;

use super::rabbitmq_cluster;
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::workload::Workload;
use crate::actions::support::{DurationText, parse, whole};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The action's name.
pub(super) const NAME: &str = "k8s.scale";

/// The inputs of `k8s.scale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The workload: `deployment/NAME`, `statefulset/NAME` or `replicaset/NAME`; `rabbitmqcluster/NAME` under RabbitMQ's cluster operator.
    #[schemars(with = "rabbitmq_cluster::AnyWorkload")]
    pub(super) workload: Workload,
    /// How many replicas there are to be.
    #[serde(deserialize_with = "whole")]
    #[schemars(range(min = 0, max = 2_147_483_647))]
    pub(super) replicas: i32,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// Where an autoscaler owns the replicas and its maximum is lower: whether the maximum is raised too. Otherwise that is refused.
    #[serde(default)]
    pub(super) raise_maximum: bool,
    /// How long a rollback waits for the pods to go; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) settle: Option<Span>,
}

impl Input {
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.replicas < 0 {
            return Err(Failure::permanent(format!("replicas cannot be {}", input.replicas)).hint("0 or more"));
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }
}
