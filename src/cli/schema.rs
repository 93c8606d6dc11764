//! `schema`: the JSON Schema of playbooks, for editors.

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output::write_out;

/// Prints the schema; it is JSON in every form of output.
///
/// # Errors
/// When this program cannot find itself.
pub fn run(_: &Context) -> Result<u8, Failure> {
    let schema = crate::app::schema()?;
    write_out(&format!("{schema:#}"));
    Ok(exit_code::SUCCEEDED)
}
