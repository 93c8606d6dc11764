//! Every integration test, in one binary: a file for each feature.

mod commands;
mod errors;
mod errors_playbook;
mod errors_target;
mod kills;
mod layers;
mod processes;
mod support;
