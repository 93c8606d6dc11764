//! Lists of the API, page by page.
//!
//! Must not judge what it reads. Invariant: it ends: after [`MOST`] objects with a failure that says so, never with a part of the list that
//! looks like all of it; and only what `take` keeps of an object stays in memory.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::api::Api;
use super::errors::{Asked, Trouble};
use crate::model::outcome::Failure;

/// How many objects are asked for at once.
const PAGE: usize = 500;
/// How many objects a list may have.
const MOST: usize = 10_000;

/// The list at this path: what `take` makes of each object.
///
/// # Errors
/// A read that failed, or a list that is too long.
pub(super) async fn list<T>(
    api: &Api,
    path: &str,
    query: &[(&str, &str)],
    asked: Asked<'_>,
    mut take: impl FnMut(&Value) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let query: String =
        query.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("&{key}={}", encoded(value))).collect();
    let (mut kept, mut seen, mut next) = (Vec::new(), 0, String::new());
    loop {
        let page = api.get(&format!("{path}?limit={PAGE}{query}{next}")).await.map_err(|trouble| trouble.failure(asked))?;
        let items = page.get("items").and_then(Value::as_array);
        // A Go server writes an empty list as null.
        let items = match items {
            Some(items) => items.as_slice(),
            None if page.get("items").is_some_and(Value::is_null) => &[],
            None => return Err(Trouble::Garbled { what: "a list has no items".to_owned() }.failure(asked)),
        };
        seen += items.len();
        kept.extend(items.iter().filter_map(&mut take));
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() && seen >= MOST => {
                return Err(Failure::permanent(format!("{asked}: there are more than {MOST}")).hint("narrow the question"));
            }
            Some(token) if !token.is_empty() => next = format!("&continue={}", encoded(token)),
            _ => return Ok(kept),
        }
    }
}
