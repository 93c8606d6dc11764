//! What there is to know about an action without running it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::by_hand::{ByHand, ByHandOf};
use super::change::ObjectRef;
use super::declared;
use super::permission::NeedsOf;
use super::run::TargetSpec;
use super::step::Effect;

/// Which objects an action would touch, from its inputs and the target: the locks it needs. Pure.
pub type Touches = fn(&Value, Option<&TargetSpec>) -> Vec<ObjectRef>;

/// The catalogue entry of an action.
#[derive(Clone, Debug)]
pub struct ActionEntry {
    /// `k8s.scale`
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// A page in Markdown: units, errors, guarded or unguarded window, the upstream reference.
    pub page: String,
    /// JSON Schema of the inputs, generated from their type. A property with `"x-runsheet-secret": true` may be `${{ secrets.NAME }}`.
    pub inputs: Value,
    /// The outputs by name, in the order documented.
    pub outputs: Vec<OutputField>,
    /// What a second execution would mean, where the step does not say.
    pub effect: Effect,
    /// Whether a step may set `effect:` (actions that cannot know).
    pub effect_from_step: bool,
    /// Whether there is a prior value to observe before the effect.
    pub observes: bool,
    /// Whether `rollback: auto` can undo it.
    pub reverts: bool,
    /// Whether it acts on the environment's target.
    pub needs_target: bool,
    /// Whether it does no input or output at all, so that it needs no slot of its own.
    pub immediate: bool,
    /// The objects it would touch, where code tells them. Asked by [`ActionEntry::touched`], which adds what the schema declares.
    pub touches: Touches,
    /// The lines for a person's hands, where nothing is known but the inputs. Asked by [`ActionEntry::lines_by_hand`].
    pub by_hand: ByHandOf,
    /// What the account must be allowed in the target's cluster.
    pub permissions: NeedsOf,
}

impl ActionEntry {
    /// The objects it would touch with these inputs: those that its function tells, and those that its schema declares.
    pub fn touched(&self, inputs: &Value, target: Option<&TargetSpec>) -> Vec<ObjectRef> {
        let mut objects = (self.touches)(inputs, target);
        objects.extend(declared::objects(&self.inputs, inputs, target));
        objects
    }

    /// Its lines for a person's hands: those that its function tells, and those that its schema declares.
    pub fn lines_by_hand(&self, inputs: &Value, target: Option<&TargetSpec>) -> ByHand {
        let mut lines = (self.by_hand)(inputs, target);
        lines.act.extend(declared::by_hand(&self.inputs, inputs, target).act);
        lines
    }
}

/// A declared output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputField {
    /// `ready_replicas`
    pub name: String,
    /// `integer`, `string`, `number`, `boolean`, `map`, `list` or `any`.
    #[serde(rename = "type")]
    pub kind: String,
    /// One line for people, with the unit.
    pub help: String,
}

/// Every action that a playbook may use.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    entries: BTreeMap<String, Arc<ActionEntry>>,
    unusable: BTreeMap<String, String>,
}

impl Catalogue {
    /// A catalogue of these actions.
    pub fn new(entries: impl IntoIterator<Item = Arc<ActionEntry>>) -> Self {
        Self { entries: entries.into_iter().map(|entry| (entry.name.clone(), entry)).collect(), unusable: BTreeMap::new() }
    }

    /// With what to do about actions that would be there if their plugin, by its name, could be used.
    #[must_use]
    pub fn with_unusable(mut self, plugins: impl IntoIterator<Item = (String, String)>) -> Self {
        self.unusable.extend(plugins);
        self
    }

    /// What to do where an action is not there because its plugin cannot be used.
    pub fn unusable(&self, action: &str) -> Option<&str> {
        self.unusable.get(action.split_once('.')?.0).map(String::as_str)
    }

    /// The entry of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<ActionEntry>> {
        self.entries.get(name)
    }

    /// Every entry, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<ActionEntry>> {
        self.entries.values()
    }
}

/// An action that touches nothing.
pub fn touches_nothing(_: &Value, _: Option<&TargetSpec>) -> Vec<ObjectRef> {
    Vec::new()
}
