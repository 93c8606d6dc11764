//! The ledger's entries: for each field of each object touched, what was there before and after.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::{RunId, StepPath};

/// What was touched, by the target's own identity: `k8s:<cluster uid>/production/deployment/ticket-service`. Also the name of its lock.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectRef(pub String);

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One field of one object, before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The object.
    pub object: ObjectRef,
    /// The field, as the API names it: `spec.replicas`.
    pub field: String,
    /// What people call it: `replicas`.
    pub label: String,
    /// What was there; `null`: nothing.
    pub prior: Value,
    /// What the step puts there.
    pub after: Value,
}

/// A change as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The run that made it.
    pub run: RunId,
    /// The step that made it.
    pub step: StepPath,
    /// Which doing of the step.
    pub occurrence: u32,
    /// The change.
    pub change: Change,
    /// Whether it has been put back.
    pub reverted: bool,
    /// Rises with each intent that was committed, over all runs.
    pub position: i64,
}

/// How one field stands when it is to be put back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It equals the prior value: nothing is sent.
    AlreadyPrior,
    /// It is ours: swapped from `live` to `prior`.
    Ours {
        /// What is there now, and must still be there when the swap is made.
        live: Value,
    },
    /// Somebody else changed it: left alone.
    Foreign {
        /// What is there now.
        live: Value,
    },
    /// The object is gone.
    Gone,
}

/// One field to be swapped back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Swap {
    /// The object.
    pub object: ObjectRef,
    /// The field, as the API names it.
    pub field: String,
    /// What people call it.
    pub label: String,
    /// What must be there when the swap is made.
    pub from: Value,
    /// What is put there.
    pub to: Value,
}
