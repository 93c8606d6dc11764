//! WATCH: one JSON line for each change, from a resource version on.
//!
//! It must not hold the world while it waits. Invariant: a watch misses nothing: where history no longer reaches back, it says 410 and
//! ends. Memory is bounded: a watch keeps a version, not a queue of events.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::list;
use super::resource::{Resource, ResourcePath};
use super::selector::Selector;
use super::status_error::ApiError;
use super::store::{Change, Store};
use super::table::{self, Shown};
use crate::sandbox::call::Call;
use crate::sandbox::idle::OpenWatch;
use crate::sandbox::platform::{Platform, Revision};

/// How long a watch lasts that names no `timeoutSeconds`.
const LASTS: Duration = Duration::from_secs(1800);

/// How often a watch that wants bookmarks gets one.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);

/// What a watch looks at.
struct Watch {
    resource: Resource,
    namespace: Option<String>,
    selector: Selector,
    shown: Shown,
    bookmarks: bool,
    bookmark_at: Instant,
    version: u64,
    ready: VecDeque<Value>,
    ends: Instant,
    over: bool,
    changed: Revision,
    platform: Arc<Platform>,
    _open: OpenWatch,
}

/// The endless body of a watch.
///
/// # Errors
/// 400 for parameters that cannot be understood, 504 for a version that does not exist yet.
pub(crate) fn body(platform: &Arc<Platform>, path: &ResourcePath, call: &Call) -> Result<Body, ApiError> {
    let changed = platform.revision();
    let world = platform.read();
    let store = &world.store;
    let asked = list::version_exists(store, call)?;
    let lasts = match call.query("timeoutSeconds") {
        "" => LASTS,
        text => Duration::from_secs(text.parse().map_err(|_| ApiError::bad_request(format!("timeoutSeconds: `{text}` is not a number")))?)
            .min(LASTS),
    };
    let mut watch = Watch {
        resource: path.resource,
        namespace: path.namespace.clone(),
        selector: list::selector(path.resource, call)?,
        shown: table::asked(&call.accept, call.query("includeObject")),
        bookmarks: call.flag("allowWatchBookmarks"),
        bookmark_at: Instant::now() + BOOKMARK_EVERY,
        version: asked,
        ready: VecDeque::new(),
        ends: Instant::now() + lasts,
        over: false,
        changed,
        platform: Arc::clone(platform),
        _open: platform.activity().watch(),
    };
    let initial = call.flag("sendInitialEvents");
    if initial || asked == 0 {
        watch.start(store, initial);
    } else if asked < store.oldest() {
        // As the real one: the stream begins, and its first event is the error.
        watch.end_with(&ApiError::expired(asked, store.oldest()));
    }
    drop(world);
    Ok(Body::from_stream(futures::stream::unfold(watch, |mut watch| async move {
        let line = watch.next().await?;
        Some((Ok::<_, std::convert::Infallible>(line), watch))
    })))
}

impl Watch {
    /// Everything there is, as additions.
    fn start(&mut self, store: &Store, mark_end: bool) {
        for entry in store.list(self.resource, self.namespace.as_deref()) {
            if self.sees(&entry.object) {
                self.ready.push_back(self.line("ADDED", &entry.object));
            }
        }
        self.version = store.version();
        if mark_end {
            let mut bookmark = self.bookmark();
            bookmark["object"]["metadata"]["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
            self.ready.push_back(bookmark);
        }
    }

    fn end_with(&mut self, error: &ApiError) {
        self.ready.push_back(json!({ "type": "ERROR", "object": error.to_status() }));
        self.over = true;
    }

    fn bookmark(&self) -> Value {
        json!({ "type": "BOOKMARK", "object": {
            "kind": self.resource.kind(), "apiVersion": self.resource.api_version(),
            "metadata": { "resourceVersion": self.version.to_string(), "creationTimestamp": null },
        } })
    }

    /// An event with the object, or with the table of it.
    fn line(&self, kind: &str, object: &Value) -> Value {
        match self.shown {
            Shown::Objects => json!({ "type": kind, "object": object }),
            shown => {
                let metadata = json!({ "resourceVersion": object["metadata"]["resourceVersion"] });
                let now = self.platform.moment().now;
                json!({ "type": kind, "object": table::table(self.resource, shown, metadata, &[object], now) })
            }
        }
    }

    fn sees(&self, object: &Value) -> bool {
        self.namespace.as_deref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace) && self.selector.matches(object)
    }

    /// What a change looks like through the selector: an object that no longer matches is deleted from this view.
    fn event(&self, change: &Change) -> Option<Value> {
        if change.resource != self.resource {
            return None;
        }
        let before = change.before.as_deref().is_some_and(|object| self.sees(object));
        let after = !change.deleted && self.sees(&change.after);
        let kind = match (before, after) {
            (false, false) => return None,
            (false, true) => "ADDED",
            (true, true) => "MODIFIED",
            (true, false) => "DELETED",
        };
        Some(self.line(kind, &change.after))
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                let mut line = event.to_string();
                line.push('\n');
                return Some(Bytes::from(line));
            }
            if self.over {
                return None;
            }
            self.changed.borrow_and_update();
            self.collect();
            if !self.ready.is_empty() {
                continue;
            }
            tokio::select! {
                changed = self.changed.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = self.platform.stopping() => self.over = true,
                () = tokio::time::sleep_until(self.bookmark_at), if self.bookmarks => {
                    self.bookmark_at = Instant::now() + BOOKMARK_EVERY;
                    self.ready.push_back(self.bookmark());
                }
                () = tokio::time::sleep_until(self.ends) => {
                    self.over = true;
                    if self.bookmarks {
                        self.ready.push_back(self.bookmark());
                    }
                }
            }
        }
    }

    /// Takes up what happened since the last look.
    fn collect(&mut self) {
        let world = self.platform.read();
        match world.store.since(self.version) {
            Ok(changes) => {
                let events: Vec<Value> = changes.filter_map(|change| self.event(change)).collect();
                self.ready.extend(events);
                self.version = world.store.version();
            }
            Err(oldest) => {
                let error = ApiError::expired(self.version, oldest);
                self.end_with(&error);
            }
        }
    }
}
