//! LIST: selectors, and pages by `limit` and `continue`.
//!
//! It must not change the store. Invariant: the pages of a list together hold each object that stayed, once; a page is taken from the
//! cluster as it is then, not as it was at the first page.

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
    items: Vec<Arc<Value>>,
}

impl Listed {
    /// The list as a document.
    pub(crate) fn document(&self, resource: Resource) -> Value {
        json!({ "kind": list_kind(resource), "apiVersion": resource.api_version(), "metadata": self.metadata, "items": self.objects() })
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
        text => text.parse().map_err(|_| ApiError::bad_request(format!("limit: `{text}` is not a number")))?,
    };
    let after = match call.query("continue") {
        "" => String::new(),
        token => decode(token).ok_or_else(|| ApiError::bad_request("continue key is not valid"))?,
    };
    let mut items = Vec::new();
    let mut left = 0_usize;
    for entry in store.list(path.resource, path.namespace.as_deref()) {
        let place = place(&entry.object);
        if place <= after || !selector.matches(&entry.object) {
            continue;
        }
        if items.len() < limit {
            items.push(Arc::clone(&entry.object));
        } else {
            left += 1;
        }
    }
    let mut metadata = json!({ "resourceVersion": store.version().to_string() });
    if left > 0 {
        metadata["continue"] = json!(URL_SAFE_NO_PAD.encode(items.last().map(|item| place(item)).unwrap_or_default()));
        if selector.is_empty() {
            metadata["remainingItemCount"] = json!(left);
        }
    }
    Ok(Listed { metadata, items })
}

fn list_kind(resource: Resource) -> String {
    format!("{}List", resource.kind())
}

fn place(object: &Value) -> String {
    format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"))
}

fn decode(token: &str) -> Option<String> {
    String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// Refuses a `resourceVersion` that the cluster has not reached.
pub(crate) fn version_exists(store: &Store, call: &Call) -> Result<u64, ApiError> {
    let asked = match call.query("resourceVersion") {
        "" => 0,
        text => text.parse().map_err(|_| ApiError::bad_request(format!("resourceVersion: Invalid value: \"{text}\"")))?,
    };
    if asked > store.version() {
        return Err(ApiError::version_in_the_future(asked, store.version()));
    }
    Ok(asked)
}
