//! runsheet
pub mod expr;
pub mod model;
pub mod playbook;
pub mod ports;
