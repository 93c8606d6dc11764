//! Every integration test, in one binary: a file for each feature.

mod commands;
mod errors;
mod errors_playbook;
mod errors_store;
mod errors_target;
mod errors_usage;
mod exit_codes;
mod hostile;
mod kills;
mod layers;
mod processes;
mod secrets;
mod support;
