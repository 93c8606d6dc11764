//! The async shell around the machine: it commits what the machine decides, carries out what it asks for, and tells it what came of it.
//!
//! Architecture invariant: a task starts only after the commit of the events that came with it; a commit that failed ends the process's work on the run.
//! Nothing here decides what a step's outcome means.

mod answer;
mod checking;
mod crash;
mod dispatcher;
mod drift;
mod ended;
mod executor;
mod held_locks;
mod inbox;
mod large_outputs;
pub mod leases;
pub mod lock_files;
mod locking;
pub mod ownership;
mod planning;
pub mod restore;
pub mod series;
mod setup;
mod starting;
mod step_log;
mod watching;

pub use dispatcher::drive;
pub use ended::{Ended, EngineError};
pub use planning::ActionPlanning;
pub use setup::{Setup, Stay, Stop};
pub use step_log::step_folder;
