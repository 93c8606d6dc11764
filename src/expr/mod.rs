//! CEL behind its guards: parse, references, evaluate.
//!
//! Invariant: no input can panic, overflow a stack, or take longer than its counted cost allows. Nothing outside this module names the `cel` crate.

mod bindings;
mod expression;

pub use bindings::{Bindings, Root};
pub use expression::{EvalError, Expression, ParseError, References, references, resolve};
