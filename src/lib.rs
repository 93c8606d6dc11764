//! runsheet
pub mod actions;
pub mod engine;
pub mod environment;
pub mod expr;
pub mod machine;
pub mod model;
pub mod ports;
pub mod process;
pub mod report;
pub mod sandbox;
pub mod store;
