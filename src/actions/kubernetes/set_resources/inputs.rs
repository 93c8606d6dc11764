//! The inputs of `k8s.set_resources`.
//!
//! Invariant: an amount leaves here in the text that the API server gives back for it, so that what is wanted and what is read can be compared.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::NAME;
use crate::actions::kubernetes::namespace;
use crate::actions::kubernetes::quantity::Quantity;
use crate::actions::kubernetes::workload::Rolling;
use crate::actions::support::{DurationText, parse};
use crate::model::duration::Span;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Inputs;

/// The inputs of `k8s.set_resources`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The workload: `deployment/NAME` or `statefulset/NAME`.
    pub(super) workload: Rolling,
    /// The container; needed only where there are several.
    pub(super) container: Option<String>,
    /// What each pod's container is given for sure, and what the scheduler and the HPA's utilisation count by.
    requests: Option<Amounts>,
    /// What it may use at most.
    limits: Option<Amounts>,
    /// `rollout` (the default) changes the template, which restarts every pod; `in_place` resizes the pods that are there and leaves the template.
    #[serde(default)]
    pub(super) mode: Mode,
    /// Its namespace; the environment's (`target.kubernetes.namespace`) where it is left out.
    namespace: Option<String>,
    /// How long a rollback waits until the pods have followed; `10m` where it is left out.
    #[schemars(with = "Option<DurationText>")]
    pub(super) settle: Option<Span>,
}

/// How the pods come to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mode {
    /// By new pods.
    #[default]
    Rollout,
    /// By resizing those that are there.
    InPlace,
}

/// Amounts of resources.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Amounts {
    /// In cores: `500m`, `0.5`, `2`.
    cpu: Option<Amount>,
    /// In bytes: `512Mi`, `1Gi`.
    memory: Option<Amount>,
}

/// A quantity in its canonical text.
#[derive(Debug)]
struct Amount(String);

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = match Value::deserialize(deserializer)? {
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            other => return Err(serde::de::Error::custom(format!("{other} is not a quantity such as `500m` or `1Gi`"))),
        };
        text.parse::<Quantity>().map(|quantity| Self(quantity.to_string())).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Amount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer", "number"] })
    }
}

/// The amounts that can be set, as fields of `resources`.
pub(super) const FIELDS: [&str; 4] = ["requests.cpu", "requests.memory", "limits.cpu", "limits.memory"];

impl Input {
    /// From the inputs.
    pub(super) fn of(inputs: &Inputs, target: Option<&TargetSpec>) -> Result<(Self, String), Failure> {
        let input: Self = parse(NAME, inputs)?;
        if input.wanted().is_empty() {
            return Err(
                Failure::permanent("neither `requests` nor `limits` names an amount").hint("give `cpu` or `memory` under one of them")
            );
        }
        let namespace = namespace(input.namespace.as_deref(), target)?;
        Ok((input, namespace))
    }

    /// What is wanted, by field of `resources`.
    pub(super) fn wanted(&self) -> Vec<(&'static str, &str)> {
        let of = |field: &str| {
            let (side, resource) = field.split_once('.')?;
            let amounts = if side == "requests" { self.requests.as_ref()? } else { self.limits.as_ref()? };
            let amount = if resource == "cpu" { amounts.cpu.as_ref()? } else { amounts.memory.as_ref()? };
            Some(amount.0.as_str())
        };
        FIELDS.into_iter().filter_map(|field| Some((field, of(field)?))).collect()
    }
}
