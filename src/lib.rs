//! runsheet
pub mod expr;
pub mod model;
pub mod ports;
pub mod sandbox;
