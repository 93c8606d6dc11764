//! What AWS's answers mean for a step.
//!
//! Invariant: a write is *not applied* only where AWS certainly refused it; whatever else is no answer is unknown. A read is never unknown.

use crate::actions::support::{asked_wait, not_connected};
use crate::environment::{Aws, AwsError};
use crate::model::duration::Span;
use crate::model::outcome::{Applied, Failure};
use crate::ports::action::Log;

/// What is refused only while something else is under way.
const BUSY: &[&str] = &["InvalidReplicationGroupState", "InvalidCacheClusterState", "InvalidDBInstanceState"];
/// How long to leave what is busy alone: its changes take minutes.
pub(super) const WHILE_BUSY: Span = Span::seconds(30);
/// How long to leave an account alone that asks too much, where AWS does not say.
const WHILE_THROTTLED: Span = Span::seconds(5);

/// Whether it is refused because something else is under way, by a service that says no more than that.
pub(super) fn is_busy(error: &AwsError) -> bool {
    BUSY.contains(&error.code())
}

/// The failure that people see. `what`: what was asked, of what: `change the node type of ticket-redis`.
pub(super) fn failure(aws: &Aws, what: &str, error: &AwsError, log: &dyn Log) -> Failure {
    if let AwsError::Connection(error) = error {
        return not_connected(error);
    }
    let message = format!("cannot {what} in {}: {}", aws.access().place(), log.redact(&error.to_string()));
    let transient = error.is_transient() || is_busy(error);
    let told = match error {
        AwsError::Refused { retry_after, .. } => retry_after.as_deref().and_then(asked_wait),
        _ => None,
    };
    let own = if error.is_throttled() {
        Some(WHILE_THROTTLED)
    } else if is_busy(error) {
        Some(WHILE_BUSY)
    } else {
        None
    };
    let failure = if transient { Failure::transient(message) } else { Failure::permanent(message) };
    failure.hint(error.hint()).retry_after(told.or(own))
}

/// What became of a write that was not answered well.
pub(super) fn of_write(aws: &Aws, what: &str, error: &AwsError, log: &dyn Log) -> Applied {
    let failure = failure(aws, what, error, log);
    if error.had_no_effect() { Applied::NotApplied { failure } } else { Applied::Unknown { failure } }
}
