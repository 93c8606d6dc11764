//! Server-side apply: sent, and answered with the object or with who owns what.
//!
//! Must not decide whether to take fields over. Invariant: a conflict names each field and its owner; a field that only this tool's other writes
//! own is no conflict.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::actions::kubernetes::api::Api;
use crate::actions::kubernetes::errors::Trouble;
use crate::actions::kubernetes::swap_fields::{MANAGER, Place, with_manager};
use crate::actions::support::at_most;
use crate::environment::KubeCall;
use crate::model::outcome::Failure;

/// A field that another manager owns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Conflict {
    /// `.spec.replicas`
    pub(super) field: String,
    /// `kubectl-client-side-apply`
    pub(super) manager: String,
}

/// What came of an apply.
pub(super) enum Answer {
    /// The object as it is now, or would be.
    Object(Value),
    /// Fields that others own; nothing was done.
    Conflicts(Vec<Conflict>),
}

/// Applies the manifest: `dry` only asks what would be; `force` takes over what others own.
pub(super) async fn send(api: &Api, place: &Place, manifest: &Value, force: bool, dry: bool) -> Result<Answer, Trouble> {
    let path = format!("{}&force={force}{}", with_manager(&place.path), if dry { "&dryRun=All" } else { "" });
    // JSON is YAML.
    let body = Some(("application/apply-patch+yaml", manifest.clone()));
    let call = KubeCall { method: Method::PATCH, path, body, timeout: api.timeout };
    let reply = call.send(&api.client).await.map_err(Trouble::Silent)?;
    match reply.status {
        200..=299 if reply.body.is_object() => Ok(Answer::Object(reply.body)),
        200..=299 => Err(Trouble::Garbled { what: "it is not a JSON object".to_owned() }),
        409 => match conflicts(&reply.body, api) {
            conflicts if conflicts.is_empty() => Err(Trouble::of(&reply, &*api.log)),
            conflicts => Ok(Answer::Conflicts(conflicts)),
        },
        _ => Err(api.refused(&reply).await),
    }
}

fn conflicts(status: &Value, api: &Api) -> Vec<Conflict> {
    let causes = status.pointer("/details/causes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let text = |cause: &Value, key: &str| {
        let text = cause.get(key).and_then(Value::as_str).unwrap_or("?");
        at_most(&api.log.redact(text), 200).to_owned()
    };
    let of_managers = causes.iter().filter(|cause| cause["reason"] == "FieldManagerConflict");
    of_managers
        .map(|cause| {
            let message = text(cause, "message");
            // conflict with "kubectl-client-side-apply" using apps/v1
            let manager = message.split('"').nth(1).unwrap_or(&message).to_owned();
            Conflict { field: text(cause, "field"), manager }
        })
        .collect()
}

/// Whether only this tool itself owns them: as a plain writer, by the swaps of other steps.
pub(super) fn only_ours(conflicts: &[Conflict]) -> bool {
    conflicts.iter().all(|conflict| conflict.manager == MANAGER)
}

/// Why it was refused.
pub(super) fn owned(place: &Place, conflicts: &[Conflict]) -> Failure {
    let mut owners: Vec<String> = Vec::new();
    for conflict in conflicts.iter().take(20) {
        owners.push(format!("{} is {}'s", conflict.field, conflict.manager));
    }
    let more = conflicts.len().saturating_sub(owners.len());
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    Failure::permanent(format!("others own what the manifest would change of {place}: {}{more}", owners.join(", ")))
        .hint("leave these fields out of the manifest, change them where their owner keeps them, or say `force: true` to take them over")
}
