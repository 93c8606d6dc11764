//! Validated values, and nothing else: what a playbook is, what a run is made of, what can happen to a step.
//!
//! Architecture invariant: this module knows no YAML, no CEL, no SQLite, no clock and no network; it depends on no other
//! module of the crate (`tests/it/layers.rs`).

pub mod by_hand;
pub mod catalogue;
pub mod change;
pub mod declared;
pub mod definition;
pub mod duration;
pub mod environment;
pub mod event;
pub mod id;
pub mod inputs;
pub mod instruction;
pub mod intent;
pub mod ledger;
pub mod monitor;
pub mod notification;
pub mod outcome;
pub mod permission;
pub mod playbook;
pub mod preview;
pub mod run;
pub mod samples;
pub mod sheet;
pub mod status;
pub mod step;
pub mod template;
