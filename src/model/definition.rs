//! What a run executes: the playbook it was started with and all that it calls, as they were then.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::id::ContentHash;
use super::playbook::Playbook;

/// The root playbook and every playbook it calls, directly or not. Stored once by content hash; a run never reads a file again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// The name of the playbook that was run.
    pub root: String,
    /// By name. Holds `root` and all that it calls.
    pub playbooks: BTreeMap<String, Playbook>,
    /// The text of each file, by the playbook's name, for people to read.
    #[serde(default)]
    pub sources: BTreeMap<String, String>,
    /// The plugins whose actions they use, by name, each by the hash of its files.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub plugins: BTreeMap<String, ContentHash>,
}

impl Definition {
    /// The root playbook.
    ///
    /// # Panics
    /// When `root` is not in `playbooks`: a definition is only made whole.
    pub fn root(&self) -> &Playbook {
        &self.playbooks[&self.root]
    }
}
