//! The text of one container's log.
//!
//! Must not follow a log. Invariant: what is read is bounded, and secrets are taken out of the whole text before anybody cuts it.

use http::{HeaderMap, Method};

use super::api::Api;
use super::errors::Trouble;
use super::raw::RawCall;
use crate::environment::KubeReply;

/// What was read of a log.
pub(super) struct PodLog {
    /// Without secrets.
    pub(super) text: String,
    /// There was more than was to be read: the last line is a part of one.
    pub(super) truncated: bool,
}

/// Reads at most so many bytes. `query`: what the API is asked for, with its `?`.
pub(super) async fn read(api: &Api, namespace: &str, pod: &str, query: &str, most: usize) -> Result<PodLog, Trouble> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/log{query}");
    let call = RawCall { method: Method::GET, path, headers: HeaderMap::new(), body: Vec::new(), timeout: api.timeout, most };
    let answer = api.raw(call).await.map_err(Trouble::Silent)?;
    if !(200..300).contains(&answer.status) {
        let body = serde_json::from_slice(&answer.body).unwrap_or_default();
        return Err(Trouble::of(&KubeReply { status: answer.status, retry_after: answer.retry_after, body }, &*api.log));
    }
    // One may stand over a line's end.
    Ok(PodLog { text: api.log.redact(&String::from_utf8_lossy(&answer.body)), truncated: answer.truncated })
}
