//! runsheet runs the operational run sheet of an event: playbooks that can be run, interrupted, resumed and rolled back.
//!
//! This is the map of the house. Each module's first lines say what lives there and what must not; `tests/it/layers.rs` holds who may use whom.
//!
//! ```text
//! playbook text ──▶ playbook ──▶ machine ◀──▶ engine ──▶ actions ──▶ the platform
//!                     expr       (pure)        │  ▲
//!                                              ▼  │
//!                                            store (the journal)
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`model`] | validated values: playbook, step, status, event, change, the catalogue entry of an action |
//! | [`expr`] | CEL behind its guards: parse, references, evaluate |
//! | [`playbook`] | text in, a playbook and diagnostics out; the language's schema |
//! | [`machine`] | the pure state machine: fold, decide, recover |
//! | [`ports`] | the traits between the engine and the world: journal, action, clock, observer, lock |
//! | [`environment`] | targets, their identity, connections, secrets and redaction |
//! | [`process`] | supervised children: groups, limits, captured output |
//! | [`store`] | SQLite: writer thread, readers, inbox, migrations |
//! | [`actions`] | built-in actions, a file or folder for each system |
//! | [`plugins`] | external actions: manifest, protocol, host |
//! | [`sandbox`] | the simulated platform |
//! | [`planner`] | what a run would do, worked out without asking the target |
//! | [`engine`] | the async shell around the machine: dispatcher, executor, ownership |
//! | [`report`] | events to text, JSON lines and JSON |
//! | [`notify`] | observers that tell people: webhook, command |
//! | [`app`] | wires it all together |
//! | [`cli`] | the command line: a file for each command, exit codes |

pub mod actions;
pub mod app;
pub mod cli;
pub mod engine;
pub mod environment;
pub mod expr;
pub mod machine;
pub mod model;
pub mod notify;
pub mod planner;
pub mod playbook;
pub mod plugins;
pub mod ports;
pub mod process;
pub mod report;
pub mod sandbox;
pub mod store;
