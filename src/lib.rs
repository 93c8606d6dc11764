//! runsheet
pub mod actions;
pub mod expr;
pub mod model;
pub mod ports;
pub mod process;
