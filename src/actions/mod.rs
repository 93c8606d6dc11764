//! Built-in actions, a file or folder for each system.

pub mod assert;
pub mod command;
pub mod noop;
