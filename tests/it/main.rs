//! Every integration test, in one binary: a file for each feature.

mod commands;
mod kills;
mod layers;
mod processes;
mod support;
