//! `show`: a playbook's parameters, secrets and steps; or the same as commands for a person's hands.

use clap_complete::engine::ArgValueCompleter;
use serde_json::json;

use super::complete;
use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::run::pair;
use crate::report::{by_hand, show_playbook};

/// The arguments of `show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet show pre-event
  runsheet show pre-event --commands --env production > pre-event.sh     # to keep for the night on which runsheet cannot run
  runsheet show pre-event --commands -p level=critical")]
pub struct Args {
    /// The playbook
    #[arg(value_name = "PLAYBOOK", add = ArgValueCompleter::new(complete::playbooks))]
    playbook: String,
    /// Print it as commands that a person can type, with the way back
    #[arg(long)]
    commands: bool,
    /// A parameter's value in the commands; what is not given becomes a shell variable
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = pair, requires = "commands")]
    params: Vec<(String, String)>,
    /// The environment whose values the commands take; it is not reached
    #[arg(short, long, value_name = "NAME", requires = "commands")]
    env: Option<String>,
}

/// Shows a playbook.
///
/// # Errors
/// When it is unknown or invalid.
pub fn run(cx: &Context, args: Args) -> Result<u8, Failure> {
    let app = cx.app()?;
    if args.commands {
        let params = args.params.into_iter().collect();
        let sheet = app.by_hand(&app.name_of(&args.playbook), &params, args.env.as_deref())?;
        if cx.output.is_text() {
            cx.output.page(&by_hand(&sheet));
        } else {
            cx.output.json(&json!(sheet));
        }
        return Ok(exit_code::SUCCEEDED);
    }
    let definition = app.definition(&app.name_of(&args.playbook))?;
    if cx.output.is_text() {
        cx.output.page(&show_playbook(definition.root(), &cx.output.out));
    } else {
        cx.output.json(&json!(definition.root()));
    }
    Ok(exit_code::SUCCEEDED)
}
