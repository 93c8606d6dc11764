//! The machine against a simulated world: what it decides, and that a crash at any point changes nothing about the end.

mod conditions;
mod crashes;
mod driver;
mod fixtures;
mod interleaved;
mod monitors;
mod operated;
mod operators;
mod random;
mod review;
mod rules;
mod world;
