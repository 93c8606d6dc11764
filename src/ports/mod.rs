//! The traits between the engine and the world.
//!
//! Architecture invariant: only traits and the plain values they exchange. Nothing here knows SQLite, Kubernetes or a terminal; `ports`
//! depends on `model` alone (`tests/it/layers.rs`).

pub mod action;
pub mod clock;
pub mod history;
pub mod journal;
pub mod lock;
pub mod observer;
