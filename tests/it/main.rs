//! Every integration test, in one binary: a file for each feature.

mod cli_questions;
mod cli_runs;
mod commands;
mod layers;
mod processes;
mod support;
