//! What a run would do, worked out before it starts: to be confirmed, or to be done by a person's hands.
//!
//! Architecture invariant: nothing here does input or output, or asks the target; there is one evaluator, that of `expr`. What depends on what is
//! not known yet is called so, never guessed.

mod by_hand;
mod cluster_by_hand;
mod hand_scope;
mod hand_words;
mod known;
mod permissions;
mod preview;
mod preview_step;
mod waits;

#[cfg(test)]
mod by_hand_tests;
#[cfg(test)]
mod permissions_tests;
#[cfg(test)]
mod tests;

pub use by_hand::{ByHandOf, sheet};
pub use cluster_by_hand::lead_to_cluster;
pub use permissions::{NeedsAsked, StepNeeds, permissions};
pub use preview::{Asked, foreseen_of, preview};
