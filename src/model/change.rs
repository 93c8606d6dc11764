//! Changes: for each field of each object touched, what was there before and after, and how it stands.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::id::{RunId, StepPath};

/// What was touched, by the target's own identity: `k8s:<cluster uid>/production/deployment/ticket-service`. Also the name of its lock.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ObjectRef(pub String);

impl ObjectRef {
    /// As people name it, without the target's identity: `deployment/ticket-service in production`.
    pub fn in_words(&self) -> String {
        let parts: Vec<&str> = self.0.split('/').collect();
        match (self.0.starts_with("k8s:"), parts.as_slice()) {
            (true, [_, namespace, kind, name]) => format!("{kind}/{name} in {namespace}"),
            (true, [_, rest @ ..]) if !rest.is_empty() => rest.join("/"),
            (false, [account, service, name]) if account.starts_with("aws:") => {
                format!("{service}/{name} in {}", account.rsplit(':').next().unwrap_or_default())
            }
            _ => self.0.clone(),
        }
    }
}

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
    /// The change on which this one was built has been put back since, and this one with it: nothing is sent.
    TakenBack {
        /// The run that had made that change.
        run: RunId,
        /// The step that had.
        step: StepPath,
    },
    /// A later run has given back what was there before, and what is there now is not of this change any more: nothing is sent.
    GivenBack {
        /// The run that gave it back.
        run: RunId,
        /// The step that did.
        step: StepPath,
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
