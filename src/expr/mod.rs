//! CEL behind its guards: parse, references, evaluate.
//!
//! Invariant: no input can panic, overflow a stack, or take longer than its counted cost allows. Nothing outside this module names the `cel` crate.

mod arithmetic;
mod bindings;
mod compile;
mod evaluate;
mod expression;
mod functions;
mod limits;
mod parse;
mod scan;
mod tree;
mod uses;
mod value;
mod words;

#[cfg(test)]
mod tests;

pub use bindings::{Bindings, Root};
pub use expression::{EvalError, Expression, ParseError, References, references, resolve};
pub use scan::{Part, scan};
pub use uses::{Fact, Use};
pub use words::{Name, Said};

/// An absolute time: RFC 3339 with an offset, or with a zone in brackets.
///
/// # Errors
/// A text for people that says how a time is written.
pub fn timestamp(text: &str) -> Result<jiff::Timestamp, String> {
    functions::timestamp(text)
}
