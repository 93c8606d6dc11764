//! The proof that a pool's size fits, right before a variable that is one is changed.
//!
//! Must not change anything. Invariant: while a rollout goes on, pods with the old and with the new size are there at once, and both are counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::note::Noted;
use super::variable::Variables;
use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::pod_template::place;
use crate::actions::postgres::{Question, Replacing, Through, prove};
use crate::environment::Connections;
use crate::model::outcome::Failure;
use crate::ports::action::Context;

/// What the pools of all pods together must stay within.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct KeepWithin {
    /// The database: `${{ target.postgres }}`.
    database: Map<String, Value>,
    /// What stands between the pods and the server: `pgbouncer`, the environment's (`target.pgbouncer`), or `direct`, which is meant where it is left
    /// out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    through: Option<Through>,
    /// Which variable is the size; only needed where several are set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    /// Connections to be left free.
    #[serde(default)]
    #[schemars(range(min = 0))]
    reserve: i64,
}

impl KeepWithin {
    fn variable<'a, V>(&'a self, env: &'a BTreeMap<String, V>) -> Option<&'a str> {
        match &self.variable {
            Some(name) => env.contains_key(name).then_some(name),
            None if env.len() == 1 => env.keys().next().map(String::as_str),
            None => None,
        }
    }

    /// That it is clear which variable is the size, and that something can be proved of it on the way there and back.
    pub(super) fn can_prove<V>(&self, env: &BTreeMap<String, V>, sensitive: &[String], live: &Value) -> Result<(), Failure> {
        let name = self.variable(env).ok_or_else(|| {
            Failure::permanent("`keep_within` does not say which of the variables is the size of the pool")
                .hint("give it `variable: NAME`, one of those in `env`")
        })?;
        if sensitive.iter().any(|sensitive| sensitive == name) {
            return Err(Failure::permanent(format!("{name} is sensitive: of what is not recorded nothing can be proved"))
                .hint("take it out of `sensitive`, or leave `keep_within` out"));
        }
        match size(&live[name]) {
            Some(_) => Ok(()),
            None => Err(Failure::permanent(format!(
                "{name} is {} now, which is no number of connections: nothing could be proved of it, there or back",
                live[name]
            ))
            .hint("set it to a number first, or leave `keep_within` out")),
        }
    }

    /// Proves it, where the write would change the size. Forth, a pool that grows must fit at the autoscaler's maximum; back to what was there, and
    /// where it shrinks, with the pods that there are.
    pub(super) async fn prove(
        &self,
        connections: &Arc<Connections>,
        api: &Api,
        cx: &Context,
        noted: &Noted,
        swaps: &BTreeMap<String, (Value, Value)>,
        forth: bool,
    ) -> Result<(), Failure> {
        let Some((name, (from, to))) = self.variable(swaps).and_then(|name| swaps.get_key_value(name)) else { return Ok(()) };
        let place = place(&noted.workload, &noted.namespace);
        let object = place.read(api).await?.ok_or_else(|| place.missing())?;
        let live = Variables::of(&object, &noted.container).map(|variables| variables.get(name));
        if live.as_ref() == Some(to) {
            // It is there already: nothing will be sent.
            return Ok(());
        }
        let wanted = size(to).ok_or_else(|| {
            Failure::permanent(format!("{name} is to become {to}, which is no number of connections, so that nothing can be proved of it"))
                .hint("give a number, or leave `keep_within` out")
        })?;
        let before = size(from).unwrap_or(0);
        let question = Question {
            workload: noted.workload.to_string(),
            namespace: Some(noted.namespace.clone()),
            database: Value::Object(self.database.clone()),
            through: self.through.unwrap_or_default(),
            replicas: None,
            maximum: if forth && wanted > before { None } else { Some(0) },
            reserve: self.reserve,
            pool_size: wanted,
            rollout: Some(Replacing { container: noted.container.clone(), variable: name.clone(), size: before }),
        };
        prove(connections, cx, &question).await.map(drop).map_err(|mut failure| {
            failure.message = format!("{name} of {place} was left at {from}: {}", failure.message);
            failure
        })
    }
}

/// The size that a variable's value says.
fn size(value: &Value) -> Option<i64> {
    value.as_str().and_then(|text| text.trim().parse::<i64>().ok()).filter(|size| *size > 0)
}

#[cfg(test)]
#[path = "keep_within_tests.rs"]
mod tests;
