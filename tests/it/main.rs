//! Every integration test, in one binary: a file for each feature.

mod commands;
mod kills;
mod kills_faults;
mod kills_once;
mod layers;
mod processes;
mod rollbacks;
mod support;
