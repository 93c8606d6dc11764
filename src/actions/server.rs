//! What the readings of servers beside the cluster share: which server is meant, and why one did not answer.
//!
//! Must not ask anything. Invariant: a step that names no server means the environment's own one of that system.

use serde_json::{Map, Value};

use super::support::{self, asked_wait};
use crate::environment::ApiError;
use crate::model::outcome::Failure;
use crate::model::run::TargetSpec;
use crate::ports::action::Context;

/// The server that is meant: the input `server`, else the environment's own one of this system.
///
/// # Errors
/// Where the run has no target, or its environment no such system.
pub(super) fn server(
    action: &str,
    system: &str,
    input: Option<&Map<String, Value>>,
    target: Option<&TargetSpec>,
) -> Result<Value, Failure> {
    let target = support::target(action, target)?;
    if let Some(server) = input {
        return Ok(Value::Object(server.clone()));
    }
    target.values.get(system).cloned().ok_or_else(|| {
        Failure::permanent(format!("{action} needs a {system} server, and the environment {} names none", target.environment))
            .hint(format!("add `{system}:` to the environment"))
    })
}

/// The same for a person's line, where it is known: what `server` or the environment says of it.
pub(super) fn said<'a>(inputs: &'a Value, target: Option<&'a TargetSpec>, system: &str, key: &str) -> Option<&'a Value> {
    let server = inputs.get("server").filter(|server| !server.is_null());
    server.or_else(|| target?.values.get(system))?.get(key)
}

/// Why an API did not answer, as a step's failure.
pub(super) fn failure(error: &ApiError, cx: &Context) -> Failure {
    let message = cx.log.redact(&error.to_string());
    let failure = if error.is_transient() { Failure::transient(message) } else { Failure::permanent(message) };
    failure.hint(error.hint()).retry_after(error.retry_after().and_then(asked_wait))
}
