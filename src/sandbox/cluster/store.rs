//! The objects of the simulated cluster, their resource versions and the recent history that watches read.
//!
//! It must not know kinds beyond their names, nor write to disk. Invariant: each change takes the next resource version, which never
//! goes back, not even by a reset; history holds the last changes without a gap.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::pod::Life;
use super::resource::Resource;

/// How many changes a watch may lie behind by default: more than a rollout of 64 Pods makes.
pub(crate) const HISTORY: usize = 4096;

/// One object and, for a Pod, what the cluster has in mind for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) object: Arc<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) life: Option<Life>,
}

/// What happened to an object at one resource version.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) version: u64,
    pub(crate) resource: Resource,
    pub(crate) before: Option<Arc<Value>>,
    /// For a deletion the last state, with the version of the deletion.
    pub(crate) after: Arc<Value>,
    pub(crate) deleted: bool,
}

/// All objects. Cheap to clone: the objects are shared.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Store {
    version: u64,
    objects: BTreeMap<String, Entry>,
    #[serde(skip)]
    history: VecDeque<Arc<Change>>,
    #[serde(skip)]
    limit: usize,
}

fn key(resource: Resource, namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", resource.plural())
}

/// The text at a JSON pointer, or nothing.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

impl Store {
    /// An empty store whose next version follows `version`.
    pub(crate) fn new(version: u64) -> Self {
        Self { version, objects: BTreeMap::new(), history: VecDeque::new(), limit: HISTORY }
    }

    /// Sets how many changes are kept for watches.
    pub(crate) fn keep(&mut self, limit: usize) {
        self.limit = limit.max(1);
    }

    /// The version of the latest change.
    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    pub(crate) fn get(&self, resource: Resource, namespace: &str, name: &str) -> Option<&Entry> {
        self.objects.get(&key(resource, namespace, name))
    }

    /// The objects of a kind, sorted by namespace and name; `namespace` narrows them.
    pub(crate) fn list(&self, resource: Resource, namespace: Option<&str>) -> impl Iterator<Item = &Entry> {
        let prefix = match namespace {
            Some(namespace) => format!("{}/{namespace}/", resource.plural()),
            None => format!("{}/", resource.plural()),
        };
        self.objects.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, entry)| entry)
    }

    /// The objects of a kind in a namespace whose names begin with `prefix`, sorted by name.
    pub(crate) fn named(&self, resource: Resource, namespace: &str, prefix: &str) -> impl Iterator<Item = &Entry> {
        let prefix = key(resource, namespace, prefix);
        self.objects.range(prefix.clone()..).take_while(move |(key, _)| key.starts_with(&prefix)).map(|(_, entry)| entry)
    }

    /// Stores a new or changed object under the next version and returns it with that version.
    pub(crate) fn put(&mut self, resource: Resource, mut object: Value, life: Option<Life>) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let key = key(resource, text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        let object = Arc::new(object);
        let before = self.objects.insert(key, Entry { object: Arc::clone(&object), life });
        self.record(resource, before.map(|entry| entry.object), Arc::clone(&object), false);
        object
    }

    /// Replaces an object by the same one in other words: clients see no change, so the version stays.
    pub(crate) fn amend(&mut self, resource: Resource, object: Value) {
        let key = key(resource, text(&object, "/metadata/namespace"), text(&object, "/metadata/name"));
        if let Some(entry) = self.objects.get_mut(&key) {
            entry.object = Arc::new(object);
        }
    }

    /// Changes what the cluster has in mind for a Pod; clients cannot see it, so the version stays.
    pub(crate) fn set_life(&mut self, namespace: &str, name: &str, life: Life) {
        if let Some(entry) = self.objects.get_mut(&key(Resource::Pods, namespace, name)) {
            entry.life = Some(life);
        }
    }

    /// Removes an object; its last state is returned with the version of the deletion.
    pub(crate) fn remove(&mut self, resource: Resource, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let before = self.objects.remove(&key(resource, namespace, name))?.object;
        self.version += 1;
        let mut last = Value::clone(&before);
        last["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let last = Arc::new(last);
        self.record(resource, Some(before), Arc::clone(&last), true);
        Some(last)
    }

    fn record(&mut self, resource: Resource, before: Option<Arc<Value>>, after: Arc<Value>, deleted: bool) {
        let limit = if self.limit == 0 { HISTORY } else { self.limit };
        while self.history.len() >= limit {
            self.history.pop_front();
        }
        self.history.push_back(Arc::new(Change { version: self.version, resource, before, after, deleted }));
    }

    /// Forgets the history: watches from before have to begin anew.
    pub(crate) fn forget(&mut self) {
        self.version += 1;
        self.history.clear();
    }

    /// The version from which a watch can still go on without missing anything.
    pub(crate) fn oldest(&self) -> u64 {
        self.history.front().map_or(self.version, |change| change.version - 1)
    }

    /// The objects of a kind as they were at `version`, sorted by namespace and name; the oldest kept version as the error when it is older.
    pub(crate) fn at(&self, resource: Resource, version: u64) -> Result<Vec<Arc<Value>>, u64> {
        if version < self.oldest() {
            return Err(self.oldest());
        }
        let place = |object: &Value| key(resource, text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        let now = self.list(resource, None).map(|entry| (place(&entry.object), Arc::clone(&entry.object)));
        let mut objects: BTreeMap<String, Arc<Value>> = now.collect();
        let later = self.history.iter().rev().take_while(|change| change.version > version);
        for change in later.filter(|change| change.resource == resource) {
            match &change.before {
                Some(before) => objects.insert(place(before), Arc::clone(before)),
                None => objects.remove(&place(&change.after)),
            };
        }
        Ok(objects.into_values().collect())
    }

    /// The changes after `version`; the oldest kept version as the error when some of them are gone.
    pub(crate) fn since(&self, version: u64) -> Result<impl Iterator<Item = &Arc<Change>>, u64> {
        if version < self.oldest() {
            return Err(self.oldest());
        }
        Ok(self.history.iter().filter(move |change| change.version > version))
    }
}
