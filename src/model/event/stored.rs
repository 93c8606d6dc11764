//! Events as they are stored.

use super::{Event, VERSION};

/// Why a stored event cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer runsheet.
    #[error("it has version {found}, and this runsheet reads up to {VERSION}: use the newer runsheet that wrote it")]
    Newer {
        /// The stored version.
        found: u32,
    },
    /// Not what this version writes.
    #[error("its content cannot be read: {0}")]
    Malformed(#[from] serde_json::Error),
}

/// An event as stored: one JSON object whose only key is the kind.
pub fn encode(event: &Event) -> String {
    // Every key of an event is a string, so that nothing here can fail.
    serde_json::to_string(event).unwrap_or_else(|error| unreachable!("events serialise: {error}"))
}

/// A stored event, of this version or an older one.
///
/// # Errors
/// When it is newer than this program, or damaged.
pub fn decode(version: u32, body: &str) -> Result<Event, DecodeError> {
    if version > VERSION {
        return Err(DecodeError::Newer { found: version });
    }
    Ok(serde_json::from_str(body)?)
}
