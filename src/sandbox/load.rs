//! The load on the simulated platform: requests a second over all ready Pods of the ticket service, and what Pods use under it.
//!
//! It must not know objects. Invariant: a Pod's use depends on the load and the number of ready Pods alone, never on time.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client;
use super::error::SandboxError;

/// The most requests a second that can be set.
pub const MOST: f64 = 1_000_000.0;
/// What a Pod that has nothing to do uses, in thousandths of a CPU.
const IDLE: i128 = 15;
/// What one request a second takes: 250 a second keep 250 thousandths of a CPU busy.
const PER_REQUEST: f64 = 1.0;
/// What a Pod holds of memory, in bytes: the steady state of the scaling procedure.
const MEMORY: i128 = 200 << 20;

/// The load that is set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Requests a second over all Pods.
    pub(crate) rps: f64,
}

impl Load {
    /// The thousandths of a CPU that one of `ready` Pods of the ticket service uses; a Pod that is not ready has nothing to do.
    pub(crate) fn cpu(self, ready: usize, takes_requests: bool) -> i128 {
        if ready == 0 || !takes_requests {
            return IDLE;
        }
        // At most a million, whatever was set.
        IDLE + (self.rps * PER_REQUEST / ready as f64).round() as i128
    }

    /// The thousandths of a byte that a Pod holds.
    pub(crate) fn memory(self) -> i128 {
        MEMORY * 1000
    }
}

/// Sets the load on the running sandbox in `dir`, in requests a second.
///
/// # Errors
/// [`SandboxError::NotRunning`]; [`SandboxError::Refused`] for what is no load.
pub async fn set(dir: &Path, rps: f64) -> Result<(), SandboxError> {
    client::ask(dir, "PUT", "/sandbox/load", Some(&json!({ "rps": rps }))).await.map(drop)
}
