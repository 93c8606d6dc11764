//! `schema`: the JSON Schemas of playbooks and of environments, for editors.

use super::context::Context;
use super::exit_code;
use super::failure::Failure;
use super::output::write_out;

/// The arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  runsheet schema > playbooks/playbook.schema.json
  runsheet schema environment > playbooks/environments/environment.schema.json

A file names it in its first line:
  # yaml-language-server: $schema=./playbook.schema.json")]
pub struct Args {
    /// Of what
    #[arg(value_name = "WHAT", value_enum, default_value = "playbook")]
    what: What,
}

/// What has a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum What {
    /// Playbooks
    Playbook,
    /// Environments
    Environment,
}

/// Prints the schema; it is JSON in every form of output.
///
/// # Errors
/// When this program cannot find itself.
pub fn run(cx: &Context, args: &Args) -> Result<u8, Failure> {
    let schema = match args.what {
        // Without a root there are no plugins.
        What::Playbook => cx.app().map_or_else(|_| crate::app::schema(), |app| app.schema())?,
        What::Environment => crate::app::environment_schema(),
    };
    write_out(&format!("{schema:#}"));
    Ok(exit_code::SUCCEEDED)
}
