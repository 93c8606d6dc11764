//! Every integration test, in one binary: a file for each feature.

mod cli_questions;
mod cli_runs;
mod commands;
mod errors;
mod errors_playbook;
mod errors_store;
mod errors_target;
mod errors_usage;
mod exit_codes;
mod hostile;
mod kills;
mod kills_constructs;
mod kills_faults;
mod kills_once;
mod kubectl;
mod layers;
mod processes;
mod review;
mod rollback_actions;
mod rollbacks;
mod secrets;
mod support;
mod terminals;
