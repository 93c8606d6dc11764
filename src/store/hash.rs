//! The chain of hashes over a run's stored events: whoever changes, removes or reorders one breaks it.
//!
//! Invariant: computed over the bytes as stored. Texts of variable length are preceded by their length, so that no two rows share an input.

use sha2::{Digest, Sha256};

use crate::model::id::RunId;

/// A link of the chain.
pub(super) type Link = [u8; 32];

/// What stands before the first event.
pub(super) const START: Link = [0; 32];

/// The columns of a stored event that the chain covers: all but its own hash and its place among other runs.
pub(super) struct Row<'a> {
    pub run: RunId,
    pub seq: i64,
    pub epoch: i64,
    pub at: i64,
    pub kind: &'a str,
    pub version: i64,
    pub body: &'a str,
}

/// The link of this row, after the one before it.
pub(super) fn link(previous: &Link, row: &Row<'_>) -> Link {
    let mut hasher = Sha256::new();
    hasher.update(previous);
    hasher.update(row.run.0.as_bytes());
    for number in [row.seq, row.epoch, row.at, row.version] {
        hasher.update(number.to_be_bytes());
    }
    for text in [row.kind, row.body] {
        hasher.update((text.len() as u64).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.finalize().into()
}
