//! runsheet
pub mod actions;
pub mod environment;
pub mod expr;
pub mod model;
pub mod ports;
