//! runsheet
pub mod engine;
pub mod expr;
pub mod machine;
pub mod model;
pub mod ports;
pub mod report;
pub mod store;
