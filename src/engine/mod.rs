//! The async shell around the machine.

pub mod lock_files;
pub mod ownership;
