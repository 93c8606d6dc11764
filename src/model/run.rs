//! What a run is started with.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::id::ContentHash;

/// All that a run is, beyond what happens to it. Recorded in its first event and never changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The playbook's name.
    pub playbook: String,
    /// The hash of the stored [`Definition`](super::definition::Definition).
    pub definition: ContentHash,
    /// Every parameter, defaults included.
    pub params: Map<String, Value>,
    /// The root playbook's `vars`, computed at the start.
    pub vars: Map<String, Value>,
    /// The target, or `None` where the playbook names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<TargetSpec>,
    /// How many steps may hold a task at once.
    pub max_parallel: u32,
    /// Who started it: `name@host`.
    pub by: String,
}

/// The target of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetSpec {
    /// The environment's name; `sandbox` for the built-in one.
    pub environment: String,
    /// What the target says it is: `kubernetes: <cluster uid>`. A run is never resumed against another.
    pub identity: Map<String, Value>,
    /// `target.*` in expressions. Holds no secret.
    pub values: Map<String, Value>,
}
