//! What a change of variables keeps for later, so that it can be asked about and undone without its inputs.
//!
//! Must not hold a sensitive value. Invariant: the values to be swapped are those of the intent's changes, and of nothing else.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::HIDDEN;
use super::keep_within::KeepWithin;
use super::variable::{Variables, digest};
use crate::actions::kubernetes::pod_template;
use crate::actions::kubernetes::rollout::Rollout;
use crate::actions::kubernetes::standing::{Stands, Together, field};
use crate::actions::kubernetes::swap_fields::Place;
use crate::actions::kubernetes::workload::Workload;
use crate::model::intent::Intent;
use crate::model::outcome::Failure;

/// An intent's note.
pub(super) struct Noted {
    pub(super) workload: Workload,
    pub(super) namespace: String,
    pub(super) container: String,
    /// Where in the list each variable was.
    pub(super) places: BTreeMap<String, usize>,
    /// The digests of sensitive variables.
    pub(super) sensitive: BTreeMap<String, String>,
    pub(super) keep_within: Option<KeepWithin>,
    place: Place,
}

impl Noted {
    /// From the intent.
    pub(super) fn of(intent: &Intent) -> Result<Self, Failure> {
        let (workload, namespace) = pod_template::noted(intent)?;
        let of = |key: &str| intent.note.get(key).cloned().unwrap_or(json!({}));
        let read = || {
            Some(Self {
                place: pod_template::place(&workload, &namespace).of(intent),
                workload,
                namespace,
                container: intent.note.get("container")?.as_str()?.to_owned(),
                places: serde_json::from_value(of("places")).ok()?,
                sensitive: serde_json::from_value(of("sensitive")).ok()?,
                keep_within: intent.note.get("keep_within").map(|kept| serde_json::from_value(kept.clone())).transpose().ok()?,
            })
        };
        read().ok_or_else(|| Failure::permanent("what this step recorded does not name a container's variables"))
    }

    /// The very object that was planned for.
    pub(super) fn place(&self) -> Place {
        self.place.clone()
    }

    /// How the variables stand: those to be swapped, and the sensitive ones against what the inputs give.
    pub(super) fn together(
        &self,
        variables: &Variables<'_>,
        swaps: &BTreeMap<String, (Value, Value)>,
        wanted: Option<impl Fn(&str) -> Value>,
    ) -> Together {
        let place = &self.place;
        let plain =
            swaps.iter().map(|(name, (from, to))| field(&format!("{name} of {place}"), &variables.get(name), from, to, |a, b| a == b));
        let hidden = wanted.iter().flat_map(|wanted| {
            self.sensitive
                .iter()
                .map(move |(name, digest)| sensitive_stands(&format!("{name} of {place}"), &variables.get(name), &wanted(name), digest))
        });
        Together::of(plain.chain(hidden))
    }

    /// The outputs, once what was to be swapped is there.
    pub(super) fn outputs(&self, swaps: &BTreeMap<String, (Value, Value)>, object: &Value) -> Value {
        let (mut env, mut previous) = (Map::new(), Map::new());
        for (name, (from, to)) in swaps {
            previous.insert(name.clone(), from.clone());
            env.insert(name.clone(), to.clone());
        }
        for name in self.sensitive.keys() {
            env.insert(name.clone(), json!(HIDDEN));
            previous.insert(name.clone(), json!(HIDDEN));
        }
        let mut outputs = json!({ "env": env, "previous_env": previous });
        Rollout::of(self.workload.kind, object).add_to(&mut outputs);
        outputs
    }
}

/// For each variable of the intent that is not sensitive: what was there, and what is to be.
pub(super) fn noted_values(noted: &Noted, intent: &Intent) -> BTreeMap<String, (Value, Value)> {
    let plain = intent.changes.iter().filter(|change| !noted.sensitive.contains_key(&change.label));
    plain.map(|change| (change.label.clone(), (change.prior.clone(), change.after.clone()))).collect()
}

/// How one sensitive variable stands.
fn sensitive_stands(name: &str, live: &Value, wanted: &Value, recorded: &str) -> Stands {
    match wanted.as_str() {
        Some(_) if live == wanted => Stands::Wanted,
        Some(wanted) if digest(wanted, live) == recorded => Stands::Recorded,
        _ => Stands::Foreign(format!(
            "{name} is neither what it was before nor what the step gives: somebody else changed it meanwhile, and it was left alone"
        )),
    }
}
