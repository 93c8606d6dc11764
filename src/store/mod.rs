//! The journal on SQLite: one writer thread with group commit, readers apart, an inbox, and projections of the events.
//!
//! Architecture invariant: the store decides nothing and interprets nothing beyond what its projections need; it depends on `model` and
//! `ports` alone (`tests/it/layers.rs`). What [`Journal`](crate::ports::journal::Journal) answers is committed and fsynced; a commit that
//! failed is never tried again.

mod append;
mod connection;
mod error;
mod filesystem;
mod hash;
mod in_place;
mod journal;
mod ledger;
mod place;
mod projection;
mod reader;
mod rebuild;
mod run_search;
mod run_summary;
mod schema;
mod verify;
mod writer;

#[cfg(test)]
mod tests;

pub use connection::{Access, Options};
pub use journal::{Store, definition_hash};
pub use place::check_place;
pub use rebuild::Rebuilt;
pub use run_search::FindError;
pub use run_summary::{DamagedRun, Filter, Owner, RunSummary, Runs};
