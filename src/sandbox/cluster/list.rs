//! LIST: selectors, and pages by `limit` and `continue`.
//!
//! It must not change the store. Invariant: the pages of a list together are the list as it was at the first page; where history no
//! longer reaches back, that is said, with a token for the rest as it is now.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::resource::{Resource, ResourcePath};
use super::selector::Selector;
use super::status_error::ApiError;
use super::store::{Store, text};
use crate::sandbox::call::Call;

/// The selector of a request for a kind.
pub(crate) fn selector(resource: Resource, call: &Call) -> Result<Selector, ApiError> {
    Selector::parse(resource, call.query("labelSelector"), call.query("fieldSelector")).map_err(ApiError::bad_request)
}

/// A list, or one page of it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) metadata: Value,
    pub(crate) items: Vec<Arc<Value>>,
}

impl Listed {
    /// The list as a document.
    pub(crate) fn document(&self, resource: Resource) -> Value {
        let bare = |item: &Arc<Value>| {
            let mut item = Value::clone(item);
            if let Some(members) = item.as_object_mut() {
                members.retain(|name, _| name != "kind" && name != "apiVersion");
            }
            item
        };
        // The list says what its items are.
        let items: Vec<Value> = self.items.iter().map(bare).collect();
        let kind = format!("{}List", resource.kind());
        json!({ "kind": kind, "apiVersion": resource.api_version(), "metadata": self.metadata, "items": items })
    }

    pub(crate) fn objects(&self) -> Vec<&Value> {
        self.items.iter().map(|item| &**item).collect()
    }
}

/// The list that `path` names.
///
/// # Errors
/// 400 for a selector, limit or continue token that cannot be understood, 504 for a version that does not exist yet.
pub(crate) fn list(store: &Store, path: &ResourcePath, call: &Call) -> Result<Listed, ApiError> {
    let selector = selector(path.resource, call)?;
    version_exists(store, call)?;
    let limit: usize = match call.query("limit") {
        "" | "0" => usize::MAX,
        text => text.parse().map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing \"{text}\": invalid syntax")))?,
    };
    let start = match call.query("continue") {
        "" => Start { version: store.version(), after: String::new() },
        token => Start::parse(token, store.version())?,
    };
    let found = match store.at(path.resource, start.version) {
        Ok(found) => found,
        Err(_) => return Err(ApiError::page_expired(&token(-1, &start.after))),
    };
    let mut items = Vec::new();
    let mut left = 0_usize;
    for object in found {
        let here = path.namespace.as_deref().is_none_or(|namespace| object["metadata"]["namespace"] == namespace);
        if !here || place(&object) <= start.after || !selector.matches(&object) {
            continue;
        }
        if items.len() < limit {
            items.push(object);
        } else {
            left += 1;
        }
    }
    let mut metadata = json!({ "resourceVersion": start.version.to_string() });
    if left > 0 {
        let last = items.last().map(|item| place(item)).unwrap_or_default();
        metadata["continue"] = json!(token(i64::try_from(start.version).unwrap_or(i64::MAX), &last));
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(left);
        }
    }
    Ok(Listed { metadata, items })
}

fn place(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

/// Where a page begins.
struct Start {
    /// The version of the first page.
    version: u64,
    /// The last object of the page before.
    after: String,
}

impl Start {
    /// Reads a token; `now` is the version of what is to be continued as it is now.
    fn parse(token: &str, now: u64) -> Result<Self, ApiError> {
        let refuse = |why: String| ApiError::bad_request(format!("invalid continue token: continue key is not valid{why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|error| refuse(format!(": {error}")))?;
        let read: Value = serde_json::from_slice(&bytes).map_err(|error| refuse(format!(": {error}")))?;
        if read["v"] != TOKENS {
            return Err(refuse(": server does not recognize this encoded version".to_owned()));
        }
        let after = text(&read, "/start").strip_suffix('\0').unwrap_or_default().to_owned();
        let version = match read["rv"].as_i64() {
            Some(-1) => now,
            Some(version) if version > 0 => version.unsigned_abs().min(now),
            _ => return Err(refuse(format!(": incorrect encoded start resourceVersion (version {TOKENS})"))),
        };
        if after.is_empty() {
            return Err(refuse(format!(": encoded start key empty (version {TOKENS})")));
        }
        Ok(Self { version, after })
    }
}

/// The version of the tokens themselves.
const TOKENS: &str = "meta.k8s.io/v1";

/// The token for what follows `last`; the version -1 means as it is then.
fn token(version: i64, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({ "v": TOKENS, "rv": version, "start": format!("{last}\0") }).to_string())
}

/// Refuses a `resourceVersion` that the cluster has not reached.
pub(crate) fn version_exists(store: &Store, call: &Call) -> Result<u64, ApiError> {
    let asked = match call.query("resourceVersion") {
        "" => 0,
        text => text.parse().map_err(|_| {
            let why = format!("Invalid value: \"{text}\": strconv.ParseUint: parsing \"{text}\": invalid syntax");
            ApiError::bad_request(format!("invalid resource version: resourceVersion: {why}"))
        })?,
    };
    if asked > store.version() {
        return Err(ApiError::version_in_the_future(asked, store.version()));
    }
    Ok(asked)
}
