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

/// How often a list is begun anew.
const ANEW: usize = 2;

/// Why a list could not be read to its end.
enum Stop {
    Trouble(Trouble),
    TooMany,
}

impl Stop {
    fn failure(self, asked: Asked<'_>) -> Failure {
        match self {
            Self::Trouble(trouble) => trouble.failure(asked),
            Self::TooMany => Failure::permanent(format!("{asked}: there are more than {MOST}")).hint("narrow the question"),
        }
    }
}

/// The list at this path: what `take` makes of each object. It may see an object twice, where the list has to be read anew.
///
/// # Errors
/// A read that failed, or a list that is too long.
pub(super) async fn list<T>(
    api: &Api,
    path: &str,
    query: &[(&str, &str)],
    asked: Asked<'_>,
    take: impl FnMut(&Value) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    walk(api, path, query, take).await.map_err(|stop| stop.failure(asked))
}

/// The same of a kind that not every API server knows: one that does not has none of it.
///
/// # Errors
/// A read that failed, or a list that is too long.
pub(super) async fn list_if_known<T>(
    api: &Api,
    path: &str,
    asked: Asked<'_>,
    take: impl FnMut(&Value) -> Option<T>,
) -> Result<Vec<T>, Failure> {
    match walk(api, path, &[], take).await {
        Err(Stop::Trouble(Trouble::Refused { status: 404, .. })) => Ok(Vec::new()),
        found => found.map_err(|stop| stop.failure(asked)),
    }
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

async fn walk<T>(api: &Api, path: &str, query: &[(&str, &str)], mut take: impl FnMut(&Value) -> Option<T>) -> Result<Vec<T>, Stop> {
    let query: String =
        query.iter().filter(|(_, value)| !value.is_empty()).map(|(key, value)| format!("&{key}={}", encoded(value))).collect();
    let (mut kept, mut seen, mut next) = (Vec::new(), 0, String::new());
    let mut again = 0;
    loop {
        let page = match api.get(&format!("{path}?limit={PAGE}{query}{next}")).await {
            // The server has forgotten the state that the first page was of: the list is read anew, not gone on with from another state.
            Err(Trouble::Refused { status: 410, .. }) if !next.is_empty() && again < ANEW => {
                again += 1;
                (kept, seen, next) = (Vec::new(), 0, String::new());
                continue;
            }
            page => page.map_err(Stop::Trouble)?,
        };
        let items = match page.get("items") {
            Some(Value::Array(items)) => items.as_slice(),
            // A Go server writes an empty list as null.
            Some(Value::Null) => &[],
            _ => return Err(Stop::Trouble(Trouble::Garbled { what: "a list has no items".to_owned() })),
        };
        seen += items.len();
        kept.extend(items.iter().filter_map(&mut take));
        match page.pointer("/metadata/continue").and_then(Value::as_str) {
            Some(token) if !token.is_empty() && seen >= MOST => return Err(Stop::TooMany),
            Some(token) if !token.is_empty() => next = format!("&continue={}", encoded(token)),
            _ => return Ok(kept),
        }
    }
}
