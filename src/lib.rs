//! runsheet
pub mod engine;
pub mod expr;
pub mod model;
pub mod ports;
pub mod store;
