//! Built-in actions, a file or folder for each system.
//!
//! Architecture invariant: an action knows its target and its own inputs; it knows no journal, no terminal, no playbook and no other action.
//! Reads never change anything, and whoever applies says whether the target has it, has it not, or whether nobody knows.

pub mod assert;
pub mod command;
pub mod http;
pub mod kubernetes;
pub mod noop;
mod support;
#[cfg(test)]
mod trial;
