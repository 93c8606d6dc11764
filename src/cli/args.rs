//! The command line's grammar: global options and one variant for each command. Each command's own arguments are in its file.

use clap::{Parser, Subcommand};

use super::context::Globals;
use super::{
    actions, answer, cancel, complete, doctor, environment, exit_code, logs, plugin, resume, rollback, run, runs, sandbox, schema, show,
    status, validate,
};

/// Runs operational runbooks: playbooks that can be interrupted, resumed and rolled back.
#[derive(Debug, Parser)]
#[command(
    name = "runsheet",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    disable_help_subcommand = true,
    propagate_version = false,
    max_term_width = 120,
    after_help = after_help(),
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub globals: Globals,
    /// What is to be done.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the playbooks
    List,
    /// Show a playbook: parameters, secrets, steps
    Show(show::Args),
    /// Start a run of a playbook
    Run(run::Args),
    /// Go on with a run that was interrupted, paused or waits
    Resume(resume::Args),
    /// List runs; `runs verify` checks their journals
    Runs(runs::Args),
    /// Show where a run stands, what it waits for and what to type
    Status(status::Args),
    /// Print what happened in a run, and what a step printed
    Logs(logs::Args),
    /// Open a gate
    Approve(answer::GateArgs),
    /// Refuse a gate
    Reject(answer::GateArgs),
    /// Try a failed, unknown or not rolled back step again
    Retry(answer::StepArgs),
    /// Do not do a step; what it may have done stays, until the run is taken back
    Skip(answer::StepArgs),
    /// Say that a step is done (or put back) by hand
    MarkDone(answer::DoneArgs),
    /// Take back what a run did
    Rollback(rollback::Args),
    /// End a run, keeping what was done
    Cancel(cancel::Args),
    /// Check playbooks: all mistakes, each with its place
    Validate(validate::Args),
    /// Print the JSON Schema of playbooks or environments, for editors
    Schema(schema::Args),
    /// List what steps can use, or print one action's page
    Actions(actions::Args),
    /// Check this machine, the playbooks, and what an environment's account may do
    Doctor(doctor::Args),
    /// Where runs act: list, show, check and draft environments
    #[command(subcommand)]
    Environment(environment::Command),
    /// Actions in other languages: list, show, check and begin plugins
    #[command(subcommand)]
    Plugin(plugin::Command),
    /// The simulated platform that runs act on where no environment is set up
    #[command(subcommand, after_help = sandbox::VARIABLES)]
    Sandbox(sandbox::Command),
    /// Print the script that makes a shell complete names and ids
    Completions(complete::Args),
}

fn after_help() -> String {
    format!(
        "\
Examples:
  runsheet run pre-event -p event_id=…        start a run, and watch it
  runsheet resume                             go on with the run that was interrupted
  runsheet status                             what it waits for, and what to type
  runsheet rollback                           give back what it changed

RUN is an id as `runs` lists it, or its beginning or end; it may be left out
where only one run fits.

{}",
        exit_code::TABLE
    )
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }
}
