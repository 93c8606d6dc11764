//! The pure state machine: events in, state out ([`fold`]); state and input in, events and tasks out ([`decide`]).
//!
//! Architecture invariant: nothing here reads a clock, draws a random number, does input or output, or is async. The state changes only by folding events,
//! so that the fold of a journal is the state that wrote it (`tests::every_prefix`). What runs right now ([`flight`]) is the only other memory: it
//! dies with the process and [`recover`] rebuilds it.
//!
//! | file | what it decides |
//! |---|---|
//! | `forward` | which step may start, and what stands before it |
//! | `attempt` | what an outcome means: checks, retry, verify, unknown |
//! | `group` | `for_each` and called playbooks |
//! | `monitor` | samples, and the playbooks that alerts start |
//! | `unwind`, `revert` | in which order steps are taken back, and how one is |
//! | `operator` | instructions |
//! | `finish` | the run's status |

mod allowed;
mod attempt;
mod bind;
mod check;
mod count;
pub mod debts;
pub mod decide;
mod draft;
mod finish;
pub mod flight;
mod fold;
mod fold_step;
mod forward;
mod graph;
mod group;
mod instantiate;
mod key;
mod monitor;
mod node;
mod operator;
mod outputs;
mod recover;
mod revert;
pub mod standing;
pub mod start;
pub mod state;
pub mod task;
mod unwind;

#[cfg(test)]
mod tests;

pub use decide::{Decision, Input, Machine, decide};
pub use group::keyed;
pub use key::{idempotency_key, rollback_key};
pub use outputs::OUTPUTS_LIMIT;
pub use recover::CUT_OFF;
pub use start::start;
pub use state::State;
pub use task::{Planning, Task, What};
