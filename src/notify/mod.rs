//! Tells people what happens to a run: by webhook, by a command.
//!
//! Architecture invariant: telling never delays, fails or blocks a run. What was committed is looked at at once and goes into a bounded queue;
//! tasks of their own deliver it. What could not be told is said as a warning and is otherwise lost: nothing here is written to the journal.
//! Nothing here decides anything, and no secret is in what is told.
#![doc = include_str!("payload.md")]

mod command;
mod notice;
mod notifier;
mod observer;
mod occasions;
mod webhook;

#[cfg(test)]
mod tests;

pub use notice::{Given, Next, Notice};
pub use notifier::{Limits, Notifier, Settings, Warn};
pub use observer::{Describe, Telling};
pub use occasions::News;
