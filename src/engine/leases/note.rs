//! Says, once for each namespace, that locks hold on this machine only, and remembers it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Where that is said: one line. Called from any thread; returns at once.
pub type Tell = Arc<dyn Fn(&str) + Send + Sync>;

/// Why there are no Leases in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Without {
    /// The account may not: this verb.
    Permission(&'static str),
    /// The cluster has no such API.
    Api,
}

/// The namespaces without Leases.
pub(super) struct Note {
    tell: Tell,
    without: Mutex<BTreeMap<String, Without>>,
}

impl Note {
    pub fn new(tell: Tell) -> Self {
        Self { tell, without: Mutex::default() }
    }

    /// Why Leases are known not to be had there.
    pub fn knows(&self, namespace: &str) -> Option<Without> {
        self.without.lock().unwrap_or_else(PoisonError::into_inner).get(namespace).copied()
    }

    /// There are none: said where it was not said before. `said`: the server's own words.
    pub fn add(&self, namespace: &str, why: Without, said: &str) {
        if self.without.lock().unwrap_or_else(PoisonError::into_inner).insert(namespace.to_owned(), why).is_some() {
            return;
        }
        let why = match why {
            Without::Permission(verb) => format!(
                "the account may not {verb} leases in namespace {namespace} (allow it `get`, `create`, `update` and `delete` on `leases` of `coordination.k8s.io`)"
            ),
            Without::Api => "the cluster has no leases (`coordination.k8s.io/v1`)".to_owned(),
        };
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        (self.tell)(&format!("locks hold on this machine only: {why}{said}"));
    }
}
