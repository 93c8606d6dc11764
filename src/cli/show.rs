//! `show`: a playbook's parameters, secrets and steps.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use crate::report::show_playbook;

/// The arguments of `show`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The playbook
    #[arg(value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbook: String,
}

/// Shows a playbook.
///
/// # Errors
/// When it is unknown or invalid.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    let definition = app.definition(&app.name_of(&args.playbook))?;
    if cx.output.is_text() {
        cx.output.page(&show_playbook(definition.root(), &cx.output.out));
    } else {
        cx.output.json(&json!(definition.root()));
    }
    Ok(exit_code::SUCCEEDED)
}
