//! Supervised children: process groups, limits, captured output, and what became of them when the engine died.
//!
//! A program never runs directly under the engine. The engine starts the same binary again as `runsheet __supervise` ([`supervisor`]), hands it the
//! order on its stdin and keeps that pipe open. The supervisor holds the attempt's lock file, writes a marker, starts the program in a session of its
//! own (through the stage `exec`, which ties the program's life to the supervisor's), captures its output, and records the outcome before it reports it. When
//! the pipe closes, because the engine let go or died, it ends everything the program started.
//!
//! With a program may be talked while it runs ([`converse`]): line by line on its stdin and stdout.
//!
//! Invariants, each with its test in `tests/it/processes.rs`:
//! - as long as anything that the program started is alive, the attempt's lock is held;
//! - the marker is on disk before the program starts, the outcome before it is reported, so that [`recover`] can tell what is known;
//! - an attempt that was found never to have started never starts afterwards;
//! - no secret of the order reaches a file, an argument list or the supervisor's environment.
//!
//! This module knows nothing else of the crate: no step, no run, no engine.

mod capture;
mod dialogue;
mod durable;
mod exec;
mod files;
mod group;
mod order;
mod orphans;
mod outcome;
mod program;
mod pump;
mod recovery;
mod redactor;
mod reporter;
mod run;
pub mod slot;
mod start_error;
pub mod supervisor;
mod watch;

pub use dialogue::Dialogue;
pub use order::{Request, Stream};
pub use outcome::{Captured, Cause, Ended};
pub use recovery::{Recovered, RecoveryError, is_used, recover};
pub use run::{Heard, RunError, converse, run, run_until};
pub use start_error::StartError;

/// The hidden first argument under which this binary is a supervisor.
pub const SUPERVISE: &str = "__supervise";
